"""Follows a run to its end: shows its events, and has its questions decided."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from typing import Any, cast

from agentloop.cli.approvals.approver import Approvals
from agentloop.cli.screen import Screen
from agentloop.events import ApprovalAsked, Event, Finished
from agentloop.loop.run import RunResult
from agentloop.runtime.portal import PORTAL


def follow_run(
    stream: Callable[[], AsyncGenerator[Event, None]], screen: Screen, approvals: Approvals
) -> RunResult[Any]:
    """Return what a run came to.

    Args:
        stream: Returns the events of the run, of which Finished is the last; iterated in another thread.
        screen: Shows them.
        approvals: Decides what the run asks.

    Raises:
        AgentloopError: what the run raised.
        KeyboardInterrupt: Ctrl-C was pressed; as every error, it has the run on its `run`.
    """
    event: Event | None = None
    with closing(PORTAL.iterate(stream)) as events:
        try:
            for event in events:
                screen.show(event)
                if isinstance(event, ApprovalAsked):
                    screen.end_line()
                    approvals.settle(event.request)
        except KeyboardInterrupt as interrupt:
            events.throw(interrupt)  # between two events, the stream has yet to end and to hand over its run
    return cast("Finished", event).result  # a stream that raises nothing ends with it

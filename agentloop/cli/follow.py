"""Follows a run to its end: shows its events, and gets decisions on its approval requests."""

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
    """Show a run until it ends, and return its result.

    Args:
        stream: Returns the events of the run, of which the last is Finished. They are produced in another thread.
        screen: Shows the events.
        approvals: Decides on the run's approval requests.

    Raises:
        AgentloopError: what the run raised.
        KeyboardInterrupt: Ctrl-C was pressed. Like every error of a run, it has the run on its `run`.
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
            events.throw(interrupt)  # raised between two events: the stream must still end and attach its run
    return cast("Finished", event).result  # a stream that raises no error ends with Finished

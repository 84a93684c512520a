"""Decides on the calls of a run that need approval: by `--yes` patterns, then by asking the person at the terminal.

Without a terminal such a call is declined.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from agentloop.cli.approvals.dialog import open_terminal
from agentloop.cli.terminal import say
from agentloop.policy import ApprovalRequest, Approve, Decision, Reject, approve_matching
from agentloop.runtime.portal import PORTAL

# The model reads these after "This call was declined: ".
_NO_TERMINAL = "there is no terminal to ask for approval; --yes {!r} would allow the call"
_TERMINAL_CLOSED = "the terminal was closed before an answer came"


class Approvals:
    """Decides on calls for one command. It is the approver of the run's policy.

    The run goes on in a background thread, and a person is asked in the main thread, because Ctrl-C is raised there and
    the terminal is written to from there. So a call of it waits until `settle` is called with the event of the request.

    Args:
        patterns: The calls that are allowed without asking.

    Raises:
        ConfigurationError: a pattern can't be read.
    """

    def __init__(self, patterns: Iterable[str] | None) -> None:
        self._allow = approve_matching(*(patterns or ()))
        self.rules = self._allow.rules
        self._decisions: dict[str, Future[Decision]] = {}

    async def __call__(self, request: ApprovalRequest) -> Decision:
        """Wait for the decision on a request, and return it."""
        decision = self._decision_on(request)
        try:
            decided = await asyncio.wrap_future(decision)
        except asyncio.CancelledError:
            decision.cancel()
            raise
        del self._decisions[request.id]
        return decided

    def settle(self, request: ApprovalRequest) -> None:
        """Decide on a request, and ask a person if no pattern matches it.

        A request that the run has dropped, for example because the tool that made the call took too long, is not shown.
        An answer that comes too late is discarded, and not used for the next request of that kind.
        """
        decision = self._decision_on(request)
        if not decision.cancelled():
            decided = self._decide(request)
            with suppress(InvalidStateError):
                decision.set_result(decided)
        if decision.cancelled():
            del self._decisions[request.id]
            say("note", f"the run did not wait for a decision on {request.tool}")

    def _decide(self, request: ApprovalRequest) -> Decision:
        decision = PORTAL.call(lambda: self._match(request))
        if isinstance(decision, Approve):
            return decision
        try:
            with open_terminal() as dialog:
                return dialog.decide(request) if dialog else Reject(_NO_TERMINAL.format(request.tool))
        except OSError:  # the terminal is closed, as after a hang-up
            return Reject(_TERMINAL_CLOSED)

    async def _match(self, request: ApprovalRequest) -> Decision:
        return await self._allow(request)

    def _decision_on(self, request: ApprovalRequest) -> Future[Decision]:
        return self._decisions.setdefault(request.id, Future())

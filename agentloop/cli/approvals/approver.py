"""Who decides the calls of a run that need a yes: `--yes` patterns, then whoever sits at the terminal, else nobody."""

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
_NOBODY = "nobody can be asked here; --yes {!r} would allow it"
_GONE = "the terminal was closed before an answer came"


class Approvals:
    """Decides for one command; `approve` is what the run's policy asks.

    A run goes on in another thread than the main one, where a person is asked, as Ctrl-C comes there and the terminal
    is written to from there. So `approve` waits until the event of a request has reached `settle`.

    Args:
        patterns: The calls that are allowed without asking.

    Raises:
        ConfigurationError: a pattern can't be read.
    """

    def __init__(self, patterns: Iterable[str] | None) -> None:
        self._allow = approve_matching(*(patterns or ()))
        self._decisions: dict[str, Future[Decision]] = {}

    async def approve(self, request: ApprovalRequest) -> Decision:
        """Return what was decided."""
        decision = self._decision_on(request)
        try:
            decided = await asyncio.wrap_future(decision)
        except asyncio.CancelledError:
            decision.cancel()
            raise
        del self._decisions[request.id]
        return decided

    def settle(self, request: ApprovalRequest) -> None:
        """Decide, asking a person where no pattern does.

        A question that the run has dropped, as when the tool that asked took too long, is not asked; and an answer
        that comes too late is none to the next question of that kind.
        """
        decision = self._decision_on(request)
        if not decision.cancelled():
            decided = self._decide(request)
            with suppress(InvalidStateError):
                decision.set_result(decided)
        if decision.cancelled():
            del self._decisions[request.id]
            say("note", f"the run has not waited for a decision on {request.tool}")

    def _decide(self, request: ApprovalRequest) -> Decision:
        decision = PORTAL.call(lambda: self._match(request))
        if isinstance(decision, Approve):
            return decision
        try:
            with open_terminal() as dialog:
                return dialog.decide(request) if dialog else Reject(_NOBODY.format(request.tool))
        except OSError:  # it is gone, as after a hang-up
            return Reject(_GONE)

    async def _match(self, request: ApprovalRequest) -> Decision:
        return await self._allow(request)

    def _decision_on(self, request: ApprovalRequest) -> Future[Decision]:
        return self._decisions.setdefault(request.id, Future())

"""Who decides the calls of a run that need a yes: `--yes` patterns, then whoever sits at the terminal, else nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from agentloop.cli.dialog import open_terminal
from agentloop.policy import ApprovalRequest, Decision, Reject, approve_matching
from agentloop.portal import PORTAL


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
        try:
            return await asyncio.wrap_future(self._decision_on(request))
        finally:
            del self._decisions[request.id]

    def settle(self, request: ApprovalRequest) -> None:
        """Decide, asking a person where no pattern does."""
        decision = PORTAL.call(lambda: self._match(request))
        if isinstance(decision, Reject):
            with open_terminal() as dialog:
                decision = dialog.decide(request) if dialog else decision
        with suppress(InvalidStateError):  # nobody waits any more: the run has ended meanwhile
            self._decision_on(request).set_result(decision)

    async def _match(self, request: ApprovalRequest) -> Decision:
        return await self._allow(request)

    def _decision_on(self, request: ApprovalRequest) -> Future[Decision]:
        return self._decisions.setdefault(request.id, Future())

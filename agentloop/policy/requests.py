"""Defines ApprovalRequest, which an approver gets, and an approver for programs in which nobody can be asked."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import TypeAlias

from agentloop.items import JsonObject, ToolCall
from agentloop.policy.decisions import Approve, Decision, Reject, digest
from agentloop.policy.patterns import CallPattern, Readings, parse_patterns
from agentloop.schema import canonical
from agentloop.tools import ArgumentReading, Effects


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """A call that needs a person's approval.

    Attributes:
        run_id: The id of the run.
        call: The call, with its arguments as the model wrote them.
        tool: The tool's name in policies: `pack.tool`, or the plain name.
        reason: Why the call needs approval, in words.
        effects: The declared effects of the tool, or None.
        received: The arguments that the tool will receive, as JSON, repaired, with defaults and with secrets masked;
            None if they can't be read.
        preview: The tool's preview of the call, such as a diff, or "".
        for_person_alone: Whether only a person may approve the call, and no pattern.
        readings: How the tool reads arguments that can be written in several ways, for an approver that goes by rules.
    """

    run_id: str
    call: ToolCall
    tool: str
    reason: str = ""
    effects: Effects | None = None
    received: str | None = None
    preview: str = ""
    for_person_alone: bool = False
    readings: Readings = field(default_factory=dict[str, ArgumentReading], repr=False, compare=False)

    @property
    def id(self) -> str:
        """The key of the request in `decisions`. It stands for all that a person sees except the reason."""
        call = (self.run_id, self.call.call_id, self.tool, canonical(self.call.arguments))
        effects = None if self.effects is None else asdict(self.effects)
        return digest(json.dumps((*call, self.received, effects, self.preview)))

    @property
    def arguments(self) -> JsonObject | None:
        """The arguments that the tool will receive, by parameter name, or None if they can't be read."""
        return None if self.received is None else json.loads(self.received)


Approver: TypeAlias = Callable[[ApprovalRequest], Awaitable[Decision] | Decision]


class MatchingApprover:
    """Approves calls that match a rule, each call once, and rejects all others."""

    def __init__(self, rules: tuple[CallPattern, ...]) -> None:
        self.rules = rules

    async def __call__(self, request: ApprovalRequest) -> Decision:
        """Return the decision on a call."""
        if request.for_person_alone:
            return Reject(f"only a person can approve {request.tool}, and nobody can be asked")
        names = (request.tool, request.call.name)
        if any(rule.names(names) and rule.matches_fully(request.arguments, request.readings) for rule in self.rules):
            return Approve()
        return Reject(f"nobody can be asked to approve {request.tool}; --yes {request.tool!r} would allow it")


def approve_matching(*patterns: str) -> MatchingApprover:
    """Return an approver that approves calls that match a pattern, each call once, and rejects all others.

    Args:
        patterns: Patterns as for `Policy(allow=...)`: `"files.write"`, `"files.write(path=docs/*)"`.

    Raises:
        ConfigurationError: a text is not a pattern.
    """
    return MatchingApprover(parse_patterns("approve_matching", patterns))

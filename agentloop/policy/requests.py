"""ApprovalRequest: what an approver gets, and an approver for where nobody can be asked."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from agentloop.items import JsonObject, ToolCall
from agentloop.policy.decisions import Approve, Decision, Reject, digest
from agentloop.policy.patterns import parse_patterns
from agentloop.schema import canonical
from agentloop.tools import Effects


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """A call that needs a person's yes.

    Attributes:
        run_id: The run.
        call: The call, with its arguments as the model wrote them.
        tool: What policies call the tool: `pack.tool`, or its name.
        reason: Why it needs a yes, in a sentence.
        effects: What a call does, or None if nobody has said.
        received: What the tool will receive, as JSON: mended, with defaults. None if the arguments can't be read.
        preview: What the tool shows of the call beforehand, such as a diff, or "".
    """

    run_id: str
    call: ToolCall
    tool: str
    reason: str = ""
    effects: Effects | None = None
    received: str | None = None
    preview: str = ""

    @property
    def id(self) -> str:
        """Names the request in `decisions`: another run, call, tool or other arguments have another id."""
        bound = (self.run_id, self.call.call_id, self.tool, canonical(self.call.arguments))
        return digest(json.dumps(bound))

    @property
    def arguments(self) -> JsonObject | None:
        """What the tool will receive, by parameter name, or None if the arguments can't be read."""
        return None if self.received is None else json.loads(self.received)


Approver: TypeAlias = Callable[[ApprovalRequest], Awaitable[Decision]]


def approve_matching(*patterns: str) -> Approver:
    """Return an approver that says yes to calls of these patterns, for this call only, and no to all others.

    Args:
        patterns: As for `Policy(allow=...)`: `"files.write"`, `"files.write(path=docs/*)"`.

    Raises:
        ConfigurationError: a pattern can't be read.
    """
    rules = parse_patterns("approve_matching", patterns)

    async def approve(request: ApprovalRequest) -> Decision:
        names = (request.tool, request.call.name)
        if any(rule.names(names) and rule.matches_fully(request.arguments) for rule in rules):
            return Approve()
        return Reject(f"nobody is there to say yes to {request.tool}; --yes {request.tool!r} would allow it")

    return approve

"""A verdict per call: allow, ask or deny; and the decisions a person can make. Pure.

Who is asked, and how a verdict is carried out, is the driver's business.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

from agentloop.errors import ConfigurationError
from agentloop.items import ToolCall

Verdict: TypeAlias = Literal["allow", "ask", "deny"]


@dataclass(frozen=True, slots=True)
class Approve:
    """Yes; with `arguments` (the text of a JSON object) the call runs with those, and the model is told."""

    arguments: str | None = None
    kind: Literal["approve"] = "approve"


@dataclass(frozen=True, slots=True)
class Reject:
    """No; the model is told the reason."""

    reason: str = ""
    kind: Literal["reject"] = "reject"


@dataclass(frozen=True, slots=True)
class Substitute:
    """The tool does not run; the model is given this text as its result."""

    content: str
    kind: Literal["substitute"] = "substitute"


Decision: TypeAlias = Approve | Reject | Substitute
Approver: TypeAlias = Callable[[ToolCall], Awaitable[Decision]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which calls run, which need a person's yes, and what a failing tool does to the run.

    Patterns are shell patterns over tool names (`delete_*`). `deny` beats `ask`; what matches neither is allowed.

    Attributes:
        ask: Calls that need a yes before they run.
        deny: Tools that are not offered, and refused if called all the same.
        approver: Asked for each call that needs a yes; without one the run pauses with
            `stop_reason="approval"`, and `agent.resume(run, decisions=...)` goes on.
        on_tool_error: `model` tells the model the exception's type and message and goes on; `raise` ends the run
            with ToolFailedError.
    """

    ask: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    approver: Approver | None = None
    on_tool_error: Literal["model", "raise"] = "model"

    def __post_init__(self) -> None:
        # Taken letter by letter, a lone string would let through what it was to hold back.
        _check_patterns("ask", self.ask)
        _check_patterns("deny", self.deny)

    def judge(self, name: str) -> Verdict:
        """Return the verdict on a call of the tool of this name."""
        if _matches(name, self.deny):
            return "deny"
        return "ask" if _matches(name, self.ask) else "allow"


def _check_patterns(name: str, patterns: object) -> None:
    if isinstance(patterns, str):
        raise ConfigurationError(
            f"Policy({name}={patterns!r}) is one string where several patterns are meant",
            hint=f"write {name}=({patterns!r},)",
        )


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)

"""Budgets and counting: how much a run may do, and how much it has done. Pure.

What happens when a limit is reached is decided in `loop`, not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias, cast

from agentloop.errors import ConfigurationError
from agentloop.items import Usage

StopReason: TypeAlias = Literal[
    "answered",
    "tool_call_limit",
    "turn_limit",
    "token_limit",
    "time_limit",
    "repeated_calls",
    "approval",
    "cancelled",
    "refused",
    "truncated",
]

LimitReason: TypeAlias = Literal["tool_call_limit", "turn_limit", "token_limit", "time_limit", "repeated_calls"]

_LEAST = {"tool_calls": 0, "turns": 1, "tokens": 1, "seconds": 0, "repeats": 1, "output_retries": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one run may do; None means no limit.

    A run that reaches a limit is not lost: the model gets one last turn without tools, and
    `result.stop_reason` says which limit it was.

    Attributes:
        tool_calls: Tool calls that may run; room is reserved before a parallel batch starts.
        turns: Model calls with tools on offer; the last turn without tools comes on top.
        tokens: Tokens in and out, as far as the endpoint reports them.
        seconds: Wall-clock time; a tool or model call under way is stopped when it is up.
        repeats: How often one call may come in a row with the same arguments.
        output_retries: How often the model is told why its answer is not of the agent's `output` type, and asked again.
        per_tool: Calls allowed to a tool, by its name.
    """

    tool_calls: int | None = 30
    turns: int | None = 30
    tokens: int | None = None
    seconds: float | None = None
    repeats: int | None = 3
    output_retries: int | None = 2
    per_tool: Mapping[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            _check(name, getattr(self, name), least)
        if not isinstance(cast("object", self.per_tool), Mapping):
            raise ConfigurationError(
                f"Limits(per_tool={self.per_tool!r}) is no mapping", hint='write it as {"tool_name": 3}'
            )
        for tool, calls in self.per_tool.items():
            _check(f"per_tool[{tool!r}]", calls, 0)

    def describe(self, name: str) -> str:
        """Return the limit's value in words: `tool_calls=30, the default`."""
        value = getattr(self, name)
        default = next(f.default for f in fields(self) if f.name == name)
        return f"{name}={value}{', the default' if value == default else ''}"


def _check(name: str, value: object, least: int) -> None:
    if value is None:
        return
    kinds = (int, float) if name == "seconds" else int
    if isinstance(value, bool) or not isinstance(value, kinds) or not value >= least:
        raise ConfigurationError(
            f"Limits({name}={value!r}) is not a number of at least {least}",
            hint=f"give {name} a number from {least} up, or None for no limit",
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """How much a run has done so far.

    Attributes:
        turns: Model calls made.
        tool_calls: Tool calls that ran or have room reserved.
        per_tool: The same by tool name.
        seconds: Wall-clock time spent in model calls, tools and waiting, not while paused.
        repairs: Mended arguments and tool names.
        usage: Tokens over all turns.
    """

    turns: int = 0
    tool_calls: int = 0
    per_tool: Mapping[str, int] = field(default_factory=dict[str, int])
    seconds: float = 0.0
    repairs: int = 0
    usage: Usage = Usage()

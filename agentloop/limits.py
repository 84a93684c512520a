"""Defines the limits of a run, and the tally of what it has done. Pure.

`loop` decides what happens when a limit is reached.
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

# A request that was stopped at the limit has often taken long, and the last one is much like it.
LEAST_GRACE_SECONDS = 5.0
GRACE_SHARE = 0.1

_LEAST = {"tool_calls": 0, "turns": 1, "tokens": 1, "seconds": 0, "repeats": 1, "output_retries": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one run; None means no limit.

    A run that reaches a limit keeps its work: the model gets one last turn, in which no tool runs, and
    `result.stop_reason` names the limit. When `seconds` is used up, the model or tool call in progress is stopped, and
    the last turn may take a tenth more, but always 5 s.

    Attributes:
        tool_calls: How many tool calls may run; calls are reserved before a parallel batch starts.
        turns: How many model calls may call tools; the last turn is not counted.
        tokens: Input and output tokens, as far as the endpoint reports them.
        seconds: Wall-clock time, without the last turn.
        repeats: How often the model may make the same call with the same arguments in a row.
        output_retries: How often the model is told why its answer is not of the agent's `output` type, and asked again.
        per_tool: How many calls each tool may have, by tool name.
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
        given = cast("object", self.per_tool)
        if not isinstance(given, Mapping) or not all(
            isinstance(tool, str) for tool in cast("Mapping[object, object]", given)
        ):
            raise ConfigurationError(
                f"Limits(per_tool={self.per_tool!r}) is not a mapping from tool names",
                hint='write it as {"tool_name": 3}',
            )
        for tool, calls in self.per_tool.items():
            _check(f"per_tool[{tool!r}]", calls, 0)

    @property
    def grace_seconds(self) -> float:
        """How long the last turn may go on after `seconds`."""
        return max(LEAST_GRACE_SECONDS, (self.seconds or 0) * GRACE_SHARE)

    def describe(self, name: str) -> str:
        """Return the limit's value as text: `tool_calls=30, the default`."""
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
            hint=f"give {name} a number of at least {least}, or None for no limit",
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts what a run has done so far.

    Attributes:
        turns: The number of model calls.
        tool_calls: The number of tool calls that ran or are reserved.
        per_tool: The same number by tool name.
        seconds: Wall-clock time of model calls, tools and waiting; the time of a pause is not counted.
        repairs: The number of repaired arguments and tool names.
        usage: The tokens of all turns.
    """

    turns: int = 0
    tool_calls: int = 0
    per_tool: Mapping[str, int] = field(default_factory=dict[str, int])
    seconds: float = 0.0
    repairs: int = 0
    usage: Usage = Usage()

"""Defines the events of `stream()`, one frozen class each. They have no behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from agentloop.items import ToolCall, ToolResult, Usage

if TYPE_CHECKING:
    from agentloop.loop.run import RunResult
    from agentloop.policy import ApprovalRequest


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A request is about to be sent to the model; `turn` counts from 1."""

    turn: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the model's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the model's reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """The model's reply is complete."""

    turn: int
    seconds: float
    usage: Usage


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool starts to run."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A call has its result.

    Attributes:
        call: The call.
        result: The result that the model will get.
        seconds: How long the tool ran.
        repairs: One description for each repair of the arguments.
        error: The exception that the tool raised, or None; the log has all of it, the model gets its type and message.
    """

    call: ToolCall
    result: ToolResult
    seconds: float
    repairs: tuple[str, ...] = ()
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """A call waits for a person's decision."""

    request: ApprovalRequest

    @property
    def call(self) -> ToolCall:
        """The call."""
        return self.request.call


@dataclass(frozen=True, slots=True)
class Retrying:
    """A request failed and will be sent again after `seconds`."""

    reason: str
    seconds: float
    attempt: int


NoticeTopic: TypeAlias = Literal[
    "dropped",
    "repaired",
    "learned",
    "limit",
    "not_run",
    "abandoned",
    "waiting",
    "trimmed",
    "recovered",
    "warning",
]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something was dropped, repaired, learned, trimmed, waited for or not run, and why."""

    topic: NoticeTopic
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The run ended; always the last event."""

    result: RunResult[Any]


Event: TypeAlias = (
    TurnStarted
    | TextDelta
    | ReasoningDelta
    | TurnFinished
    | ToolStarted
    | ToolFinished
    | ApprovalAsked
    | Retrying
    | Notice
    | Finished
)

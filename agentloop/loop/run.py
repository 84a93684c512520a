"""The state of a run and the words the loop and its driver exchange. Values only; the rules are in `loop`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias

from typing_extensions import TypeVar

from agentloop.errors import RunStateError
from agentloop.items import Item, Message, Reply, ToolCall, ToolDialect, ToolResult, Usage
from agentloop.limits import LimitReason, StopReason, Tally
from agentloop.policy import ApprovalRequest, Decision, Question, Trust

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Output_co = TypeVar("Output_co", default=None, covariant=True)
WaitingFor: TypeAlias = Literal["user", "model", "human", "tools"]
ExtraTurn: TypeAlias = Literal["empty_reply", "tool_choice", "output_format"]
"""Why the model is asked once more: its reply was empty, it did not call a tool that it must call, or its answer is not
yet in the format of the agent's `output` (from then on no tools are offered)."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A call of the last turn that has no result in the conversation yet.

    Attributes:
        call: The call.
        plan: `run` when it has a yes and room; `ask` when a person must decide; `repeat` when the earlier result is
            given again; `answered` when `answer` is what the model is told.
        answer: The result in place of running, for `answered`.
        note: What the model is told besides the tool's result, such as that a person edited the arguments.
        question: What the person is asked, for `ask`.
    """

    call: ToolCall
    plan: Literal["run", "ask", "repeat", "answered"]
    answer: ToolResult | None = None
    note: str = ""
    question: Question | None = None


@dataclass(frozen=True, slots=True)
class Streak:
    """How often in a row one call has come: same tool, same canonical arguments, nothing in between."""

    name: str = ""
    arguments: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as it stands: frozen, and JSON both ways.

    Attributes:
        run_id: Names the run in logs and to tools.
        items: The whole transcript.
        start: How many of the items are history given by the user.
        waiting_for: What comes next.
        tally: What was done so far.
        pending: Calls of the last turn without a result.
        final_turn_reason: The limit that was reached; the model is having its last turn, without tools.
        streak: For the guard against repeated calls.
        trust: What people have allowed for longer than one call, and whether strangers have had their say.
        extra_turns: The extra turns that the model was given since the user's input, each at most once.
        output_failures: How often it has been told why its answer does not fit.
        output_invalid: Whether the run has ended without an answer that fits.
        dialect: How tool calls are written for this endpoint, as learned from it.
        stop_reason: Why the run ended, or None while it goes on.
        stop_note: The same in a sentence.
    """

    run_id: str
    items: tuple[Item, ...] = ()
    start: int = 0
    waiting_for: WaitingFor = "user"
    tally: Tally = Tally()
    pending: tuple[Pending, ...] = ()
    final_turn_reason: LimitReason | None = None
    streak: Streak = Streak()
    trust: Trust = Trust()
    extra_turns: tuple[ExtraTurn, ...] = ()
    output_failures: int = 0
    output_invalid: bool = False
    dialect: ToolDialect | None = None
    stop_reason: StopReason | None = None
    stop_note: str = ""

    @property
    def tainted(self) -> bool:
        """Whether the model has read what strangers wrote."""
        return self.trust.tainted

    @property
    def approvals(self) -> tuple[ApprovalRequest, ...]:
        """What waits for a person's decision."""
        return tuple(
            request_approval(self.run_id, each.call, each.question) for each in self.pending if each.plan == "ask"
        )

    def to_json(self) -> str:
        """Return the run as JSON text, for `Run.from_json` on any machine."""
        try:
            return _adapter().dump_json(self).decode()
        except ValueError:
            # No JSON text may hold half a surrogate pair, as in a file's name that is no UTF-8: it becomes U+FFFD.
            text = json.dumps(_adapter().dump_python(self), ensure_ascii=False)
            return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    @classmethod
    def from_json(cls, data: str | bytes) -> Run:
        """Return the run that `to_json` wrote.

        Raises:
            RunStateError: the text is not a run.
        """
        from pydantic import ValidationError  # noqa: PLC0415 - 0.1 s that a run which is never stored need not pay

        try:
            return _adapter().validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise RunStateError(
                f"this is not a stored run: {where or 'the text'}: {first['msg']}",
                hint="give the text that run.to_json() returned, whole",
            ) from None


def request_approval(run_id: str, call: ToolCall, question: Question | None) -> ApprovalRequest:
    """Return what an approver is asked about a call of a run."""
    question = question or Question(call.name)
    return ApprovalRequest(
        run_id=run_id,
        call=call,
        tool=question.tool,
        reason=question.reason,
        effects=question.effects,
        received=question.received,
        preview=question.preview,
    )


@cache
def _adapter() -> TypeAdapter[Run]:
    from pydantic import TypeAdapter  # noqa: PLC0415 - as above

    return TypeAdapter(Run)


@dataclass(frozen=True, slots=True)
class NoOutput:
    """What stands in a result for an output that the run did not come to."""


@dataclass(frozen=True, slots=True)
class RunResult(Generic[Output_co]):
    """What a run came to, and everything that happened in it.

    Attributes:
        run: The state, which is JSON (`run.to_json()`) and can be resumed.
    """

    run: Run
    _output: Output_co | NoOutput = NoOutput()

    @property
    def output(self) -> Output_co:
        """The answer as the agent's `output` type; None for an agent without one.

        Raises:
            RunStateError: the run ended without such an answer: at a limit, cut off, declined, or waiting for approval.
        """
        if isinstance(self._output, NoOutput):
            raise RunStateError(
                f"the run has no output: {self.run.stop_note or 'it goes on'}",
                hint="look at result.stop_reason first; result.text has what the model said",
            )
        return self._output

    @property
    def text(self) -> str:
        """The model's last text, or "" when there is none."""
        for item in reversed(self.run.items[self.run.start :]):
            if isinstance(item, Message) and item.role == "assistant" and item.text.strip():
                return item.text
        return ""

    @property
    def items(self) -> tuple[Item, ...]:
        """The whole transcript; pass it back as `history`."""
        return self.run.items

    @property
    def usage(self) -> Usage:
        """Tokens over all turns; None in a field where the endpoint did not say."""
        return self.run.tally.usage

    @property
    def tally(self) -> Tally:
        """Turns, tool calls and seconds."""
        return self.run.tally

    @property
    def approvals(self) -> tuple[ApprovalRequest, ...]:
        """What the run waits for, when it stopped for approval: decide by `agent.resume(run, decisions={id: ...})`."""
        return self.run.approvals

    @property
    def stop_reason(self) -> StopReason:
        """Why the run ended."""
        if self.run.stop_reason is None:
            raise RunStateError("the run has not ended", hint="resume it with agent.resume(run)")
        return self.run.stop_reason

    @property
    def stop_note(self) -> str:
        """Why the run ended, in a sentence."""
        return self.run.stop_note


# --- what the driver tells the loop ---

Nested: TypeAlias = tuple[tuple[ToolCall, ToolResult], ...]


@dataclass(frozen=True, slots=True)
class UserSaid:
    """The user's input: starts a run, or goes on after one."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class ModelReplied:
    """A reply came, after `seconds`."""

    reply: Reply
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ToolsReturned:
    """The results of exactly the calls that were to run, in their order.

    Attributes:
        results: What they returned.
        seconds: How long they took together.
        repairs: In how many calls the arguments had to be mended.
        nested: The calls that tools made themselves and that began to run, each with its result.
        trust: What the run is trusted with after decisions on such calls, or None where there were none.
    """

    results: tuple[ToolResult, ...]
    seconds: float = 0.0
    repairs: int = 0
    nested: Nested = ()
    trust: Trust | None = None


@dataclass(frozen=True, slots=True)
class HumanDecided:
    """A person's decisions, by the id of the request; what is left waits on."""

    decisions: Mapping[str, Decision]


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The run is to end now: cancelled, or out of time in the middle of a step.

    Attributes:
        reason: Why.
        results: Of the calls that had already returned.
        seconds: How long the interrupted step had taken.
        nested: As for ToolsReturned.
        trust: As for ToolsReturned.
    """

    reason: Literal["cancelled", "time_limit"]
    results: tuple[ToolResult, ...] = ()
    seconds: float = 0.0
    nested: Nested = ()
    trust: Trust | None = None


Outcome: TypeAlias = UserSaid | ModelReplied | ToolsReturned | HumanDecided | Interrupted


# --- what the loop tells the driver ---


@dataclass(frozen=True, slots=True)
class CallModel:
    """Send the conversation; offer tools or not, and hold the answer to the agent's `output` or not."""

    tools: bool
    output: bool = False


@dataclass(frozen=True, slots=True)
class RunTools:
    """Run exactly these calls."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class AskHuman:
    """Get a person's decision on at least the first of these calls."""

    requests: tuple[ApprovalRequest, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """The run has ended; `run.stop_reason` says why."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The model answered with nothing, or with what does not fit, once too often; the run can be resumed.

    Attributes:
        output_error: What it was told about its answer; "" when there was none.
        said: The answer.
    """

    output_error: str = ""
    said: str = ""


Command: TypeAlias = CallModel | RunTools | AskHuman | Finish | Fail


def carry_run(source: BaseException | None, target: BaseException) -> None:
    """Put the run that one exception has on its `run` on another one, if there is any."""
    run = None if source is None else vars(source).get("run")
    if run is not None:
        vars(target)["run"] = run

"""Defines the state and result of a run, and the outcomes and commands of the loop. Values only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias

from typing_extensions import TypeVar

from agentloop.errors import RunStateError
from agentloop.items import Item, Message, Reply, ToolCall, ToolDialect, ToolResult, Usage, find_images
from agentloop.limits import LimitReason, StopReason, Tally
from agentloop.loop.prompt_version import PromptVersion
from agentloop.loop.stored_json import Key, find_false_number, parse_stored, refuse_stored, sign_json
from agentloop.policy import ApprovalRequest, Decision, Question, Trust

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Output_co = TypeVar("Output_co", default=None, covariant=True)
_NOT_STORED = {"verified"}
WaitingFor: TypeAlias = Literal["user", "model", "human", "tools"]
ExtraTurn: TypeAlias = Literal["empty_reply", "tool_choice", "output_format"]
"""Why the model gets an extra turn: its reply was empty, it did not call a tool that it must call, or its answer is not
in the format of the agent's `output` yet (from then on no tools are offered)."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A call of the last turn that has no result in the conversation yet.

    Attributes:
        call: The call.
        plan: `run` if it may run; `ask` if a person must decide; `repeat` if the model gets the earlier result again;
            `answered` if the model gets `answer` and the tool does not run.
        answer: For `answered`, the result.
        note: Text for the model before the tool's result, for example that a person edited the arguments.
        question: For `ask`, what the person is asked.
    """

    call: ToolCall
    plan: Literal["run", "ask", "repeat", "answered"]
    answer: ToolResult | None = None
    note: str = ""
    question: Question | None = None


@dataclass(frozen=True, slots=True)
class Streak:
    """Counts how often the same call came in a row: same tool and same canonical arguments, no other call between."""

    name: str = ""
    arguments: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The state of a run: frozen, and convertible to JSON and back.

    Attributes:
        run_id: The id of the run, for logs and tools.
        items: The whole transcript.
        start: How many of the items stand before the current exchange, which begins at the last question.
        waiting_for: Whose outcome comes next.
        tally: What the run has done so far.
        pending: The calls of the last turn that have no result yet.
        final_turn_reason: The limit that was reached, or None. If it is set, the model has its last turn, in which
            no tool runs.
        streak: The last call and how often it was repeated, for the limit on repeated calls.
        trust: Approvals that are valid for more than one call, and whether the run has read untrusted text.
        extra_turns: The extra turns that the model got since the user's input, each at most once.
        output_failures: How often the model was told why its answer is not of the `output` type.
        output_invalid: Whether the run has ended without an answer of the `output` type.
        dialect: The format of tool calls for this endpoint, as its replies have shown it.
        stop_reason: Why the run ended, or None while it continues.
        stop_note: The same in words.
        prompt: The prompt whose instructions the run was given last, or None.
        verified: Whether the content is what this process has written, or was read under a valid signature. It is not
            stored. A run that is not verified is planned anew when it is resumed, and its earlier approvals are gone.
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
    prompt: PromptVersion | None = None
    verified: bool = field(default=True, compare=False, repr=False)

    @property
    def tainted(self) -> bool:
        """Whether the model has read untrusted text."""
        return self.trust.tainted

    @property
    def has_called(self) -> bool:
        """Whether the model has called a tool in the current exchange."""
        return any(isinstance(item, ToolCall) for item in self.items[self.start :])

    @property
    def approvals(self) -> tuple[ApprovalRequest, ...]:
        """The requests that wait for a person's decision."""
        return tuple(
            request_approval(self.run_id, each.call, each.question) for each in self.pending if each.plan == "ask"
        )

    def to_json(self, *, key: Key | None = None) -> str:
        """Return the run as JSON text, which `Run.from_json` reads on any machine.

        Args:
            key: A secret text that signs the run, so that `from_json` can tell whether it was changed. Of several texts
                the first one signs; so a key can be replaced.

        Raises:
            ConfigurationError: the key is empty.
            RunStateError: the run was read without a key, so that nobody knows whether it was changed.
        """
        try:
            text = _adapter().dump_json(self, exclude=_NOT_STORED).decode()
        except ValueError:
            # A lone surrogate, as in a file name that is not UTF-8, can't be written as JSON: it becomes U+FFFD.
            text = json.dumps(_adapter().dump_python(self, exclude=_NOT_STORED), ensure_ascii=False)
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if key is None:
            return text
        if not self.verified:
            raise RunStateError(
                "a run that was read without a key can't be signed", hint="resume it first, and sign what comes of it"
            )
        return sign_json(text, key)

    @classmethod
    def from_json(cls, data: str | bytes, *, key: Key | None = None) -> Run:
        """Return the run that `to_json` wrote. Without a key it is trusted like code: keep it where only you can write.

        With a key, a run that was changed is refused. Without one, a changed conversation is not noticed, but `resume`
        plans the open calls anew by the agent's rules, and approvals that the run holds do not count. A signature does
        not tell whether a run is the newest one or the one that you looked for: compare its `run_id`.

        Args:
            data: The text.
            key: The secret text that has signed the run, or several, of which one must fit.

        Raises:
            ConfigurationError: the key is empty.
            RunStateError: the text is not a run, an image in it is not a data URL, or the signature is not valid.
        """
        from pydantic import ValidationError  # noqa: PLC0415 - takes 0.1 s, which only stored runs need

        stored = parse_stored(data, key)
        try:
            run = _adapter().validate_python(stored)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise refuse_stored(where or "the text", first["msg"]) from None
        if fault := _find_fault(run):
            raise refuse_stored(*fault)
        return replace(run, verified=key is not None)


def _find_fault(run: Run) -> tuple[str, str] | None:
    """Return which field of a stored run has a value that no run has, and why, or None."""
    if name := find_false_number(run, run.streak, run.tally, run.tally.usage):
        return name, "it is not a number of at least 0"
    if run.start > len(run.items):
        return "start", "there are not so many items"
    answers = (each.answer for each in run.pending if each.answer is not None)
    if any(image.url[:5].lower() != "data:" for item in (*run.items, *answers) for image in find_images(item)):
        return "items", "an image is not a data URL"
    return None


def request_approval(run_id: str, call: ToolCall, question: Question | None) -> ApprovalRequest:
    """Return the request that an approver gets for a call of a run."""
    question = question or Question(call.name)
    return ApprovalRequest(
        run_id=run_id,
        call=call,
        tool=question.tool,
        reason=question.reason,
        effects=question.effects,
        received=question.received,
        preview=question.preview,
        for_person_alone=question.for_person_alone,
    )


@cache
def _adapter() -> TypeAdapter[Run]:
    from pydantic import TypeAdapter  # noqa: PLC0415 - as above

    return TypeAdapter(Run)


@dataclass(frozen=True, slots=True)
class NoOutput:
    """Takes the place of the output in a result if the run ended without one."""


@dataclass(frozen=True, slots=True)
class RunResult(Generic[Output_co]):
    """The result of a run, with everything that happened in it.

    Attributes:
        run: The state of the run; it can be stored (`run.to_json()`) and resumed.
    """

    run: Run
    _output: Output_co | NoOutput = NoOutput()

    @property
    def output(self) -> Output_co:
        """The answer as the agent's `output` type; None if the agent has no `output`.

        Raises:
            RunStateError: the run stopped without such an answer: it reached a limit, its reply was cut off, the model
                declined, or the run waits for approval.
        """
        if isinstance(self._output, NoOutput):
            raise RunStateError(
                f"the run has no output: {self.run.stop_note or 'it has not ended'}",
                hint="check result.stop_reason first; result.text has the model's last text",
            )
        return self._output

    @property
    def text(self) -> str:
        """The model's last text, or "" if there is none."""
        for item in reversed(self.run.items[self.run.start :]):
            if isinstance(item, Message) and item.role == "assistant" and item.text.strip():
                return item.text
        return ""

    @property
    def items(self) -> tuple[Item, ...]:
        """The whole transcript; pass it as `history` to continue the conversation."""
        return self.run.items

    @property
    def usage(self) -> Usage:
        """The tokens of all turns; a field is None if the endpoint did not report it."""
        return self.run.tally.usage

    @property
    def tally(self) -> Tally:
        """The number of turns and tool calls, and the seconds."""
        return self.run.tally

    @property
    def approvals(self) -> tuple[ApprovalRequest, ...]:
        """The requests that a paused run waits for; decide them with `agent.resume(run, decisions={id: ...})`."""
        return self.run.approvals

    @property
    def stop_reason(self) -> StopReason:
        """Why the run ended."""
        if self.run.stop_reason is None:
            raise RunStateError("the run has not ended", hint="resume it with agent.resume(run)")
        return self.run.stop_reason

    @property
    def stop_note(self) -> str:
        """Why the run ended, in words."""
        return self.run.stop_note


# --- outcomes: the driver passes them to the loop ---

Nested: TypeAlias = tuple[tuple[ToolCall, ToolResult], ...]


@dataclass(frozen=True, slots=True)
class UserSaid:
    """The user's input; it starts a run, or continues after one."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class ModelReplied:
    """The model replied, after `seconds`."""

    reply: Reply
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ToolsReturned:
    """The results of the calls of RunTools, one for each, in the same order.

    Attributes:
        results: The results.
        seconds: How long the calls took together.
        repairs: In how many calls the arguments were repaired.
        nested: The calls that tools made themselves and that started to run, each with its result.
        trust: The run's trust after decisions on nested calls, or None if there were no decisions.
    """

    results: tuple[ToolResult, ...]
    seconds: float = 0.0
    repairs: int = 0
    nested: Nested = ()
    trust: Trust | None = None


@dataclass(frozen=True, slots=True)
class HumanDecided:
    """A person's decisions by the ids of the requests; requests without a decision keep waiting."""

    decisions: Mapping[str, Decision]


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The run must end now: it was cancelled, or its time was used up during a step.

    Attributes:
        reason: Why the run must end.
        results: The results of the calls that had already returned.
        seconds: How long the interrupted step took.
        nested: As for ToolsReturned.
        trust: As for ToolsReturned.
    """

    reason: Literal["cancelled", "time_limit"]
    results: tuple[ToolResult, ...] = ()
    seconds: float = 0.0
    nested: Nested = ()
    trust: Trust | None = None


Outcome: TypeAlias = UserSaid | ModelReplied | ToolsReturned | HumanDecided | Interrupted


# --- commands: the loop returns them to the driver ---


@dataclass(frozen=True, slots=True)
class CallModel:
    """Send the conversation; `tools` says whether to offer tools, `output` whether to require the `output` type."""

    tools: bool
    output: bool = False


@dataclass(frozen=True, slots=True)
class RunTools:
    """Run exactly these calls."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class AskHuman:
    """Get a person's decision on at least the first of these requests."""

    requests: tuple[ApprovalRequest, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """The run has ended; `run.stop_reason` says why."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The model's replies were empty or not of the `output` type too often; the run can be resumed.

    Attributes:
        output_error: What the model is told about its last answer; "" if the reply was empty.
        said: The last answer.
    """

    output_error: str = ""
    said: str = ""


Command: TypeAlias = CallModel | RunTools | AskHuman | Finish | Fail


def carry_run(source: BaseException | None, target: BaseException) -> None:
    """Copy the `run` attribute of one exception to another, if the first has one."""
    run = None if source is None else vars(source).get("run")
    if run is not None:
        vars(target)["run"] = run

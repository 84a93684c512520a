"""One run's side of the wire: which dialect is spoken, what is already encoded, which call ids are taken.

Each item of a run is encoded once, and its bytes are used again in every later request. What to speak, and how, is the
profile's to say; a refusal that teaches otherwise changes the profile, for this run at once, and for all runs with the
same base URL and model once a request has succeeded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, assert_never

from agentloop.errors import EndpointError
from agentloop.events import Notice, ReasoningDelta, TextDelta
from agentloop.items import Item, JsonObject, Message, Reply, Text, ToolCall, ToolDialect, ToolResult
from agentloop.tools import Tool
from agentloop.wire.formats.call_ids import CallIds, unwrap_parallel
from agentloop.wire.formats.chat import ChatCompletions
from agentloop.wire.formats.dialect import Decoder, Dialect, ModelRequest
from agentloop.wire.formats.prompted import PromptedChat
from agentloop.wire.formats.responses import MessageResponses, NativeResponses
from agentloop.wire.formats.settings import check_settings, dropped_settings
from agentloop.wire.formats.structured import is_ignored
from agentloop.wire.leaks.leak_filter import LeakDecoder, recover
from agentloop.wire.leaks.leaked_calls import is_like_a_call
from agentloop.wire.payload import load
from agentloop.wire.profile import ModelSettings, Profile
from agentloop.wire.profile.lessons import LESSONS, Lesson, add_lessons, apply_lessons
from agentloop.wire.profile.refusals import Sent, draw_lessons, lower_rung

_WORDS = frozenset({"auto", "none", "required", None})
_MOST_TRIES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTarget:
    """Whom a conversation is with, and what never changes in it.

    Attributes:
        base_url: Where the model is served; what is learned is kept by it and the model's name.
        model: The model's name as the server knows it.
        instructions: The system text, or None.
        tools: The tools on offer.
        settings: What the model is asked for.
        profile: What the server can and can't do.
        output: What the answer is to follow, as `json_schema` has it: name, schema, strict. None for free text.
        encoded_tools: The tools' JSON by all that decides it, kept for all runs.
    """

    base_url: str
    model: str
    instructions: str | None
    tools: Sequence[Tool]
    settings: ModelSettings
    profile: Profile
    output: JsonObject | None = None
    encoded_tools: dict[object, bytes] = field(default_factory=dict[object, bytes])

    @property
    def key(self) -> tuple[str, str]:
        """What lessons are kept by."""
        return self.base_url, self.model


@dataclass(frozen=True, slots=True)
class _Request:
    """What a request was made of."""

    items: Sequence[Item] = ()
    tools: bool = False
    stream: bool = False
    free_choice: bool = False
    output: bool = False


class Conversation:
    """Encodes one run's requests and decodes its replies.

    Args:
        target: Whom it is with.
        dialect: The one that the run has spoken so far.

    Raises:
        ConfigurationError: something is asked for that the endpoint does not have, and that changes the result.
    """

    def __init__(self, target: ModelTarget, dialect: ToolDialect | None = None) -> None:
        self._target = target
        self._known = LESSONS.get(target.key, ())
        self._base = _speak(target.profile, dialect)
        self._profile = apply_lessons(self._base, self._known)
        self._dialect = _dialect(_name(self._profile))
        self._fragments: list[bytes] = []
        self._encoded: tuple[Item, ...] = ()
        self._system: list[str] = []
        self._call_ids = CallIds()
        self._last = _Request()
        self._offered: Sequence[Tool] = ()
        self._by_name: dict[str, Tool] = {}
        self._guard: LeakDecoder | None = None
        self._recovered: tuple[str, ...] = ()
        self._trying: list[Lesson] = []
        self._tried: list[tuple[str, object]] = []
        self._fresh: list[Lesson] = []
        check_settings(target.settings, self._profile)
        self._notices = [Notice("dropped", text) for text in dropped_settings(target.settings, self._profile)]

    @property
    def profile(self) -> Profile:
        """What the server can and can't do, as far as is known by now."""
        return self._profile

    @property
    def path(self) -> str:
        """The path of the next request below the base URL."""
        return self._dialect.path

    def reserve_ids(self, items: Iterable[Item]) -> None:
        """Keep the ids of calls from being given again, also of those that are left out of every request."""
        self._call_ids.take(items)

    # --- requests ---

    def encode(
        self,
        items: Sequence[Item],
        *,
        tools: bool,
        stream: bool,
        free_choice: bool = False,
        output: bool = False,
    ) -> bytes:
        """Return the body of a request.

        Args:
            items: The whole conversation, of which only the new items are encoded.
            tools: Whether tools are on offer.
            stream: Whether the reply is to be a stream.
            free_choice: Leave `tool_choice` out: the model would be made to call tools for ever.
            output: Whether the reply is to follow the schema of the target.
        """
        self._last = _Request(items, tools, stream, free_choice, output)
        self._encode_new(items)
        ask = self._ask(self._last)
        if ask.tools is not self._offered:
            self._offered, self._by_name = ask.tools, {tool.name: tool for tool in ask.tools}
        return self._dialect.encode(ask, self._fragments, self._encode_tools(ask.tools))

    def _ask(self, request: _Request) -> ModelRequest:
        target, settings = self._target, self._target.settings
        if request.free_choice and settings.tool_choice is not None:
            settings = replace(settings, tool_choice=None)
        return ModelRequest(
            model=target.model,
            instructions=None if self._profile.system == "user" else "\n\n".join(self._system) or None,
            items=request.items,
            tools=self._offer(settings.tool_choice) if request.tools else (),
            settings=settings,
            profile=self._profile,
            stream=request.stream,
            output=target.output if request.output else None,
        )

    def _offer(self, choice: str | None) -> Sequence[Tool]:
        """Return the tools on offer: where the server does not obey a choice, only those that it leaves."""
        tools, obeyed = self._target.tools, self._profile.tool_choice
        if choice == "none" and "none" not in obeyed:
            return ()
        if choice in _WORDS or "named" in obeyed:
            return tools
        return [tool for tool in tools if tool.name == choice]

    def _encode_tools(self, tools: Sequence[Tool]) -> bytes:
        profile, kept = self._profile, self._target.encoded_tools
        key = (
            _name(profile),
            profile.strict_tools,
            profile.schema_keywords,
            len(tools) if len(tools) != 1 else tools[0].name,
        )
        if key not in kept:
            kept[key] = self._dialect.encode_tools(tools, profile)
        return kept[key]

    def _encode_new(self, items: Sequence[Item]) -> None:
        if tuple(items[: len(self._encoded)]) != self._encoded:  # trimmed to fit
            self._restart()
        old = len(self._encoded)
        if not old:
            self._system = [self._target.instructions] if self._target.instructions else []
        new: Sequence[Item] = items[old:]
        self._call_ids.take(new)
        self._system.extend(item.text for item in new if isinstance(item, Message) and item.role == "system")
        if self._profile.system == "user" and not old:
            new = _fold("\n\n".join(self._system), new)
        if self._profile.short_call_ids:
            new = [self._call_ids.shorten(item) for item in new]
        self._fragments.extend(self._dialect.encode_items(new, self._profile))
        self._encoded = tuple(items)

    def _restart(self) -> None:
        self._fragments, self._encoded, self._system = [], (), []

    # --- replies ---

    def decoder(self) -> Decoder:
        """Return a decoder for a streamed reply; hand what it gives at last to `accept`."""
        decoder = self._dialect.decoder()
        history, unmarked = self._last.items, self._may_be_unmarked()
        self._guard = (
            LeakDecoder(decoder, self._by_name, history, allow_unmarked=unmarked) if self._profile.text_leaks else None
        )
        return self._guard or decoder

    def rest(self) -> list[TextDelta | ReasoningDelta]:
        """Return what the last decoder held back until it was closed."""
        return self._guard.rest() if self._guard is not None else []

    def decode(self, body: bytes) -> Reply:
        """Return the reply in a whole body; hand it to `accept` when it is to be kept."""
        self._guard = None
        reply = self._dialect.decode(body)
        if self._profile.text_leaks:
            reply, self._recovered = recover(
                reply, self._by_name, self._last.items, allow_unmarked=self._may_be_unmarked()
            )
        return reply

    def _may_be_unmarked(self) -> bool:
        """Tell whether a call may come as JSON without a mark, which the answer that was asked for could not be."""
        output = self._target.output if self._last.output else None
        return output is None or not is_like_a_call(output["schema"])

    def accept(self, reply: Reply) -> Reply:
        """Return a reply as it enters the run: call ids made unique, the dialect to answer in named.

        That it came at all proves what was being tried.
        """
        self._keep(self._trying)
        self._trying, self._tried = [], []
        if self._last.output and is_ignored(reply, self._profile) and (lower := lower_rung(self._profile)):
            self.learn("structured_output", lower, "the server ignored the schema that it was given")
        recovered = self._recovered if self._guard is None else self._guard.recovered
        self._notices += [Notice("recovered", text) for text in recovered]
        self._recovered, self._guard = (), None
        if reply.dialect in ("native", "message") and reply.dialect != _name(self._profile):
            self._follow(reply.dialect)
        return replace(reply, items=tuple(self._own(reply.items)), dialect=_name(self._profile))

    def _follow(self, dialect: Literal["native", "message"]) -> None:
        """Answer in the dialect in which calls come, unless a refusal has taught otherwise."""
        if not any(lesson.field == "tool_items" for lesson in self._known):
            self._base = replace(self._base, tool_items=dialect)
            self._use()

    def _own(self, items: Iterable[Item]) -> Iterable[Item]:
        for item in items:
            if isinstance(item, ToolCall):
                yield from map(self._call_ids.own, unwrap_parallel(item, self._target.tools))
            # What only the other side says is an echo of the request, and would part a call from its result.
            elif not isinstance(item, ToolResult) and getattr(item, "role", "assistant") == "assistant":
                yield item

    # --- lessons ---

    def adapt(self, error: EndpointError) -> Lesson | None:
        """Return what will be done otherwise in the next try after a refusal, or None when there is nothing.

        A guess that did not help is taken back first, and nothing is tried twice. A route that names what else it
        minds is there.
        """
        lesson = self._draw(error)
        guess = next((at for at, trial in enumerate(self._trying) if trial.is_guess), None)
        names_more = lesson is not None and not lesson.is_guess
        if guess is not None and not (names_more and self._trying[guess].field == "route"):
            del self._trying[guess:]
            self._use()
            lesson = self._draw(error)
        if lesson is None or len(self._tried) == _MOST_TRIES:
            self._trying, self._tried, lesson = [], [], None
        else:
            self._tried.append(_trial(lesson))
            self._trying = [*(_doubt(trial, lesson) for trial in self._trying), lesson]
        self._use()
        return lesson

    def _draw(self, error: EndpointError) -> Lesson | None:
        lessons = draw_lessons(error, self._profile, self._sent())
        return next((lesson for lesson in lessons if _trial(lesson) not in self._tried), None)

    def may_adapt(self, error: EndpointError) -> bool:
        """Tell whether a failure teaches something, so that sending the same again would be a waste."""
        lessons = draw_lessons(error, self._profile, self._sent())
        return any(lesson.field == "route" or not lesson.is_guess for lesson in lessons)

    def learn(self, field: str, now: Any, why: str) -> None:
        """Take something for known that was found out in another way than by a refusal."""
        self._keep([Lesson(field, getattr(self._profile, field), now, why)])
        self._use()

    def take_lessons(self) -> list[Lesson]:
        """Return what was learned since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def take_notices(self) -> list[Notice]:
        """Return what there is to say since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def _keep(self, lessons: Sequence[Lesson]) -> None:
        lasting = [lesson for lesson in lessons if not lesson.is_passing]
        if lasting:
            LESSONS[self._target.key] = add_lessons(LESSONS.get(self._target.key, ()), lasting)
        self._known = add_lessons(self._known, lessons)
        self._fresh += lasting
        self._notices += [Notice("learned", lesson.describe()) for lesson in lessons]

    def _use(self) -> None:
        profile = apply_lessons(self._base, (*self._known, *self._trying))
        if profile == self._profile:
            return
        self._profile = profile
        self._dialect = _dialect(_name(profile))
        self._restart()

    def _sent(self) -> Sent:
        ask = self._ask(self._last)
        body: JsonObject = load(self._dialect.encode(ask, [], self._encode_tools(ask.tools)))
        results = [item for item in ask.items if isinstance(item, ToolResult)]
        return Sent(body, bool(results), any(result.images for result in results))


def _trial(lesson: Lesson) -> tuple[str, object]:
    return lesson.field, lesson.now


def _doubt(trial: Lesson, lesson: Lesson) -> Lesson:
    """Return a lesson as it is once another one was drawn from the same words: it did not help, or not alone."""
    is_step_on = trial.field == lesson.field and not isinstance(trial.now, frozenset)
    return trial if is_step_on or trial.why != lesson.why else replace(trial, is_passing=True)


def _fold(system: str, items: Sequence[Item]) -> Sequence[Item]:
    """Return the items with the system text ahead of the first thing that the user says."""
    if not system:
        return items
    for at, item in enumerate(items):
        if isinstance(item, Message) and item.role == "user":
            folded = Message("user", (Text(f"{system}\n\n"), *item.content))
            return [*items[:at], folded, *items[at + 1 :]]
    return [Message("user", system), *items]


def _speak(profile: Profile, dialect: ToolDialect | None) -> Profile:
    """Return the profile of a server that is spoken to in a dialect."""
    match dialect:
        case "native" | "message":
            return replace(profile, tool_items=dialect)
        case "chat":
            return replace(profile, route="chat")
        case "prompted":
            return replace(profile, tool_calling="prompted")
        case None:
            return profile
        case _:
            assert_never(dialect)


def _name(profile: Profile) -> ToolDialect:
    if profile.tool_calling == "prompted":
        return "prompted"
    return "chat" if profile.route == "chat" else profile.tool_items


def _dialect(name: ToolDialect) -> Dialect:
    match name:
        case "native":
            return NativeResponses()
        case "message":
            return MessageResponses()
        case "chat":
            return ChatCompletions()
        case "prompted":
            return PromptedChat()
        case _:
            assert_never(name)

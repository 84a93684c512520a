"""Conversation: one run's side of the wire. It writes requests and reads replies in the format that the profile names.

`encoder` writes the requests, `profile/learner` keeps what was learned, `leaks/` searches the text of replies.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from agentloop.errors import EndpointError
from agentloop.events import Notice, ReasoningDelta, TextDelta
from agentloop.items import Item, Message, Reply, ToolCall, ToolDialect, ToolResult
from agentloop.wire.encoder import RequestEncoder, RequestParts
from agentloop.wire.formats.dialect import Decoder, Dialect
from agentloop.wire.formats.selection import DIALECTS, assume_dialect, name_dialect
from agentloop.wire.formats.settings import check_settings, dropped_settings
from agentloop.wire.formats.structured import is_ignored
from agentloop.wire.leaks import LeakDecoder, is_like_a_call, recover
from agentloop.wire.model_target import ModelTarget
from agentloop.wire.profile import Profile
from agentloop.wire.profile.learner import ProfileLearner
from agentloop.wire.profile.lessons import Lesson
from agentloop.wire.profile.refusals import lower_rung
from agentloop.wire.profile.streaming import may_stream


class Conversation:
    """Writes one run's requests and reads its replies.

    Args:
        target: The model.
        dialect: The format that the run has used so far, or None for a new run.

    Raises:
        ConfigurationError: a setting that would change the result is not possible on this endpoint.
    """

    def __init__(self, target: ModelTarget, dialect: ToolDialect | None = None) -> None:
        self._target = target
        self._encoder = RequestEncoder(target)
        self._last = RequestParts()
        self._learner = ProfileLearner(
            target.key,
            assume_dialect(target.profile, dialect),
            lambda profile: self._encoder.describe(self._last, profile),
        )
        self._leak_decoder: LeakDecoder | None = None
        self._recovered: tuple[str, ...] = ()
        self._told: set[str] = set()  # notes on replies that the user knows
        check_settings(target.settings, self.profile)
        self._notices = [Notice("dropped", text) for text in dropped_settings(target.settings, self.profile)]

    @property
    def profile(self) -> Profile:
        """What the server can do, with everything that was learned so far."""
        return self._learner.profile

    @property
    def path(self) -> str:
        """The path of the next request below the base URL."""
        return self._dialect.path

    @property
    def _dialect(self) -> Dialect:
        return DIALECTS[name_dialect(self.profile)]

    # --- requests ---

    def streams(self, *, wanted: bool, output: bool = False) -> bool:
        """Return whether the next request asks for a stream, which `decode` reads too.

        Args:
            wanted: Whether the user watches the reply as it comes.
            output: Whether the reply has to follow the target's `output`.
        """
        return may_stream(self.profile, wanted=wanted, tools=bool(self._target.tools), output=output)

    def reserve_ids(self, items: Iterable[Item]) -> None:
        """Don't give the ids of these calls to other calls, also if no request contains them."""
        self._encoder.reserve_ids(items)

    def encode(
        self,
        items: Sequence[Item],
        *,
        tools: bool,
        stream: bool,
        free_choice: bool = False,
        output: bool = False,
        withheld: frozenset[str] = frozenset(),
    ) -> bytes:
        """Return the body of a request.

        Args:
            items: The whole conversation. Only the new items are encoded.
            tools: Whether tools are offered.
            stream: Whether the reply comes as a stream.
            free_choice: Whether `tool_choice` is left out, so that the model is not made to call tools for ever.
            output: Whether the reply has to follow the target's `output`.
            withheld: The names of tools that are not offered in this turn.
        """
        self._last = RequestParts(items, tools, stream, free_choice, output, withheld)
        return self._encoder.encode(self._last, self.profile)

    # --- replies ---

    def decoder(self) -> Decoder:
        """Return a decoder for a streamed reply. Pass the reply that it returns to `accept`."""
        decoder = self._dialect.decoder()
        self._leak_decoder = None
        if self.profile.text_leaks:
            offered, history, unmarked = self._encoder.offered, self._last.items, self._may_be_unmarked()
            self._leak_decoder = LeakDecoder(decoder, offered, history, allow_unmarked=unmarked)
        return self._leak_decoder or decoder

    def rest(self) -> list[TextDelta | ReasoningDelta]:
        """Return the text that the last decoder held back until it was closed."""
        return self._leak_decoder.rest() if self._leak_decoder is not None else []

    def decode(self, body: bytes) -> Reply:
        """Return the reply in a whole body. Pass it to `accept` if the run keeps it."""
        self._leak_decoder = None
        reply = self._dialect.decode(body)
        if self.profile.text_leaks:
            offered, history, unmarked = self._encoder.offered, self._last.items, self._may_be_unmarked()
            reply, self._recovered = recover(reply, offered, history, allow_unmarked=unmarked)
        return reply

    def _may_be_unmarked(self) -> bool:
        """Return whether bare JSON in the text may be a tool call: not if the answer itself could look like one."""
        output = self._target.output if self._last.output else None
        return output is None or not is_like_a_call(output["schema"])

    def accept(self, reply: Reply) -> Reply:
        """Return a reply as the run keeps it: with unique call ids, and with the name of its format.

        The lessons that were on trial are kept, because the request has succeeded.
        """
        self._learner.confirm()
        if not self._last.tools and self._is_choice_ignored(reply):
            why = "the model called a tool all the same"
            self.learn("tool_choice", self.profile.tool_choice - {"none"}, why, self._name_question())
        is_plain = self._last.output and is_ignored(reply, self.profile)
        if is_plain and (lower := lower_rung(self.profile)):
            self.learn(
                "structured_output", lower, "the server ignored the schema that it was given", self._name_question()
            )
        if self._learner.is_suspicious:
            self._learner.trust(self._list_proven(is_plain=is_plain))
        recovered = self._recovered if self._leak_decoder is None else self._leak_decoder.recovered
        self._notices += [*self._learner.take_notices(), *(Notice("recovered", text) for text in recovered)]
        self._notices += [Notice("warning", text) for text in reply.notes if text not in self._told]
        self._told.update(reply.notes)
        self._recovered, self._leak_decoder = (), None
        if reply.dialect in ("native", "message") and reply.dialect != name_dialect(self.profile):
            self._learner.follow(reply.dialect)
        items = tuple(self._encoder.accept(reply.items, self.profile))
        if recovered and self.profile.leaks_calls:
            items = tuple(replace(item, recovered=False) if isinstance(item, ToolCall) else item for item in items)
        return replace(reply, items=items, dialect=name_dialect(self.profile), withheld=self._last.withheld)

    def _name_question(self) -> int:
        """Return what is equal for two requests with the same question.

        One odd answer may be the model's choice, and the same question would get it again.
        """
        return hash(tuple(item.text for item in self._last.items if isinstance(item, Message)))

    def _is_choice_ignored(self, reply: Reply) -> bool:
        """Return whether a reply calls a tool though the last request said `tool_choice: "none"`."""
        has_calls = any(isinstance(item, ToolCall) for item in reply.items)
        return has_calls and self._encoder.describe(self._last, self.profile).body.get("tool_choice") == "none"

    def _list_proven(self, *, is_plain: bool) -> list[str]:
        """Return the fields of the profile that the success of the last request proves to be right."""
        has_results = any(isinstance(item, ToolResult) for item in self._last.items)
        proven = {"route": True, "tool_items": has_results, "structured_output": self._last.output and not is_plain}
        return [name for name, is_proven in proven.items() if is_proven]

    # --- lessons ---

    def hear(self, error: EndpointError) -> str:
        """Return the server's own words in an error, without what they quote from the last request."""
        return self._learner.hear(error).words

    def adapt(self, error: EndpointError) -> Lesson | None:
        """Return what the next try does differently after a refusal, or None if there is nothing left to try."""
        return self._learner.adapt(error)

    def may_adapt(self, error: EndpointError) -> bool:
        """Return whether a failure teaches something, so that sending the same request again would be a waste."""
        return self._learner.may_adapt(error)

    def learn(self, field: str, now: Any, why: str, request: Hashable = None) -> None:
        """Keep a lesson that was found in another way than by a refusal; see `ProfileLearner.learn`."""
        self._learner.learn(field, now, why, request)

    def try_out(self, lesson: Lesson) -> None:
        """Put a lesson on trial that was found in another way than by `adapt`."""
        self._learner.try_out(lesson)

    def take_lessons(self) -> list[Lesson]:
        """Return the lessons since the last call that later processes may use too."""
        return self._learner.take_lessons()

    def take_notices(self) -> list[Notice]:
        """Return the notices since the last call."""
        notices, self._notices = [*self._notices, *self._learner.take_notices()], []
        return notices

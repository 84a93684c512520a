"""One run's side of the wire: which dialect is spoken, what is already encoded, which call ids are taken.

Each item of a run is encoded once, and its bytes are used again in every later request. Which dialect to speak
comes from the run, else from what was learned about the endpoint and model in this process, else from the profile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from agentloop.errors import ContextOverflowError, EndpointError, RefusedError
from agentloop.items import Item, Message, Reply, ToolCall, ToolDialect, ToolResult
from agentloop.tools import Tool
from agentloop.wire.dialect import Ask, Decoder, Dialect
from agentloop.wire.profile import ModelSettings, Profile
from agentloop.wire.prompted import PromptedChat
from agentloop.wire.responses import MessageResponses, NativeResponses

_LEGAL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LEARNED: dict[tuple[str, str], ToolDialect] = {}
_OTHER: dict[ToolDialect, ToolDialect] = {"native": "message", "message": "native"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom a conversation is with, and what never changes in it.

    Attributes:
        base_url: Where the model is served; what is learned is kept by it and the model's name.
        model: The model's name as the server knows it.
        instructions: The system text, or None.
        tools: The tools on offer.
        settings: What the model is asked for.
        profile: What the server can and can't do.
        encoded_tools: The tools' JSON by dialect, kept for all runs.
    """

    base_url: str
    model: str
    instructions: str | None
    tools: Sequence[Tool]
    settings: ModelSettings
    profile: Profile
    encoded_tools: dict[ToolDialect, bytes] = field(default_factory=dict[ToolDialect, bytes])


class Conversation:
    """Encodes one run's requests and decodes its replies."""

    def __init__(self, subject: Subject, dialect: ToolDialect | None = None) -> None:
        self._subject = subject
        learned = _LEARNED.get((subject.base_url, subject.model))
        self._name: ToolDialect = learned or dialect or _by_profile(subject.profile)
        self._dialect = _dialect(self._name)
        self._fragments: list[bytes] = []
        self._system: list[str] = [subject.instructions] if subject.instructions else []
        self._encoded = 0
        self._call_ids: set[str] = set()
        self._settled = learned is not None  # by a refusal, which weighs more than the way in which calls come

    @property
    def path(self) -> str:
        """The path of the next request below the base URL."""
        return self._dialect.path

    def encode(self, items: Sequence[Item], *, tools: bool, stream: bool, free_choice: bool = False) -> bytes:
        """Return the body of a request.

        Args:
            items: The whole conversation, of which only the new items are encoded.
            tools: Whether tools are on offer.
            stream: Whether the reply is to be a stream.
            free_choice: Leave `tool_choice` out: the model would be made to call tools for ever.
        """
        self._encode_new(items)
        subject, settings = self._subject, self._subject.settings
        if free_choice and settings.tool_choice is not None:
            settings = replace(settings, tool_choice=None)
        ask = Ask(
            model=subject.model,
            instructions="\n\n".join(self._system) or None,
            items=items,
            tools=subject.tools if tools else (),
            settings=settings,
            profile=subject.profile,
            stream=stream,
        )
        return self._dialect.encode(ask, self._fragments, self._encoded_tools() if tools else b"[]")

    def _encoded_tools(self) -> bytes:
        subject = self._subject
        kept = subject.encoded_tools.get(self._name)
        if kept is None:
            kept = subject.encoded_tools[self._name] = self._dialect.encode_tools(subject.tools, subject.profile)
        return kept

    def decoder(self) -> Decoder:
        """Return a decoder for a streamed reply; hand what it gives at last to `accept`."""
        return self._dialect.decoder()

    def decode(self, body: bytes) -> Reply:
        """Return the reply in a whole body; hand it to `accept` when it is to be kept."""
        return self._dialect.decode(body)

    def accept(self, reply: Reply) -> Reply:
        """Return a reply as it enters the run: call ids made unique, the dialect to answer in named."""
        if reply.dialect is not None and reply.dialect != self._name and not self._settled:
            self._switch(reply.dialect)
        if self._settled:
            _LEARNED[self._subject.base_url, self._subject.model] = self._name
        return replace(reply, items=tuple(self._own_ids(reply.items)), dialect=self._name)

    def adapt(self, error: EndpointError) -> str | None:
        """Return what will be done otherwise in the next try after a refusal, or None when there is nothing.

        A 400 on a conversation that holds tool results may mean that the server wants the other way of writing
        them; each run tries that once, and what worked is remembered for the endpoint and model.
        """
        other = _OTHER.get(self._name)
        refused = isinstance(error, RefusedError) and error.status in {400, 422}
        if not refused or isinstance(error, ContextOverflowError) or self._settled or other is None:
            return None
        if not self._call_ids:
            return None
        self._settled = True
        self._switch(other)
        return f"the server refused tool results written as {_OTHER[other]} items; trying {other} items"

    def _switch(self, name: ToolDialect) -> None:
        self._name = name
        self._dialect = _dialect(name)
        self._fragments, self._encoded = [], 0
        self._system = self._system[: 1 if self._subject.instructions else 0]

    def _encode_new(self, items: Sequence[Item]) -> None:
        new = items[self._encoded :]
        for item in new:
            if isinstance(item, ToolCall):
                self._call_ids.add(item.call_id)
            elif isinstance(item, Message) and item.role == "system":
                self._system.append(item.text)
        self._fragments.extend(self._dialect.encode_items(new))
        self._encoded = len(items)

    def _own_ids(self, items: Iterable[Item]) -> Iterable[Item]:
        for item in items:
            if not isinstance(item, ToolCall):
                # What only the other side says is an echo of the request, and would part a call from its result.
                if not isinstance(item, ToolResult) and getattr(item, "role", "assistant") == "assistant":
                    yield item
                continue
            call_id = item.call_id
            if call_id in self._call_ids or not _LEGAL_ID.fullmatch(call_id):
                call_id = self._new_id()
            self._call_ids.add(call_id)
            yield item if call_id == item.call_id else replace(item, call_id=call_id)

    def _new_id(self) -> str:
        number = len(self._call_ids) + 1
        while f"call_{number}" in self._call_ids:
            number += 1
        return f"call_{number}"


def _by_profile(profile: Profile) -> ToolDialect:
    return "prompted" if profile.tool_calling == "prompted" else profile.tool_items


def _dialect(name: ToolDialect) -> Dialect:
    match name:
        case "native":
            return NativeResponses()
        case "message":
            return MessageResponses()
        case "prompted":
            return PromptedChat()
        case _:
            assert_never(name)

"""Defines the Dialect protocol, which every wire format implements. The formats are in modules of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import Item, JsonObject, Reply
from agentloop.tools import Tool
from agentloop.wire.profile import ModelSettings, Profile
from agentloop.wire.streams.ending import Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One request to a model, before it is written in a dialect.

    Attributes:
        model: The model's name on the server.
        instructions: The system text, including the conversation's own system messages, or None.
        items: The whole conversation.
        tools: The tools to send; in a last turn none of them may be called.
        settings: The settings for the model.
        profile: What the server can and can't do.
        stream: Whether to request the reply as server-sent events.
        output: The schema of the answer in the form of `json_schema`: name, schema, strict. None for free text.
    """

    model: str
    instructions: str | None
    items: Sequence[Item]
    tools: Sequence[Tool]
    settings: ModelSettings
    profile: Profile
    stream: bool
    output: JsonObject | None = None


class Decoder(Protocol):
    """Reads one streamed reply from its bytes, which may be cut at any point."""

    @property
    def ending(self) -> Ending:
        """Tells when the reply is whole."""
        ...

    def feed(self, data: bytes) -> list[TextDelta | ReasoningDelta]:
        """Take the next bytes and return the deltas to show.

        Raises:
            EndpointError: an event says that the response failed. All deltas before it have been returned.
        """
        ...

    def close(self) -> Reply:
        """Return the whole reply after the last bytes.

        If the server sent a plain body instead of a stream, `feed` returned no deltas and only the reply has the text.

        Raises:
            StreamCutError: the stream ended without its terminal event.
            EndpointError: the response failed, or the bytes are not a reply.
        """
        ...


class Dialect(Protocol):
    """One wire format. It does no input or output."""

    @property
    def path(self) -> str:
        """The path below the base URL, such as `/responses`."""
        ...

    def encode_items(self, items: Sequence[Item], profile: Profile) -> list[bytes]:
        """Return the JSON of the items of one or more whole turns, without system messages, one fragment per wire item.

        It is called once for each item of a run: the fragments are kept and used again in every later request.
        """
        ...

    def encode_tools(self, tools: Sequence[Tool], profile: Profile) -> bytes:
        """Return the JSON array of the tools. It is called once for an agent, and the result is kept."""
        ...

    def encode(self, request: ModelRequest, fragments: Sequence[bytes], tools: bytes) -> bytes:
        """Return the body of a request.

        Args:
            request: The request.
            fragments: The conversation, from `encode_items`.
            tools: The tools, from `encode_tools`.
        """
        ...

    def decode(self, body: bytes) -> Reply:
        """Return the reply in a whole body.

        Raises:
            ReplyError: the body is not JSON of this dialect.
            EndpointError: the body reports that the response failed.
        """
        ...

    def decoder(self) -> Decoder:
        """Return a decoder for one streamed reply."""
        ...

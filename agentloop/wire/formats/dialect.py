"""The Dialect protocol: what every wire format must be able to do. No format lives here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import Item, JsonObject, Reply
from agentloop.tools import Tool
from agentloop.wire.profile import ModelSettings, Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One request to a model, before it is written in a dialect.

    Attributes:
        model: The model's name as the server knows it.
        instructions: The system text, those of the conversation's own system messages merged in, or None.
        items: The whole conversation.
        tools: The tools on offer; empty in a last turn without tools.
        settings: What the model is asked for.
        profile: What the server can and can't do.
        stream: Whether the reply is to come as server-sent events.
        output: What the answer is to follow, as `json_schema` has it: name, schema, strict. None for free text.
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
    """Reads one streamed reply from its bytes, cut anywhere."""

    def feed(self, data: bytes) -> list[TextDelta | ReasoningDelta]:
        """Take the next bytes and return what there is to show.

        Raises:
            EndpointError: the stream itself says that the response failed; what came before it has been returned.
        """
        ...

    def close(self) -> Reply:
        """Return the whole reply once the bytes have ended.

        The text of a plain body that a server sent in place of a stream is in the reply alone: `feed` showed nothing.

        Raises:
            StreamCutError: the stream ended without its terminal event.
            EndpointError: the response failed, or what came is no reply.
        """
        ...


class Dialect(Protocol):
    """One wire format. It is pure, and it doesn't know which side of the wire it is on."""

    @property
    def path(self) -> str:
        """The path below the base URL, such as `/responses`."""
        ...

    def encode_items(self, items: Sequence[Item], profile: Profile) -> list[bytes]:
        """Return the JSON of the items of one or more whole turns, one fragment a wire item, without system messages.

        Called once for each item of a run: the fragments are kept and used again in every later request.
        """
        ...

    def encode_tools(self, tools: Sequence[Tool], profile: Profile) -> bytes:
        """Return the JSON array of the tools; made once for an agent and kept."""
        ...

    def encode(self, request: ModelRequest, fragments: Sequence[bytes], tools: bytes) -> bytes:
        """Return the body of a request from what was encoded before."""
        ...

    def decode(self, body: bytes) -> Reply:
        """Return the reply in a whole body.

        Raises:
            ReplyError: the body is not JSON of this dialect.
            EndpointError: the body says that the response failed.
        """
        ...

    def decoder(self) -> Decoder:
        """Return a decoder for one streamed reply."""
        ...

"""Defines the items of a conversation: frozen values that can be stored as JSON.

This module contains no code about wire formats or endpoints; `wire/` translates the values.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from agentloop.errors import ConfigurationError

JsonObject: TypeAlias = dict[str, Any]
Role: TypeAlias = Literal["user", "assistant", "system"]
_ROLES = ("user", "assistant", "system")
_PICTURE = re.compile(
    rb"(?P<png>\x89PNG\r\n\x1a\n)|(?P<jpeg>\xff\xd8\xff)|(?P<gif>GIF8[79]a)|(?P<webp>RIFF.{4}WEBP)", re.DOTALL
)
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text in a message."""

    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class Image:
    """A picture in a message or in the result of a tool.

    Attributes:
        url: The picture itself as a data URL, or its address: a `file:`, `http:` or `https:` URL. The file is read or
            the address is fetched when the image enters a run, because a run holds data URLs only.
    """

    url: str
    kind: Literal["image"] = "image"

    @classmethod
    def from_path(cls, path: str | PathLike[str]) -> Image:
        """Return an image for a file. The file is read when the image enters a run."""
        return cls(Path(path).absolute().as_uri())

    @classmethod
    def from_bytes(cls, data: bytes, media_type: str | None = None) -> Image:
        """Return an image for the bytes of a picture file.

        Args:
            data: The content of a PNG, JPEG, GIF or WebP file.
            media_type: A media type such as `image/png`; by default it is detected from the bytes.

        Raises:
            ConfigurationError: the bytes are not a picture.
        """
        media_type = media_type or media_type_of(data)
        if media_type is None:
            raise ConfigurationError(
                f"these {len(data):,} bytes are not a picture that models accept", hint="give a PNG, JPEG, GIF or WebP"
            )
        return cls(f"data:{media_type};base64,{base64.b64encode(data).decode()}")

    @classmethod
    def from_url(cls, url: str) -> Image:
        """Return an image for an address. It is fetched when the image enters a run, as endpoints accept no addresses.

        The address may come from the user of a program, so a `file:` URL is refused.

        Raises:
            ConfigurationError: the address is not an http, https or data URL.
        """
        if url.partition(":")[0].lower() not in {"http", "https", "data"}:
            raise ConfigurationError(
                f"{url[:_SHOWN_CHARACTERS]!r} is not the address of an image",
                hint="give an http or https URL, or use Image.from_path for a file",
            )
        return cls(url)

    def __repr__(self) -> str:
        more = len(self.url) - _SHOWN_CHARACTERS
        return f"Image({self.url[:_SHOWN_CHARACTERS]!r}{f' and {more:,} characters' if more > 0 else ''})"


def media_type_of(data: bytes) -> str | None:
    """Return the media type of a picture from its first bytes, or None if models don't accept such data."""
    found = _PICTURE.match(data)
    return f"image/{found.lastgroup}" if found else None


Part: TypeAlias = Text | Image


@dataclass(frozen=True, slots=True)
class ServerState:
    """What only the server of an item understands, such as a signature. It is sent back unchanged.

    Attributes:
        fields: Fields of the item, as the server sent them.
        origin: The server, model and route that the item came from. The fields are sent to no other.
    """

    fields: JsonObject = field(hash=False)
    origin: str = ""


@dataclass(frozen=True, slots=True, init=False)
class Message:
    """A message of the user, the assistant or the system.

    Attributes:
        role: `user`, `assistant` or `system`.
        content: The texts and images, in order. `Message("user", "look at this", image)` takes them one by one, and
            plain strings become texts.
        phase: OpenAI's mark on assistant messages (`commentary` or `final_answer`); it is sent back unchanged.
        state: What only the server understands.

    Raises:
        ConfigurationError: the role does not exist, or the content is neither text nor an image.
    """

    role: Role
    content: tuple[Part, ...]
    phase: str | None = None
    state: ServerState | None = field(default=None, repr=False)
    kind: Literal["message"] = "message"

    def __init__(
        self,
        role: Role,
        content: str | Part | Sequence[str | Part],
        *more: str | Part,
        phase: str | None = None,
        state: ServerState | None = None,
        kind: Literal["message"] = "message",
    ) -> None:
        parts = _read_parts(role, content, more)
        object.__setattr__(self, "role", role)
        object.__setattr__(self, "content", parts)
        object.__setattr__(self, "phase", phase)
        object.__setattr__(self, "state", state)
        object.__setattr__(self, "kind", kind)

    @property
    def text(self) -> str:
        """The texts of the message, joined."""
        return "".join(part.text for part in self.content if isinstance(part, Text))


def _read_parts(role: object, content: object, more: tuple[object, ...]) -> tuple[Part, ...]:
    if role not in _ROLES:
        raise ConfigurationError(f"a message can't have the role {role!r}", hint=f"use one of: {', '.join(_ROLES)}")
    first = cast("Iterable[object]", content) if isinstance(content, (tuple, list)) else (content,)
    parts = tuple(Text(part) if isinstance(part, str) else part for part in (*first, *more))
    if not all(isinstance(part, (Text, Image)) for part in parts):
        raise ConfigurationError(
            "the content of a message is neither text nor an image",
            hint='write Message("user", "...") or Message("user", "...", Image.from_path("a.png"))',
        )
    return cast("tuple[Part, ...]", parts)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The reasoning of a model before its answer.

    Attributes:
        text: The readable reasoning or its summary; "" if the server sent only ciphertext.
        encrypted: The server's ciphertext. It is sent back to the same server only.
        id: The server's id of the item; some servers require it together with the ciphertext.
        state: What else only the server understands. A chat message with nothing but calls has its state here.
    """

    text: str
    encrypted: str | None = None
    id: str | None = None
    state: ServerState | None = field(default=None, repr=False)
    kind: Literal["reasoning"] = "reasoning"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's request to run a tool.

    Attributes:
        call_id: The id of the call, unique within the run.
        name: The tool's name.
        arguments: The JSON text as the model wrote it; it may be malformed.
        state: What only the server understands, such as Gemini's `thought_signature`.
        recovered: Whether the call was found in the text of the reply. It needs approval if it writes, executes or
            connects to other hosts. Two calls are equal however they came.
    """

    call_id: str
    name: str
    arguments: str
    state: ServerState | None = field(default=None, repr=False)
    recovered: bool = field(default=False, repr=False, compare=False)
    kind: Literal["call"] = "call"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a call, as the model gets it.

    Attributes:
        call_id: The id of the call.
        content: The text for the model; "" if there are only images.
        ok: False if the tool failed, was refused or was not run.
        images: The images that the tool returned.
        untrusted: Whether the content is untrusted, such as the text of a web page.
    """

    call_id: str
    content: str
    ok: bool = True
    images: tuple[Image, ...] = ()
    untrusted: bool = False
    kind: Literal["result"] = "result"


@dataclass(frozen=True, slots=True)
class Opaque:
    """An item of a type that agentloop does not support; it is kept and sent back unchanged.

    Attributes:
        raw: The item as the server sent it.
        state: The origin of the item, which is sent to no other server.
    """

    raw: JsonObject
    state: ServerState | None = field(default=None, repr=False)
    kind: Literal["opaque"] = "opaque"


Item: TypeAlias = Message | Reasoning | ToolCall | ToolResult | Opaque


def find_images(item: Item) -> tuple[Image, ...]:
    """Return the images of a message or a result."""
    if isinstance(item, ToolResult):
        return item.images
    return tuple(part for part in item.content if isinstance(part, Image)) if isinstance(item, Message) else ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Numbers of tokens; each is None if the endpoint did not report it (never an estimate, never 0 for unknown)."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None

    @property
    def tokens(self) -> int:
        """Input and output tokens, as far as the endpoint reported them; counted against the token limit."""
        if self.total_tokens is not None:
            return self.total_tokens
        return (self.input_tokens or 0) + (self.output_tokens or 0)

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            _plus(self.input_tokens, other.input_tokens),
            _plus(self.output_tokens, other.output_tokens),
            _plus(self.total_tokens, other.total_tokens),
            _plus(self.cached_tokens, other.cached_tokens),
            _plus(self.reasoning_tokens, other.reasoning_tokens),
        )


def _plus(left: int | None, right: int | None) -> int | None:
    if left is None:
        return right
    return left if right is None else left + right


ReplyStop: TypeAlias = Literal["complete", "truncated", "refused"]
ToolDialect: TypeAlias = Literal["native", "message", "chat", "prompted"]


@dataclass(frozen=True, slots=True)
class Reply:
    """One decoded reply of a model.

    Attributes:
        items: Reasoning, messages and calls, in the order in which they arrived.
        usage: The tokens of this one request.
        stop: `truncated` if the reply was cut off, `refused` if the model declined; then none of its calls runs.
        response_id: The server's id of the response, for finding it in the server's log.
        dialect: The format for tool calls and results in the next request.
        notes: What is odd about the reply, one sentence each. The user gets them as notices.
        withheld: The names of tools that were not offered in the request.
    """

    items: tuple[Item, ...]
    usage: Usage = Usage()
    stop: ReplyStop = "complete"
    response_id: str | None = None
    dialect: ToolDialect | None = None
    notes: tuple[str, ...] = ()
    withheld: frozenset[str] = frozenset()

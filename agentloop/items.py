"""What a conversation is made of: frozen values that are JSON.

Nothing here knows a wire format, an endpoint or a file; `wire/` translates these values.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
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
        url: The picture itself, as a data URL, or where it is: a `file:`, `http:` or `https:` URL. It is read or
            fetched when it enters a run, which holds data URLs only.
    """

    url: str
    kind: Literal["image"] = "image"

    @classmethod
    def from_path(cls, path: str | PathLike[str]) -> Image:
        """Return the image in a file, which is read when the image enters a run."""
        return cls(Path(path).absolute().as_uri())

    @classmethod
    def from_bytes(cls, data: bytes, media_type: str | None = None) -> Image:
        """Return the image for the bytes of a picture file.

        Args:
            data: A PNG, JPEG, GIF or WebP.
            media_type: Such as `image/png`; found from the bytes when it is left out.

        Raises:
            ConfigurationError: the bytes are no picture.
        """
        media_type = media_type or media_type_of(data)
        if media_type is None:
            raise ConfigurationError(
                f"these {len(data):,} bytes are no picture that models take", hint="give a PNG, JPEG, GIF or WebP"
            )
        return cls(f"data:{media_type};base64,{base64.b64encode(data).decode()}")

    @classmethod
    def from_url(cls, url: str) -> Image:
        """Return the image at an address, which is fetched when the image enters a run: endpoints take no addresses.

        An address may come from whoever uses a program, so it never means a file of the machine.

        Raises:
            ConfigurationError: the address is not of a kind that can be fetched.
        """
        if url.partition(":")[0].lower() not in {"http", "https", "data"}:
            raise ConfigurationError(
                f"{url[:_SHOWN_CHARACTERS]!r} is no address of an image",
                hint="give an http or https URL, or use Image.from_path for a file",
            )
        return cls(url)

    def __repr__(self) -> str:
        more = len(self.url) - _SHOWN_CHARACTERS
        return f"Image({self.url[:_SHOWN_CHARACTERS]!r}{f' and {more:,} characters' if more > 0 else ''})"


def media_type_of(data: bytes) -> str | None:
    """Return the type of a picture by its first bytes, or None if it is none that models take."""
    found = _PICTURE.match(data)
    return f"image/{found.lastgroup}" if found else None


Part: TypeAlias = Text | Image


@dataclass(frozen=True, slots=True, init=False)
class Message:
    """What somebody said.

    Attributes:
        role: `user`, `assistant` or `system`.
        content: Texts and images, in order; a plain string is one text.
        phase: OpenAI's mark on assistant messages (`commentary` or `final_answer`), to be replayed.

    Raises:
        ConfigurationError: there is no such role, or the content is something else.
    """

    role: Role
    content: tuple[Part, ...]
    phase: str | None = None
    kind: Literal["message"] = "message"

    def __init__(
        self,
        role: Role,
        content: str | tuple[Part, ...],
        *,
        phase: str | None = None,
        kind: Literal["message"] = "message",
    ) -> None:
        parts = (Text(content),) if isinstance(content, str) else content
        _check_message(role, parts)
        object.__setattr__(self, "role", role)
        object.__setattr__(self, "content", parts)
        object.__setattr__(self, "phase", phase)
        object.__setattr__(self, "kind", kind)

    @property
    def text(self) -> str:
        """All the texts of the message, joined."""
        return "".join(part.text for part in self.content if isinstance(part, Text))


def _check_message(role: object, parts: object) -> None:
    if role not in _ROLES:
        raise ConfigurationError(f"a message has no role {role!r}", hint=f"use one of: {', '.join(_ROLES)}")
    known = isinstance(parts, tuple) and all(
        isinstance(part, (Text, Image)) for part in cast("tuple[object, ...]", parts)
    )
    if not known:
        raise ConfigurationError(
            "the content of a message is neither text nor a tuple of Text and Image",
            hint='write Message("user", "...") or Message("user", (Text("..."), Image.from_path("a.png")))',
        )


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a model thought before it answered.

    Attributes:
        text: The readable reasoning or its summary; "" when the server sent only ciphertext.
        encrypted: The server's ciphertext, to be replayed to the same server only.
        id: The server's id of the item, which some servers want back with the ciphertext.
    """

    text: str
    encrypted: str | None = None
    id: str | None = None
    kind: Literal["reasoning"] = "reasoning"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's request to run a tool.

    Attributes:
        call_id: Unique over the run.
        name: The tool's name.
        arguments: JSON text as the model wrote it; it may be malformed.
    """

    call_id: str
    name: str
    arguments: str
    kind: Literal["call"] = "call"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the model is told about a call.

    Attributes:
        call_id: The call that this answers.
        content: The text for the model; "" when there are only images.
        ok: False when the tool failed, was refused or was not run.
        images: What the tool returned in pictures.
        untrusted: Whether strangers may have written it.
    """

    call_id: str
    content: str
    ok: bool = True
    images: tuple[Image, ...] = ()
    untrusted: bool = False
    kind: Literal["result"] = "result"


@dataclass(frozen=True, slots=True)
class Opaque:
    """An item of a type agentloop does not know, kept and passed back unchanged."""

    raw: JsonObject
    kind: Literal["opaque"] = "opaque"


Item: TypeAlias = Message | Reasoning | ToolCall | ToolResult | Opaque


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, each None where the endpoint did not say (never a guess, never 0 for unknown)."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None

    @property
    def tokens(self) -> int:
        """Tokens in and out as far as they are known, for counting against a limit."""
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
    """One answer of a model, decoded.

    Attributes:
        items: Reasoning, messages and calls in the order they came.
        usage: Tokens of this one request.
        stop: `truncated` when it was cut off, `refused` when the model declined; then no call in it runs.
        response_id: The server's id, for looking it up in the server's log.
        dialect: How tool calls and results are to be written in the next request.
    """

    items: tuple[Item, ...]
    usage: Usage = Usage()
    stop: ReplyStop = "complete"
    response_id: str | None = None
    dialect: ToolDialect | None = None

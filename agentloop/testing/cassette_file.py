"""Reads and writes the file of a cassette: the requests in order, each with its reply, as JSON that people can read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from agentloop import errors
from agentloop.errors import EndpointError, UserError
from agentloop.items import JsonObject
from agentloop.testing.masking import Mask

VERSION = 1
_ERROR_FIELDS = ("hint", "status", "code", "retry_after")
_RECORD = "record it: pytest --agentloop-record"


class CassetteError(UserError):
    """A cassette can't be read, or has no reply to a request. Nothing was sent."""


@dataclass(slots=True, eq=False)
class Interaction:
    """A request and its reply.

    Attributes:
        path: The path below the base URL, such as `/responses`.
        body: The body of the request, masked.
        is_stream: Whether the reply was read as it arrived.
        chunks: The reply, masked, as it arrived.
        error: The fields of the error in place of a reply or after a part of it, with its `type`, or None.
    """

    path: str
    body: JsonObject
    is_stream: bool = False
    chunks: list[bytes] = field(default_factory=list[bytes])
    error: JsonObject | None = None

    def set_chunks(self, chunks: Iterable[bytes], mask: Mask) -> None:
        """Set the reply."""
        self.chunks = [_encode(each) for each in mask.mask_chunks([_decode(each) for each in chunks])]

    def set_error(self, error: EndpointError, mask: Mask) -> None:
        """Set the error."""
        shown = {name: mask.mask(getattr(error, name)) for name in ("message", *_ERROR_FIELDS)}
        self.error = {"type": type(error).__name__, **shown}

    def raise_error(self) -> None:
        """Raise the error, if there is one."""
        if self.error is not None:
            kind: type[EndpointError] = getattr(errors, self.error["type"])
            raise kind(self.error["message"], **{name: self.error[name] for name in _ERROR_FIELDS})


def read_cassette(path: Path) -> list[Interaction]:
    """Return the interactions of a file.

    Raises:
        CassetteError: there is no such file, or it is no cassette.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["version"] != VERSION:
            raise CassetteError(f"{path} is of another version of agentloop", hint=_RECORD)
        return [_read(each) for each in content["interactions"]]
    except FileNotFoundError:
        raise CassetteError(f"there is no cassette {path}", hint=_RECORD) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CassetteError(f"{path} is no cassette: {errors.describe(error)}", hint=_RECORD) from None


def write_cassette(path: Path, interactions: Iterable[Interaction]) -> None:
    """Write interactions to a file, whose folder is made if it is missing."""
    content = {"version": VERSION, "interactions": [_write(each) for each in interactions]}
    path.parent.mkdir(parents=True, exist_ok=True)
    # JSON escapes a lone surrogate, which stands for a byte that is not UTF-8, in the same way as Python does.
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    path.write_bytes(text.encode("utf-8", "backslashreplace"))


def _write(interaction: Interaction) -> JsonObject:
    reply: JsonObject = {}
    texts = [_decode(each) for each in interaction.chunks]
    if interaction.is_stream:
        reply["chunks"] = texts
    elif texts:
        reply |= _write_body("".join(texts))
    if interaction.error is not None:
        reply["error"] = interaction.error
    return {"request": {"path": interaction.path, "body": interaction.body}, "reply": reply}


def _write_body(text: str) -> JsonObject:
    """Return a body as the JSON that it is, which people can read, or as a text."""
    try:
        return {"json": json.loads(text)}
    except (ValueError, RecursionError):
        return {"text": text}


def _read(entry: JsonObject) -> Interaction:
    request, reply = entry["request"], entry["reply"]
    interaction = Interaction(request["path"], request["body"], is_stream="chunks" in reply, error=reply.get("error"))
    if "json" in reply:
        interaction.chunks = [json.dumps(reply["json"]).encode()]
    else:
        interaction.chunks = [_encode(each) for each in cast("list[Any]", reply.get("chunks", [reply.get("text", "")]))]
    return interaction


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")

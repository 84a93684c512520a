"""Writes a tool's result for the model: as text of limited length, with the images separate."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from agentloop.items import Image, Text
from agentloop.schema.invisible_characters import show_invisible
from agentloop.schema.plain_values import read_plain, refuse

_HEAD_SHARE = 2 / 3
_MOST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class WrittenResult:
    """A result as the model gets it: a text of limited length, and images."""

    text: str
    images: tuple[Image, ...] = ()


def write_result(value: Any, max_characters: int, is_unwanted: Callable[[], bool] = bool) -> WrittenResult:
    """Return a result as the model gets it.

    Args:
        value: What a tool returned. If it is an iterator, it is read here.
        max_characters: How long the text may be.
        is_unwanted: Tells whether nobody waits for the result any longer.

    Raises:
        ToolError: the value can't be written as JSON; the error's text tells the model so.
        UnwantedError: nobody waits for the result any longer.
    """
    rest, images = take_images(read_plain(value, is_unwanted))
    return WrittenResult(_limit(_write(rest), max_characters), images)


def take_images(value: Any) -> tuple[Any, tuple[Image, ...]]:
    """Return a result without its images, and the images, if it is an image or a list or tuple that contains some.

    The other entries of the list become one text, with a note in the place of each image.
    """
    if isinstance(value, Image):
        return "", (value,)
    entries = cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()
    if Image not in map(type, entries):
        return cast("Any", value), ()
    parts, images = list[str](), list[Image]()
    for part in entries:
        if isinstance(part, Image):
            images.append(part)
            parts.append(f"[image {len(images)}]")
        else:
            parts.append(_write(part))
    return "" if len(images) == len(parts) else "\n".join(parts), tuple(images)


def render(value: Any, max_characters: int) -> str:
    """Return a result as text: a string unchanged, bytes as base64, any other value as JSON.

    Raises:
        ToolError: the value can't be written as JSON; the error's text tells the model so.
    """
    return _limit(_write(read_plain(value)), max_characters)


def _limit(text: str, max_characters: int) -> str:
    # The text is cut twice, because escapes are longer than the characters that they replace.
    return cut(show_invisible(cut(text, max_characters)), max_characters)


def _write(value: Any) -> str:
    if isinstance(value, str):
        # A string enum member may have its own `__str__`; the model gets the member's value.
        return str.__str__(value)
    if isinstance(value, Text):
        return value.text
    if isinstance(value, bytes | bytearray):
        head = memoryview(value)[:_MOST_BYTES]  # so that a gigabyte is not encoded only to be cut out
        which = "" if len(head) == len(value) else f", of which the first {len(head):,} follow,"
        return f"{len(value):,} bytes{which} in base64: {b64encode(head).decode()}"
    return _to_json(value)


def _to_json(value: Any) -> str:
    try:
        return to_json(value, bytes_mode="base64", inf_nan_mode="strings").decode()
    except PydanticSerializationError:
        pass
    try:
        # Lone surrogates can't be encoded as UTF-8, but JSON has escapes for them.
        return json.dumps(to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="strings"))
    except (PydanticSerializationError, ValueError, TypeError) as error:
        raise refuse(value, error) from None


def cut(text: str, max_characters: int) -> str:
    """Return the text, or its head and tail with a note on how much was cut out between them."""
    if len(text) <= max_characters:
        return text
    # The note is longest if the whole text is cut out, so this much is reserved for it.
    reserved = len(_note(len(text)))
    room = max(max_characters - reserved, 0)
    head = round(room * _HEAD_SHARE)
    tail = room - head
    return text[:head] + _note(len(text) - room) + text[len(text) - tail :]


def _note(characters: int) -> str:
    return f"\n[... {characters:,} characters cut here ...]\n"

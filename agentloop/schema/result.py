"""A tool's result as the model is given it: true text no longer than it may be, and images apart from it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, cast

from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from agentloop.errors import ToolError
from agentloop.items import Image, Text
from agentloop.schema.invisible_characters import show_invisible

_HEAD_SHARE = 2 / 3
_MOST_BYTES = 1_000_000


def take_images(value: Any) -> tuple[Any, tuple[Image, ...]]:
    """Return a result without its images, and the images: it is one, or a list or tuple that holds some.

    What stands beside the images becomes one text, which says where each of them stood.
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
    """Return a result as text: a string as it is, bytes as base64, everything else as JSON.

    Raises:
        ToolError: the value can't be written as JSON; its text says so to the model.
    """
    # Escapes are longer than what they stand for.
    return cut(show_invisible(cut(_write(value), max_characters)), max_characters)


def _write(value: Any) -> str:
    if isinstance(value, str):
        # An enum member that is a string has a `str()` of its own; the model is to see the value.
        return str.__str__(value)
    if isinstance(value, Text):
        return value.text
    if isinstance(value, bytes | bytearray):
        head = memoryview(value)[:_MOST_BYTES]  # of a gigabyte, nobody wants to see more
        which = "" if len(head) == len(value) else f", of which the first {len(head):,} follow,"
        return f"{len(value):,} bytes{which} in base64: {b64encode(head).decode()}"
    return _to_json(value)


def _to_json(value: Any) -> str:
    try:
        return to_json(value, bytes_mode="base64", inf_nan_mode="strings").decode()
    except PydanticSerializationError:
        pass
    try:
        # Lone surrogates have no UTF-8, but they have an escape in JSON.
        return json.dumps(to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="strings"))
    except (PydanticSerializationError, ValueError, TypeError) as error:
        raise ToolError(
            f"The tool ran, but its result of type {type(value).__qualname__} can't be written as JSON: {error}"
        ) from None


def cut(text: str, max_characters: int) -> str:
    """Return the text, or its head and tail and how much was cut out between them."""
    if len(text) <= max_characters:
        return text
    # The longest that the note can be is what is reserved for it.
    reserved = len(_note(len(text)))
    room = max(max_characters - reserved, 0)
    head = round(room * _HEAD_SHARE)
    tail = room - head
    return text[:head] + _note(len(text) - room) + text[len(text) - tail :]


def _note(characters: int) -> str:
    return f"\n[... {characters:,} characters cut here ...]\n"

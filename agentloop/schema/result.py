"""A tool's result as text for the model: JSON that is true, and no longer than it may be."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from agentloop.errors import ToolError

_HEAD_SHARE = 2 / 3


def render(value: Any, max_characters: int) -> str:
    """Return a result as text: a string as it is, bytes as base64, everything else as JSON.

    Raises:
        ToolError: the value can't be written as JSON; its text says so to the model.
    """
    if isinstance(value, str):
        # An enum member that is a string has a `str()` of its own; the model is to see the value.
        return cut(str.__str__(value), max_characters)
    if isinstance(value, bytes | bytearray):
        return cut(f"{len(value):,} bytes in base64: {b64encode(value).decode()}", max_characters)
    return cut(_to_json(value), max_characters)


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

"""Writes and reads JSON bytes, and reads fields of JSON from untrusted sources. It contains no code about formats."""

from __future__ import annotations

import json
from typing import Any, cast

from pydantic_core import from_json, to_json

from agentloop.items import JsonObject

MOST_VALUES = 2_000_000
_BOM = b"\xef\xbb\xbf"  # a byte order mark


def dump(value: object) -> bytes:
    """Return a value as JSON that every server can read: infinities become null, lone surrogates U+FFFD.

    Raises:
        ValueError: the value is not JSON.
    """
    try:
        return to_json(value, inf_nan_mode="null")
    except ValueError:
        return to_json(_whole(value), inf_nan_mode="null")


def load(data: bytes) -> Any:
    """Return the value of JSON text, which may hold broken UTF-8, lone surrogates or raw line breaks.

    Servers that cut their text between tokens send these when a token ends inside a character.

    Raises:
        ValueError: the data is not JSON, it is nested hundreds of levels deep, or it has too many values.
    """
    check_values(data)
    try:
        return from_json(data, cache_strings="keys")
    except ValueError:
        return _load_broken(data)


def check_values(data: bytes) -> None:
    """Check that JSON text has not so many values that they would fill the memory: a byte of it may take forty.

    Raises:
        ValueError: it has.
    """
    if len(data) > MOST_VALUES and sum(map(data.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES:,} values")


def load_loose(data: bytes) -> Any:
    """Return the value of JSON text with the broken characters still in it.

    Each byte that is not UTF-8 is a lone surrogate as with the error handler `surrogateescape`.

    Raises:
        ValueError: the data is not JSON, or it is nested hundreds of levels deep.
    """
    return _load_text(data.removeprefix(_BOM).decode("utf-8", "surrogateescape"))


def mapping(value: object) -> JsonObject:
    """Return the value if it is a JSON object, otherwise an empty object."""
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def mappings(value: object) -> list[JsonObject]:
    """Return the JSON objects in the value if it is an array, otherwise an empty list."""
    if not isinstance(value, list):
        return []
    return [entry for entry in cast("list[JsonObject]", value) if type(entry) is dict]  # the others are left out


def string(value: object) -> str:
    """Return the value if it is a string, otherwise ""."""
    return value if isinstance(value, str) else ""


def _load_broken(data: bytes) -> Any:
    return from_json(dump(_load_text(data.removeprefix(_BOM).decode("utf-8", "replace"))))


def _load_text(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def _whole(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value).items()
        return {_whole(key): _whole(entry) for key, entry in entries}
    if isinstance(value, (list, tuple)):
        return [_whole(entry) for entry in cast("list[object]", value)]
    return value

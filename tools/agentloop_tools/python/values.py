"""Converts values between the sandbox and the host: JSON in both directions, and text for the model.

Parts of a value from the sandbox can be shared, so that a small value is endless when it is written out. Therefore all
functions here have limits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from math import isfinite
from pathlib import PurePath
from typing import Any, cast

MAX_ARGUMENTS = 1_000_000
_COST = 16  # the length that is counted for a value other than text, in characters
_DEEPEST = 100
_MOST_BITS = 14_000  # Python writes no more than 4,300 digits


def cut(text: str, most: int) -> str:
    """Return text, without its middle if it is longer than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def read_result(text: str) -> Any:
    """Return a tool's result as values if it is JSON, else as text. Lone surrogates are replaced."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return make_whole(text)
    return value


def make_whole(text: str) -> str:
    """Return text without lone surrogates, which the sandbox does not accept."""
    return text.encode(errors="replace").decode()


def read_arguments(values: dict[str, Any]) -> dict[str, Any]:
    """Return arguments as plain JSON values, so that a tool gets nothing else.

    Raises:
        ValueError: they are not JSON, or too long. The text is for the code.
    """
    plain: dict[str, Any] = _plain(values, [MAX_ARGUMENTS], 0)
    return plain


def _plain(value: Any, room: list[int], depth: int) -> Any:
    room[0] -= len(value) if isinstance(value, str) else _COST
    if room[0] < 0 or depth > _DEEPEST:
        raise ValueError("the arguments are too long, or nested too deep")
    match value:
        case None | str() | bool():
            return value
        case int() if value.bit_length() <= _MOST_BITS:
            return value
        case float() if isfinite(value):
            return value
        case list() | tuple():
            return [_plain(each, room, depth + 1) for each in cast("Iterable[Any]", value)]
        case dict() if all(isinstance(key, str) for key in cast("Iterable[Any]", value)):
            pairs = cast("dict[str, Any]", value).items()
            return {_plain(key, room, depth): _plain(each, room, depth + 1) for key, each in pairs}
        case _:
            raise ValueError("arguments are text, numbers, True, False, None, lists, and dicts with text as keys")


def show(value: Any, most: int) -> str:
    """Return a value as Python writes it, cut after `most` characters, with a mark if it is longer."""
    kept: list[str] = []
    room = most
    for part in _write(value, most, 0):
        kept.append(part[:room])
        room -= len(part)
        if room < 0:
            return "".join((*kept, "... [the value is longer]"))
    return "".join(kept)


def _write(value: Any, most: int, depth: int) -> Iterator[str]:
    kind = cast("type[object]", type(value))
    if depth > _DEEPEST:
        yield "..."
    elif kind is dict:
        yield from _write_pairs("{", value.items(), "}", most, depth)
    elif kind is list:
        yield from _write_items("[", value, "]", most, depth)
    elif kind is tuple:
        yield from _write_items("(", value, ",)" if len(value) == 1 else ")", most, depth)
    elif kind in (set, frozenset):
        yield from _write_items("set([", value, "])", most, depth)
    else:
        yield _write_one(value, most)


def _write_items(start: str, items: Iterable[Any], end: str, most: int, depth: int) -> Iterator[str]:
    yield start
    for number, item in enumerate(items):
        yield ", " if number else ""
        yield from _write(item, most, depth + 1)
    yield end


def _write_pairs(start: str, pairs: Iterable[tuple[Any, Any]], end: str, most: int, depth: int) -> Iterator[str]:
    yield start
    for number, (key, item) in enumerate(pairs):
        yield ", " if number else ""
        yield from _write(key, most, depth + 1)
        yield ": "
        yield from _write(item, most, depth + 1)
    yield end


def _write_one(value: Any, most: int) -> str:
    match value:
        case str() | bytes():
            return repr(value[: most + 1])
        case int() if value.bit_length() > _MOST_BITS:
            return f"<a whole number of {value.bit_length()} bits>"
        case None | int() | float() | complex() | date() | time() | timedelta() | tzinfo() | Decimal() | PurePath():
            return repr(value)
        case _:  # an object of a class that the code defines: only its name is shown, the code can print its parts
            return f"<{getattr(value, 'name', type(value).__name__)}>"

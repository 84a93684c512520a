"""What crosses the border between the host and the sandbox: JSON in both directions, and text for the model.

Values from the sandbox share their parts, so that a small one can be endless when written out: all here is bounded.
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
_COST = 16  # of a value that is no text, in characters
_DEEPEST = 100
_MOST_BITS = 14_000  # Python writes no more than 4,300 digits


def cut(text: str, most: int) -> str:
    """Return text with its middle left out where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def read_result(text: str) -> Any:
    """Return a tool's result as values where it is JSON, else as the text it is; half characters do not get through."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return make_whole(text)
    return value


def make_whole(text: str) -> str:
    """Return text without half characters, which the sandbox does not take."""
    return text.encode(errors="replace").decode()


def read_arguments(values: dict[str, Any]) -> dict[str, Any]:
    """Return arguments as plain JSON, so that nothing else gets into a tool.

    Raises:
        ValueError: they are no JSON, or too long; its text tells the code why.
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
    """Return a value as Python writes it, in at most `most` characters and a mark that it was longer."""
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
        case _:  # what the sandbox defines: its class has a name, and its parts are the code's to print
            return f"<{getattr(value, 'name', type(value).__name__)}>"

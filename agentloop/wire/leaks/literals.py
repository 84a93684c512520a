"""Reads values that a model writes as literals of Python, or in the notation of Gemma, in place of JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentloop.items import JsonObject
from agentloop.wire.leaks.cursor import Cursor, MismatchError, parse_json

_WORD = re.compile(r"[\w.+-]+")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "\n": ""}
_CONSTANTS: Final[Mapping[str, Any]] = {"True": True, "False": False, "None": None}
_DEEPEST = 40
_LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class Notation:
    """How values are written.

    Attributes:
        quotes: The marks around a text, each with a pattern of what may stand between them.
        bare_keys: Whether the key of an object may stand without quotes, up to its colon.
    """

    quotes: Mapping[str, re.Pattern[str]]
    bare_keys: bool = False


# A backslash at the end of the text so far may still become an escape.
_DOUBLE = re.compile(r'(?:[^"\\]++|\\.|\\\Z)*+', re.DOTALL)
_SINGLE = re.compile(r"(?:[^'\\]++|\\.|\\\Z)*+", re.DOTALL)
PYTHON: Final = Notation({'"': _DOUBLE, "'": _SINGLE})
GEMMA: Final = Notation(
    {
        '<|"|>': re.compile(r'(?:[^<]++|<(?!\|"\|>))*+'),
        "<escape>": re.compile(r"(?:[^<]++|<(?!escape>))*+"),
        '"': _DOUBLE,
    },
    bare_keys=True,
)


def read_literal(cursor: Cursor, notation: Notation, depth: int = 0) -> Any:
    """Move past a value, and return it.

    Raises:
        UnfinishedError: the text ends within the value.
        MismatchError: the text does not continue with a value of this notation, or it is nested too deeply.
    """
    if depth > _DEEPEST:
        raise MismatchError
    cursor.skip_blanks()
    if cursor.has("["):
        return _read_list(cursor, notation, depth)
    if cursor.has("{"):
        return read_object(cursor, notation, depth)
    try:
        return _read_text(cursor, notation)
    except MismatchError:
        word = cursor.match(_WORD)
    return _CONSTANTS[word] if word in _CONSTANTS else parse_json(word)


def read_object(cursor: Cursor, notation: Notation, depth: int = 0) -> JsonObject:
    """Move past the pairs of an object whose `{` has been read, and its `}`, and return the object.

    Raises:
        UnfinishedError: the text ends within the object.
        MismatchError: the text is not an object of this notation, or a key comes twice.
    """
    read: JsonObject = {}
    cursor.skip_blanks()
    while not cursor.has("}"):
        if read:
            cursor.take(",")
        key = _read_key(cursor, notation)
        if key in read:
            raise MismatchError
        read[key] = read_literal(cursor, notation, depth + 1)
        cursor.skip_blanks()
    return read


def _read_key(cursor: Cursor, notation: Notation) -> str:
    cursor.skip_blanks()
    start = cursor.at
    try:
        key = _read_text(cursor, notation)
    except MismatchError:
        if cursor.at > start or not notation.bare_keys:
            raise
        return cursor.until(":", _LONGEST_KEY).strip()
    cursor.skip_blanks()
    cursor.take(":")
    return key


def _read_list(cursor: Cursor, notation: Notation, depth: int) -> list[Any]:
    read: list[Any] = []
    cursor.skip_blanks()
    while not cursor.has("]"):
        if read:
            cursor.take(",")
        read.append(read_literal(cursor, notation, depth + 1))
        cursor.skip_blanks()
    return read


def _read_text(cursor: Cursor, notation: Notation) -> str:
    quote = cursor.take(*notation.quotes)
    pattern = notation.quotes[quote]
    text = cursor.match(pattern)
    cursor.take(quote)
    if "\\" not in text or pattern not in {_DOUBLE, _SINGLE}:
        return text
    try:
        return _ESCAPE.sub(_unescape, text).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:  # half a surrogate pair
        raise MismatchError from None


def _unescape(found: re.Match[str]) -> str:
    code = found[1]
    if len(code) > 1:
        return chr(int(code[1:], 16))
    return _ESCAPED.get(code, code if code in "\\'\"" else found[0])

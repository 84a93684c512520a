"""Reading a text from left to right that may still grow at its end, as the text of a stream does.

What is read raises `UnfinishedError` while more text could make it whole, and `MismatchError` once no text can, so
that a stream and a whole text are read by the same rules. JSON is read without mending: both of two readers must take
it. No format is known here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from pydantic_core import from_json

from agentloop.items import JsonObject


class UnfinishedError(Exception):
    """The text ends before it is known what it is."""


class MismatchError(Exception):
    """The text is something else, whatever may follow."""


class Cursor:
    """A place in a text that is read from left to right, and that may still grow at its end."""

    def __init__(self, text: str, at: int = 0) -> None:
        self.text = text
        self.at = at

    @property
    def is_at_end(self) -> bool:
        """Whether all has been read."""
        return self.at == len(self.text)

    def skip_blanks(self) -> None:
        """Move to the next character that is not blank."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def take(self, *marks: str) -> str:
        """Move behind the first of the marks that stands here, and return it; one that begins another comes after it.

        Raises:
            UnfinishedError: the text ends within one.
            MismatchError: none stands here.
        """
        rest = self.text[self.at : self.at + max(map(len, marks))]
        for mark in marks:
            if rest.startswith(mark):
                self.at += len(mark)
                return mark
            if mark.startswith(rest):
                raise UnfinishedError
        raise MismatchError

    def has(self, *marks: str) -> bool:
        """Move behind the first of the marks that stands here, if any does, and tell whether it did.

        Raises:
            UnfinishedError: the text ends within one.
        """
        try:
            self.take(*marks)
        except MismatchError:
            return False
        return True

    def match(self, pattern: re.Pattern[str]) -> str:
        """Move behind what the pattern finds here, and return it.

        Raises:
            UnfinishedError: it may go on.
            MismatchError: it finds nothing.
        """
        found = pattern.match(self.text, self.at)
        if self.is_at_end or (found and found.end() == len(self.text)):
            raise UnfinishedError
        if found is None:
            raise MismatchError
        self.at = found.end()
        return found[0]

    def until(self, mark: str) -> str:
        """Move behind the next such mark, and return what stands before it.

        Raises:
            UnfinishedError: there is none.
        """
        end = self.text.find(mark, self.at)
        if end < 0:
            raise UnfinishedError
        before = self.text[self.at : end]
        self.at = end + len(mark)
        return before

    def json(self, may_become: Callable[[Any], bool]) -> Any:
        """Move behind the JSON that stands here, and return its value.

        Args:
            may_become: Tells, from what there is of the value, whether it may still be of use.

        Raises:
            UnfinishedError: it is not whole yet.
            MismatchError: it is no JSON, or of no use.
        """
        if self.is_at_end:
            raise UnfinishedError
        try:
            _, end = _STRICT.raw_decode(self.text, self.at)
        except (ValueError, RecursionError):
            end = None
        try:
            rest = self.text[self.at : end].encode()
            # Two readers, and what either of them refuses is refused.
            value = from_json(rest, allow_partial="trailing-strings" if end is None else False)
        except ValueError:
            raise MismatchError from None
        if not may_become(value):
            raise MismatchError
        if end is None:
            raise UnfinishedError
        self.at = end
        return value


def parse_json(text: str) -> Any:
    """Return the value of a text that is JSON and nothing else.

    Raises:
        MismatchError: it is not.
    """
    try:
        _STRICT.decode(text)
        return from_json(text.encode())
    except (ValueError, RecursionError):
        raise MismatchError from None


def _read_float(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise ValueError("too large for a float")
    return number


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _read_pairs(pairs: list[tuple[str, Any]]) -> JsonObject:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise ValueError("a key comes twice")
    return read


_STRICT = json.JSONDecoder(parse_float=_read_float, parse_constant=_refuse_constant, object_pairs_hook=_read_pairs)

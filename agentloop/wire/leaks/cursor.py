"""Reads a text from left to right while the text may still grow at its end, as the text of a stream does.

Each method raises `UnfinishedError` while more text could still complete what it reads, and `MismatchError` once no
further text can. So a stream and a whole text are read by the same rules. JSON is not repaired: two parsers must both
accept it. This module contains no code about single formats.
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
    """The text ends too early: more text could still complete what is read."""


class MismatchError(Exception):
    """The text does not match, and no further text can change that."""


class Cursor:
    """A position in a text that is read from left to right and may still grow at its end.

    Args:
        text: The text so far.
        at: The index of the next character to read.
    """

    def __init__(self, text: str, at: int = 0) -> None:
        self.text = text
        self.at = at

    @property
    def is_at_end(self) -> bool:
        """Whether the whole text has been read."""
        return self.at == len(self.text)

    def skip_blanks(self) -> None:
        """Move to the next character that is not white space."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def take(self, *marks: str) -> str:
        """Move past the first mark that the text continues with, and return that mark.

        Args:
            marks: In order of preference. Where one mark is the beginning of another, the longer one comes first.

        Raises:
            UnfinishedError: the text ends within a mark.
            MismatchError: the text does not continue with any of the marks.
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
        """Move past the first mark that the text continues with, and return whether there was one.

        Raises:
            UnfinishedError: the text ends within a mark.
        """
        try:
            self.take(*marks)
        except MismatchError:
            return False
        return True

    def match(self, pattern: re.Pattern[str]) -> str:
        """Move past the text that matches the pattern here, and return that text.

        Raises:
            UnfinishedError: the match reaches the end of the text, so it may go on.
            MismatchError: the pattern does not match here.
        """
        found = pattern.match(self.text, self.at)
        if self.is_at_end or (found and found.end() == len(self.text)):
            raise UnfinishedError
        if found is None:
            raise MismatchError
        self.at = found.end()
        return found[0]

    def until(self, mark: str) -> str:
        """Move past the next occurrence of the mark, and return the text before it.

        Raises:
            UnfinishedError: the mark does not occur.
        """
        end = self.text.find(mark, self.at)
        if end < 0:
            raise UnfinishedError
        before = self.text[self.at : end]
        self.at = end + len(mark)
        return before

    def json(self, may_become: Callable[[Any], bool]) -> Any:
        """Move past the JSON value that begins here, and return it.

        Args:
            may_become: Tells from the part of the value read so far whether the whole value can be of use.

        Raises:
            UnfinishedError: the value is not complete yet.
            MismatchError: the text is not JSON, or `may_become` returned False.
        """
        if self.is_at_end:
            raise UnfinishedError
        try:
            _, end = _STRICT.raw_decode(self.text, self.at)
        except (ValueError, RecursionError):
            end = None
        try:
            rest = self.text[self.at : end].encode()
            # The text must be accepted by both parsers.
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
    """Return the value of a text that consists of one JSON value.

    Raises:
        MismatchError: the text is not JSON.
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

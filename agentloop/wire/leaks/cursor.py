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
from functools import cached_property, lru_cache
from typing import Any

from pydantic_core import from_json

from agentloop.items import JsonObject


class UnfinishedError(Exception):
    """The text ends too early: more text could still complete what is read."""


class MismatchError(Exception):
    """The text does not match, and no further text can change that."""


class Marks:
    """Texts that are looked for together, with one search for all of them.

    Args:
        marks: Where one is the beginning of another, the longer one counts if the text has it.
    """

    def __init__(self, marks: tuple[str, ...]) -> None:
        self._ordered = sorted(set(marks), key=len, reverse=True)
        self.longest = len(self._ordered[0]) if marks else 1

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What finds the first mark."""
        return re.compile("|".join(map(re.escape, self._ordered)) or r"(?!)")

    @cached_property
    def beginnings(self) -> frozenset[str]:
        """What a text may end with that is not yet a mark."""
        return frozenset(mark[:end] for mark in self._ordered for end in range(1, len(mark)))

    @cached_property
    def _first(self) -> re.Pattern[str]:
        return re.compile(f"[{re.escape(''.join({mark[0] for mark in self._ordered}))}]" if self._ordered else r"(?!)")

    def find_beginning(self, text: str, at: int) -> int:
        """Return the first index from `at` on at which the text ends within a mark; its length if it does not."""
        for found in self._first.finditer(text, max(at, len(text) - self.longest + 1)):
            if text[found.start() :] in self.beginnings:
                return found.start()
        return len(text)


@lru_cache(maxsize=256)
def marks_of(*marks: str) -> Marks:
    """Return the marks for a search; they are prepared once. All arguments come from the tables of this package."""
    return Marks(marks)


class Cursor:
    """A position in a text that is read from left to right and may still grow at its end.

    Args:
        text: The text so far.
        at: The index of the next character to read.

    Attributes:
        sources: The parts of the text that the reader wants to keep.
    """

    def __init__(self, text: str, at: int = 0) -> None:
        self.text = text
        self.at = at
        self.sources: list[str] = []

    @property
    def is_at_end(self) -> bool:
        """Whether the whole text has been read."""
        return self.at == len(self.text)

    def skip_blanks(self) -> None:
        """Move to the next character that is not white space."""
        found = _NO_BLANK.search(self.text, self.at)
        self.at = found.start() if found else len(self.text)

    def take(self, *marks: str) -> str:
        """Move past the first mark that the text continues with, and return that mark.

        Raises:
            UnfinishedError: the text ends within a mark.
            MismatchError: the text does not continue with any of the marks.
        """
        return self.take_one(marks_of(*marks))

    def take_one(self, marks: Marks) -> str:
        """Move past the mark that the text continues with, and return that mark.

        Raises:
            UnfinishedError: the text ends within a mark.
            MismatchError: the text does not continue with any of the marks.
        """
        rest = self.text[self.at : self.at + marks.longest]
        if not rest or rest in marks.beginnings:
            raise UnfinishedError
        found = marks.pattern.match(rest)
        if found is None:
            raise MismatchError
        self.at += found.end()
        return found[0]

    def has(self, *marks: str) -> bool:
        """Move past the mark that the text continues with, if there is one, and return whether there was.

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

    def until(self, mark: str, longest: int) -> str:
        """Move past the next occurrence of the mark, and return the text before it.

        Args:
            mark: The text to look for.
            longest: How many characters may come before it.

        Raises:
            UnfinishedError: the mark does not occur yet.
            MismatchError: it does not occur within the next `longest` characters.
        """
        end = self.text.find(mark, self.at, self.at + longest + len(mark))
        if end < 0 and len(self.text) - self.at >= longest + len(mark):
            raise MismatchError
        if end < 0:
            raise UnfinishedError
        before = self.text[self.at : end]
        self.at = end + len(mark)
        return before

    def until_match(self, pattern: re.Pattern[str]) -> tuple[str, str]:
        """Move past the next match of the pattern, and return the text before it and the text that matches.

        Raises:
            UnfinishedError: the pattern does not match yet.
        """
        found = pattern.search(self.text, self.at)
        if found is None:
            raise UnfinishedError
        before = self.text[self.at : found.start()]
        self.at = found.end()
        return before, found[0]

    def json(self, may_become: Callable[[Any], bool]) -> Any:
        """Move past the JSON value whose first character is here, and return it.

        Args:
            may_become: Tells from the part of the value read so far whether the whole value can be of use.

        Raises:
            UnfinishedError: the value is not complete yet.
            MismatchError: the text is not JSON, or `may_become` returned False.
        """
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


_NO_BLANK = re.compile(r"\S")


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

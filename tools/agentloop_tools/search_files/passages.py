"""Splits a text into passages, which are ranked and shown on their own. Pure."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from typing import NamedTuple

MOST_CHARACTERS = 1_600
_MOST_LINES = 40
_ENOUGH_LINES = 20
_LOOKED_AT = 8_000


class Passage(NamedTuple):
    """Some lines of a file.

    Attributes:
        first: The number of its first line, from 1, or in a PDF the number of its page.
        last: The number of its last line.
        text: The text of the lines.
    """

    first: int
    last: int
    text: str


def decode(data: bytes) -> str | None:
    """Return the text of a file, or None if it is not text."""
    if data.startswith((BOM_UTF16_BE, BOM_UTF16_LE)):
        return data.decode("utf-16", "replace")
    if b"\0" in data[:_LOOKED_AT]:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def split_passages(text: str) -> Iterator[Passage]:
    """Yield the passages of a text. A passage ends at an empty line if it is long enough, and at its longest size."""
    lines = list[str]()
    size, first = 0, 1
    for number, line in enumerate(_pieces(text), 1):
        for piece in line:
            full = len(lines) == _MOST_LINES or size + len(piece) >= MOST_CHARACTERS
            if lines and (full or (len(lines) >= _ENOUGH_LINES and not lines[-1].strip())):
                yield from _passage(lines, first)
                lines, size = [], 0
            if not lines:
                first = number
            lines.append(piece)
            size += len(piece) + 1
    yield from _passage(lines, first)


def _pieces(text: str) -> Iterator[list[str]]:
    """Yield each line as a list of one piece, or of several if it is too long for a passage."""
    for line in text.replace("\r\n", "\n").split("\n"):
        if len(line) <= MOST_CHARACTERS:
            yield [line]
        else:
            yield [line[at : at + MOST_CHARACTERS] for at in range(0, len(line), MOST_CHARACTERS)]


def _passage(lines: list[str], first: int) -> Iterator[Passage]:
    """Yield a passage without the empty lines at its ends, or nothing if all lines are empty."""
    full = [number for number, line in enumerate(lines) if line.strip()]
    if full:
        start, end = full[0], full[-1]
        yield Passage(first + start, first + end, "\n".join(lines[start : end + 1]).rstrip())

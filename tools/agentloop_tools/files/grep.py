"""Searches files line by line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from agentloop_tools.files.beneath import NO_FOLLOW, READ
from agentloop_tools.files.patterns import Needle
from agentloop_tools.files.root import Names, show
from agentloop_tools.files.text import decode, read_bytes
from agentloop_tools.files.walk import Walk

MOST_MATCHES = 200
_BEFORE = 80
_LONGEST_LINE = 300


@dataclass(slots=True)
class Search:
    """A search through files.

    Attributes:
        needle: What to search for.
        walk: The walk through the folders, with the time limit.
        max_bytes: The size of the largest file that is searched.
        found: The matching lines, as text for the model.
        matched: The files with matches.
        skipped: How many files were too large or could not be read.
        searched: How many files were searched.
    """

    needle: Needle
    walk: Walk
    max_bytes: int
    found: list[str] = field(default_factory=list[str])
    matched: dict[Names, None] = field(default_factory=dict[Names, None])
    skipped: int = 0
    searched: int = 0

    def search_folder(self, start: Names) -> None:
        """Search the files of a folder and of all folders below it, until there are enough matches."""
        with closing(self.walk.visits(start)) as visits:
            for visit in visits:
                for name in visit.files:
                    if self.is_full or self.walk.is_over():
                        return
                    self._search_entry(visit.descriptor, visit.names, name)

    @property
    def is_full(self) -> bool:
        """Whether there are enough matches."""
        return len(self.found) > MOST_MATCHES

    def search_file(self, descriptor: int, names: Names) -> None:
        """Search one file."""
        data = read_bytes(descriptor, self.max_bytes)
        if data is None:
            self.skipped += 1
            return
        self.searched += 1
        if not data.isascii() or b"\0" in data:
            text = decode(data)
            data = text.content.encode("utf-8", "replace") if text else b""
        data = data.replace(b"\r\n", b"\n") if b"\r" in data else data
        number = 1
        for piece in _split(data, self.needle.piece):
            if self.is_full or self.walk.is_over():
                return
            self._search_piece(names, piece, number)
            number += piece.count(b"\n")

    def _search_entry(self, folder: int, above: Names, name: str) -> None:
        try:
            descriptor = os.open(name, READ | NO_FOLLOW, dir_fd=folder)
        except OSError:
            self.skipped += 1
            return
        try:
            self.search_file(descriptor, (*above, name))
        except OSError:
            self.skipped += 1
        finally:
            os.close(descriptor)

    def _search_piece(self, names: Names, data: bytes, number: int) -> None:
        """Search lines of a file, until there are enough matches. The first line has this number."""
        counted = start = 0
        while not self.is_full and start < len(data) and (span := self.needle.find(data, start)):
            begins = data.rfind(b"\n", 0, span[0]) + 1
            if begins == len(data):  # after the last line feed there is no line
                return
            ends = data.find(b"\n", span[0])
            ends = len(data) if ends < 0 else ends
            number += data.count(b"\n", counted, begins)
            self.matched[names] = None
            self.found.append(f"{show(names)}:{number}: {_excerpt(data, begins, ends, span[0])}")
            counted, start = begins, ends + 1


def _split(data: bytes, size: int) -> Iterator[bytes]:
    """Yield a file in pieces of whole lines. In a line longer than a piece, a match across two pieces is missed."""
    start = 0
    while len(data) - start > size:
        ends = data.rfind(b"\n", start, start + size) + 1 or start + size
        yield data[start:ends]
        start = ends
    yield data[start:] if start else data


def _excerpt(data: bytes, begins: int, ends: int, match: int) -> str:
    """Return a line, or the part around the match if the line is long."""
    first = begins if ends - begins <= _LONGEST_LINE else max(begins, match - _BEFORE)
    last = min(ends, first + _LONGEST_LINE)
    text = data[first:last].decode("utf-8", "ignore")
    return f"{'…' if first > begins else ''}{text}{'…' if last < ends else ''}"

"""Brings an index up to date with its tree, within a time limit. The next update continues where this one stopped."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

from agentloop_tools.search_files.index import Entry, drop, load_stamps, put
from agentloop_tools.search_files.passages import Passage, decode, split_passages
from agentloop_tools.search_files.pdf import MOST_BYTES, can_read_pdf, read_pages
from agentloop_tools.search_files.tree import Found, Tree
from agentloop_tools.storage.store import writing

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_BATCH_FILES = 200
_BATCH_BYTES = 4_000_000
# A file that was changed a moment ago can be changed once more without a change of its times.
_UNSETTLED_SECONDS = 0.1
_UNSETTLED = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The part of a tree that is indexed.

    Attributes:
        include: The paths to index, or None for all.
        ignore: Whether ignore files are respected.
        most_files: How many files and folders are read at most.
        most_bytes: The size of the largest file that is read.
    """

    include: GitIgnoreSpec | None
    ignore: bool
    most_files: int
    most_bytes: int


@dataclass(slots=True)
class Update:
    """One update.

    Attributes:
        connection: A connection to the index.
        tree: The files.
        scope: The part of the tree that is indexed.
        ends: The time at which to stop, by the clock. A PDF that was begun may take longer.
        stop: Stops the update at once.
        clock: Returns a monotonic time in seconds.
        now: Returns the current time in seconds.
    """

    connection: sqlite3.Connection
    tree: Tree
    scope: Scope
    ends: float
    stop: threading.Event
    clock: Callable[[], float]
    now: Callable[[], float]
    _batch: list[Entry] = field(default_factory=list[Entry])
    _batch_bytes: int = 0

    def run(self) -> bool:
        """Update the index, and return whether the whole tree is in it now."""
        known = load_stamps(self.connection)
        deleted, pdfs = set(known), list[Found]()
        for found in self.tree.walk(self.scope.most_files, ignore=self.scope.ignore, is_over=self._is_over):
            if self.scope.include is not None and not self.scope.include.match_file(found.path):
                continue
            deleted.discard(found.path)
            if known.get(found.path) == found.stamp:
                continue
            if found.path.lower().endswith(".pdf"):
                pdfs.append(found)
            else:
                self._add(self._read(found), found.size)
        if self._is_over():
            self._write()
            return False
        self._write(deleted)
        # PDF files come at the end, since one of them can take as long as a thousand other files.
        return all([self._add_pdf(found) for found in pdfs])  # noqa: C419 - all are tried, also after one that failed

    def _is_over(self) -> bool:
        return self.stop.is_set() or self.clock() > self.ends

    def _read(self, found: Found) -> Entry:
        stamp = self._stamp(found)
        if found.size > self.scope.most_bytes:
            return Entry(found.path, stamp, b"", [])
        data = self.tree.read(found.path, self.scope.most_bytes)
        digest = blake2b(data, digest_size=16).digest()
        return Entry(found.path, stamp, digest, list(split_passages(decode(data) or "")))

    def _add_pdf(self, found: Found) -> bool:
        """Add a PDF file to the index, and return whether there was time for it."""
        if self._is_over():
            return False
        stamp, pages = self._stamp(found), self._read_pages(found)
        if pages is None:
            return False
        passages = [
            Passage(number, number, passage.text)
            for number, page in enumerate(pages, 1)
            for passage in split_passages(page)
        ]
        with writing(self.connection):
            put(self.connection, Entry(found.path, stamp, stamp.encode(), passages))
        return True

    def _read_pages(self, found: Found) -> list[str] | None:
        if found.size > MOST_BYTES or not can_read_pdf():
            return []
        try:
            with self.tree.open(found.path) as file:
                return read_pages(file, self.stop, self.clock)
        except OSError:
            return []

    def _stamp(self, found: Found) -> str:
        """Return the stamp of a file, to be called before the file is read.

        A file that changed a moment ago gets a stamp that never matches, so that it is read again the next time.
        """
        return found.stamp + ("" if self.now() - found.changed > _UNSETTLED_SECONDS else _UNSETTLED)

    def _add(self, entry: Entry, size: int) -> None:
        self._batch.append(entry)
        self._batch_bytes += size
        if len(self._batch) >= _BATCH_FILES or self._batch_bytes >= _BATCH_BYTES:
            self._write()

    def _write(self, deleted: Iterable[str] = ()) -> None:
        """Write the files that were read. This is done in batches, so that other processes wait only for a moment."""
        with writing(self.connection):
            for entry in self._batch:
                put(self.connection, entry)
            for path in deleted:
                drop(self.connection, path)
        self._batch.clear()
        self._batch_bytes = 0

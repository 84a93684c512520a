"""The index: its tables, the functions that change them, and the query for passages."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from agentloop_tools.search_files.passages import Passage
from agentloop_tools.storage.words import TOKENIZE, split_words

TABLES = (
    "CREATE TABLE files (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, stamp TEXT NOT NULL, digest BLOB NOT NULL)",
    f"CREATE VIRTUAL TABLE passages USING fts5 (path, text, parts, first UNINDEXED, last UNINDEXED, {TOKENIZE})",
    "INSERT INTO passages (passages, rank) VALUES ('rank', 'bm25(3.0, 1.0, 1.0)')",
)
# The passages of a file have consecutive numbers: a row's number is the file's number, then the passage's own bits.
_OWN_BITS = 20
_MOST_PASSAGES = 1 << _OWN_BITS
_MOST_OF_ONE_FILE = 3
_MOST_LOOKED_AT = 1_000
_ONLY_A_NAME = Passage(0, 0, "")


class Entry(NamedTuple):
    """The content of a file, for the index.

    Attributes:
        path: The path below the root.
        stamp: A text that changes when the file changes.
        digest: A digest of the content.
        passages: The passages of the content. They are empty if the file can only be found by its name.
    """

    path: str
    stamp: str
    digest: bytes
    passages: list[Passage]


class Hit(NamedTuple):
    """A passage that matches a query."""

    path: str
    passage: Passage


def load_stamps(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the stamps of the files in the index, by path."""
    return dict(connection.execute("SELECT path, stamp FROM files"))


def put(connection: sqlite3.Connection, entry: Entry) -> None:
    """Add a file to the index, or replace it there. To be called in a `writing` block."""
    known = connection.execute("SELECT id, stamp, digest FROM files WHERE path = ?", (entry.path,)).fetchone()
    if known is not None and known[2] == entry.digest:
        connection.execute("UPDATE files SET stamp = ? WHERE id = ?", (entry.stamp, known[0]))
        return
    drop(connection, entry.path)
    added = connection.execute(
        "INSERT INTO files (path, stamp, digest) VALUES (?, ?, ?)", (entry.path, entry.stamp, entry.digest)
    )
    start = (added.lastrowid or 0) << _OWN_BITS
    # Only the first passage has the path, so that a query for the path finds the file once and not each passage.
    rows = (
        (
            start + own,
            entry.path if own == 0 else "",
            text,
            split_words(text if own else f"{entry.path} {text}"),
            *lines,
        )
        for own, (*lines, text) in enumerate(entry.passages[:_MOST_PASSAGES] or [_ONLY_A_NAME])
    )
    connection.executemany(
        "INSERT INTO passages (rowid, path, text, parts, first, last) VALUES (?, ?, ?, ?, ?, ?)", rows
    )


def drop(connection: sqlite3.Connection, path: str) -> None:
    """Remove a file from the index. To be called in a `writing` block."""
    for (number,) in connection.execute("DELETE FROM files WHERE path = ? RETURNING id", (path,)).fetchall():
        start = number << _OWN_BITS
        connection.execute("DELETE FROM passages WHERE rowid BETWEEN ? AND ?", (start, start + _MOST_PASSAGES - 1))


def find(connection: sqlite3.Connection, expression: str, limit: int) -> list[Hit]:
    """Return the passages that match best, with at most a few of one file.

    Args:
        connection: A connection to the index.
        expression: An expression made by `match_any`.
        limit: How many passages at most.
    """
    rows = connection.execute(
        "SELECT files.path, first, last, text FROM passages JOIN files ON files.id = passages.rowid >> ?"
        " WHERE passages MATCH ? ORDER BY passages.rank LIMIT ?",
        (_OWN_BITS, expression, _MOST_LOOKED_AT),
    )
    return _thin_out((Hit(path, Passage(first, last, text)) for path, first, last, text in rows), limit)


def _thin_out(hits: Iterable[Hit], limit: int) -> list[Hit]:
    kept, counts = list[Hit](), Counter[str]()
    for hit in hits:
        counts[hit.path] += 1
        if counts[hit.path] <= _MOST_OF_ONE_FILE:
            kept.append(hit)
        if len(kept) == limit:
            break
    return kept

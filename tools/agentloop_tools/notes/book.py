"""Book: one user's notes and to-do list, in a SQLite file of their own. The texts for the model are in `pack`."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TypeAlias

from agentloop import ToolError
from agentloop_tools.storage.store import Store, is_damage, writing
from agentloop_tools.storage.words import TOKENIZE, split_words

State: TypeAlias = Literal["open", "in_progress", "done", "dropped"]

# AUTOINCREMENT uses no number twice, so that a number that a model remembers never means another note.
TABLES = (
    "CREATE TABLE notes (number INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, day TEXT NOT NULL)",
    f"CREATE VIRTUAL TABLE words USING fts5 (text, parts, {TOKENIZE})",
    "CREATE TABLE todos (number INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, state TEXT NOT NULL)",
    "CREATE UNIQUE INDEX one_in_progress ON todos (state) WHERE state = 'in_progress'",
)
_KEPT_WHEN_FINISHED = 20
_LARGEST = 2**63 - 1


class Note(NamedTuple):
    """A note, with the day on which it was last changed."""

    number: int
    text: str
    day: str


class Todo(NamedTuple):
    """An item of the to-do list."""

    number: int
    text: str
    state: State


@dataclass(frozen=True, slots=True)
class Book:
    """One user's notes and to-do list.

    Attributes:
        store: The SQLite file.
        most_notes: How many notes there may be.
        most_todos: How many unfinished items there may be on the to-do list.
    """

    store: Store
    most_notes: int
    most_todos: int

    def add(self, text: str) -> int:
        """Add a note, and return its number."""
        with self._changed() as book:
            _refuse_more(book.execute("SELECT count(*) FROM notes"), self.most_notes, 1)
            added = book.execute("INSERT INTO notes (text, day) VALUES (?, ?)", (text, _today()))
            number = added.lastrowid or 0
            book.execute("INSERT INTO words (rowid, text, parts) VALUES (?, ?, ?)", (number, text, split_words(text)))
        return number

    def update(self, number: int, text: str) -> None:
        """Replace the text of a note."""
        with self._changed() as book:
            changed = book.execute(
                "UPDATE notes SET text = ?, day = ? WHERE number = ?", (text, _today(), _within(number))
            )
            _refuse_none(changed, f"note {number}")
            book.execute(
                "UPDATE words SET text = ?, parts = ? WHERE rowid = ?", (text, split_words(text), _within(number))
            )

    def delete(self, number: int) -> None:
        """Delete a note."""
        with self._changed() as book:
            _refuse_none(book.execute("DELETE FROM notes WHERE number = ?", (_within(number),)), f"note {number}")
            book.execute("DELETE FROM words WHERE rowid = ?", (_within(number),))

    def read(self, number: int) -> Note:
        """Return a note."""
        with self._opened() as book:
            row = book.execute("SELECT number, text, day FROM notes WHERE number = ?", (_within(number),)).fetchone()
        if row is None:
            raise ToolError(f"There is no note {number}.")
        return Note(*row)

    def latest(self, limit: int) -> list[Note]:
        """Return the newest notes."""
        with self._opened() as book:
            return [
                Note(*row)
                for row in book.execute("SELECT number, text, day FROM notes ORDER BY number DESC LIMIT ?", (limit,))
            ]

    def find(self, expression: str, limit: int) -> list[Note]:
        """Return the notes that match best.

        Args:
            expression: An expression made by `match_any`.
            limit: How many notes at most.
        """
        with self._opened() as book:
            rows = book.execute(
                "SELECT number, notes.text, day FROM words JOIN notes ON number = words.rowid"
                " WHERE words MATCH ? ORDER BY rank LIMIT ?",
                (expression, limit),
            )
            return [Note(*row) for row in rows]

    def add_todos(self, texts: list[str]) -> list[int]:
        """Add items to the to-do list, and return their numbers."""
        with self._changed() as book:
            unfinished = book.execute("SELECT count(*) FROM todos WHERE state IN ('open', 'in_progress')")
            _refuse_more(unfinished, self.most_todos, len(texts))
            return [
                book.execute("INSERT INTO todos (text, state) VALUES (?, 'open')", (text,)).lastrowid or 0
                for text in texts
            ]

    def todos(self) -> list[Todo]:
        """Return the unfinished items and the latest finished ones, in the order in which they were added."""
        with self._opened() as book:
            return [Todo(*row) for row in book.execute("SELECT number, text, state FROM todos ORDER BY number")]

    def set_state(self, number: int, state: State) -> list[int]:
        """Set the state of an item, and return the numbers of those that are open again, as one can be in progress."""
        with self._changed() as book:
            others = list[tuple[int]]()
            if state == "in_progress":
                others = book.execute(
                    "UPDATE todos SET state = 'open' WHERE state = 'in_progress' AND number != ? RETURNING number",
                    (_within(number),),
                ).fetchall()
            changed = book.execute("UPDATE todos SET state = ? WHERE number = ?", (state, _within(number)))
            _refuse_none(changed, f"item {number} on the list")
            book.execute(
                "DELETE FROM todos WHERE state IN ('done', 'dropped') AND number NOT IN (SELECT number FROM todos"
                " WHERE state IN ('done', 'dropped') ORDER BY number DESC LIMIT ?)",
                (_KEPT_WHEN_FINISHED,),
            )
        return [other for (other,) in others]

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection]:
        try:
            with self.store.open() as connection:
                yield connection
        except sqlite3.Error as error:
            # A damaged file is left as it is, because its notes could not be made again.
            why = "their file is damaged" if is_damage(error) else str(error)
            raise ToolError(f"The notes can't be used: {why}.") from error

    @contextmanager
    def _changed(self) -> Generator[sqlite3.Connection]:
        with self._opened() as connection, writing(connection):
            yield connection


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _within(number: int) -> int:
    """Return the number, or 0 if it can't be the number of a row."""
    return number if 0 < number <= _LARGEST else 0


def _refuse_none(changed: sqlite3.Cursor, what: str) -> None:
    if not changed.rowcount:
        raise ToolError(f"There is no {what}.")


def _refuse_more(counted: sqlite3.Cursor, most: int, more: int) -> None:
    (count,) = counted.fetchone()
    if count + more > most:
        raise ToolError(f"There are {count} already, and at most {most} are allowed: finish or delete some first.")

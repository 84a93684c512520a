"""Notes: the pack, its configuration and its tools."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from pydantic import Field

from agentloop import Effects, PackConfig, Tool, ToolError, ToolPack, bound_tools, tool
from agentloop_tools.notes.book import TABLES, Book, Note, State
from agentloop_tools.notes.secrets import remove_secrets
from agentloop_tools.storage.store import Store
from agentloop_tools.storage.words import match_any

_SECONDS = 15.0
_WAIT_SECONDS = 5.0
_STORE_BYTES = 500_000_000
_MOST_SHOWN = 20
_SHOWN_CHARACTERS = 500
_TODO_CHARACTERS = 500
_MOST_TODOS = 100

_CHANGES = Effects(read=True, write=True, own_store=True)
_REPLACES = replace(_CHANGES, destructive=True)
# A run that has read untrusted output may have copied it into a note, so the note taints later runs that read it.
_SHOWS = replace(_CHANGES, idempotent=True, open_world=True)


class NotesConfig(PackConfig):
    """The configuration of the notes pack."""

    user: str = Field(
        "default", min_length=1, max_length=200, description="the name of the user; each user has their own notes"
    )
    folder: Path | None = Field(
        None, description="the folder for the notes; by default in the data folder of the operating system's user"
    )
    max_notes: int = Field(1_000, gt=0, le=100_000, description="how many notes a user may have")
    max_characters: int = Field(4_000, gt=0, le=100_000, description="the length of the longest note")
    trusted: bool = Field(
        default=False,
        description="whether notes are trusted, although a run that had read web pages may have written them",
    )


class Notes(ToolPack[NotesConfig]):
    """Notes and a to-do list of one user, which outlast a run.

    Texts that look like secrets are not stored. Notes are untrusted output when they are read, unless `trusted` is
    set.
    """

    name = "notes"
    version = "1.0"
    imports = ("platformdirs",)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Iterable[Tool]]:
        """Yield the tools. The file is opened at the first call."""
        tools = bound_tools(_OpenNotes(self.config))
        yield [_trust(each) for each in tools] if self.config.trusted else tools


def _trust(tool: Tool) -> Tool:
    return replace(tool, effects=replace(tool.effects, open_world=False)) if tool.effects else tool


@dataclass(frozen=True, slots=True)
class _OpenNotes:
    """The tools of one user."""

    config: NotesConfig

    @tool(effects=_CHANGES, timeout=_SECONDS)
    def add(self, text: str) -> str:
        """Keep a note that later conversations can find.

        Args:
            text: What is worth remembering, in words that make sense on their own.
        """
        text, removed = self._check(text, self.config.max_characters)
        return f"Noted as {self._book().add(text)}.{removed}"

    @tool(effects=_SHOWS, timeout=_SECONDS, repeatable=True)
    def search(self, query: str = "", limit: int = 10) -> str:
        """Find notes by words, best first; without words, the newest.

        Args:
            query: Words to look for.
            limit: How many notes, at most 20.
        """
        limit = min(max(limit, 1), _MOST_SHOWN)
        expression = match_any(query)
        notes = self._book().find(expression, limit) if expression else self._book().latest(limit)
        return "\n".join(map(_preview, notes)) or "There is no such note."

    @tool(effects=_SHOWS, timeout=_SECONDS, repeatable=True, max_output=110_000)
    def read(self, number: int) -> str:
        """Read the whole of a note.

        Args:
            number: The note's number.
        """
        note = self._book().read(number)
        return f"{note.number} ({note.day}): {note.text}"

    @tool(effects=_REPLACES, timeout=_SECONDS)
    def update(self, number: int, text: str) -> str:
        """Replace what a note says.

        Args:
            number: The note's number.
            text: The new text.
        """
        text, removed = self._check(text, self.config.max_characters)
        self._book().update(number, text)
        return f"Note {number} is changed.{removed}"

    @tool(effects=_REPLACES, timeout=_SECONDS)
    def delete(self, number: int) -> str:
        """Delete a note.

        Args:
            number: The note's number.
        """
        self._book().delete(number)
        return f"Note {number} is deleted."

    @tool(effects=_CHANGES, timeout=_SECONDS)
    def todo_add(self, items: list[str]) -> str:
        """Put things on the list of things to do.

        Args:
            items: Each thing, in the order in which they are to be done.
        """
        if not 0 < len(items) <= _MOST_TODOS:
            raise ToolError(f"Give 1 to {_MOST_TODOS} items.")
        checked = [self._check(item, _TODO_CHARACTERS) for item in items]
        numbers = self._book().add_todos([text for text, _ in checked])
        removed = next(filter(None, (note for _, note in checked)), "")
        return f"Added as {', '.join(map(str, numbers))}.{removed}"

    @tool(effects=_SHOWS, timeout=_SECONDS, repeatable=True, max_output=60_000)
    def todo_list(self) -> str:
        """Show the list of things to do."""
        todos = self._book().todos()
        return (
            "\n".join(f"{todo.number} [{todo.state}]: {_indent(todo.text)}" for todo in todos)
            or "There is nothing to do."
        )

    @tool(effects=replace(_CHANGES, idempotent=True), timeout=_SECONDS)
    def todo_update(self, number: int, state: State) -> str:
        """Say how far a thing to do is. Only one can be in progress.

        Args:
            number: Its number on the list.
            state: How far it is; dropped, if it is not to be done after all.
        """
        open_again = "".join(f" {other} is open again." for other in self._book().set_state(number, state))
        return f"{number} is {state.replace('_', ' ')}.{open_again}"

    def _book(self) -> Book:
        from platformdirs import user_data_path  # noqa: PLC0415 - it takes 0.04 s, so only the first call imports it

        folder = self.config.folder or user_data_path("agentloop") / "notes"
        # One file per user, so that no query can show another user's notes. The name is hashed, so it can't be a path.
        name = sha256(self.config.user.encode("utf-8", "surrogatepass")).hexdigest()
        store = Store(folder.expanduser() / f"{name[:32]}.notes", TABLES, _WAIT_SECONDS, _STORE_BYTES)
        return Book(store, self.config.max_notes, _MOST_TODOS)

    def _check(self, text: str, most: int) -> tuple[str, str]:
        """Return a text as it is stored, and a note for the model if a part was left out."""
        # A lone surrogate can't be stored, and SQLite takes a NUL for the end of a text.
        text = text.encode("utf-8", "replace").decode().replace("\0", "")
        if not text.strip():
            raise ToolError("There is nothing to keep: the text is empty.")
        if len(text) > most:
            raise ToolError(f"The text has {len(text):,} characters, and at most {most:,} are allowed: shorten it.")
        kept, count = remove_secrets(text)
        return kept, f" What looked like a secret was left out ({count})." if count else ""


def _preview(note: Note) -> str:
    shown = note.text[:_SHOWN_CHARACTERS]
    more = f" [... {len(note.text):,} characters in all: read {note.number}]" if len(note.text) > len(shown) else ""
    return f"{note.number} ({note.day}): {_indent(shown)}{more}"


def _indent(text: str) -> str:
    """Indent the lines of a text, so that none of them looks like another note."""
    return "\n  ".join(text.splitlines())

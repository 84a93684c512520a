"""The pack: its configuration, and its tools as a model knows them."""

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
from agentloop_tools.store import Store
from agentloop_tools.words import match_any

_SECONDS = 15.0
_WAIT_SECONDS = 5.0
_STORE_BYTES = 500_000_000
_MOST_SHOWN = 20
_SHOWN_CHARACTERS = 500
_TODO_CHARACTERS = 500
_MOST_TODOS = 100

_CHANGES = Effects(read=True, write=True, own_store=True)
_REPLACES = replace(_CHANGES, destructive=True)
# What a run notes after it has read strangers' text may be theirs, and so it is still when a later run reads it.
_SHOWS = replace(_CHANGES, idempotent=True, open_world=True)


class NotesConfig(PackConfig):
    """Whose notes they are, where they are kept, and how many there may be."""

    user: str = Field(
        "default", min_length=1, max_length=200, description="whose notes they are; nobody sees another's"
    )
    folder: Path | None = Field(None, description="where the notes are kept; by default with the user's data")
    max_notes: int = Field(1_000, gt=0, le=100_000, description="how many notes a user may have")
    max_characters: int = Field(4_000, gt=0, le=100_000, description="the length of the longest note")
    trusted: bool = Field(
        default=False,
        description="whether notes are trusted even though a run that had read web pages may have written them",
    )


class Notes(ToolPack[NotesConfig]):
    """Notes that outlast a run, and a list of things to do, for one user.

    What looks like a secret is not kept. Notes that are read count as untrusted text, unless `trusted` is set.
    """

    name = "notes"
    version = "1.0"
    imports = ("platformdirs",)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Iterable[Tool]]:
        """Yield the tools; nothing is opened before the first call."""
        tools = bound_tools(_Desk(self.config))
        yield [_trust(each) for each in tools] if self.config.trusted else tools


def _trust(tool: Tool) -> Tool:
    return replace(tool, effects=replace(tool.effects, open_world=False)) if tool.effects else tool


@dataclass(frozen=True, slots=True)
class _Desk:
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
            text: What it is to say instead.
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
        removed = next(filter(None, (said for _, said in checked)), "")
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
        from platformdirs import user_data_path  # noqa: PLC0415 - 0.04 s, for the first call only

        folder = self.config.folder or user_data_path("agentloop") / "notes"
        # A file for each user: no query can forget whose notes it may see, and a name can't be a path.
        name = sha256(self.config.user.encode("utf-8", "surrogatepass")).hexdigest()
        store = Store(folder.expanduser() / f"{name[:32]}.notes", TABLES, _WAIT_SECONDS, _STORE_BYTES)
        return Book(store, self.config.max_notes, _MOST_TODOS)

    def _check(self, text: str, most: int) -> tuple[str, str]:
        """Return a text as it is kept, and what the model has to know about that."""
        # Half a character can't be stored, and SQLite takes a NUL for the end of a text.
        text = text.encode("utf-8", "replace").decode().replace("\0", "")
        if not text.strip():
            raise ToolError("There is nothing to keep: the text is empty.")
        if len(text) > most:
            raise ToolError(f"The text has {len(text):,} characters and {most:,} are the most: keep what matters.")
        kept, count = remove_secrets(text)
        return kept, f" What looked like a secret was left out ({count})." if count else ""


def _preview(note: Note) -> str:
    shown = note.text[:_SHOWN_CHARACTERS]
    more = f" [... {len(note.text):,} characters in all: read {note.number}]" if len(note.text) > len(shown) else ""
    return f"{note.number} ({note.day}): {_indent(shown)}{more}"


def _indent(text: str) -> str:
    """Keep the lines of a text from passing for other notes."""
    return "\n  ".join(text.splitlines())

"""Marks: which files were written by runs that had read untrusted text, so that whoever reads them is careful.

The marks outlast the run, because the next run may read the files. They are kept by path, in the user's state folder.
"""

from __future__ import annotations

import os
import sqlite3
import time
from asyncio import to_thread
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from unicodedata import normalize

from agentloop import ToolError, mark_untrusted, run_is_tainted
from agentloop_tools.storage.store import Store

_TABLES = ("CREATE TABLE marks (path BLOB PRIMARY KEY) WITHOUT ROWID",)
_NAME = "untrusted.marks"
_STORE_BYTES = 200_000_000
_MOST_KEYS = 500  # in one query
_MOST_ENTRIES = 50_000
_SLACK_SECONDS = 2.0  # by which the clock of a file system may be behind
_SEPARATOR = os.fsencode(os.sep)


@dataclass(frozen=True, slots=True)
class Marks:
    """The marked files and folders below one folder. A marked folder stands for everything in it.

    Attributes:
        root: The folder, without links.
        trusted: Whether all files are trusted, or none is; None for all but the marked ones.
    """

    root: str
    trusted: bool | None = None

    def note_read(self, paths: Iterable[str]) -> None:
        """Note that a call shows something of these files, so that its result is untrusted if one of them is marked."""
        if self.trusted is None and self.cover(paths):
            mark_untrusted()

    def note_written(self, path: str, *, whole: bool) -> None:
        """Note that a call is about to write a file, or has written the whole of it.

        Raises:
            ToolError: the run has read untrusted text, and this can't be stored.
        """
        if run_is_tainted():
            self.add([path])
        elif whole:
            self.remove(path)

    def add(self, paths: Iterable[str]) -> None:
        """Mark paths below the folder; "" is the folder itself.

        Raises:
            ToolError: the marks can't be stored.
        """
        try:
            with _find_store().open() as connection:
                connection.executemany("INSERT OR IGNORE INTO marks VALUES (?)", [(self._key(path),) for path in paths])
        except (ToolError, sqlite3.Error) as error:
            raise ToolError(
                f"not done, because it can't be stored that this run has read untrusted text: {error}. The environment "
                "variable AGENTLOOP_STATE can name another folder for it."
            ) from error

    def remove(self, path: str) -> None:
        """Remove the mark of a path whose whole content is new."""
        store = _find_store()
        if store.path.exists():
            with suppress(ToolError, sqlite3.Error), store.open() as connection:
                connection.execute("DELETE FROM marks WHERE path = ?", (self._key(path),))

    def cover(self, paths: Iterable[str]) -> bool:
        """Return whether one of these paths, or a folder above it, is marked."""
        keys = sorted({key for path in paths for key in _find_ancestors(self._key(path))})
        chunks = (keys[start : start + _MOST_KEYS] for start in range(0, len(keys), _MOST_KEYS))
        return any(self._find(f"path IN ({', '.join('?' * len(chunk))})", chunk) for chunk in chunks)

    def are_within(self) -> bool:
        """Return whether anything in the folder is marked, or the folder itself, or one above it."""
        start = self._key("").rstrip(_SEPARATOR) + _SEPARATOR
        return self.cover([""]) or self._find("path > ? AND path < ?", [start, start[:-1] + bytes([start[-1] + 1])])

    @asynccontextmanager
    async def following_changes(self) -> AsyncGenerator[None]:
        """Mark what the block changes in the folder, if the run has read untrusted text, or the folder holds some.

        During the block the whole folder is marked, in case that it does not end.

        Raises:
            ToolError: the marks can't be stored.
        """
        # Without new untrusted text a command may still copy what is marked.
        if not run_is_tainted() and not self.are_within():
            yield
            return
        since = time.time() - _SLACK_SECONDS
        was_marked = self.cover([""])
        self.add([""])
        try:
            yield
        except ToolError:
            await to_thread(self._narrow, since, was_marked=was_marked)
            raise
        await to_thread(self._narrow, since, was_marked=was_marked)

    def _narrow(self, since: float, *, was_marked: bool) -> None:
        """Mark what has changed, in place of the whole folder."""
        changed = None if was_marked else self._find_changed(since)
        if changed is not None:
            self.add(changed)
            self.remove("")

    def _find_changed(self, since: float) -> list[str] | None:
        """Return the files and folders that have changed, or None if there are too many to look at."""
        changed, left, folders = list[str](), _MOST_ENTRIES, [""]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(os.path.join(self.root, folder)) as entries:  # noqa: PTH118 - a text
                    for entry in entries:
                        left -= 1
                        path = os.path.join(folder, entry.name)  # noqa: PTH118 - a text
                        if left < 0:
                            return None
                        status = entry.stat(follow_symlinks=False)
                        is_folder = S_ISDIR(status.st_mode)
                        if is_folder:
                            folders.append(path)
                        # A folder that has only got another name has no new time of change.
                        if status.st_ctime >= since and not (is_folder and status.st_mtime >= since):
                            changed.append(path)
            except OSError:
                return None
        return changed

    def _find(self, condition: str, values: list[bytes]) -> bool:
        """Return whether there is such a mark. Where the marks can't be read, everything may be marked."""
        store = _find_store()
        if not store.path.exists():
            return False
        try:
            with store.open() as connection:
                query = f"SELECT 1 FROM marks WHERE {condition} LIMIT 1"  # noqa: S608 - the condition is one of ours
                return connection.execute(query, values).fetchone() is not None
        except (ToolError, sqlite3.Error):
            return True

    def _key(self, path: str) -> bytes:
        """Return the key of a path. It is the same for all names of a file where the file system ignores case."""
        whole = self.root if path in {"", "."} else os.path.join(self.root, path)  # noqa: PTH118 - a text
        return os.fsencode(normalize("NFC", whole).casefold())


def _find_ancestors(key: bytes) -> Iterator[bytes]:
    yield key
    while (above := os.path.dirname(key)) != key:  # noqa: PTH120 - bytes are no Path
        key = above
        yield key


def _find_store() -> Store:
    named = os.environ.get("AGENTLOOP_STATE")
    if named:
        return Store(Path(named) / _NAME, _TABLES, most_bytes=_STORE_BYTES)
    from platformdirs import user_state_path  # noqa: PLC0415 - it takes 0.04 s, and most processes don't need it

    return Store(user_state_path("agentloop") / _NAME, _TABLES, most_bytes=_STORE_BYTES)

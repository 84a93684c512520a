"""Marks: which files were written by runs that had read untrusted text, so that whoever reads them is careful.

The marks outlast the run, because the next run may read the files. They are kept by path, in the user's state folder. A
path with a slash at its end stands for the name of a folder alone: a name may hold untrusted text too.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from asyncio import to_thread
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias
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
_LOGS = ("-wal", "-journal")  # what SQLite has written to one of these is a part of the database beside it


_Folders: TypeAlias = Mapping[tuple[int, int], str]


@dataclass(frozen=True, slots=True)
class _Began:
    """How a folder was when the first of some blocks began to change it.

    Attributes:
        since: The time.
        folders: The paths of the folders by device and inode, or None if that is not known.
        blocks: How many blocks have not ended.
    """

    since: float
    folders: _Folders | None
    blocks: int = 0


_FOLLOWED: dict[str, _Began] = {}  # by the path of the folder
_FOLLOWING = threading.Lock()


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

    def note_shown(self, paths: Iterable[str]) -> None:
        """Note that a call shows these paths, so that its result is untrusted if one of the names in them is marked."""
        if self.trusted is None and self.cover(paths, names=True):
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

    def note_made(self, folders: Iterable[str]) -> None:
        """Note that a call has made these folders.

        Raises:
            ToolError: as `note_written`.
        """
        if run_is_tainted():
            self.add(f"{folder}/" for folder in folders)

    def add(self, paths: Iterable[str]) -> None:
        """Mark paths below the folder; "" is the folder itself.

        Raises:
            ToolError: the marks can't be stored.
        """
        keys = {(self._key(each),) for path in paths for each in (path, _find_database(path))}
        try:
            with _find_store().open() as connection:
                connection.executemany("INSERT OR IGNORE INTO marks VALUES (?)", sorted(keys))
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

    def cover(self, paths: Iterable[str], *, names: bool = False) -> bool:
        """Return whether one of these paths, or a folder above it, is marked; if asked, also by its name alone."""
        found = {key for path in paths for key in _find_ancestors(self._key(path))}
        keys = sorted(found | {key.rstrip(_SEPARATOR) + _SEPARATOR for key in found} if names else found)
        chunks = (keys[start : start + _MOST_KEYS] for start in range(0, len(keys), _MOST_KEYS))
        return any(self._find(f"path IN ({', '.join('?' * len(chunk))})", chunk) for chunk in chunks)

    def are_within(self) -> bool:
        """Return whether anything in the folder is marked, or the folder itself, or one above it."""
        start = self._key("").rstrip(_SEPARATOR) + _SEPARATOR
        return self.cover([""]) or self._find("path > ? AND path < ?", [start, start[:-1] + bytes([start[-1] + 1])])

    @asynccontextmanager
    async def following_changes(self, *sources: Marks) -> AsyncGenerator[None]:
        """Mark what the block changes in the folder, if the run has read untrusted text, or the folder holds some.

        During the block the whole folder is marked, in case that it does not end.

        Args:
            sources: Other folders that the block may copy from.

        Raises:
            ToolError: the marks can't be stored.
        """
        # Without new untrusted text a command may still copy what is marked.
        if not run_is_tainted() and not any(each.are_within() for each in (self, *sources)):
            yield
            return
        await to_thread(self._begin)
        try:
            yield
        finally:
            await to_thread(self._end)

    def _begin(self) -> None:
        """Mark the whole folder, and note how it was if no other block of this process changes it already."""
        with _FOLLOWING:
            began = _FOLLOWED.get(self.root) or _Began(
                time.time() - _SLACK_SECONDS, None if self.cover([""]) else self._list_folders()
            )
            self.add([""])
            _FOLLOWED[self.root] = replace(began, blocks=began.blocks + 1)

    def _end(self) -> None:
        """Mark what has changed in place of the whole folder, at the end of the last block that changes it."""
        with _FOLLOWING:
            began = _FOLLOWED.pop(self.root)
            if began.blocks > 1:
                _FOLLOWED[self.root] = replace(began, blocks=began.blocks - 1)
                return
            changed = None if began.folders is None else self._find_changed(began.since, began.folders)
            self.add([""] if changed is None else changed)  # another process may have removed the mark of the folder
            if changed is not None:
                self.remove("")

    def _list_folders(self) -> _Folders | None:
        """Return the paths of the folders by device and inode, or None if there is too much to look at."""
        try:
            entries = (
                (path, entry.stat(follow_symlinks=False)) for path, entry, is_folder in self._walk() if is_folder
            )
            return {(status.st_dev, status.st_ino): path for path, status in entries}
        except OSError:
            return None

    def _find_changed(self, since: float, before: _Folders) -> list[str] | None:
        """Return the files and folders that have changed, or None if there is too much to look at."""
        changed = list[str]()
        try:
            for path, entry, is_folder in self._walk():
                status = entry.stat(follow_symlinks=False)
                if status.st_ctime < since:
                    continue
                known = before.get((status.st_dev, status.st_ino)) if is_folder else None
                if not is_folder or known not in {None, path} or status.st_mtime < since:
                    changed.append(path)  # what is in a folder that has got another name has no new time of change
                elif known is None:
                    changed.append(f"{path}/")
        except OSError:
            return None
        return changed

    def _walk(self) -> Iterator[tuple[str, os.DirEntry[str], bool]]:
        """Yield all that is in the folder: its path, its entry, and whether it is a folder.

        Raises:
            OSError: the folder can't be looked into, or there is too much in it.
        """
        left, folders = _MOST_ENTRIES, [""]
        while folders:
            folder = folders.pop()
            with os.scandir(os.path.join(self.root, folder)) as entries:  # noqa: PTH118 - a text
                for entry in entries:
                    left -= 1
                    if left < 0:
                        raise OSError("too many entries")
                    path = os.path.join(folder, entry.name)  # noqa: PTH118 - a text
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if is_folder:
                        folders.append(path)
                    yield path, entry, is_folder

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


def _find_database(path: str) -> str:
    """Return the database that a file is a log of, or the file itself."""
    return next((path.removesuffix(end) for end in _LOGS if path.endswith(end)), path)


def _find_store() -> Store:
    named = os.environ.get("AGENTLOOP_STATE")
    if named:
        return Store(Path(named) / _NAME, _TABLES, most_bytes=_STORE_BYTES)
    from platformdirs import user_state_path  # noqa: PLC0415 - it takes 0.04 s, and most processes don't need it

    return Store(user_state_path("agentloop") / _NAME, _TABLES, most_bytes=_STORE_BYTES)

"""Finds and opens the files below a folder. It never leaves the folder: it follows neither links nor mounts."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from agentloop_tools.files.beneath import FOLDER, READ, Opener, choose_opener
from agentloop_tools.search_files.ignored import IGNORE_FILE, MOST_BYTES, Ignored, is_left_out

_DEEPEST = 64


@dataclass(frozen=True, slots=True)
class Found:
    """A file of the tree.

    Attributes:
        path: The path below the root, with slashes.
        stamp: A text that changes when the file changes.
        size: The size in bytes.
        changed: The time of the last change, in seconds.
    """

    path: str
    stamp: str
    size: int
    changed: float


class Tree:
    """An open folder. `open_tree` makes it."""

    def __init__(self, root: int, opener: Opener) -> None:
        self._left = 1
        self._root, self._opener = root, opener
        self._device = os.fstat(root).st_dev

    def walk(self, most_entries: int, *, ignore: bool, is_over: Callable[[], bool]) -> Generator[Found]:
        """Yield the files, folder by folder in the order of their names, without those that are left out.

        Args:
            most_entries: How many files and folders are read at most.
            ignore: Whether ignore files are respected.
            is_over: Returns whether to stop. Many folders with many rules take long, even if no file is found.
        """
        self._left = most_entries
        waiting = deque([("", Ignored())])
        while waiting and not is_over():
            folder, ignored = waiting.popleft()
            entries = self._list(folder)
            if ignore and IGNORE_FILE in entries:
                ignored = ignored.deeper(folder, self.read(folder + IGNORE_FILE, MOST_BYTES))
            for name in sorted(entries):
                if is_over():
                    return
                path = folder + name
                if stat.S_ISDIR(entries[name].st_mode):
                    if not ignored.covers(f"{path}/") and path.count("/") < _DEEPEST:
                        waiting.append((f"{path}/", ignored))
                elif not ignored.covers(path):
                    yield _found(path, entries[name])

    @property
    def is_cut(self) -> bool:
        """Whether the last walk reached its limit on entries, so that there may be more."""
        return self._left <= 0

    def read(self, path: str, most_bytes: int) -> bytes:
        """Return the beginning of a file, or b"" if it can't be read."""
        try:
            with self.open(path) as file:
                return _read(file, most_bytes)
        except OSError:
            return b""

    @contextmanager
    def open(self, path: str) -> Generator[int]:
        """Open a regular file of the tree, and yield its descriptor.

        Raises:
            OSError: there is no such file, or a link is on its path.
        """
        with self._opened(path, READ) as file:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError("not a regular file")
            yield file

    def has(self, path: str) -> bool:
        """Return whether a file can still be read."""
        try:
            with self.open(path):
                return True
        except OSError:
            return False

    def _list(self, folder: str) -> dict[str, os.stat_result]:
        """Return the files and folders in a folder that are not left out by their names."""
        entries = dict[str, os.stat_result]()
        with suppress(OSError), self._opened(folder, FOLDER) as opened, os.scandir(opened) as found:
            for entry in islice(found, self._left):
                self._left -= 1
                # An entry that has been deleted by now is left out.
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if not is_left_out(entry.name) and status.st_dev == self._device and _is_plain(status):
                        entries[entry.name] = status
        return entries

    @contextmanager
    def _opened(self, path: str, flags: int) -> Generator[int]:
        names = [name for name in path.split("/") if name]
        if ".." in names:
            raise OSError("the path leads out of the tree")
        opened = self._opener(self._root, names, flags)
        try:
            yield opened
        finally:
            os.close(opened)


@contextmanager
def open_tree(root: Path, opener: Opener | None = None) -> Generator[Tree]:
    """Open a folder, and yield its tree. It stays the same folder during the block, even if the path is moved."""
    opened = os.open(root, FOLDER)
    try:
        yield Tree(opened, opener or choose_opener(opened))
    finally:
        os.close(opened)


def _read(file: int, most_bytes: int) -> bytes:
    with os.fdopen(file, "rb", closefd=False) as reader:
        return reader.read(most_bytes)


def _is_plain(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)


def _found(path: str, status: os.stat_result) -> Found:
    # A program can restore the modification time after a change, but it can't set the change time.
    stamp = f"{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_size}:{status.st_ino}"
    return Found(path, stamp, status.st_size, max(status.st_mtime, status.st_ctime))

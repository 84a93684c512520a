"""Measures what a command has written to the disk, and removes its folder for temporary files.

Both follow no link, and work whatever the command has done to its folders: without rights, or nested without end.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from typing import Any

_BLOCK = 512
_ENTRY = 4096  # what a file counts on top of its content, so that many empty ones count too
_DEEPEST, _TOO_DEEP = 300, 2**40  # how deep folders are looked into, and what a deeper one counts
_NO_LINK = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)  # Windows has neither
_OPENING = os.O_RDONLY | _NO_LINK
_PATH_ALONE = getattr(os, "O_PATH", 0) | _NO_LINK
_ALL_RIGHTS = 0o700
_REST = 20  # a measurement rests this many times as long as the last one took
_TICK_SECONDS = 0.05
_CHEAP_SECONDS = 0.05


def measure(folder: str) -> int:
    """Return how many bytes on the disk the files of a folder take, each file counted once."""
    try:
        with _open_folder(folder, None) as opened:
            return _measure(opened, set(), 0)
    except OSError:
        return 0


def _measure(folder: int, seen: set[tuple[int, int]], depth: int) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # it is gone by now
                found = entry.stat(follow_symlinks=False)
                if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                    if (found.st_dev, found.st_ino) in seen:
                        continue
                    seen.add((found.st_dev, found.st_ino))
                total += found.st_blocks * _BLOCK + _ENTRY
                if not stat.S_ISDIR(found.st_mode):
                    continue
                if depth == _DEEPEST:
                    total += _TOO_DEEP
                    continue
                with _open_folder(entry.name, folder) as below:
                    total += _measure(below, seen, depth + 1)
    return total


def measure_unlinked(processes: Iterable[int]) -> int:
    """Return how many bytes the files take that some processes hold open and that have no name any more."""
    sizes = dict[tuple[int, int], int]()
    for process in processes:
        with suppress(OSError), os.scandir(f"/proc/{process}/fd") as links:
            for link in links:
                with suppress(OSError):
                    found = link.stat()
                    if stat.S_ISREG(found.st_mode) and not found.st_nlink:
                        sizes[found.st_dev, found.st_ino] = found.st_blocks * _BLOCK
    return sum(sizes.values())


@contextmanager
def _open_folder(name: str, parent: int | None) -> Generator[int]:
    """Open a folder, also one without rights."""
    try:
        opened = os.open(name, _OPENING, dir_fd=parent)
    except PermissionError:
        with _changed_rights(name, parent):
            opened = os.open(name, _OPENING, dir_fd=parent)
    try:
        yield opened
    finally:
        os.close(opened)


@contextmanager
def _changed_rights(name: str, parent: int | None) -> Generator[None]:
    """Give the owner all rights to a folder, for as long as this is entered."""
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    _change_rights(name, parent, _ALL_RIGHTS)
    try:
        yield
    finally:
        _change_rights(name, parent, stat.S_IMODE(found.st_mode))


def _change_rights(name: str, parent: int | None, mode: int) -> None:
    if not hasattr(os, "O_PATH"):
        os.chmod(name, mode, dir_fd=parent, follow_symlinks=False)
        return
    opened = os.open(name, _PATH_ALONE, dir_fd=parent)  # Linux changes a link's target: so it is opened first
    try:
        os.chmod(f"/proc/self/fd/{opened}", mode)  # noqa: PTH101 - the path is text
    finally:
        os.close(opened)


def remove_folder(path: str) -> None:
    """Remove a folder with all that is in it. One that is gone is no error.

    Folders are moved up before they are emptied, so that no path is too long and no nesting too deep.
    """
    with suppress(FileNotFoundError):
        _change_rights(path, None, _ALL_RIGHTS)
        top = os.open(path, _OPENING)
        try:
            while names := os.listdir(top):  # noqa: PTH208 - pathlib takes no descriptors
                for name in names:
                    _remove(name, top, top)
        finally:
            os.close(top)
        os.rmdir(path)  # noqa: PTH106 - pathlib would take the supervisor longer to import than all its other work


def _remove(name: str, folder: int, top: int) -> None:
    """Remove a file. Empty a folder first, and move the folders in it to the top."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=folder)
        return
    _change_rights(name, folder, _ALL_RIGHTS)
    if folder != top:
        os.rename(name, os.urandom(8).hex(), src_dir_fd=folder, dst_dir_fd=top)
        return
    opened = os.open(name, _OPENING, dir_fd=folder)
    try:
        for each in os.listdir(opened):  # noqa: PTH208 - as above
            _remove(each, opened, top)
    finally:
        os.close(opened)
    os.rmdir(name, dir_fd=folder)


class DiskWatch:
    """Tells whether the commands of a run have written too much, without measuring all the time.

    It measures again after a rest, or when the disk has lost half of the space that is left to the run.

    Args:
        state: What is known from earlier calls of the run: see `start_watch`.
        scratch: The folder for temporary files.
    """

    def __init__(self, state: dict[str, Any], scratch: str) -> None:
        self._state = state
        self._scratch = scratch
        self._scratch_free = free_space(scratch)
        self._grown_before = max(0, state["grown"])
        self._used = self._grown_before
        self._due = 0.0

    def exceeds(self, processes: Iterable[int]) -> bool:
        """Return whether more was written than the run may write, and this command has a part in it.

        Args:
            processes: The ids of the command's processes.
        """
        if time.monotonic() >= self._due or self._lost() > (self._state["most"] - self._used) / 2:
            self._measure(processes)
        return bool(self._used > self._state["most"] and self._used > self._grown_before)

    def end(self) -> bool:
        """Return `exceeds` for a command that has ended. A folder that takes long is measured only if it has to be."""
        if self._state["cost"] > _CHEAP_SECONDS:
            return self.exceeds(())
        self._measure(())
        return self.exceeds(())

    def _lost(self) -> int:
        """Return how much space the disks have lost since the last measurement, to anybody."""
        root = self._state["root"]
        lost = self._state["free"] - free_space(root) if root else 0
        return max(lost, self._scratch_free - free_space(self._scratch))

    def _measure(self, processes: Iterable[int]) -> None:
        state, began = self._state, time.monotonic()
        self._scratch_free = free_space(self._scratch)
        self._used = measure(self._scratch) + measure_unlinked(processes)
        if state["root"]:
            before = time.monotonic()
            state["free"] = free_space(state["root"])
            state["grown"] = measure(state["root"]) - state["before"]
            state["cost"] = time.monotonic() - before
        self._used += max(0, state["grown"])
        ended = time.monotonic()
        self._due = ended + max(_TICK_SECONDS, _REST * (ended - began))


def start_watch(root: str, most: int) -> dict[str, Any]:
    """Return the state of a run that has written nothing.

    Args:
        root: The folder that commands may write in, or "".
        most: How many bytes they may write.
    """
    began = time.monotonic()
    size = measure(root) if root else 0
    cost = time.monotonic() - began
    return {"root": root, "most": most, "before": size, "grown": 0, "free": free_space(root), "cost": cost}


def free_space(folder: str) -> int:
    """Return how many bytes are free on the disk of a folder, or 0 if there is no such folder."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize

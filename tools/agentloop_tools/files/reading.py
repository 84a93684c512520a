"""Reading: the tools that change nothing: read, list, glob, grep and stat."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from itertools import accumulate, islice, takewhile
from time import monotonic
from typing import Any

from agentloop import Effects, ToolError, tool
from agentloop_tools.files.grep import MOST_MATCHES, Search
from agentloop_tools.files.patterns import read_pattern
from agentloop_tools.files.root import Folder, Names, Opened, Root, show, split_path
from agentloop_tools.files.text import FileText, decode, fingerprint, read_bytes
from agentloop_tools.files.walk import Walk
from agentloop_tools.files.wildcard import Wildcard
from agentloop_tools.storage.marks import Marks

LOOKS = Effects(read=True, idempotent=True)

_MOST_PATHS = 500
_PAGE = 16_000
_LONGEST_LINE = 2_000


class Reading:
    """The tools of one run that read files.

    Args:
        root: The root folder.
        max_bytes: The size of the largest file that is read.
        ignore: Whether `.gitignore` files are respected.
        trusted: Whether all files are trusted, or none is; None for all that no run has written that had read untrusted
            text.
        seconds: How long a walk through the folders may take.
        clock: Returns the time in seconds.
    """

    def __init__(
        self,
        root: Root,
        max_bytes: int,
        *,
        ignore: bool,
        trusted: bool | None = None,
        seconds: float = 20,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.root = root
        self.marks = Marks(root.path, trusted)
        root.note_shown = self.marks.note_shown
        self.max_bytes = max_bytes
        self.seen: dict[Names, bytes] = {}
        self._ignore = ignore
        self._seconds = seconds
        self._clock = clock

    @tool(effects=LOOKS, timeout=30)
    def read(self, path: str, start: int = 1, lines: int = 400) -> str:
        """Read a text file. Each line comes with its number and a tab, which are not part of the file.

        Args:
            path: The file, relative to the root folder.
            start: The first line wanted.
            lines: How many lines at most.
        """
        if start < 1 or lines < 1:
            raise ToolError("start and lines count from 1")
        with self.root.enter(path) as folder, folder.open_file(path) as opened:
            data, text = self.load(path, opened)
            self.seen[opened.names] = fingerprint(data)
            self.marks.note_read(["/".join(opened.names)])
        every = text.lines
        if not every:
            return "[the file is empty]"
        if start > len(every):
            raise ToolError(f"{path} has {len(every)} lines; start={start} is after its end")
        shown = list(_page(every, start, lines))
        last = start + len(shown) - 1
        notes = [] if text.codec == "utf-8" else [f"decoded as {text.codec}"]
        if (start, last) != (1, len(every)):
            notes.append(f"lines {start} to {last} of {len(every)}")
        if last < len(every):
            notes.append(f"go on with start={last + 1}")
        return _with_notes(shown, notes)

    @tool(name="list", effects=LOOKS, timeout=30)
    def list_folder(self, path: str = ".") -> str:
        """List what is in a folder: files with their size in bytes, folders with a slash at the end.

        Args:
            path: The folder, relative to the root folder; "." is the root folder itself.
        """
        shown: list[str] = []
        with self.root.enter(path) as folder:
            walk = self._walk(folder, "**")
            with folder.open_any(path) as opened:
                if not stat.S_ISDIR(opened.status.st_mode):
                    raise ToolError(f"{path} is not a folder")
            with closing(walk.visits(opened.names, deep=False)) as visits:
                for visit in visits:
                    names = (*(f"{name}/" for name in visit.folders), *visit.files, *visit.others)
                    self.marks.note_shown("/".join((*visit.names, name)) for name in names[:_MOST_PATHS])
                    shown += (f"{show([name])}/" for name in visit.folders)
                    shown += (
                        f"{show([name])}  {_size(visit.descriptor, name)}" for name in visit.files[: _MOST_PATHS + 1]
                    )
                    shown += (f"{show([name])}  (link or special file)" for name in visit.others)
        return _fit(shown or ["[the folder is empty]"], _walk_notes(walk))

    @tool(name="glob", effects=LOOKS, timeout=30)
    def find_files(self, pattern: str) -> str:
        """Find files by name.

        Args:
            pattern: Such as "*.py" for any folder, or "src/**/test_*.py".
        """
        with self.root.enter(pattern) as folder:
            walk = self._walk(folder, pattern)
            with closing(_paths(walk)) as paths:
                found = list(islice(paths, _MOST_PATHS + 1))
        self.marks.note_shown("/".join(names) for names in found)
        shown = [show(names) for names in found]
        return _fit(shown or ["[no file matches]"], _walk_notes(walk))

    @tool(name="grep", effects=LOOKS, timeout=30)
    def search(self, pattern: str, path: str = ".", glob: str = "**") -> str:
        """Find the lines that match a regular expression, as path:line: text.

        Args:
            pattern: A regular expression; (?i) at its start ignores case.
            path: The file or folder to search.
            glob: Which files, such as "*.py".
        """
        needle = read_pattern(pattern)
        with self.root.enter(path) as folder:
            walk = self._walk(folder, glob)
            search = Search(needle, walk, self.max_bytes)
            with folder.open_any(path) as opened:
                if stat.S_ISDIR(opened.status.st_mode):
                    search.search_folder(opened.names)
                elif stat.S_ISREG(opened.status.st_mode):
                    search.search_file(opened.descriptor, opened.names)
                else:
                    raise ToolError(f"{path} is neither a file nor a folder")
        self.marks.note_shown("/".join(names) for names in search.matched)
        notes = [needle.note] if needle.note else []
        if search.skipped:
            notes.append(f"{search.skipped} files left out: unreadable, or larger than {self.max_bytes:,} bytes")
        if walk.cut:
            notes.append(f"not everything was searched: {walk.cut}")
        return _fit(search.found or [f"[no match in {search.searched:,} files]"], notes, MOST_MATCHES)

    @tool(name="stat", effects=LOOKS, timeout=10)
    def describe(self, path: str) -> str:
        """Tell what a path is, its size in bytes, and when it was changed.

        Args:
            path: The file or folder, relative to the root folder.
        """
        with self.root.enter(path) as folder, folder.open_any(path) as opened:
            status = opened.status
            if opened.names != split_path(path):  # the target of a link is shown
                self.marks.note_shown(["/".join(opened.names)])
        kind = next((word for test, word in _KINDS if test(status.st_mode)), "special file")
        changed = datetime.fromtimestamp(status.st_mtime, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        size = f", {status.st_size} bytes" if stat.S_ISREG(status.st_mode) else ""
        return f"{show(opened.names)}: {kind}{size}, changed {changed}, {stat.filemode(status.st_mode)}"

    def read_path(self, arguments: Mapping[str, Any]) -> list[str]:
        """Return the path that a call is about, below the root folder and without links, for rules."""
        path = arguments["path"]
        with self.root.enter(path) as folder:
            return ["/".join(folder.resolve(path)) or "."]

    def load(self, path: str, opened: Opened) -> tuple[bytes, FileText]:
        """Return the bytes and the text of an open file.

        Raises:
            ToolError: it is too large, or is not text.
        """
        data = read_bytes(opened.descriptor, self.max_bytes)
        if data is None:
            raise ToolError(f"{path} is larger than {self.max_bytes:,} bytes, the most that may be read")
        text = decode(data)
        if text is None:
            raise ToolError(f"{path} is binary, not text: {len(data):,} bytes")
        return data, text

    def _walk(self, folder: Folder, glob: str) -> Walk:
        return Walk(folder, Wildcard(glob), self._clock() + self._seconds, self._ignore, self._clock)


_KINDS = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "folder"))


def _page(every: list[str], start: int, most: int) -> Iterator[str]:
    room = _PAGE
    for number, line in enumerate(every[start - 1 : start - 1 + most], start):
        cut = f"… [{len(line):,} characters]" if len(line) > _LONGEST_LINE else ""
        shown = f"{number}\t{line[:_LONGEST_LINE]}{cut}"
        room -= len(shown) + 1
        if room < 0 and number > start:
            return
        yield shown


def _paths(walk: Walk) -> Generator[Names]:
    with closing(walk.visits(())) as visits:
        for visit in visits:
            if walk.is_over():
                return
            yield from ((*visit.names, name) for name in visit.files)


def _size(folder: int, name: str) -> str:
    try:
        return str(os.stat(name, dir_fd=folder, follow_symlinks=False).st_size)
    except OSError:
        return "?"


def _walk_notes(walk: Walk) -> list[str]:
    return [f"not everything was searched: {walk.cut}"] if walk.cut else []


def _fit(lines: list[str], notes: list[str], most: int = _MOST_PATHS) -> str:
    """Return as many lines as the limits allow, with the notes and, if there are more lines, a note that says so."""
    ends = accumulate(len(line) + 1 for line in lines)
    count = sum(1 for _ in takewhile(lambda end: end <= _PAGE, islice(ends, most)))
    if count < len(lines):
        notes = [*notes, f"only the first {count} are shown: ask more precisely"]
    return _with_notes(lines[:count], notes)


def _with_notes(lines: list[str], notes: list[str]) -> str:
    return "\n".join([*lines, *([f"[{'; '.join(notes)}]"] if notes else [])])

"""Writing: the tools that change files: write and edit. The run must have read a file's current content before.

After a pause it is not known any more what the run has read. Then a call that has waited for a person counts as read
what its preview shows: the person's decision holds only if the same preview was made before the pause.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from agentloop import Effects, ToolError, call_has_waited, tool
from agentloop_tools.files.diff import make_diff
from agentloop_tools.files.reading import Reading
from agentloop_tools.files.root import Folder, MissingFileError, Names, Opened, Root, show, split_path
from agentloop_tools.files.saving import save
from agentloop_tools.files.text import FileText, escape, fingerprint

_CHANGES = Effects(read=True, write=True, destructive=True)
_WRITABLE = 0o222
_MOST_FOUND = 1_000
_MOST_PLACES = 10
_NUMBERED = re.compile(r"\s*\d+\t")


@dataclass(frozen=True, slots=True)
class _Shown:
    """The file that a preview was about.

    Attributes:
        names: Its path below the root without links, or None if the call would fail.
        exists: Whether there was such a file.
        content: The digest of its content, if the call has waited for a person while the run was paused.
    """

    names: Names | None
    exists: bool = True
    content: bytes | None = None


_FAILING = _Shown(None)


class Writing(Reading):
    """The tools of one run that read and write files."""

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
        super().__init__(root, max_bytes, ignore=ignore, trusted=trusted, seconds=seconds, clock=clock)
        self._lock = threading.Lock()
        self._shown: dict[str, _Shown] = {}  # by the path in a call: the file that its preview was about

    @tool(effects=_CHANGES, timeout=30, parallel=False)
    def write(self, path: str, content: str) -> str:
        """Write a whole file. One that exists must have been read before.

        Args:
            path: The file, relative to the root folder.
            content: The whole new content.
        """
        data = self._encode(FileText(content))
        with self.root.enter(path) as folder, self._lock:
            try:
                with folder.open_file(path) as opened:
                    self._check_seen(path, opened)
                    self._check_shown(path, opened.names)
                    self._save(folder, opened.names, data, opened.status)
                    return f"wrote {len(data)} bytes to {path}"
            except MissingFileError as missing:
                names = missing.names
            _refuse_link(path, names)
            self._check_shown(path, names, exists=False)
            self.marks.note_made(map("/".join, folder.make_folders(names[:-1])))
            self._save(folder, names, data, None)
            return f"wrote {len(data)} bytes to the new file {path}"

    @tool(effects=_CHANGES, timeout=30, parallel=False)
    def edit(self, path: str, old: str, new: str) -> str:
        """Replace a piece of text in a file that has been read before.

        Args:
            path: The file, relative to the root folder.
            old: The text to replace, exactly as it is in the file, without line numbers; it must occur only once.
            new: The text to put in its place.
        """
        with self.root.enter(path) as folder, self._lock, folder.open_file(path) as opened:
            edited, line = _edit(path, self._check_seen(path, opened), old, new)
            self._check_shown(path, opened.names)
            self._save(folder, opened.names, self._encode(edited), opened.status, whole=False)
        return f"edited {path} at line {line}"

    def preview_write(self, path: str, content: str) -> str:
        """Return what a write would change."""
        new = FileText(content)
        self._shown[path] = _FAILING
        try:
            self._encode(new)
            return make_diff(*self._load_old(path), new)
        except ToolError as error:
            return f"this call will fail: {escape(error.message)}"

    def preview_edit(self, path: str, old: str, new: str) -> str:
        """Return what an edit would change."""
        self._shown[path] = _FAILING
        try:
            with self.root.enter(path) as folder, folder.open_file(path) as opened:
                data, text = self.load(path, opened)
            edited, _ = _edit(path, text, old, new)
            self._encode(edited)
            return make_diff(self._note_shown(path, opened.names, data), text, edited)
        except ToolError as error:
            return f"this call will fail: {escape(error.message)}"

    def _load_old(self, path: str) -> tuple[str, FileText]:
        """Return what a preview calls a file, and the text that a write would replace; "" if it would make the file."""
        try:
            with self.root.enter(path) as folder, folder.open_file(path) as opened:
                data, text = self.load(path, opened)
                return self._note_shown(path, opened.names, data), text
        except MissingFileError as missing:
            _refuse_link(path, missing.names)
            self._shown[path] = _Shown(missing.names, exists=False)
            return path, FileText("")

    def _note_shown(self, path: str, names: Names, data: bytes) -> str:
        """Note which file a preview is about, and return what it calls the file: its path, and where a link leads."""
        self._shown[path] = _Shown(names, content=fingerprint(data) if call_has_waited() else None)
        return path if names == split_path(path) else f"{path}, a link to {'/'.join(names)}"

    def _check_shown(self, path: str, names: Names, *, exists: bool = True) -> None:
        """Check that a path leads to the file that its last preview was about, if it had one.

        A link that has appeared since then would lead to another file. `_check_seen` compares the content.
        """
        shown = self._shown.get(path)
        if shown is not None and (shown.names != names or (shown.exists and not exists)):
            del self._shown[path]
            raise ToolError(f"{path} is not the file that a person was shown: call again, so that they can see it")

    def _check_seen(self, path: str, opened: Opened) -> FileText:
        """Return the text of a file, if this run has read it and it has not changed since then."""
        shown = self._shown.get(path, _FAILING)
        seen = self.seen.get(opened.names) or (shown.content if shown.names == opened.names else None)
        if seen is None:
            raise ToolError(f"{path} exists and has not been read: read it first")
        if not opened.status.st_mode & _WRITABLE:
            raise ToolError(f"{path} is write-protected")
        data, text = self.load(path, opened)
        if fingerprint(data) != seen:
            raise ToolError(f"{path} has changed since it was read: read it again")
        return text

    def _save(
        self, folder: Folder, names: Names, data: bytes, expected: os.stat_result | None, *, whole: bool = True
    ) -> None:
        self.marks.note_written("/".join(names), whole=whole)
        with folder.open_folder(names[:-1]) as above:
            save(above, names[-1], data, expected)
        self.seen[names] = fingerprint(data)

    def _encode(self, text: FileText) -> bytes:
        data = text.encode()
        if len(data) > self.max_bytes:
            raise ToolError(f"that would be {len(data):,} bytes; a file may have {self.max_bytes:,}")
        return data


def _refuse_link(path: str, names: Names) -> None:
    if names != split_path(path):
        message = f"{path} is a link, or goes through one: to make a new file, name {show(names)}"
        raise MissingFileError(message, names, [names])


def _edit(path: str, text: FileText, old: str, new: str) -> tuple[FileText, int]:
    """Return the text with a piece replaced, and the line where it began."""
    if not old:
        raise ToolError("old is empty: give the text to replace; to make a new file, use write")
    if old == new:
        raise ToolError("old and new are the same: nothing would change")
    content = text.content
    # Models write line feeds; the file may have other line ends, even several kinds.
    ends = ("\r\n", "\n") if "\r\n" in content else ("\n",)
    for end in ends:
        old_piece = old.replace("\r\n", "\n").replace("\n", end)
        lines = _find_lines(content, old_piece)
        if len(lines) == 1:
            new_piece = new.replace("\r\n", "\n").replace("\n", end)
            return text.with_content(content.replace(old_piece, new_piece)), lines[0]
        if lines:
            where = ", ".join(map(str, lines[:_MOST_PLACES]))
            raise ToolError(
                f"old occurs {len(lines)} times in {path}, at lines {where}: give more of the text around it"
            )
    hint = " without the line numbers" if _NUMBERED.match(old) else " with its spaces and line breaks"
    raise ToolError(f"old does not occur in {path}: give it exactly as it is in the file,{hint}")


def _find_lines(content: str, piece: str) -> list[int]:
    """Return the numbers of the lines where a piece begins. Overlapping occurrences count too."""
    lines: list[int] = []
    place, counted, line = content.find(piece), 0, 1
    while place >= 0 and len(lines) < _MOST_FOUND:
        line += content.count("\n", counted, place)
        counted = place
        lines.append(line)
        place = content.find(piece, place + 1)
    return lines

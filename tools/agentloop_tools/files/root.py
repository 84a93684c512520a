"""Root: opens paths below the root folder, follows links inside it, and refuses denied names."""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
import unicodedata
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import translate
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from agentloop import ConfigurationError, ToolError
from agentloop_tools.files.beneath import FOLDER, READ, Opener, choose_opener
from agentloop_tools.files.text import escape

Names: TypeAlias = tuple[str, ...]

_LONGEST = 4_096
_MOST_LINKS = 20
# Characters that are ignored when names are compared, as format characters are: variation selectors and the like.
_UNSEEN = frozenset(map(chr, (0x034F, 0x115F, 0x1160, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10))))
_MOST_NEIGHBOURS = 1_000
_OUT = "leads out of the root folder"
_WHY = {
    errno.EACCES: "may not be opened",
    errno.EEXIST: "exists already",
    errno.ELOOP: "goes through a link that was changed at the same time",
    errno.ENAMETOOLONG: "is too long for a path",
    errno.ENOENT: "does not exist",
    errno.ENOSPC: "can't be written: the disk is full",
    errno.ENOTDIR: "does not exist: a part of it is a file, not a folder",
    errno.ENXIO: "is not a regular file",
    errno.EPERM: "may not be opened",
    errno.EROFS: "can't be written: its disk is read-only",
}


class MissingFileError(ToolError):
    """There is no such file.

    Attributes:
        names: Its path below the root, after following links.
        near: The paths that the message names, because they are similar.
    """

    def __init__(self, message: str, names: Names, near: Sequence[Names] = ()) -> None:
        super().__init__(message)
        self.names = names
        self.near = near


@dataclass(frozen=True, slots=True)
class Opened:
    """An open file or folder.

    Attributes:
        descriptor: The descriptor. The function that opened it closes it.
        names: The path below the root, without links.
        status: The status of the file.
    """

    descriptor: int
    names: Names
    status: os.stat_result


@dataclass(frozen=True, slots=True)
class Folder:
    """The root folder for one call.

    Attributes:
        descriptor: The call's own descriptor, so that its number can't be reused for another folder.
        is_denied: Returns whether files of this name are denied.
        is_wanted: Returns whether the run still goes on.
    """

    descriptor: int
    is_denied: Callable[[str], bool]
    is_wanted: Callable[[], bool]
    _open: Opener

    @contextmanager
    def open_file(self, path: str) -> Generator[Opened]:
        """Open a regular file for reading. FIFOs, sockets and devices are refused without waiting for them."""
        with self.open_any(path) as opened:
            if stat.S_ISDIR(opened.status.st_mode):
                raise ToolError(f"{path} is a folder: list it")
            if not stat.S_ISREG(opened.status.st_mode):
                raise ToolError(f"{path} {_WHY[errno.ENXIO]}")
            yield opened

    @contextmanager
    def open_any(self, path: str) -> Generator[Opened]:
        """Open a file or folder for reading.

        Raises:
            MissingFileError: it does not exist.
            ToolError: it is outside of the root, or may not be opened.
        """
        names = split_path(path)
        for _ in range(_MOST_LINKS):
            self._refuse_denied(names, path)
            try:
                descriptor = self._open(self.descriptor, names, READ)
            except OSError as error:
                followed = self._follow(names, path) if error.errno in {errno.ELOOP, errno.ENOTDIR} else None
                if followed is None:
                    raise self._explain(error, path, names) from None
                names = followed
            else:
                try:
                    yield Opened(descriptor, names, os.fstat(descriptor))
                finally:
                    os.close(descriptor)
                return
        raise ToolError(f"{path} goes through too many links")

    def resolve(self, path: str) -> Names:
        """Return the names of a path after following links, whether or not there is such a file.

        Raises:
            ToolError: it leads out of the root, or through too many links.
        """
        names = split_path(path)
        for _ in range(_MOST_LINKS):
            followed = self._follow(names, path)
            if followed is None:
                return names
            names = followed
        raise ToolError(f"{path} goes through too many links")

    @contextmanager
    def open_folder(self, names: Names) -> Generator[int]:
        """Open a folder whose path has no link. Raises OSError."""
        descriptor = self._open(self.descriptor, names, FOLDER)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def make_folders(self, names: Names) -> list[Names]:
        """Make a folder and those above it, if they are missing, and return the new ones. Raises OSError."""
        made = list[Names]()
        for count in range(1, len(names) + 1):
            with self.open_folder(names[: count - 1]) as above, suppress(FileExistsError):
                os.mkdir(names[count - 1], dir_fd=above)
                made.append(names[:count])
        return made

    def _follow(self, names: Names, path: str) -> Names | None:
        """Return the names with the first link replaced by its target, or None if there is no link."""
        for index, name in enumerate(names):
            try:
                with self.open_folder(names[:index]) as above:
                    target = os.readlink(name, dir_fd=above)
            except OSError:
                continue
            if target.startswith("/"):
                raise ToolError(f"{path} {_OUT}")
            return _collapse([*names[:index], *target.split("/"), *names[index + 1 :]], path)
        return None

    def _refuse_denied(self, names: Names, path: str) -> None:
        if any(map(self.is_denied, names)):
            raise ToolError(f"{path} may not be opened: the user has denied access to such files")

    def _explain(self, error: OSError, path: str, names: Names) -> ToolError:
        if error.errno != errno.ENOENT:
            return explain(error, path)
        try:
            near = self._find_near(names)
        except OSError:
            return MissingFileError(f"{path} {_WHY[errno.ENOENT]}: its folder does not exist either", names)
        guess = f"; did you mean {', '.join(map(show, near))}?" if near else ""
        return MissingFileError(f"{path} {_WHY[errno.ENOENT]}{guess}", names, near)

    def _find_near(self, names: Names) -> list[Names]:
        """Return similar paths that the model may have meant. Raises OSError."""
        if not names:
            return []
        with self.open_folder(names[:-1]) as above, os.scandir(above) as entries:
            known = [entry.name for entry in islice(entries, _MOST_NEIGHBOURS) if not self.is_denied(entry.name)]
        from difflib import get_close_matches  # noqa: PLC0415 - it takes 8 ms, and is only needed for missing files

        return [(*names[:-1], name) for name in get_close_matches(names[-1], known, n=3)]


class Root:
    """The root folder for one run.

    Attributes:
        path: Its path, without links.
        note_shown: Called with the paths that the error of a call names, other than the call's own.
    """

    def __init__(self, path: Path, deny: Iterable[str], opener: Opener | None = None) -> None:
        if os.open not in os.supports_dir_fd:
            raise ConfigurationError("the pack 'files' needs Linux, macOS or another Unix")
        try:
            self._descriptor = os.open(path.expanduser(), FOLDER)
        except OSError as error:
            raise ConfigurationError(f"the root folder {str(path)!r} can't be opened: {error.strerror}") from None
        self.path = os.path.realpath(path.expanduser())
        self.note_shown: Callable[[Iterable[str]], object] = list
        self._is_open = True
        self._lock = threading.Lock()
        self._is_denied = compile_denial(deny)
        self._opener = opener or choose_opener(self._descriptor)

    def close(self) -> None:
        """Close the root folder. Calls that still run have their own descriptors, and see that they must end."""
        with self._lock:
            self._is_open = False
            os.close(self._descriptor)

    @contextmanager
    def enter(self, path: str) -> Generator[Folder]:
        """Yield the folder for one call, which is about this path.

        Raises:
            ToolError: the run is over, or the system reports an error.
        """
        with self._lock:
            if not self._is_open:
                raise ToolError("the run is over")
            descriptor = os.dup(self._descriptor)
        try:
            yield Folder(descriptor, self._is_denied, lambda: self._is_open, self._opener)
        except OSError as error:
            raise explain(error, path) from None
        except MissingFileError as error:
            self.note_shown("/".join(names) for names in error.near)
            raise
        finally:
            os.close(descriptor)


def compile_denial(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a name is denied, in any spelling."""
    every = re.compile("|".join(translate(_normalize(pattern)) for pattern in patterns) or r"(?!)")
    return lambda name: every.match(_normalize(name)) is not None


def _normalize(name: str) -> str:
    """Return a name as a file system compares it if it ignores case, composition and invisible characters."""
    if name.isascii():
        return name.lower()
    seen = (each for each in name if unicodedata.category(each) != "Cf" and each not in _UNSEEN)
    return unicodedata.normalize("NFC", "".join(seen)).casefold()


def split_path(path: str) -> Names:
    """Return the names in a path relative to the root. The root itself has no names.

    Raises:
        ToolError: the path is absolute, leads out of the root, or is invalid.
    """
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise ToolError("a path can't hold a lone surrogate character") from None
    if len(path) > _LONGEST:
        raise ToolError(f"a path has at most {_LONGEST} characters")
    if "\0" in path:
        raise ToolError("a path can't hold a NUL character")
    if path.startswith("/"):
        raise ToolError(f"{path} is absolute: give a path relative to the root folder, such as src/main.py or .")
    return _collapse(path.split("/"), path)


def _collapse(names: Sequence[str], path: str) -> Names:
    kept: list[str] = []
    for name in names:
        if name == "..":
            if not kept:
                raise ToolError(f"{path} {_OUT}")
            kept.pop()
        elif name not in {"", "."}:
            kept.append(name)
    return tuple(kept)


def explain(error: OSError, path: str) -> ToolError:
    """Return the system's error as a sentence for the model, without the folders of the machine."""
    return ToolError(f"{path} {_WHY.get(error.errno or 0, f'can not be used: {error.strerror}')}")


def show(names: Sequence[str]) -> str:
    """Return a path as one line of text that can be sent, even if its names are not UTF-8."""
    return escape(os.fsencode("/".join(names) or ".").decode("utf-8", "backslashreplace"))

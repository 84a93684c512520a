"""Replaces a file in one step, or not at all: writes a temporary file beside it, then renames that."""

from __future__ import annotations

import os
from contextlib import suppress

from agentloop import ToolError
from agentloop_tools.files.beneath import NEW

_PERMISSIONS = 0o777


def save(folder: int, name: str, data: bytes, expected: os.stat_result | None) -> None:
    """Write data to a file in an open folder. Its permissions and, if possible, its owner are kept.

    Other hard links to the old file keep the old content, so that no file outside the root is changed through one.

    Args:
        folder: The descriptor of the folder.
        name: The file's name in the folder.
        data: The new content.
        expected: The status of the existing file, or None if there should be none.

    Raises:
        ToolError: another file is there now.
        OSError: the system reports an error.
    """
    temporary = f".{os.urandom(8).hex()}.tmp"
    # Until it has the permissions of the old file, nobody else may read the temporary file.
    descriptor = os.open(temporary, NEW, 0o666 if expected is None else 0o600, dir_fd=folder)
    try:
        try:
            _write_all(descriptor, data)
            if expected is not None:
                _give(descriptor, expected)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _check_unchanged(folder, name, expected)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:  # also an exception that ends the thread: no half-written file may remain
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
    with suppress(OSError):  # the file is written by now, and some file systems can't sync a folder
        os.fsync(folder)


def _give(descriptor: int, like: os.stat_result) -> None:
    """Give a file the permissions of another one and, as far as it is allowed, its owner and group."""
    for owner, group in ((-1, like.st_gid), (like.st_uid, -1)):
        with suppress(PermissionError):
            os.fchown(descriptor, owner, group)
    os.fchmod(descriptor, like.st_mode & _PERMISSIONS)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _check_unchanged(folder: int, name: str, expected: os.stat_result | None) -> None:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        found = None
    if _identity(found) != _identity(expected):
        raise ToolError(f"{name} was changed at the same time: read it again")


def _identity(status: os.stat_result | None) -> object:
    return status and (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)

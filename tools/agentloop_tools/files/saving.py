"""Puts a file in place at once or not at all: written beside it, then renamed."""

from __future__ import annotations

import os
from contextlib import suppress

from agentloop import ToolError
from agentloop_tools.files.beneath import NEW

_PERMISSIONS = 0o777


def save(folder: int, name: str, data: bytes, expected: os.stat_result | None) -> None:
    """Put data under a name in an open folder; permissions and, if that may be, the owner are kept.

    Another name of the same file, a hard link, keeps the old content: nothing outside the root is reached through one.

    Args:
        folder: The descriptor of the folder.
        name: The name in it.
        data: What the file shall hold.
        expected: The file that is there, or None where there should be none.

    Raises:
        ToolError: another is there by now.
        OSError: the system refuses.
    """
    temporary = f".{os.urandom(8).hex()}.tmp"
    # What only some may read is for nobody else meanwhile.
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
    except BaseException:  # also one that ends the thread: no half-written file stays
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
    with suppress(OSError):  # the file is in its place; some disks can't do this to a folder
        os.fsync(folder)


def _give(descriptor: int, like: os.stat_result) -> None:
    """Let a file belong to whom another one does, as far as that may be done, and have its permissions."""
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
        raise ToolError(f"{name} has changed meanwhile: read it again")


def _identity(status: os.stat_result | None) -> object:
    return status and (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)

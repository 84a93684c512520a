"""Opens files below an open folder without following any link: with openat2, or name by name.

Neither way has a race, because the check and the opening are one step. `root` follows links, one at a time.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeAlias

Opener: TypeAlias = Callable[[int, Sequence[str], int], int]


def _flags(*names: str) -> int:
    """Return the flags combined, without those that the system lacks. Windows imports this module without using it."""
    return sum(getattr(os, name, 0) for name in names)


# O_NONBLOCK does not wait for the writer of a FIFO, and O_NOCTTY does not make a terminal the controlling one.
READ = _flags("O_RDONLY", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY")
FOLDER = _flags("O_RDONLY", "O_CLOEXEC", "O_DIRECTORY")
NEW = _flags("O_WRONLY", "O_CLOEXEC", "O_CREAT", "O_EXCL", "O_NOFOLLOW")
NO_FOLLOW = _flags("O_NOFOLLOW")

# The number is the same on all current architectures. The other constants are from linux/openat2.h.
_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@cache
def _system_call() -> Callable[..., int]:
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    return call


def open_by_kernel(folder: int, names: Sequence[str], flags: int) -> int:
    """Open the path that the names make, below a folder, in one system call. Return the descriptor.

    Raises:
        OSError: it does not exist, a link is on the path, or the kernel has no openat2.
    """
    path = os.fsencode("/".join(names) or ".")
    how = _OpenHow(flags, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS)
    opened = _system_call()(
        ctypes.c_long(_OPENAT2), ctypes.c_int(folder), path, ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))
    )
    if opened < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return opened


def open_by_name(folder: int, names: Sequence[str], flags: int) -> int:
    """Open the same path as `open_by_kernel`, one folder after the other. Return the descriptor.

    Raises:
        OSError: it does not exist, or a link is on the path.
    """
    current = folder
    try:
        for name in names[:-1]:
            inner = os.open(name, FOLDER | NO_FOLLOW, dir_fd=current)
            if current != folder:
                os.close(current)
            current = inner
        return os.open(names[-1] if names else ".", flags | NO_FOLLOW, dir_fd=current)
    finally:
        if current != folder:
            os.close(current)


def choose_opener(folder: int) -> Opener:
    """Return `open_by_kernel` if it works, as on Linux 5.6 or later without a sandbox, else `open_by_name`."""
    try:
        os.close(open_by_kernel(folder, (), FOLDER))
    except (OSError, AttributeError):
        return open_by_name
    return open_by_kernel

"""Opens what lies below an open folder, without following a single link: by openat2, or name by name.

Neither way can be raced: what is checked is what is opened. Following links is for `root` to do, step by step.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeAlias

Opener: TypeAlias = Callable[[int, Sequence[str], int], int]


def _flags(*names: str) -> int:
    """Return flags together; without those that the system lacks, for on Windows this is imported, if not used."""
    return sum(getattr(os, name, 0) for name in names)


# Not to wait for a FIFO's writer, and not to be given a terminal.
READ = _flags("O_RDONLY", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY")
FOLDER = _flags("O_RDONLY", "O_CLOEXEC", "O_DIRECTORY")
NEW = _flags("O_WRONLY", "O_CLOEXEC", "O_CREAT", "O_EXCL", "O_NOFOLLOW")
NO_FOLLOW = _flags("O_NOFOLLOW")

# The same number on every architecture that is still made; linux/openat2.h has the rest.
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
    """Return a descriptor of what the names lead to from a folder, in one call that the kernel watches over.

    Raises:
        OSError: there is no such thing, a link is on the way, or the kernel has no openat2.
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
    """Return a descriptor as `open_by_kernel` does, going from folder to folder.

    Raises:
        OSError: there is no such thing, or a link is on the way.
    """
    here = folder
    try:
        for name in names[:-1]:
            inner = os.open(name, FOLDER | NO_FOLLOW, dir_fd=here)
            if here != folder:
                os.close(here)
            here = inner
        return os.open(names[-1] if names else ".", flags | NO_FOLLOW, dir_fd=here)
    finally:
        if here != folder:
            os.close(here)


def choose_opener(folder: int) -> Opener:
    """Return `open_by_kernel` where it works: on Linux 5.6 or later, unless a sandbox forbids it."""
    try:
        os.close(open_by_kernel(folder, (), FOLDER))
    except (OSError, AttributeError):
        return open_by_name
    return open_by_kernel

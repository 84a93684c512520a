"""Finds and ends the processes that a command has started."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from typing import Any

KILL_SECONDS = 5.0
SET_DEATH_SIGNAL, SET_SECCOMP, DROP_BOUNDING, SET_SUBREAPER, SET_NO_NEW_PRIVILEGES = 1, 22, 24, 36, 38

psutil: Any = import_module("psutil")  # it has no type hints


def prctl(option: int, value: int, other: Any = 0) -> None:
    """Set an attribute of this process, on Linux.

    Raises:
        OSError: the system refuses it.
    """
    if sys.platform == "linux":
        library = ctypes.CDLL(None, use_errno=True)
        if library.prctl(option, ctypes.c_ulong(value), other, 0, 0):
            raise OSError(ctypes.get_errno(), f"prctl {option} was refused")


def descendants() -> list[Any]:
    """Return all descendants of this process. As their reaper it gets those too whose parents have ended."""
    return list(psutil.Process().children(recursive=True)) if _has_children() else []


def _has_children() -> bool:
    """Return whether this process has children, or may have; this takes less time than to look at all processes."""
    if not hasattr(os, "waitid"):
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def end_everything(*awaited: int) -> None:
    """Kill and reap all descendants of this process.

    They are killed by process group, so that a process that forks all the time can't escape.

    Args:
        awaited: The ids of processes that are reaped elsewhere.
    """
    deadline = time.monotonic() + KILL_SECONDS
    while (left := descendants()) and time.monotonic() < deadline:
        own = os.getpgrp()
        groups: set[int] = set()
        for process in left:
            with suppress(ProcessLookupError):
                groups.add(os.getpgid(process.pid))
        for group in groups - {own}:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        for process in left:
            with suppress(ProcessLookupError, PermissionError, ChildProcessError):
                os.kill(process.pid, signal.SIGKILL)
                if process.pid not in awaited:
                    os.waitpid(process.pid, os.WNOHANG)

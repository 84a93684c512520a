"""Watches what this process does to the world, by Python's audit events. What C code does by itself goes unseen."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.machinery import all_suffixes
from pathlib import Path
from typing import Any, Literal, TypeAlias

Deed: TypeAlias = Literal["read", "write", "network", "execute"]

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Of these, the first argument is what is read.
_NAMING = ("os.listdir", "os.scandir", "sqlite3.connect")
_DEEDS: dict[str, Deed] = {
    **dict.fromkeys(_NAMING, "read"),
    **dict.fromkeys(
        ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"), "write"
    ),
    **dict.fromkeys(("os.chmod", "os.chown", "os.utime", "os.setxattr", "os.removexattr", "shutil.rmtree"), "write"),
    **dict.fromkeys(("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"), "network"),
    **dict.fromkeys(("socket.gethostbyname", "socket.gethostbyaddr", "socket.bind"), "network"),
    **dict.fromkeys(("subprocess.Popen", "os.system", "os.exec", "os.spawn", "os.posix_spawn"), "execute"),
    **dict.fromkeys(("os.fork", "os.forkpty", "os.startfile", "pty.spawn"), "execute"),
}
_DEVICES = ("/dev/null", "/dev/urandom", "/dev/random", ":memory:")
_PROGRAM_FOLDERS = tuple({os.path.realpath(folder) + os.sep for folder in (sys.prefix, sys.base_prefix)})
# What is in there is no user's: zones, certificates, what the machine is.
_SYSTEM_FOLDERS = ("/usr/", "/lib/", "/etc/", "/proc/", "/sys/")
_CODE = tuple(all_suffixes())
_MOST_EVENTS = 100_000

Event: TypeAlias = tuple[str, tuple[Any, ...]]


class Watch:
    """Notes what is done while it is asked to, in any thread. It stays for as long as the process does."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=0)
        sys.addaudithook(lambda event, arguments: self._events.append((event, arguments)))

    @contextmanager
    def noting(self, *, importing: bool = False) -> Generator[Mapping[Deed, str]]:
        """Give what is done inside the block, once that has ended: the deeds, each with what showed it first.

        Args:
            importing: Whether to pass over what imports do: list folders, and read what is the machine's.
        """
        noted: dict[Deed, str] = {}
        self._events = deque(maxlen=_MOST_EVENTS)
        try:
            yield noted
        finally:
            events, self._events = self._events, deque(maxlen=0)
            folders = _PROGRAM_FOLDERS + (_SYSTEM_FOLDERS if importing else ())
            for event, arguments in events:
                if importing and event == "os.listdir":
                    continue
                if deed := _judge(event, arguments, folders):
                    noted.setdefault(deed, _show(event, arguments))


@contextmanager
def noting_threads() -> Generator[set[threading.Thread]]:
    """Give the threads that are started inside the block, once that has ended; some may have ended since.

    A new thread calls its profile function before it does anything else, and so puts itself down. One that has been
    started and has not come that far is still alive at the end of the block.
    """
    before, started = set(threading.enumerate()), set[threading.Thread]()
    threading.setprofile(lambda _frame, _event, _argument: started.add(threading.current_thread()))
    try:
        yield started
    finally:
        started.update(set(threading.enumerate()) - before)
        threading.setprofile(None)


def _judge(event: str, arguments: tuple[Any, ...], folders: tuple[str, ...]) -> Deed | None:
    """Return what an event shows; nothing, for what is open already, devices, and reading parts of the program."""
    deed = _DEEDS.get(event)
    if event != "open" and not (event in _NAMING and isinstance(arguments[0], str | bytes)):
        return deed
    if not isinstance(arguments[0], str | bytes) or os.fsdecode(arguments[0]) in _DEVICES:
        return None
    if event == "open" and arguments[2] & _WRITING:
        return "write"
    name = os.path.realpath(os.fsdecode(arguments[0]))
    return None if name.endswith(_CODE) or f"{name}{os.sep}".startswith(folders) else "read"


def _show(event: str, arguments: tuple[Any, ...]) -> str:
    what = arguments[0] if arguments else None
    return f"{event} {Path(os.fsdecode(what)).name}" if isinstance(what, str | bytes) else event

"""Records the effects of this process by Python's audit events. Effects of C code without audit events are not seen."""

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

EffectName: TypeAlias = Literal["read", "write", "network", "execute"]

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Events whose first argument is the path that is read.
_NAMING = ("os.listdir", "os.scandir", "sqlite3.connect")
_EFFECTS: dict[str, EffectName] = {
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
# Folders without a user's files: time zones, certificates, data about the machine.
_SYSTEM_FOLDERS = ("/usr/", "/lib/", "/etc/", "/proc/", "/sys/")
_CODE = tuple(all_suffixes())
_MOST_EVENTS = 100_000

Event: TypeAlias = tuple[str, tuple[Any, ...]]


class AuditRecorder:
    """Records effects inside `recording` blocks, in all threads. Its audit hook stays: hooks can't be removed."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=0)
        sys.addaudithook(lambda event, arguments: self._events.append((event, arguments)))

    @contextmanager
    def recording(self, *, importing: bool = False) -> Generator[Mapping[EffectName, str]]:
        """Yield a mapping that holds, after the block, each kind of effect with the event that showed it first.

        Args:
            importing: Whether to ignore what imports do: list folders, and read files of the system.
        """
        recorded: dict[EffectName, str] = {}
        self._events = deque(maxlen=_MOST_EVENTS)
        try:
            yield recorded
        finally:
            events, self._events = self._events, deque(maxlen=0)
            folders = _PROGRAM_FOLDERS + (_SYSTEM_FOLDERS if importing else ())
            for event, arguments in events:
                if importing and event == "os.listdir":
                    continue
                if effect := _judge(event, arguments, folders):
                    recorded.setdefault(effect, _show(event, arguments))


@contextmanager
def recording_threads() -> Generator[set[threading.Thread]]:
    """Yield a set that holds, after the block, the threads that were started inside it, also those that have ended.

    A new thread calls its profile function first, and the function adds the thread to the set. A thread that was just
    started and has not called it yet is still alive at the end of the block.
    """
    before, started = set(threading.enumerate()), set[threading.Thread]()
    threading.setprofile(lambda _frame, _event, _argument: started.add(threading.current_thread()))
    try:
        yield started
    finally:
        started.update(set(threading.enumerate()) - before)
        threading.setprofile(None)


def _judge(event: str, arguments: tuple[Any, ...], folders: tuple[str, ...]) -> EffectName | None:
    """Return the kind of effect of an event; None for open files, devices, and reading the program's own files."""
    effect = _EFFECTS.get(event)
    if event != "open" and not (event in _NAMING and isinstance(arguments[0], str | bytes)):
        return effect
    if not isinstance(arguments[0], str | bytes) or os.fsdecode(arguments[0]) in _DEVICES:
        return None
    if event == "open" and arguments[2] & _WRITING:
        return "write"
    name = os.path.realpath(os.fsdecode(arguments[0]))
    return None if name.endswith(_CODE) or f"{name}{os.sep}".startswith(folders) else "read"


def _show(event: str, arguments: tuple[Any, ...]) -> str:
    path = arguments[0] if arguments else None
    return f"{event} {Path(os.fsdecode(path)).name}" if isinstance(path, str | bytes) else event

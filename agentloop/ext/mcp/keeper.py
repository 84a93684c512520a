"""A program between this process and a server: at the server's end it ends everything that the server has started.

It works on Linux, where processes whose parents have ended become its children, whatever session or environment they
have. It needs no package, and imports nothing of agentloop. `process` starts it with a socket: it reads what to start
as a line of JSON, answers with the number of an error or 0, and ends the server when the other side is closed.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType

_SET_DEATH_SIGNAL, _SET_SUBREAPER = 1, 36
_PARENT = 1  # where the parent stands in /proc/PID/stat, after the name


def main() -> None:
    """Keep the server that the socket whose number is the first argument tells of."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_SET_SUBREAPER, 1, 0, 0, 0)
    # The server gets the signal too, as a member of the same process group, and may take its time to end.
    signal.signal(signal.SIGTERM, _stay)
    with socket.socket(fileno=int(sys.argv[1])) as host:
        with host.makefile("rb") as lines:
            command, folder, environment = json.loads(lines.readline())
        try:
            server = subprocess.Popen(  # noqa: S603 - what the user has configured
                command,
                cwd=folder or None,
                env=environment,
                preexec_fn=lambda: prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0),  # noqa: PLW1509 - no other thread
            )
        except OSError as error:
            host.sendall(b"%d" % (error.errno or 1))
            return
        host.sendall(b"0")
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):  # what the server has closed must not stay open here
            os.dup2(nothing, number)
        threading.Thread(target=_await_end, args=(server, host), daemon=True).start()
        host.recv(1)  # nothing comes but the end, of one side or of the other
    _end_children()


def _stay(number: int, frame: FrameType | None) -> None:
    """Take a signal without an end of this program; the server has its own way with it."""


def _await_end(server: subprocess.Popen[bytes], host: socket.socket) -> None:
    server.wait()
    with suppress(OSError):  # it is closed
        host.shutdown(socket.SHUT_RD)


def _end_children() -> None:
    """Kill and reap all children. Those of a child become children of this process when it ends."""
    with suppress(ChildProcessError):
        while True:
            for child in _find_children():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)


def _find_children() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if _read_parent(folder) == os.getpid()]


def _read_parent(folder: Path) -> int:
    with suppress(OSError):  # the process has ended
        return int((folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[_PARENT])
    return 0


if __name__ == "__main__":
    main()

"""Processes of the command line that start at once.

    with piped(["run", "Hello?", "--base-url", server.base_url, "--model", "any"]) as process:
        assert process.finish() == (0, "Hello.\\n", "")

Importing what agentloop needs takes longer than most of what is tested. So one process has it all imported, and has a
child for each command line: a process of its own, with streams of its own, that has done nothing yet.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from time import monotonic
from typing import IO

from leaks import LASTING
from measuring import PROGRAMS

PATIENCE_SECONDS = 60
NUDGE_SECONDS = 0.1

_PARENT = """
import json, os, signal, socket, sys
import agentloop.cli.commands.tools_call, agentloop.cli.commands.chat, agentloop.cli.commands.run
import agentloop.endpoint.transport.connection, agentloop.endpoint.transport.deadline, agentloop.packs.config
import agentloop.cli.commands.probe, agentloop.ext.aiohttp
import anyio._backends._asyncio, concurrent.futures.thread, httpcore2, openai.resources.responses, platformdirs
from agentloop.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGURG, lambda *_: None)  # a nudge, see Process.nudge
STREAMS = (0, "r", -1, None), (1, "w", -1, None), (2, "w", 1, "backslashreplace")
link = socket.socket(fileno=int(sys.argv[1]))
with open(0, "rb", 0, closefd=False) as orders:
    for order in orders:
        wanted = json.loads(order)
        files = socket.recv_fds(link, 1, 3)[1] if wanted["piped"] else []
        child = os.fork()
        if not child:
            os.setsid()
            if wanted["terminal"]:
                terminal = os.open(wanted["terminal"], os.O_RDWR)  # the first that a leader opens is its session's
                os.write(terminal, b".")
            for number, file in enumerate(files or [terminal] * 3):
                os.dup2(file, number)
            for number in {*files, *wanted["closed"]}:
                os.close(number)
            sys.stdin, sys.stdout, sys.stderr = (
                None if number in wanted["closed"] else open(number, mode, buffering, errors=errors)
                for number, mode, buffering, errors in STREAMS
            )
            os.environ.clear()
            os.environ.update(wanted["environment"])
            os.chdir(wanted["folder"])
            main(wanted["arguments"])
        for file in files:
            os.close(file)
        os.write(1, f"{child}\\n".encode())
        os.write(1, f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\\n".encode())
"""


@cache
def _parent() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start the process that has everything imported; files reach it through the socket."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", _PARENT, str(theirs.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            pass_fds=[theirs.fileno()],
            env={**os.environ, **PROGRAMS},
        )
    LASTING.add(process.pid)
    atexit.register(process.communicate)  # closes its input, which ends it
    atexit.register(ours.close)
    return process, ours


class Process:
    """One command line, in a process that leads a session.

    There is one at a time: wait for it before the next is started.

    Args:
        arguments: Of the command line.
        environment: All of it.
        terminal: What controls the process, and is its streams unless it has pipes; it is told "." there.
        piped: Whether its streams are pipes, those of this object.
        closed: Which of its streams, by number, are closed.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        terminal: str = "",
        piped: bool = False,
        closed: Collection[int] = (),
    ) -> None:
        parent, link = _parent()
        order = {
            "arguments": arguments,
            "environment": environment,
            "folder": str(Path.cwd()),
            "terminal": terminal,
            "closed": [*closed],
        }
        parent.stdin.write(json.dumps(order | {"piped": piped}).encode() + b"\n")
        self._status: int | None = None
        self._pipes: list[IO[bytes]] = []
        if piped:
            ends = [os.pipe() for _ in range(3)]
            theirs = [read if number == 0 else write for number, (read, write) in enumerate(ends)]
            socket.send_fds(link, [b"."], theirs)
            for file in theirs:
                os.close(file)
            self._pipes = [
                os.fdopen(ends[0][1], "wb", 0),
                os.fdopen(ends[1][0], "rb", 0),
                os.fdopen(ends[2][0], "rb", 0),
            ]
            self.stdin, self.stdout, self.stderr = self._pipes
        self.pid = self._read_number(PATIENCE_SECONDS)

    def finish(self, said: bytes = b"") -> tuple[int, str, str]:
        """Write to its input and close that; return its status, and what it has written."""
        self.stdin.write(said)
        return self._finish(nudges=False)

    def interrupt(self) -> tuple[int, str, str]:
        """Press Ctrl-C, close its input, and return what `finish` does."""
        os.kill(self.pid, signal.SIGINT)
        return self._finish(nudges=True)

    def _finish(self, *, nudges: bool) -> tuple[int, str, str]:
        self.stdin.close()
        out, err = (self._read(pipe, nudges=nudges) for pipe in (self.stdout, self.stderr))
        return self.wait(), out, err

    def nudge(self) -> None:
        """Send a signal that means nothing to it.

        Who is about to wait misses a Ctrl-C that comes a moment before, and hears of it with the next signal.
        """
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGURG)

    def _read(self, pipe: IO[bytes], *, nudges: bool) -> str:
        until, read = monotonic() + PATIENCE_SECONDS, b""
        while monotonic() < until:
            if not select.select([pipe], [], [], NUDGE_SECONDS)[0]:
                if nudges:
                    self.nudge()
            elif piece := pipe.read(65_536):
                read += piece
            else:
                return read.decode()
        raise AssertionError(f"it is not at its end: {read!r}")

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        if self._status is None:
            self._status = self._read_number(seconds)
        return self._status

    def kill(self) -> None:
        """End it, if it has not ended, and close its pipes."""
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)  # nobody else has this number before it was waited for
            self.wait()
        for pipe in self._pipes:
            pipe.close()

    @staticmethod
    def _read_number(seconds: float) -> int:
        told = _parent()[0].stdout
        assert select.select([told], [], [], seconds)[0], f"nothing came in {seconds} s"
        return int(told.readline())


@contextmanager
def piped(arguments: Sequence[str], *, closed: Collection[int] = (), **environment: str) -> Iterator[Process]:
    """Start a command line whose streams are pipes, and end it at last.

    Args:
        arguments: Of the command line.
        closed: Which of its streams, by number, are closed.
        environment: What differs from that of this process.
    """
    process = Process(arguments, {**os.environ, **environment}, piped=True, closed=closed)
    try:
        yield process
    finally:
        process.kill()

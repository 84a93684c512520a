"""Somebody at the terminal of an `agentloop` process.

    with at_terminal(["chat", "--base-url", server.base_url, "--model", "any"]) as person:
        person.sees("> ")
        person.types("Hello\\n")
        person.types("\\x04")
        person.leaves_with(0)

Importing what agentloop needs takes longer than most of what is tested. So one process has it all imported, and has a
child for each person: a process of its own, with a terminal of its own, that has done nothing yet.
"""

from __future__ import annotations

import atexit
import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from time import monotonic

from leaks import LASTING

PATIENCE_SECONDS = 60
_NUDGE_SECONDS = 0.1

_PARENT = """
import json, os, signal, sys
import agentloop.cli.commands.tools_call, agentloop.cli.commands.chat, agentloop.cli.commands.run
import agentloop.endpoint.transport.connection, agentloop.endpoint.transport.deadline, agentloop.packs.config
import anyio._backends._asyncio, openai.resources.responses
from agentloop.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGUSR1, lambda *_: None)  # a nudge, see Person.interrupts
with open(0, "rb", 0, closefd=False) as orders:
    for order in orders:
        wanted = json.loads(order)
        child = os.fork()
        if not child:
            os.setsid()
            terminal = os.open(wanted["terminal"], os.O_RDWR)  # the first that a leader opens is its session's
            for number in (0, 1, 2):
                os.dup2(terminal, number)
            os.close(terminal)
            os.write(1, b".")
            sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", errors="backslashreplace")
            os.environ.clear()
            os.environ.update(wanted["environment"])
            main(wanted["arguments"])
        os.write(1, f"{child}\\n".encode())
        os.write(1, f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\\n".encode())
"""


@cache
def _parent() -> subprocess.Popen[bytes]:
    """Start the process that has everything imported."""
    command = [sys.executable, "-c", _PARENT]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    atexit.register(process.communicate)  # closes its input, which ends it
    LASTING.add(process.pid)
    return process


class Process:
    """A process with a terminal, as `subprocess.Popen` has it."""

    def __init__(self, terminal: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        order = {"terminal": terminal, "arguments": arguments, "environment": environment}
        self._status: int | None = None
        _parent().stdin.write(json.dumps(order).encode() + b"\n")
        self.pid = self._read(PATIENCE_SECONDS)

    def wait(self, seconds: float) -> int:
        if self._status is None:
            self._status = self._read(seconds)
        return self._status

    def kill(self) -> None:
        """End it, if it has not ended."""
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)  # nobody else has this number before it was waited for
            self.wait(PATIENCE_SECONDS)

    @staticmethod
    def _read(seconds: float) -> int:
        told = _parent().stdout
        assert select.select([told], [], [], seconds)[0], f"nothing came in {seconds} s"
        return int(told.readline())


class Person:
    """Who sits at the terminal."""

    def __init__(self, terminal: int, process: Process | subprocess.Popen[bytes]) -> None:
        self._terminal = terminal
        self.process = process
        self.shown = ""
        self._seen = 0

    def sees(self, words: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Wait for words, and return what has come since those before."""
        until = monotonic() + seconds
        while (at := self.shown.find(words, self._seen)) < 0:
            assert self._read(until), f"{words!r} is not in {self.shown[self._seen :]!r}"
        begin, self._seen = self._seen, at + len(words)
        return self.shown[begin : self._seen]

    def interrupts(self, words: str) -> None:
        """Press Ctrl-C, and wait for words.

        Who is about to wait misses a signal that comes a moment before, and hears of it with the next one. So the
        process is nudged with signals that mean nothing to it.
        """
        self.types("\x03")
        until = monotonic() + PATIENCE_SECONDS
        while self.shown.find(words, self._seen) < 0:
            assert monotonic() < until, f"{words!r} is not in {self.shown[self._seen :]!r}"
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGUSR1)
            self._read(monotonic() + _NUDGE_SECONDS)
        self.sees(words)

    def types(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def leaves_with(self, status: int) -> str:
        """Wait until the process has ended, and return what was shown last."""
        until = monotonic() + PATIENCE_SECONDS
        while self._read(until):
            pass
        assert self.process.wait(PATIENCE_SECONDS) == status, self.shown
        return self.shown[self._seen :]

    def _read(self, until: float) -> bool:
        if not select.select([self._terminal], [], [], max(0, until - monotonic()))[0]:
            return False
        try:
            piece = os.read(self._terminal, 65_536)
        except OSError:  # how Linux says that nobody has it open any more
            return False
        self.shown += piece.decode()
        return bool(piece)


@contextmanager
def at_terminal(arguments: Sequence[str], *, redirected: bool = False, **environment: str) -> Iterator[Person]:
    """Start a command line in a process with a terminal, and yield the person who sits there.

    Args:
        arguments: Of the command line.
        redirected: Let its input and output be pipes, those of `person.process`, in a process that is nobody's child.
        environment: What differs from that of this process.
    """
    start = _start_redirected if redirected else Process
    ours, theirs = pty.openpty()
    with closing(os.fdopen(ours, "rb", 0)):
        with closing(os.fdopen(theirs, "rb", 0)):  # until the process has it open too
            process = start(
                os.ttyname(theirs), arguments, {**os.environ, "TERM": "dumb", "NO_COLOR": "1", **environment}
            )
            person = Person(ours, process)
            person.sees(".")
        try:
            yield person
        finally:
            process.kill()
            for pipe in (process.stdin, process.stdout, process.stderr) if redirected else ():
                pipe.close()
            process.wait(PATIENCE_SECONDS)


def _start_redirected(
    terminal: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    shell = 'exec 3<>"$0"; printf . >&3; exec "$@"'
    return subprocess.Popen(
        ["/bin/sh", "-c", shell, terminal, sys.executable, "-m", "agentloop", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=environment,
    )

"""Somebody at the terminal of an `agentloop` process.

with at_terminal(["chat", "--base-url", server.base_url, "--model", "any"]) as person:
    person.sees("> ")
    person.types("Hello\\n")
    person.types("\\x04")
    person.leaves_with(0)
"""

from __future__ import annotations

import os
import pty
import select
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from time import monotonic

from forking import NUDGE_SECONDS, PATIENCE_SECONDS, Process


class Person:
    """Who sits at the terminal."""

    def __init__(self, terminal: int, process: Process) -> None:
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
        """Press Ctrl-C, and wait for words."""
        self.types("\x03")
        until = monotonic() + PATIENCE_SECONDS
        while self.shown.find(words, self._seen) < 0:
            assert monotonic() < until, f"{words!r} is not in {self.shown[self._seen :]!r}"
            self.process.nudge()
            self._read(monotonic() + NUDGE_SECONDS)
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
        redirected: Let its streams be pipes, those of `person.process`.
        environment: What differs from that of this process.
    """
    whole = {**os.environ, "TERM": "dumb", "NO_COLOR": "1", **environment}
    ours, theirs = pty.openpty()
    with closing(os.fdopen(ours, "rb", 0)):
        with closing(os.fdopen(theirs, "rb", 0)):  # until the process has it open too
            process = Process(arguments, whole, terminal=os.ttyname(theirs), piped=redirected)
            person = Person(ours, process)
            person.sees(".")
        try:
            yield person
        finally:
            process.kill()

"""Keeps what was read of a call's arguments, so that the arguments of each call of a run are read once.

A call is judged by the values with which its function is called later. They are given to a function once, because it
may change them.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeAlias

from agentloop.items import JsonObject
from agentloop.schema import ArgumentsError

Reading: TypeAlias = tuple[JsonObject, tuple[str, ...]]
"""The values by parameter name, and descriptions of the repairs."""


class Arguments(Protocol):
    """The arguments of a function, as `schema` has them."""

    schema: JsonObject
    faults: tuple[str, ...]

    def read(self, text: str) -> Reading:
        """Return the values by parameter name, and descriptions of the repairs."""
        ...

    def takes_long(self, text: str) -> bool:
        """Tell whether reading a text may take longer than an event loop should wait."""
        ...


_KEPT: ContextVar[dict[tuple[Arguments, str], Reading | ArgumentsError]] = ContextVar("kept")


@contextmanager
def keep_readings() -> Generator[None]:
    """Keep what is read within this block, in other tasks and threads of it too."""
    token = _KEPT.set({})
    try:
        yield
    finally:
        _KEPT.reset(token)


def forget_readings() -> None:
    """Forget what was read, because other calls follow."""
    _KEPT.get({}).clear()


def is_read(arguments: Arguments, text: str) -> bool:
    """Tell whether a text has been read."""
    return (arguments, text) in _KEPT.get({})


def note_reading(arguments: Arguments, text: str, outcome: Reading | ArgumentsError) -> None:
    """Keep what was read elsewhere, or why it could not be read."""
    _KEPT.get({})[arguments, text] = outcome


def look_at(arguments: Arguments, text: str) -> Reading:
    """Return what a text means, for somebody who changes nothing in it.

    Raises:
        ArgumentsError: it can't be read.
    """
    kept = _KEPT.get(None)
    if kept is None:
        return arguments.read(text)
    outcome = kept.get((arguments, text))
    if outcome is None:
        try:
            outcome = arguments.read(text)
        except ArgumentsError as error:
            outcome = error
        kept[arguments, text] = outcome
    return _open(outcome)


def take(arguments: Arguments, text: str) -> Reading:
    """Return what a text means, for a function. Nobody else gets these values.

    Raises:
        ArgumentsError: it can't be read.
    """
    kept = _KEPT.get(None)
    outcome = kept.pop((arguments, text), None) if kept else None
    return arguments.read(text) if outcome is None else _open(outcome)


def _open(outcome: Reading | ArgumentsError) -> Reading:
    if isinstance(outcome, ArgumentsError):
        raise outcome.with_traceback(None)
    return outcome

"""Lets objects begin anew in a forked process.

The threads of the parent process do not run there, and its locks may be held by them for ever.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class BeginsAnew(Protocol):
    """An object that holds threads, locks, event loops or connections."""

    def begin_anew(self) -> None:
        """Forget what belongs to the parent process. Nothing may be closed: the parent still uses it."""
        ...


_THINGS: WeakSet[BeginsAnew] = WeakSet()


def begin_anew_after_fork(thing: BeginsAnew) -> None:
    """Call `begin_anew` of an object in each process that is forked from now on, as long as the object exists."""
    _THINGS.add(thing)


def begin_anew() -> None:
    """Let all of these objects begin anew, as is done in a forked process."""
    for thing in tuple(_THINGS):
        thing.begin_anew()


# Windows has no fork.
getattr(os, "register_at_fork", dict)(after_in_child=begin_anew)

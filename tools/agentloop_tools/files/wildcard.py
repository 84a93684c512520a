"""Wildcard: patterns such as `src/**/*.{ts,tsx}`, matched name by name in a time that is linear in the path."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from typing import TypeAlias

from agentloop import ToolError

Places: TypeAlias = frozenset[int]

_MOST_ALTERNATIVES = 50
_LONGEST = 1_000
_BRACES = re.compile(r"\{([^{}]*)\}")


class Wildcard:
    """A pattern of paths, matched like a state machine: a place is a state, and a walk keeps the places of each folder.

    `*`, `?` and `[a-z]` match within a name, and `**` matches any number of folders. A pattern without `/` matches at
    any depth.

    Attributes:
        start: The places of the root.
        fits_all: Whether every file matches.

    Raises:
        ToolError: the pattern leads out of the root, or is too long.
    """

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise ToolError(f"a pattern may have {_LONGEST} characters, not {len(text)}")
        patterns = [_split(each) for each in _expand(text)]
        self.fits_all = ["**", "*"] in patterns
        self._tests: list[Callable[[str], object] | None] = []  # None is `**`
        starts: set[int] = set()
        ends: set[int] = set()
        for parts in patterns:
            starts.add(len(self._tests))
            self._tests += [None if part == "**" else _compile(part) for part in parts]
            ends.add(len(self._tests))
            self._tests.append(_fit_nothing)
        self._reach: list[Places] = [frozenset([place]) for place in range(len(self._tests))]
        for place in reversed(range(len(self._tests))):
            if self._tests[place] is None:  # `**` also matches no folder at all
                self._reach[place] |= self._reach[place + 1]
        self._ends = frozenset(ends)
        self.start = frozenset[int]().union(*(self._reach[place] for place in starts))

    def step(self, places: Places, name: str) -> Places:
        """Return the places after one more name. They are empty if nothing at or below it can match."""
        reached: Places = frozenset()
        for place in places:
            test = self._tests[place]
            if test is None:
                reached |= self._reach[place]
            elif test(name):
                reached |= self._reach[place + 1]
        return reached

    def fits(self, places: Places) -> bool:
        """Return whether a path with these places matches."""
        return not places.isdisjoint(self._ends)


def _fit_nothing(_name: str) -> bool:
    return False


def _compile(part: str) -> Callable[[str], object]:
    # The expression that fnmatch makes from `*` does not backtrack.
    return re.compile(translate(part)).match


def _split(pattern: str) -> list[str]:
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise ToolError(f"{pattern} leads out of the root folder: give a pattern relative to it, such as src/**/*.py")
    parts = [part for part in pattern.split("/") if part not in {"", "."}] or ["**"]
    anywhere = [] if "/" in pattern or parts == ["**"] else ["**"]
    return [*anywhere, *parts, *(["*"] if parts[-1] == "**" else [])]


def _expand(text: str) -> list[str]:
    """Return the patterns without braces that a pattern with `{a,b}` means."""
    done: list[str] = []
    waiting = [text]
    while waiting:
        pattern = waiting.pop(0)
        braces = _BRACES.search(pattern)
        if braces is None:
            done.append(pattern)
        else:
            before, after = pattern[: braces.start()], pattern[braces.end() :]
            waiting += [f"{before}{each}{after}" for each in braces[1].split(",")]
        if len(done) + len(waiting) > _MOST_ALTERNATIVES:
            raise ToolError(f"the braces of a pattern may make {_MOST_ALTERNATIVES} patterns; these make more")
    return done

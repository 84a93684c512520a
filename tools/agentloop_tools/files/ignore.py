"""Applies `.gitignore` files with pathspec. Patterns that could take too long are left out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from agentloop_tools.files.beneath import NO_FOLLOW, READ
from agentloop_tools.files.text import decode, read_bytes

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_MOST_BYTES = 100_000
_MOST_LINES = 1_000
LONGEST_PATH = 500
# Each star is a loop inside the others. For one path, three of them take up to 100 ms and six take years.
_MOST_LOOPS = 3
_MOST_SLOW = 20  # patterns of one file with so many loops
# Python warns that a future version may read these sets differently.
_ODD_SET = re.compile(r"\[.*(?:\[|--|&&|~~|\|\|)")


class IgnoreRules:
    """The rules of the folders above a file, from the root down to its own."""

    def __init__(self, specs: Sequence[tuple[int, GitIgnoreSpec]] = ()) -> None:
        self._specs = specs

    def __bool__(self) -> bool:
        return bool(self._specs)

    def joined_by(self, folder: int, depth: int) -> IgnoreRules:
        """Return these rules with those of a folder, if it has any. The depth is its distance from the root."""
        try:
            descriptor = os.open(".gitignore", READ | NO_FOLLOW, dir_fd=folder)
        except OSError:
            return self
        try:
            text = decode(read_bytes(descriptor, _MOST_BYTES) or b"")
        except OSError:
            return self
        finally:
            os.close(descriptor)
        return IgnoreRules((*self._specs, (depth, _read(text.lines)))) if text else self

    def ignore(self, names: Sequence[str], *, folder: bool) -> bool:
        """Return whether a file or folder is ignored, if the folder that it is in is not ignored."""
        for depth, spec in reversed(self._specs):
            path = "/".join(names[depth:])
            verdict = spec.check_file(path + "/" * folder).include if len(path) <= LONGEST_PATH else None
            if verdict is not None:
                return verdict
        return False


def _read(lines: Sequence[str]) -> GitIgnoreSpec:
    return make_spec(choose_patterns(lines[:_MOST_LINES]))


def make_spec(patterns: Iterable[str]) -> GitIgnoreSpec:
    """Return a matcher for the patterns of an ignore file."""
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - it takes 60 ms, and is only needed if there is such a file

    # By default the backend would depend on what else is installed, and each raises different errors.
    return GitIgnoreSpec.from_lines(patterns, backend="simple")


def choose_patterns(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines that are valid patterns and together fast enough."""
    slow = 0
    for line in filter(can_be_read, lines):
        slow += _count_loops(line) == _MOST_LOOPS
        if slow <= _MOST_SLOW or _count_loops(line) < _MOST_LOOPS:
            yield line


def _count_loops(pattern: str) -> int:
    """Return the number of loops in the expression for a pattern: two stars make one only where they stand alone."""
    return sum(1 if part == "**" else part.count("*") for part in pattern.strip().split("/"))


def can_be_read(pattern: str) -> bool:
    """Return whether a pattern is valid and fast enough."""
    if _ODD_SET.search(pattern) or _count_loops(pattern) > _MOST_LOOPS:
        return False
    try:
        make_spec([pattern])
    except (ValueError, re.error):
        return False
    return True

"""Walks the folders below one, in order, without following links, until time is up."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from itertools import islice
from time import monotonic

from agentloop_tools.files.ignore import IgnoreRules
from agentloop_tools.files.root import Folder, Names
from agentloop_tools.files.wildcard import Places, Wildcard

MOST_ENTRIES = 100_000
_LOOK_EVERY = 1_000


@dataclass(frozen=True, slots=True)
class Visit:
    """A folder on the way.

    Attributes:
        descriptor: Of the folder, open until the next visit.
        names: Where it lies below the root.
        files: The names of its files that are wanted, in order.
        folders: The names of its folders that are shown, in order.
        others: The names of links and of what else is there, in order.
    """

    descriptor: int
    names: Names
    files: list[str]
    folders: list[str]
    others: list[str]


@dataclass(slots=True)
class Walk:
    """A way through the folders.

    Attributes:
        folder: The root.
        wildcard: Which files are wanted; from the root, wherever the walk begins.
        ends: When to stop, by the clock.
        ignore: Whether `.gitignore` files count.
        clock: Tells the time in seconds.
        cut: Why it ended too early, in words, or "".
    """

    folder: Folder
    wildcard: Wildcard
    ends: float
    ignore: bool
    clock: Callable[[], float] = monotonic
    cut: str = field(default="", init=False)

    def visits(self, start: Names, *, deep: bool = True) -> Generator[Visit]:
        """Yield the folder at `start` and, if asked for, those below it; what can't be opened below it is left out."""
        rules, places = self._enter(start)
        waiting = [(start, rules, places)]
        while waiting and not self.is_over():
            names, rules, places = waiting.pop()
            try:
                with self.folder.open_folder(names) as descriptor:
                    rules = rules.joined_by(descriptor, len(names)) if self.ignore else rules
                    visit = self._visit(descriptor, names, rules, places)
                    yield visit
            except OSError:
                if names == start:
                    raise
                continue
            if deep:
                steps = ((name, self.wildcard.step(places, name)) for name in reversed(visit.folders))
                waiting += [((*names, name), rules, reached) for name, reached in steps if reached]

    def is_over(self) -> bool:
        """Tell whether to stop, and note why."""
        if self.clock() <= self.ends and self.folder.is_wanted():
            return False
        self.cut = "time was up"
        return True

    def _enter(self, start: Names) -> tuple[IgnoreRules, Places]:
        """Return what holds in a folder by what lies above it; in one that is ignored and named, nothing is ignored."""
        rules, places = IgnoreRules(), self.wildcard.start
        for depth, name in enumerate(start):
            if self.ignore and not self.is_over():
                with self.folder.open_folder(start[:depth]) as descriptor:
                    rules = rules.joined_by(descriptor, depth)
                if rules.ignore(start[: depth + 1], folder=True):
                    rules = IgnoreRules()
            places = self.wildcard.step(places, name)
        return rules, places

    def _visit(self, descriptor: int, names: Names, rules: IgnoreRules, places: Places) -> Visit:
        visit = Visit(descriptor, names, [], [], [])
        with os.scandir(descriptor) as entries:
            for count, entry in enumerate(islice(entries, MOST_ENTRIES + 1)):
                if count == MOST_ENTRIES:
                    self.cut = f"a folder has more than {MOST_ENTRIES:,} entries"
                # Many rules take long for each name.
                elif (rules or count % _LOOK_EVERY == _LOOK_EVERY - 1) and self.is_over():
                    break
                elif not self.folder.is_denied(entry.name):
                    self._sort(entry, visit, rules, places)
        for each in (visit.files, visit.folders, visit.others):
            each.sort()
        return visit

    def _sort(self, entry: os.DirEntry[str], visit: Visit, rules: IgnoreRules, places: Places) -> None:
        """Put an entry where it belongs, unless it is ignored or, being a file, not wanted."""
        is_folder = entry.is_dir(follow_symlinks=False)
        if rules and rules.ignore((*visit.names, entry.name), folder=is_folder):
            return
        if is_folder:
            visit.folders.append(entry.name)
        elif self.wildcard.fits_all or self.wildcard.fits(self.wildcard.step(places, entry.name)):
            (visit.files if entry.is_file(follow_symlinks=False) else visit.others).append(entry.name)

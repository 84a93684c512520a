"""Walks through a folder and those below it, in order, without following links, until the time limit."""

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
    """A folder on the walk.

    Attributes:
        descriptor: The folder's descriptor, which is open until the next visit.
        names: The folder's path below the root.
        files: The sorted names of its files that match.
        folders: The sorted names of its folders that are not ignored.
        others: The sorted names of links and special files.
    """

    descriptor: int
    names: Names
    files: list[str]
    folders: list[str]
    others: list[str]


@dataclass(slots=True)
class Walk:
    """A walk through the folders.

    Attributes:
        folder: The root folder.
        wildcard: The pattern of the files. It is relative to the root, wherever the walk begins.
        ends: The time at which to stop, by the clock.
        ignore: Whether `.gitignore` files are respected.
        clock: Returns the time in seconds.
        cut: Why the walk ended too early, or "".
    """

    folder: Folder
    wildcard: Wildcard
    ends: float
    ignore: bool
    clock: Callable[[], float] = monotonic
    cut: str = field(default="", init=False)

    def visits(self, start: Names, *, deep: bool = True) -> Generator[Visit]:
        """Yield the folder at `start` and, if `deep`, those below it that can be opened."""
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
        """Return whether to stop, and note why."""
        if self.clock() <= self.ends and self.folder.is_wanted():
            return False
        self.cut = "time was up"
        return True

    def _enter(self, start: Names) -> tuple[IgnoreRules, Places]:
        """Return the rules and places for a folder, from the folders above it.

        If the folder itself is ignored, the model has named it, so nothing in it is ignored.
        """
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
                # With many rules each name takes long, so the time is checked for every name.
                elif (rules or count % _LOOK_EVERY == _LOOK_EVERY - 1) and self.is_over():
                    break
                elif not self.folder.is_denied(entry.name):
                    self._sort(entry, visit, rules, places)
        for each in (visit.files, visit.folders, visit.others):
            each.sort()
        return visit

    def _sort(self, entry: os.DirEntry[str], visit: Visit, rules: IgnoreRules, places: Places) -> None:
        """Add an entry to the visit, unless it is ignored, or is a file that does not match."""
        is_folder = entry.is_dir(follow_symlinks=False)
        if rules and rules.ignore((*visit.names, entry.name), folder=is_folder):
            return
        if is_folder:
            visit.folders.append(entry.name)
        elif self.wildcard.fits_all or self.wildcard.fits(self.wildcard.step(places, entry.name)):
            (visit.files if entry.is_file(follow_symlinks=False) else visit.others).append(entry.name)

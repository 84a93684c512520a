"""SearchFiles: the pack, its configuration and its tool."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from agentloop import ConfigurationError, Effects, PackConfig, Tool, ToolError, ToolPack, bound_tools, tool
from agentloop_tools.files.ignore import can_be_read, make_spec
from agentloop_tools.search_files.index import TABLES, Hit, find
from agentloop_tools.search_files.pdf import SECONDS, can_read_pdf
from agentloop_tools.search_files.tree import Tree, open_tree
from agentloop_tools.search_files.update import Scope, Update
from agentloop_tools.storage.marks import Marks
from agentloop_tools.storage.store import Store, is_damage, limited_time
from agentloop_tools.storage.words import match_any

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_PATTERNS_HINT = "write them as in a .gitignore, with spaces between: `*.md docs/**`"
_MOST_HITS = 20
_FIND_SECONDS = 5.0
_WAIT_SECONDS = 5.0
_INDEX_BYTES = 4_000_000_000
_EFFECTS = Effects(read=True, write=True, idempotent=True, own_store=True)
_SUFFIX = ".agentloop-index"
_UNFINISHED = "Indexing is not finished: repeat the search to continue it; it may find more."
_CUT = "Only the first {:,} files and folders are searched."


class SearchFilesConfig(PackConfig):
    """The configuration of the search_files pack."""

    root: Path = Field(description="the folder whose files are searched")
    index: Path | None = Field(None, description="the folder for indexes; by default in the user's cache folder")
    include: str = Field(
        "", description="the files to search, as patterns separated by spaces: `*.md docs/**`; by default all"
    )
    ignore: bool = Field(True, description="whether .gitignore files are respected")  # noqa: FBT003 - a default
    max_bytes: int = Field(1_000_000, gt=0, le=20_000_000, description="the size of the largest file that is read")
    max_files: int = Field(100_000, gt=0, le=1_000_000, description="how many files and folders are indexed at most")
    trusted: bool | None = Field(
        None,
        description="whether the files hold no untrusted text; by default, those do not that a run has written after "
        "it had read untrusted text",
    )
    update_seconds: float = Field(8.0, gt=0, le=60, description="how long a search may index before it answers")


class SearchFiles(ToolPack[SearchFilesConfig]):
    """Searches the text, code and PDF files of a folder.

    Args:
        config: The folder, and which of its files to search.
        clock: Returns a monotonic time in seconds.
        now: Returns the current time in seconds, by the same clock as the times of files.
    """

    name = "search_files"
    version = "1.0"
    imports = ("pathspec", "platformdirs", "pypdf")
    extra = "pdf"

    def __init__(
        self,
        config: SearchFilesConfig | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(config)
        self._clock = clock
        self._now = now

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Iterable[Tool]]:
        """Yield the tools of one run. At its end, searches that are still running stop."""
        if os.open not in os.supports_dir_fd:
            raise ConfigurationError("search_files needs a system that opens files relative to a folder, such as Linux")
        root = self.config.root.expanduser()
        if not root.is_dir():
            raise ConfigurationError(f"search_files: {self.config.root} is not a folder")
        patterns = self.config.include.split()
        if odd := [pattern for pattern in patterns if not can_be_read(pattern)]:
            raise ConfigurationError(f"search_files: include={' '.join(odd)!r} is not a pattern", hint=_PATTERNS_HINT)
        include = make_spec(patterns) if patterns else None
        search = _Search(self.config, root.resolve(), include, self._clock, self._now)
        # A call may wait for the update of another call, then update itself with a PDF at the end, and then search.
        timeout = 2 * self.config.update_seconds + SECONDS + _WAIT_SECONDS + _FIND_SECONDS
        try:
            effects = replace(_EFFECTS, open_world=self.config.trusted is False)
            yield [replace(each, timeout=timeout, effects=effects) for each in bound_tools(search)]
        finally:
            search.stop.set()


@dataclass(frozen=True, slots=True)
class _Search:
    """The tool of one run.

    Attributes:
        config: The configuration of the pack.
        root: The folder's path, without links.
        include: The paths to search, or None for all.
        clock: Returns a monotonic time in seconds.
        now: Returns the current time in seconds.
        stop: Set at the end of the run.
    """

    config: SearchFilesConfig
    root: Path
    include: GitIgnoreSpec | None
    clock: Callable[[], float]
    now: Callable[[], float]
    stop: threading.Event = field(default_factory=threading.Event)
    _updating: threading.Lock = field(default_factory=threading.Lock)

    @tool(effects=_EFFECTS, repeatable=True, max_output=40_000)
    def search(self, query: str, limit: int = 8) -> str:
        """Find passages in the files that hold these words, best first.

        Args:
            query: The words, such as opening hours.
            limit: How many passages, at most 20.
        """
        expression = match_any(query)
        if not expression:
            raise ToolError("The query has no words to look for: give some.")
        generation = self._generation()
        try:
            return self._search(self._store(generation), expression, limit)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise ToolError(f"The index can't be used: {error}.") from error
        # The new index gets another file name, because another process may have the damaged file open, and would then
        # delete the side files of the new one.
        answer = self._search(self._store(generation + 1), expression, limit)
        self._store(generation).remove()
        return answer

    def _search(self, store: Store, expression: str, limit: int) -> str:
        try:
            with store.open() as connection, open_tree(self.root) as tree:
                note = self._update(connection, tree)
                hits = self._find(connection, expression, min(max(limit, 1), _MOST_HITS))
                # A passage of a file that can't be read any more is not shown from the index either.
                shown = [hit for hit in hits if tree.has(hit.path)]
                Marks(str(self.root), self.config.trusted).note_shown(hit.path for hit in shown)
                return _describe(shown, note)
        except OSError as error:
            raise ToolError(f"The folder can't be read: {error.strerror}.") from error

    def _update(self, connection: sqlite3.Connection, tree: Tree) -> str:
        """Bring the index up to date, and return a note for the model if it is not complete."""
        if not self._updating.acquire(timeout=self.config.update_seconds):
            return _UNFINISHED
        try:
            ends = self.clock() + self.config.update_seconds
            if not Update(connection, tree, self._scope(), ends, self.stop, self.clock, self.now).run():
                return _UNFINISHED
        except sqlite3.OperationalError as error:
            return f"The index is not up to date: {error}."
        finally:
            self._updating.release()
        return _CUT.format(self.config.max_files) if tree.is_cut else ""

    def _find(self, connection: sqlite3.Connection, expression: str, limit: int) -> list[Hit]:
        try:
            with limited_time(connection, self.clock() + _FIND_SECONDS, self.stop, self.clock):
                return find(connection, expression, limit)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            raise ToolError("The search took too long: look for fewer and rarer words.") from error

    def _scope(self) -> Scope:
        config = self.config
        return Scope(
            include=self.include, ignore=config.ignore, most_files=config.max_files, most_bytes=config.max_bytes
        )

    def _generation(self) -> int:
        """Return how often the index was made again after a damage."""
        numbers = (path.name.split(".")[1] for path in self._folder().glob(f"{self._name()}.*{_SUFFIX}"))
        return max((int(number) for number in numbers if number.isdecimal()), default=0)

    def _store(self, generation: int) -> Store:
        path = self._folder() / f"{self._name()}.{generation}{_SUFFIX}"
        return Store(path, TABLES, _WAIT_SECONDS, _INDEX_BYTES)

    def _folder(self) -> Path:
        from platformdirs import user_cache_path  # noqa: PLC0415 - it takes 0.04 s, so only the first search imports it

        return (self.config.index or user_cache_path("agentloop") / "search_files").expanduser()

    def _name(self) -> str:
        """Return a name for this folder and these settings. Other settings need an index with other files."""
        settings = self.config.model_dump(mode="json", exclude={"root", "index", "update_seconds", "trusted"})
        key = repr((str(self.root), settings, can_read_pdf()))
        return sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _describe(hits: list[Hit], note: str) -> str:
    found = f"{len(hits)} passage{'s' * (len(hits) > 1)}, best first." if hits else "Nothing was found."
    parts = [
        f"{_place(hit)}\n{hit.passage.text or '(found by its name; it holds no text that is indexed)'}" for hit in hits
    ]
    return "\n\n".join(filter(None, [found, *parts, note]))


def _place(hit: Hit) -> str:
    path = hit.path if hit.path.isprintable() else ascii(hit.path)  # a line break could look like another passage
    first, last, _ = hit.passage
    if first == 0:
        return path
    return f"{path}, page {first}" if path.lower().endswith(".pdf") else f"{path}:{first}-{last}"

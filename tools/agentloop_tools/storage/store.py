"""Store: a SQLite file of a pack. Each call opens its own connection, and the tables are made when they are missing.

The packs define the tables. Full-text queries are made in `words`.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp

from agentloop import ToolError

_PRIMARY = 0xFF  # the lower byte of an error code is the primary code
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PAGE_BYTES = 4_096
_PROGRESS_STEPS = 1_000
_PAUSE_SECONDS = 0.01
_SIDE_FILES = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Store:
    """A SQLite file that only its owner can read.

    Attributes:
        path: The file. It and its folder are made if they are missing.
        tables: The statements that make the tables.
        wait_seconds: How long to wait for another writer.
        most_bytes: The size that the file may not exceed.
        sleep: Waits so many seconds, while another process makes the file.
    """

    path: Path
    tables: tuple[str, ...]
    wait_seconds: float = 5.0
    most_bytes: int = 1_000_000_000
    sleep: Callable[[float], object] = time.sleep

    @contextmanager
    def open(self) -> Generator[sqlite3.Connection]:
        """Yield a connection for this thread, which is closed at the end of the block.

        Raises:
            ToolError: the file can't be opened or made.
        """
        try:
            connection = self._connect()
        except OSError as error:
            raise ToolError(f"The store can't be opened: {error.strerror}.") from error
        with closing(connection):
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute(f"PRAGMA max_page_count = {self.most_bytes // _PAGE_BYTES}")
            self._make_tables(connection)
            yield connection

    def remove(self) -> None:
        """Delete the file. A process that still has it open continues with its own, now invisible, copy."""
        for side in _SIDE_FILES:
            Path(f"{self.path}{side}").unlink(missing_ok=True)

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.path.exists():
            self._make_file()
        return sqlite3.connect(self.path, timeout=self.wait_seconds, isolation_level=None)

    def _make_file(self) -> None:
        """Make a file that other users can't read. SQLite does not do so, but its side files get the same mode."""
        descriptor, name = mkstemp(dir=self.path.parent)
        # Closed before it gets its name, because closing a database file drops all locks of this process on it.
        os.close(descriptor)
        # This fails if another process was faster, or if the file system has no links (and then mostly no owners).
        with suppress(OSError):
            os.link(name, self.path)
        Path(name).unlink()

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        if _version(connection):
            return
        self._use_wal(connection)
        with writing(connection):
            if not _version(connection):  # no other process was faster
                for statement in self.tables:
                    connection.execute(statement)
                connection.execute("PRAGMA user_version = 1")

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        """Set the journal mode in which readers need not wait for a writer."""
        ends = time.monotonic() + self.wait_seconds
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                # SQLite waits for other writers, but not if two processes switch a new file to this mode.
                if error.sqlite_errorcode & _PRIMARY != sqlite3.SQLITE_BUSY or time.monotonic() > ends:
                    raise
                self.sleep(_PAUSE_SECONDS)
            else:
                return


@contextmanager
def writing(connection: sqlite3.Connection) -> Generator[None]:
    """Run the block in a transaction: all of its changes are made, or none. Other writers wait."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:  # also an exception that ends the thread: it must be all of the changes or none
        if connection.in_transaction:  # some errors end the transaction themselves
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def limited_time(
    connection: sqlite3.Connection, ends: float, stop: threading.Event, clock: Callable[[], float]
) -> Generator[None]:
    """Run the block, and interrupt its statements at a time of the clock, or when the event is set."""
    connection.set_progress_handler(lambda: clock() > ends or stop.is_set(), _PROGRESS_STEPS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the error means that the file is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _DAMAGED


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])

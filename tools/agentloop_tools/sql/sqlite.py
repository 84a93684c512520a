"""Reads a SQLite file. A query can't change it, and is limited in time and size.

Three barriers prevent changes: the file is opened read-only, `query_only` is set, and an authorizer allows only
reading.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from agentloop import ConfigurationError, ToolError
from agentloop_tools.sql.answer import Caps, Deadline, Value, write_rows
from agentloop_tools.sql.guard import authorize_describing, guard, quote

_MOST_TABLES = 300
_BUSY_SECONDS = 2.0
_HIDDEN = 1  # a hidden column of a virtual table; generated columns have other numbers


class SqliteFile:
    """A SQLite database in a file. Each call opens it again.

    Args:
        path: The path of an existing file.
        clock: Returns the time in seconds.

    Raises:
        ConfigurationError: the file does not exist, or is not a SQLite database.
    """

    host = ""

    def __init__(self, path: str, clock: Callable[[], float]) -> None:
        file = Path(path)
        try:
            if not file.is_file():
                raise ConfigurationError(f"there is no database file {file.name!r}")
            # The whole path becomes a URI, so that `?mode=rwc` in a file's name stays a part of the name.
            self.path = str(file.resolve())
            self._address = f"{file.resolve().as_uri()}?mode=ro"
            with self._connect(Deadline(_BUSY_SECONDS, clock)):
                pass
        except (sqlite3.Error, ToolError, OSError, ValueError) as error:
            raise ConfigurationError(f"{file.name[:80]!r} can't be read as a SQLite database: {error}") from None

    def schema(self, table: str, caps: Caps, deadline: Deadline) -> str:
        """Return the tables and views with their columns, or one of them."""
        with self._connect(deadline) as connection:
            found = connection.execute(
                "SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view')"
                " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND (?1 = '' OR name = ?1 COLLATE NOCASE) ORDER BY name",
                (table,),
            ).fetchmany(_MOST_TABLES + 1)
            if not found:
                raise ToolError(f"there is no table {table[:80]!r}" if table else "there is no table")
            connection.set_authorizer(authorize_describing)
            lines = list[str]()
            room = caps.bytes
            for kind, name in found[:_MOST_TABLES]:
                line = f"{kind} {name} ({', '.join(_describe_columns(connection, name))})"
                room -= len(line.encode()) + 1
                if room < 0:
                    break
                lines.append(line)
            if len(lines) < len(found):
                lines.append(f"({len(lines)} tables shown, there are more; ask for one by its name)")
            return "\n".join(lines)

    def query(self, sql: str, parameters: list[Value], caps: Caps, deadline: Deadline) -> str:
        """Run a query and return its rows."""
        with self._connect(deadline) as connection:
            cursor = connection.execute(sql, parameters)
            if cursor.description is None:
                raise ToolError("that is not a query: write one SELECT")
            columns = [column[0] for column in cursor.description]
            return write_rows(columns, cursor, caps, deadline)

    @contextmanager
    def _connect(self, deadline: Deadline) -> Generator[sqlite3.Connection]:
        """Open the file for reading, with the guard. The errors do not name its path."""
        try:
            with closing(_open(self._address)) as connection:
                guard(connection, deadline)
                yield connection
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            raise _make_error(error, deadline) from None


def _open(address: str) -> sqlite3.Connection:
    return sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)


def _describe_columns(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    try:
        columns = connection.execute(f"PRAGMA table_xinfo({quote(table)})").fetchall()
        foreign = connection.execute(f"PRAGMA foreign_key_list({quote(table)})").fetchall()
    except sqlite3.OperationalError:  # a view of a table that no longer exists, or a module that is not available
        yield "can't be read"
        return
    targets = {row[3]: f" -> {row[2]}{f'.{row[4]}' if row[4] else ''}" for row in foreign}
    for _, name, kind, not_null, _, key, hidden in columns:
        if hidden == _HIDDEN:
            continue
        words = [name, kind, "primary key" if key else "", "not null" if not_null and not key else ""]
        yield " ".join(filter(None, words)) + targets.get(name, "")


def _make_error(error: Exception, deadline: Deadline) -> ToolError:
    """Return the error for the model."""
    text = str(error)
    if text == "interrupted":
        return deadline.error()
    if isinstance(error, sqlite3.DatabaseError) and _is_refusal(text):
        return ToolError(f"only reading is allowed, with the usual functions: {text}")
    return ToolError(f"the query failed: {text}")


def _is_refusal(text: str) -> bool:
    return any(words in text for words in ("not authorized", "authorization denied", "prohibited", "readonly"))

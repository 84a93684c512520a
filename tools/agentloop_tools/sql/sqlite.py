"""A SQLite file, opened so that nothing can be changed, and no query can take more than its share.

Writing is barred three times: the file is opened read-only, `query_only` is set, and an authorizer lets only reading
pass.
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
_HIDDEN = 1  # a column that a module keeps for itself; generated ones have other numbers


class SqliteFile:
    """A SQLite database in a file; each call opens it anew.

    Args:
        path: Of the file, which has to be there.
        clock: Tells the time in seconds.

    Raises:
        ConfigurationError: there is no such file, or it is no database.
    """

    host = ""

    def __init__(self, path: str, clock: Callable[[], float]) -> None:
        file = Path(path)
        try:
            if not file.is_file():
                raise ConfigurationError(f"there is no database file {file.name!r}")
            # A URI of the whole path, so that `?mode=rwc` in a name stays a part of the name.
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
        """Return the rows that a query gives."""
        with self._connect(deadline) as connection:
            cursor = connection.execute(sql, parameters)
            if cursor.description is None:
                raise ToolError("that is no query: write one SELECT")
            columns = [column[0] for column in cursor.description]
            return write_rows(columns, cursor, caps, deadline)

    @contextmanager
    def _connect(self, deadline: Deadline) -> Generator[sqlite3.Connection]:
        """Open the file for reading, guarded; what goes wrong is told without its path."""
        try:
            with closing(_open(self._address)) as connection:
                guard(connection, deadline)
                yield connection
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            raise _tell(error, deadline) from None


def _open(address: str) -> sqlite3.Connection:
    return sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)


def _describe_columns(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    try:
        columns = connection.execute(f"PRAGMA table_xinfo({quote(table)})").fetchall()
        foreign = connection.execute(f"PRAGMA foreign_key_list({quote(table)})").fetchall()
    except sqlite3.OperationalError:  # a view of what is no more, or a module that is not here
        yield "can't be read"
        return
    targets = {row[3]: f" -> {row[2]}{f'.{row[4]}' if row[4] else ''}" for row in foreign}
    for _, name, kind, not_null, _, key, hidden in columns:
        if hidden == _HIDDEN:
            continue
        words = [name, kind, "primary key" if key else "", "not null" if not_null and not key else ""]
        yield " ".join(filter(None, words)) + targets.get(name, "")


def _tell(error: Exception, deadline: Deadline) -> ToolError:
    """Return what the model may know of a failure."""
    text = str(error)
    if text == "interrupted":
        return deadline.error()
    if isinstance(error, sqlite3.DatabaseError) and _is_refusal(text):
        return ToolError(f"only reading is allowed, with the usual functions: {text}")
    return ToolError(f"the query failed: {text}")


def _is_refusal(text: str) -> bool:
    return any(words in text for words in ("not authorized", "authorization denied", "prohibited", "readonly"))

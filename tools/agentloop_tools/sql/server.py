"""Reads a database through SQLAlchemy. Its login must prevent changes. A read-only transaction is a second barrier."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from agentloop import ConfigurationError, ToolError, describe_install
from agentloop_tools.sql.answer import Caps, Deadline, Value, check_columns, write_rows

_MOST_TABLES = 300
# The first statements of a transaction, with which the server itself refuses changes and stops long queries.
_PROLOGUES = {
    "postgresql": ("SET TRANSACTION READ ONLY", "SET LOCAL statement_timeout = {milliseconds}"),
    "mysql": ("SET SESSION MAX_EXECUTION_TIME = {milliseconds}", "START TRANSACTION READ ONLY"),
    "mariadb": ("SET SESSION MAX_STATEMENT_TIME = {seconds}", "START TRANSACTION READ ONLY"),
}
_READS = re.compile(r"[\s(]*(?:select|with|values|table|show|explain|describe|desc)\b", re.IGNORECASE)
# Dialects in which a statement may follow another one without a semicolon, and words that would end the transaction.
_BATCHES = frozenset({"mssql", "sybase"})
_ENDS = re.compile(r"\b(?:commit|rollback)\b", re.IGNORECASE)


class Server:
    """A database at a URL. Each call opens a connection, and ends with a rollback.

    Args:
        url: A URL for SQLAlchemy.

    Raises:
        ConfigurationError: SQLAlchemy or the driver is not installed, or the URL is invalid.
    """

    path = ""

    def __init__(self, url: str) -> None:
        try:
            library: Any = import_module("sqlalchemy")
        except ImportError:
            raise ConfigurationError(
                "databases other than SQLite need SQLAlchemy, which is not installed",
                hint=describe_install("sql"),
            ) from None
        self._library = library
        try:
            self._engine: Any = library.create_engine(url, poolclass=library.NullPool, hide_parameters=True)
        except ImportError as error:
            raise ConfigurationError(f"the driver {error.name or 'of this database'!r} is not installed") from None
        except (library.exc.SQLAlchemyError, ValueError):
            raise ConfigurationError(
                "the URL of the database can't be read", hint="dialect+driver://user@host/name"
            ) from None

        self.host = str(self._engine.url.host or "")

    def schema(self, table: str, caps: Caps, deadline: Deadline) -> str:
        """Return the tables and views with their columns, or one of them."""

        def describe(connection: Any) -> str:
            return self._describe(connection, table, caps, deadline)

        return self._run(deadline, describe)

    def query(self, sql: str, parameters: list[Value], caps: Caps, deadline: Deadline) -> str:
        """Run a query and return its rows."""
        statement = sql.strip().rstrip("; \n\t")
        # How texts are quoted differs from server to server, so a semicolon counts wherever it stands.
        if ";" in statement:
            raise ToolError("write one statement, and give a text with a semicolon as a parameter")
        ends = self._engine.dialect.name in _BATCHES and _ENDS.search(statement)
        if ends or not _READS.match(statement):
            raise ToolError("that is not a query: write one SELECT")

        def read(connection: Any) -> str:
            text, values = self._bind(statement, parameters)
            options = connection.execution_options(stream_results=True, max_row_buffer=caps.rows)
            with options.execute(text, values) as result:
                if not result.returns_rows:
                    raise ToolError("that is not a query: write one SELECT")
                columns = list(result.keys())
                check_columns(columns)
                return write_rows(columns, result, caps, deadline)

        return self._run(deadline, read)

    def _bind(self, sql: str, parameters: list[Value]) -> tuple[Any, dict[str, Value]]:
        """Return the statement with a name for each `?` outside of quotes, and the values by name."""
        pieces, quote = [""], ""
        for character in sql:
            if character == "?" and not quote:
                pieces.append("")
                continue
            if character in "'\"`" and quote in {"", character}:
                quote = "" if quote else character
            pieces[-1] += "\\:" if character == ":" else character
        if len(pieces) - 1 != len(parameters):
            raise ToolError(f"the query has {len(pieces) - 1} ? and {len(parameters)} values were given")
        text = pieces[0] + "".join(f":p{index}{piece}" for index, piece in enumerate(pieces[1:]))
        return self._library.text(text), {f"p{index}": value for index, value in enumerate(parameters)}

    def _run(self, deadline: Deadline, work: Callable[[Any], str]) -> str:
        """Do the work in a transaction that is never committed. An error has the driver's message and nothing else."""
        limits = {"milliseconds": round(deadline.seconds * 1000), "seconds": deadline.seconds}
        try:
            with self._engine.connect() as connection:
                for statement in _PROLOGUES.get(self._engine.dialect.name, ()):
                    connection.exec_driver_sql(statement.format_map(limits))
                try:
                    return work(connection)
                finally:
                    connection.rollback()
        except self._library.exc.SQLAlchemyError as error:
            raise ToolError(self._describe_error(error)) from None

    def _describe_error(self, error: Any) -> str:
        """Return a text for the model: the reason, unless that names a part of the URL such as the login."""
        url = self._engine.url
        reason = str(getattr(error, "orig", None) or type(error).__name__).strip().partition("\n")[0]
        secrets = [str(part) for part in (url.password, url.username, url.host, url.database) if part]
        if isinstance(error, self._library.exc.InterfaceError) or any(secret in reason for secret in secrets):
            return f"the query failed: {type(error).__name__}"
        return f"the query failed: {reason}"

    def _describe(self, connection: Any, table: str, caps: Caps, deadline: Deadline) -> str:
        inspector = self._library.inspect(connection)
        names = [("table", name) for name in inspector.get_table_names()]
        names += [("view", name) for name in inspector.get_view_names()]
        found = sorted(pair for pair in names if table.lower() in {"", pair[1].lower()})
        if not found:
            raise ToolError(f"there is no table {table[:80]!r}" if table else "there is no table")
        lines = list[str]()
        room = caps.bytes
        for kind, name in found[:_MOST_TABLES]:
            line = f"{kind} {name} ({', '.join(self._describe_columns(inspector, name))})"
            room -= len(line.encode()) + 1
            if room < 0 or deadline.passed:
                break
            lines.append(line)
        if len(lines) < len(found):
            lines.append(f"({len(lines)} tables shown, there are more; ask for one by its name)")
        return "\n".join(lines)

    def _describe_columns(self, inspector: Any, table: str) -> list[str]:
        try:
            return _read_columns(inspector, table)
        except self._library.exc.SQLAlchemyError:  # a view of a table that no longer exists
            return ["can't be read"]


def _read_columns(inspector: Any, table: str) -> list[str]:
    keys = set(inspector.get_pk_constraint(table)["constrained_columns"])
    targets = {
        name: f" -> {key['referred_table']}.{target}"
        for key in inspector.get_foreign_keys(table)
        for name, target in zip(key["constrained_columns"], key["referred_columns"], strict=True)
    }
    return [
        f"{column['name']} {column['type']}"
        + (" primary key" if column["name"] in keys else "" if column["nullable"] else " not null")
        + targets.get(column["name"], "")
        for column in inspector.get_columns(table)
    ]

"""Sql: the pack, its configuration and its tools. Also chooses the module that reads a database."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, Protocol, TypeVar

from pydantic import AfterValidator, Field, SecretStr

from agentloop import (
    ArgumentReading,
    ConfigurationError,
    Effects,
    PackConfig,
    Tool,
    ToolError,
    ToolPack,
    bound_tools,
    tool,
)
from agentloop_tools.sql.answer import Caps, Deadline, Value
from agentloop_tools.sql.sqlite import SqliteFile
from agentloop_tools.storage.marks import Marks

_GRACE_SECONDS = 3
_READS = Effects(read=True, idempotent=True)
_R = TypeVar("_R")


def _hide(database: SecretStr | str) -> SecretStr:
    return SecretStr(database) if isinstance(database, str) else database


class SqlConfig(PackConfig):
    """The configuration of the sql pack."""

    database: Annotated[SecretStr | str, AfterValidator(_hide)] = Field(
        description="the path of a SQLite file, or the SQLAlchemy URL of another database"
    )
    rows: int = Field(200, ge=1, le=10_000, description="how many rows a query returns at most")
    bytes: int = Field(20_000, ge=500, le=1_000_000, description="how large the answer of a query may be")
    seconds: float = Field(10, gt=0, le=600, description="how long a query may take")
    trusted: bool = Field(
        default=False,
        description="that you have given the login of a database other than SQLite only the right to read; "
        "the pack can't enforce it",
    )
    trusted_rows: bool | None = Field(
        None,
        description="whether the rows hold no untrusted text; by default, those of a SQLite file do not that a run has "
        "written after it had read untrusted text",
    )


class Database(Protocol):
    """A database that can be read. Each call ends at its deadline.

    Attributes:
        host: The database's host, or "" for a file on this machine.
        path: The path of the file, or "".
    """

    host: str
    path: str

    def schema(self, table: str, caps: Caps, deadline: Deadline) -> str:
        """Return the tables with their columns, or one of them."""
        ...

    def query(self, sql: str, parameters: list[Value], caps: Caps, deadline: Deadline) -> str:
        """Run a query and return its rows."""
        ...


class Sql(ToolPack[SqlConfig]):
    """Lists the tables of a database, and runs queries that read them.

    Args:
        config: The database.
        clock: Returns the time in seconds.
    """

    name = "sql"
    version = "1.0"
    imports = ("sqlalchemy",)
    extra = "sql"

    def __init__(self, config: SqlConfig | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(config)
        self._clock = clock

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Iterable[Tool]]:
        """Yield the tools. The database must exist, and it must be possible to prevent changes to it."""
        config = self.config
        database = _find_database(config, self._clock)
        marks = Marks(database.path, config.trusted_rows) if database.path else None
        opened = OpenSql(database, Caps(config.rows, config.bytes), config.seconds, self._clock, marks)
        effects = replace(_READS, network=True, hosts=(database.host,)) if database.host else _READS
        effects = replace(effects, open_world=config.trusted_rows is False)
        seconds = config.seconds + 2 * _GRACE_SECONDS
        # A rule about a table holds for its name in any case, as for the database.
        readings = {"table": ArgumentReading(lambda given: [given["table"]])}
        yield [
            replace(
                each,
                effects=effects,
                timeout=seconds,
                max_output=config.bytes + 500,
                readings=readings if each.name == "schema" else {},
            )
            for each in bound_tools(opened)
        ]


class OpenSql:
    """The tools of one run.

    Args:
        database: The database.
        caps: The limits on an answer.
        seconds: How long a call may take.
        clock: Returns the time in seconds.
        marks: Whether the database's file is marked as untrusted; None for a server.
    """

    def __init__(
        self,
        database: Database,
        caps: Caps,
        seconds: float,
        clock: Callable[[], float],
        marks: Marks | None = None,
    ) -> None:
        self._marks = marks
        self._database = database
        self._caps = caps
        self._seconds = seconds
        self._clock = clock

    @tool(effects=_READS)
    async def schema(self, table: str = "") -> str:
        """List the tables and views of the database with their columns, types and keys.

        Args:
            table: One table or view; all of them if left out.
        """
        return await self._run(lambda deadline: self._database.schema(table, self._caps, deadline))

    @tool(effects=_READS)
    async def query(self, sql: str, parameters: list[str | int | float | None] | None = None) -> str:
        """Run one query that reads; the first line of the answer has the columns, each further one a row.

        Args:
            sql: One SELECT, with ? in place of values from elsewhere.
            parameters: The values for each ?, in order.
        """
        values = parameters or []
        return await self._run(lambda deadline: self._database.query(sql, values, self._caps, deadline))

    async def _run(self, work: Callable[[Deadline], _R]) -> _R:
        """Do the work in a thread. After a cancellation, the deadline is set to now and the thread is waited for."""
        deadline = Deadline(self._seconds, self._clock)
        if self._marks is not None:
            self._marks.note_read([""])
        running = _start(work, deadline)
        try:
            await asyncio.wait((running,), timeout=self._seconds + _GRACE_SECONDS)
        finally:
            deadline.cancel()
            if not running.done():
                await asyncio.wait((running,), timeout=_GRACE_SECONDS)
        if not running.done():
            raise ToolError("the database did not answer in time, and may still be at work on it; ask for less")
        return running.result()


def _start(work: Callable[[Deadline], _R], deadline: Deadline) -> asyncio.Future[_R]:
    """Do the work in a daemon thread, because a database that hangs must not keep the process alive."""
    promise = Future[_R]()

    def run() -> None:
        try:
            promise.set_result(work(deadline))
        except BaseException as error:  # noqa: BLE001 - raised again in the task that waits for the work
            promise.set_exception(error)

    threading.Thread(target=run, name="agentloop-sql", daemon=True).start()
    running = asyncio.wrap_future(promise)
    running.add_done_callback(lambda done: done.exception())  # so that asyncio does not warn if nothing awaits it
    return running


def _find_database(config: SqlConfig, clock: Callable[[], float]) -> Database:
    """Return the database that is configured.

    Raises:
        ConfigurationError: it does not exist, or changes to it can't be prevented.
    """
    # The value is a SecretStr after validation. The type is a union because users may pass a plain text.
    address = config.database.get_secret_value() if isinstance(config.database, SecretStr) else config.database
    scheme, separator, rest = address.partition("://")
    if not separator:
        return SqliteFile(address, clock)
    if scheme.partition("+")[0] == "sqlite":
        if "?" in rest or not rest.startswith("/"):
            raise ConfigurationError("a SQLite database is given by the path of its file: sql:database=data.db")
        return SqliteFile(rest[1:], clock)
    if not config.trusted:
        raise ConfigurationError(
            f"the pack 'sql' can't prevent changes to a database of the kind {scheme!r}",
            hint="use a login that may only read, and confirm that with trusted=true",
        )
    from agentloop_tools.sql.server import Server  # noqa: PLC0415 - an extra

    return Server(address)

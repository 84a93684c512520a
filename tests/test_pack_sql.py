"""The pack sql: what it reads, and that nothing gets written, hangs or grows, whatever is asked."""

# ruff: noqa: S608 - the SQL is the tests' own

import asyncio
import json
import sqlite3
import threading
import tracemalloc
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from agentloop import Agent, ConfigurationError, ToolError, describe_install
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.sql import Sql, SqlConfig

pytestmark = pytest.mark.unmeasured

PATIENCE_SECONDS = 60  # for what would never end
FOREVER = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"


@pytest.fixture
def database(shop, tmp_path):
    path = tmp_path / "secret-folder" / "shop.db"
    path.parent.mkdir()
    path.write_bytes(shop)
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    path = tmp_path_factory.mktemp("shop") / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """
            CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, note);
            CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers(id), total REAL,
                                 doubled REAL GENERATED ALWAYS AS (total * 2) VIRTUAL);
            CREATE TABLE "odd ""name" (x);
            CREATE VIEW rich AS SELECT replace(trim(name, 'x'), 'A', 'a') AS name FROM customers WHERE id < 3;
            CREATE VIEW broken AS SELECT * FROM missing;
            CREATE VIRTUAL TABLE words USING fts5(body);
            INSERT INTO words VALUES ('hello world');
            INSERT INTO customers VALUES (1, 'Ann', NULL), (2, 'Bob', x'00ff'), (3, CAST(x'ff41' AS TEXT), 9e999);
            INSERT INTO orders (customer, total) VALUES (1, 9.5), (1, 0.5), (2, 3);
            """
        )
        connection.execute(f"CREATE TABLE wide ({', '.join(f'c{number}' for number in range(300))})")
        connection.commit()
    return path.read_bytes()


class Clock:
    """A clock that stands still, or goes on by so many seconds whenever it is looked at."""

    def __init__(self):
        self.now = self.step = 0.0

    def __call__(self):
        self.now += self.step
        return self.now


@asynccontextmanager
async def opened(database, *, clock=None, **options):
    config = Sql.from_options({"database": str(database), "seconds": PATIENCE_SECONDS, **options}).config
    async with Sql(config, clock=clock or Clock()).open() as tools:
        yield {tool.name: tool for tool in tools}


async def ask(database, sql, parameters=None, **options):
    async with opened(database, **options) as tools:
        return await tools["query"](sql, parameters)


async def late(database, sql, *, looks=5, **options):
    """Return what is told of a query whose time is up after so many looks at the clock."""
    clock = Clock()
    async with opened(database, clock=clock, **options) as tools:
        clock.step = PATIENCE_SECONDS / looks
        with pytest.raises(ToolError) as caught:
            await tools["query"](sql)
    return caught.value.message


async def refused(database, sql, **options):
    with pytest.raises(ToolError) as caught:
        await ask(database, sql, **options)
    return caught.value.message


def rows(answer):
    return [json.loads(line) for line in answer.splitlines()[1:-1]]


# --- what it is for ---


def test_a_model_reads_the_schema_and_asks(database):
    endpoint = ScriptedEndpoint(
        [
            call("sql_schema"),
            call("sql_query", {"sql": "SELECT sum(total) FROM orders WHERE customer = ?", "parameters": [1]}),
            call("sql_query", {"sql": "DELETE FROM orders"}),
            "10",
        ]
    )
    result = Agent("m", endpoint=endpoint, tools=[Sql(SqlConfig(database=str(database)))]).run_sync("what did Ann buy?")
    schema, answer, refusal = (item["output"] for item in endpoint.requests[-1]["input"] if "output" in item)
    assert "table orders (id INTEGER primary key, customer INTEGER -> customers.id, total REAL, doubled REAL)" in schema
    assert answer == '["sum(total)"]\n[10.0]\n(1 row)'
    assert "only reading is allowed" in refusal
    assert result.text == "10"


async def test_a_schema_has_tables_and_views_and_what_is_broken(database):
    async with opened(database) as tools:
        whole = await tools["schema"]()
        assert 'table odd "name (x)' in whole
        assert "view broken (can't be read)" in whole
        assert "table words (body)" in whole
        assert "table customers (id INTEGER primary key, name TEXT not null, note)" in whole
        assert await tools["schema"]("RICH") == "view rich (name)"
        with pytest.raises(ToolError, match="there is no table 'nothing'"):
            await tools["schema"]("nothing")


async def test_a_schema_is_no_longer_than_an_answer_may_be(database):
    async with opened(database, bytes=500) as tools:
        assert (await tools["schema"]()).endswith("tables shown, there are more; ask for one by its name)")


async def test_an_empty_database_says_so(tmp_path):
    path = tmp_path / "empty.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE t (x); DROP TABLE t")
    async with opened(path) as tools:
        with pytest.raises(ToolError, match="there is no table"):
            await tools["schema"]()


async def test_cells_of_every_kind_are_json(database):
    answer = await ask(database, "SELECT id, name, note, note IS NULL FROM customers ORDER BY id")
    assert rows(answer) == [[1, "Ann", None, 1], [2, "Bob", "[2 bytes]", 0], [3, "�A", "inf", 0]]


async def test_parameters_are_bound(database):
    hostile = "x' OR 1=1; DROP TABLE orders --"
    assert rows(await ask(database, "SELECT count(*) FROM customers WHERE name = ?", [hostile])) == [[0]]
    assert rows(await ask(database, "SELECT ?, ?, ?, ?", [hostile, 1, 2.5, None])) == [[hostile, 1, 2.5, None]]
    with pytest.raises(ToolError, match="bindings"):
        await ask(database, "SELECT ?", [1, 2])
    with pytest.raises(ToolError, match="too large"):
        await ask(database, "SELECT ?", [2**70])


async def test_a_value_that_grows_by_parameters_is_refused(database):
    with pytest.raises(ToolError, match="too big"):
        await ask(database, "SELECT replace(?, 'a', ?)", ["a" * 1_000, "b" * 1_000])
    with pytest.raises(ToolError, match="too big"):
        await ask(database, "SELECT ?", ["a" * 600_000])


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT name FROM rich WHERE name = 'ann'", "ann"),
        ("SELECT body FROM words WHERE words MATCH 'hello'", "hello world"),
        ("SELECT snippet(words, 0, '[', ']', '', 3) FROM words WHERE words MATCH 'world'", "hello [world]"),
        ("SELECT value FROM json_each('[7]')", 7),
        ("SELECT '{\"a\": 1}' ->> 'a'", 1),
        ("SELECT count(*) OVER () FROM orders LIMIT 1", 3),
        ("SELECT replace('aaa', 'a', 'bb')", "bbbbbb"),
        ("SELECT replace('a', '', 'b')", "a"),
        ("SELECT replace(1.5, '5', 'x')", "1.x"),
        ("SELECT replace(x'41', 'A', NULL)", None),
        ("SELECT instr(x'4142', 'B')", 2),
        ("SELECT trim('xyaxy', 'xy') || ltrim('xa', 'x') || rtrim('ax', 'x') || trim(' a ')", "aaaa"),
        ("VALUES (1)", 1),
        ("SELECT c299 IS NULL FROM wide UNION SELECT 2", 2),
        ("EXPLAIN QUERY PLAN SELECT 1", 1),
        (f"{FOREVER} SELECT x FROM c LIMIT 1", 1),
    ],
)
async def test_what_reading_needs_works(database, sql, expected):
    assert rows(await ask(database, sql))[-1][0] == expected


async def test_a_table_of_a_module_that_is_not_here_hides_no_other(database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "INSERT INTO sqlite_master VALUES ('table', 'ghost', 'ghost', 0, 'CREATE VIRTUAL TABLE ghost USING ghosts')"
        )
        connection.commit()
    assert rows(await ask(database, "SELECT count(*) FROM orders")) == [[3]]
    assert "no such module: ghosts" in await refused(database, "SELECT * FROM ghost")


async def test_a_database_in_wal_mode_can_be_read(database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("INSERT INTO orders (customer, total) VALUES (3, 1)")
        connection.commit()
        assert rows(await ask(database, "SELECT count(*) FROM orders")) == [[4]]


# --- writing ---

WRITES = {
    "delete": "DELETE FROM orders",
    "insert": "INSERT INTO orders (total) VALUES (1)",
    "insert returning": "INSERT INTO orders (total) VALUES (1) RETURNING id",
    "replace": "REPLACE INTO customers VALUES (1, 'x', 2)",
    "update": "UPDATE customers SET name = 'x'",
    "upsert": "INSERT INTO customers VALUES (1, 'x', 1) ON CONFLICT DO UPDATE SET name = 'y'",
    "behind a comment": "/* SELECT */ -- SELECT\n DELETE FROM orders",
    "behind a CTE": "WITH x AS (SELECT 1) DELETE FROM orders",
    "behind EXPLAIN": "EXPLAIN DELETE FROM orders",
    "behind EXPLAIN QUERY PLAN": "EXPLAIN QUERY PLAN DELETE FROM orders",
    "behind a statement": "SELECT 1; DELETE FROM orders",
    "behind a NUL": "SELECT 1\0; DELETE FROM orders",
    "drop": "DROP TABLE orders",
    "create": "CREATE TABLE x (a)",
    "create temp": "CREATE TEMP TABLE x (a)",
    "trigger": "CREATE TRIGGER x AFTER INSERT ON orders BEGIN SELECT 1; END",
    "alter": "ALTER TABLE orders RENAME TO others",
    "attach": "ATTACH 'other.db' AS other",
    "attach memory": "ATTACH ':memory:' AS other",
    "detach": "DETACH main",
    "vacuum": "VACUUM",
    "vacuum into": "VACUUM INTO 'copy.db'",
    "reindex": "REINDEX",
    "analyze": "ANALYZE",
    "full-text command": "INSERT INTO words(words) VALUES ('rebuild')",
    "full-text update": "UPDATE words SET body = 'x'",
    "begin": "BEGIN IMMEDIATE",
    "savepoint": "SAVEPOINT x",
    "pragma off": "PRAGMA query_only = OFF",
    "pragma schema": "PRAGMA writable_schema = ON",
    "pragma journal": "PRAGMA journal_mode = DELETE",
    "pragma version": "PRAGMA user_version = 7",
}
TELLING = {
    "the path": "PRAGMA database_list",
    "the path by a function": "SELECT * FROM pragma_database_list",
    "compile options": "SELECT sqlite_compileoption_get(1)",
    "an extension": "SELECT load_extension('x')",
    "a tokenizer's address": "SELECT fts3_tokenizer('simple')",
    "a file": "SELECT readfile('/etc/passwd')",
    "a merge, whose time is not linear": "SELECT json_patch('{}', '{}')",
    "writing a file": "SELECT writefile('/tmp/x', 'y')",
}


@pytest.mark.parametrize("sql", [*WRITES.values(), *TELLING.values()], ids=[*WRITES, *TELLING])
async def test_only_reading_passes(database, sql, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    before = database.read_bytes()
    assert str(database.parent) not in await refused(database, sql)
    assert database.read_bytes() == before
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["shop.db"]


@pytest.mark.parametrize("sql", ["DELETE FROM orders", "PRAGMA user_version = 7", "CREATE TABLE x (a)"])
async def test_that_the_file_is_opened_for_reading_holds_alone(database, sql, monkeypatch):
    monkeypatch.setattr("agentloop_tools.sql.sqlite.guard", lambda *_: None)
    before = database.read_bytes()
    assert "readonly" in await refused(database, sql)
    assert database.read_bytes() == before


async def test_query_only_holds_alone(database, monkeypatch):
    monkeypatch.setattr("agentloop_tools.sql.guard._authorize", lambda *_: sqlite3.SQLITE_OK)
    monkeypatch.setattr("agentloop_tools.sql.sqlite._open", lambda _: sqlite3.connect(database, isolation_level=None))
    assert "readonly" in await refused(database, "DELETE FROM orders")


async def test_the_authorizer_holds_alone(database, monkeypatch):
    monkeypatch.setattr("agentloop_tools.sql.sqlite._open", lambda _: sqlite3.connect(database, isolation_level=None))
    assert "not authorized" in await refused(database, "DELETE FROM orders")
    assert "not authorized" in await refused(database, "PRAGMA query_only = OFF")


WORDS = """SELECT DELETE INSERT INTO UPDATE SET DROP TABLE FROM orders customers VALUES (1) WHERE name = 'x' ; -- /* */
 WITH a AS ( ) EXPLAIN PRAGMA query_only OFF ATTACH BEGIN COMMIT VACUUM * , 1 REPLACE total ? \n"""


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    words=st.lists(
        st.sampled_from(WORDS.split(" ")),
        max_size=12,
    )
)
def test_no_statement_at_all_changes_the_file(database, words):
    before = database.read_bytes()
    with suppress(ToolError):
        asyncio.run(ask(database, " ".join(words)))
    assert database.read_bytes() == before


# --- time ---


@pytest.mark.parametrize(
    "sql",
    [
        f"{FOREVER} SELECT count(*) FROM c",
        f"{FOREVER} SELECT x FROM c WHERE x < 0",
        f"{FOREVER} SELECT x FROM c ORDER BY -x",
        f"{FOREVER} SELECT group_concat(x) OVER (ORDER BY -x) FROM c",
        "SELECT count(*) FROM " + ", ".join(f"sqlite_master a{number}" for number in range(20)),
    ],
)
async def test_a_query_without_end_ends(database, sql):
    assert f"took longer than {PATIENCE_SECONDS} s and was stopped" in await late(database, sql)


async def test_a_cancelled_query_is_not_left_running(database):
    before = sql_threads()
    async with opened(database) as tools:
        task = asyncio.ensure_future(tools["query"](f"{FOREVER} SELECT count(*) FROM c"))
        await asyncio.sleep(0)
        [thread] = sql_threads() - before
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, PATIENCE_SECONDS)
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def sql_threads():
    return {thread for thread in threading.enumerate() if thread.name == "agentloop-sql"}


async def test_a_database_that_does_not_answer_is_given_up(database, monkeypatch):
    before, release = sql_threads(), threading.Event()
    monkeypatch.setattr("agentloop_tools.sql.pack._GRACE_SECONDS", 0.05)
    monkeypatch.setattr("agentloop_tools.sql.sqlite.SqliteFile.query", lambda *_: str(release.wait(PATIENCE_SECONDS)))
    assert "may still be at work" in await refused(database, "SELECT 1", seconds=0.05)
    [thread] = sql_threads() - before
    assert thread.daemon
    release.set()
    thread.join(PATIENCE_SECONDS)


async def test_a_locked_database_is_waited_for_a_moment_only(database, monkeypatch):
    monkeypatch.setattr("agentloop_tools.sql.sqlite._BUSY_SECONDS", 0.05)
    async with opened(database) as tools:
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            with pytest.raises(ToolError, match="database is locked"):
                await tools["query"]("SELECT * FROM orders")


LONG = "(SELECT group_concat(a) FROM (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 150000) \
SELECT 'a' AS a FROM c))"


@pytest.mark.parametrize(
    "function",
    [
        "instr(replace(x, ',', 'a'), replace(substr(x, 1, 100000), ',', 'a') || 'b')",
        "length(replace(replace(x, ',', 'a'), replace(substr(x, 1, 100000), ',', 'a') || 'b', ''))",
        "length(trim(replace(x, ',', 'a'), replace(replace(x, ',', 'b'), 'a', 'b') || 'a'))",
    ],
)
async def test_a_single_function_takes_no_longer_than_its_arguments(database, function):
    # A hundred times: SQLite's own would be at it for minutes.
    times = "t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t LIMIT 100)"
    sql = f"WITH RECURSIVE b AS MATERIALIZED (SELECT {LONG} AS x), {times} SELECT count({function} + n) FROM t, b"
    assert rows(await ask(database, sql)) == [[100]]


# --- size ---


async def test_rows_bytes_and_cells_are_capped(database):
    async with opened(database, rows=5, bytes=1000) as tools:
        assert rows(answer := await tools["query"](f"{FOREVER} SELECT x FROM c"))[-1] == [5]
        assert answer.endswith("(5 rows shown, there are more; narrow the query, or use LIMIT and OFFSET)")
        assert (await tools["query"](f"{FOREVER} SELECT x FROM c LIMIT 5")).endswith("(5 rows)")
        wide = await tools["query"](
            "SELECT hex(hex(hex(hex(name || name || name)))) FROM customers, orders a, orders b"
        )
        assert len(wide) < 1100
    long = await ask(database, f"SELECT {LONG}")
    assert long.splitlines()[1].endswith('[... 299,999 characters]"]')
    assert len(long) < 3000


async def test_a_row_that_does_not_fit_is_said(database):
    answer = await ask(database, f"SELECT {LONG}", bytes=500)
    assert answer.endswith("(0 rows shown, there are more; narrow the query, or use LIMIT and OFFSET)")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT hex(zeroblob(100000000))",
        "SELECT randomblob(100000000)",
        "SELECT printf('%.*c', 1000000000, 'x')",
        "SELECT format('%1000000000d', 1)",
        "SELECT json_group_array(x) FROM (SELECT 1 AS x)",
        f"WITH b AS (SELECT {LONG} AS x) SELECT x || x FROM b",
        f"WITH b AS (SELECT {LONG} AS x) SELECT hex(x) FROM b",
        f"WITH b AS (SELECT {LONG} AS x) SELECT replace(x, 'a', x) FROM b",
        "SELECT * FROM wide",
        "SELECT " + "(" * 3000,
        "SELECT " + "1+" * 500 + "1",
        "SELECT " + "-" * 3000 + "1",
        "SELECT " + " UNION ALL SELECT ".join("1" * 100),
        "SELECT 1" + " " * 10_000,
        "SELECT 'x' LIKE '" + "%a" * 100 + "'",
        "SELECT coalesce(" + ",".join("1" * 50) + ")",
    ],
)
async def test_what_grows_is_refused_before_it_has_grown(database, sql):
    tracemalloc.start()
    try:
        assert "ask for less" not in await refused(database, sql)  # as it would say when time is up
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


async def test_a_value_that_grows_until_time_is_up_takes_no_memory(database):
    tracemalloc.start()
    try:
        sql = f"{FOREVER} SELECT group_concat(x || '{'a' * 40}') FROM c"
        assert "took longer" in await late(database, sql, looks=50_000)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


async def test_a_query_that_fills_the_disk_is_stopped(database, monkeypatch):
    free = iter(range(10**10, 0, -(10**8)))
    monkeypatch.setattr("agentloop_tools.sql.guard._free_bytes", lambda: next(free))
    monkeypatch.setattr("agentloop_tools.sql.guard._DISK_CHECK_SECONDS", 0)
    assert "fills the disk" in await refused(database, f"{FOREVER} SELECT x FROM c ORDER BY -x")


# --- what can't be opened ---


@pytest.mark.parametrize("name", ["nothing.db", "folder", ":memory:", "a\0b"])
def test_a_file_that_is_not_there_is_a_mistake_of_the_user(tmp_path, monkeypatch, name):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        asyncio.run(ask(tmp_path / name if name != ":memory:" else name, "SELECT 1"))
    assert str(tmp_path) not in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


async def test_a_file_that_is_no_database_is_a_mistake_of_the_user(tmp_path):
    (tmp_path / "text.db").write_text("not a database at all, but long enough to be taken for one" * 20)
    with pytest.raises(ConfigurationError, match=r"'text.db' can't be read as a SQLite database: .*not a database"):
        await ask(tmp_path / "text.db", "SELECT 1")


async def test_a_name_is_a_name_and_no_options(database):
    odd = database.with_name("a?mode=rwc&x=#%41.db")
    odd.write_bytes(database.read_bytes())
    assert rows(await ask(odd, "SELECT count(*) FROM orders")) == [[3]]
    await refused(odd, "DELETE FROM orders")


async def test_a_sqlite_url_gets_the_same_guard(database):
    for scheme in ("sqlite", "sqlite+pysqlite", "sqlite+aiosqlite"):
        assert rows(await ask(f"{scheme}:///{database}", "SELECT 1")) == [[1]]
        assert "only reading" in await refused(f"{scheme}:///{database}", "DELETE FROM orders", trusted=True)
    for url in ("sqlite://", "sqlite:///file:x?mode=rwc&uri=true", "sqlite+pysqlite://host/x"):
        with pytest.raises(ConfigurationError):
            await ask(url, "SELECT 1", trusted=True)


def test_the_password_is_not_shown():
    url = "postgresql://ann:hunter2@db.example/shop"
    config = SqlConfig(database=url)
    assert "hunter2" not in f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"
    with pytest.raises(ConfigurationError) as caught:
        Sql.from_options({"database": url, "rows": 0})
    assert "hunter2" not in str(caught.value)


# --- other databases ---


class PretendDialect(SQLiteDialect_pysqlite):
    """A server, as far as the pack can tell."""

    name = "pretend"
    supports_statement_cache = False

    def do_begin(self, dbapi_connection):  # Python's driver begins a transaction only where it sees that one writes
        dbapi_connection.execute("BEGIN")


class ElsewhereDialect(PretendDialect):
    def create_connect_args(self, url):
        return [f"/nowhere/{url.database}"], {}


class PostgresDialect(PretendDialect):
    name = "postgresql"


registry.register("pretend", __name__, "PretendDialect")


@pytest.fixture
def pretend(database, monkeypatch):
    monkeypatch.setattr(registry, "load", lambda name: PretendDialect)
    return f"pretend:///{database}"


async def test_a_database_that_can_not_be_kept_from_being_changed_has_to_be_trusted(pretend):
    with pytest.raises(ConfigurationError, match="can't prevent changes") as caught:
        await ask(pretend, "SELECT 1")
    assert "trusted=true" in caught.value.hint


async def test_a_database_elsewhere_is_on_the_network(database, monkeypatch):
    monkeypatch.setattr(registry, "load", lambda name: ElsewhereDialect)
    async with opened("pretend://ann:hunter2@db.example/shop", trusted=True) as tools:
        assert {(tool.effects.network, tool.effects.hosts) for tool in tools.values()} == {(True, ("db.example",))}
        with pytest.raises(ToolError) as caught:
            await tools["query"]("SELECT 1")
        assert caught.value.message == "the query failed: unable to open database file"


async def test_a_trusted_database_is_read(pretend):
    async with opened(pretend, trusted="true", rows=2) as tools:
        schema = await tools["schema"]()
        assert "table orders (id INTEGER primary key, customer INTEGER -> customers.id, total REAL" in schema
        assert "name TEXT not null" in await tools["schema"]("Customers")
        with pytest.raises(ToolError, match="there is no table 'x'"):
            await tools["schema"]("x")
        answer = await tools["query"]("SELECT total, '?:x', \"total\" FROM orders WHERE id > ? AND id < ?", [0, 9])
        assert rows(answer) == [[9.5, "?:x", 9.5], [0.5, "?:x", 0.5]]
        assert "there are more" in answer
        with pytest.raises(ToolError, match=r"has 1 \? and 0 values"):
            await tools["query"]("SELECT ?")
        with pytest.raises(ToolError, match="300 columns"):
            await tools["query"]("SELECT * FROM wide")


async def test_a_schema_of_a_trusted_database_is_capped(pretend):
    async with opened(pretend, trusted="true", bytes=500) as tools:
        assert (await tools["schema"]()).endswith("there are more; ask for one by its name)")


async def test_whatever_happens_in_a_trusted_database_is_rolled_back(pretend, database):
    assert "that is not a query" in await refused(pretend, "DELETE FROM orders", trusted=True)
    assert "that is not a query" in await refused(pretend, "COMMIT", trusted=True)
    await ask(pretend, "WITH x AS (SELECT 1) DELETE FROM orders RETURNING id", trusted=True)
    assert rows(await ask(database, "SELECT count(*) FROM orders")) == [[3]]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; COMMIT; DELETE FROM orders",
        "COMMIT;DELETE FROM orders",
        "SELECT ';'; COMMIT",
        "SELECT 'a\\'; COMMIT; --'",
        "SELECT $$;$$",
        ";SELECT 1",
    ],
)
async def test_a_server_gets_one_statement(pretend, sql):
    assert "write one statement" in await refused(pretend, sql, trusted=True)


@pytest.mark.parametrize("sql", ["SELECT 1;", "\nwith x(a) as (select 3) select a from x;;", "VALUES (4)"])
async def test_a_semicolon_at_the_end_separates_nothing(pretend, sql):
    assert len(rows(await ask(pretend, sql, trusted=True))) == 1


@pytest.mark.parametrize(
    "sql",
    [
        "SET TRANSACTION READ WRITE",
        "CALL clear()",
        "DO 1",
        "/*!50000 COMMIT */",
        "COPY orders TO PROGRAM 'sh'",
        "selection",
    ],
)
async def test_a_server_gets_nothing_but_queries(pretend, sql):
    assert "that is not a query" in await refused(pretend, sql, trusted=True)


async def test_a_server_that_needs_no_semicolons_gets_no_word_that_ends_the_transaction(database, monkeypatch):
    class BatchDialect(PretendDialect):
        name = "mssql"
        supports_statement_cache = False

    monkeypatch.setattr(registry, "load", lambda name: BatchDialect)
    sql = "SELECT 1 Commit DELETE FROM orders"
    assert "that is not a query" in await refused(f"pretend:///{database}", sql, trusted=True)
    assert rows(await ask(f"pretend:///{database}", "SELECT count(*) FROM orders", trusted=True)) == [[3]]


async def test_an_error_of_a_server_has_no_login(pretend, database):
    assert await refused(pretend, "SELECT * FROM missing", trusted=True) == "the query failed: no such table: missing"
    message = await refused(pretend, f'SELECT * FROM "{database}"', trusted=True)
    assert message == "the query failed: OperationalError"


async def test_a_server_is_asked_to_refuse_writing_and_to_keep_the_time(database, monkeypatch):
    monkeypatch.setattr(registry, "load", lambda name: PostgresDialect)
    message = await refused(f"pretend:///{database}", "SELECT 1", trusted=True)
    assert message == 'the query failed: near "SET": syntax error'


async def test_an_empty_server_and_one_that_is_slow_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "load", lambda name: PretendDialect)
    with pytest.raises(ToolError, match="there is no table"):
        async with opened(f"pretend:///{tmp_path / 'new.db'}", trusted=True) as tools:
            await tools["schema"]()
    assert "took longer" in await late(f"pretend:///{tmp_path / 'new.db'}", f"{FOREVER} SELECT x FROM c", trusted=True)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense://ann:hunter2@host/x", "can't be read"),
        ("postgresql+psycopg2://ann:hunter2@host/x", "the driver 'psycopg2' is not installed"),
        ("://", "can't be read"),
    ],
)
async def test_a_url_that_is_of_no_use_is_told_without_its_secrets(url, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        await ask(url, "SELECT 1", trusted=True)
    assert "hunter2" not in str(caught.value)


async def test_without_sqlalchemy_the_way_to_it_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sqlalchemy", None)
    with pytest.raises(ConfigurationError) as caught:
        await ask("mysql://host/x", "SELECT 1", trusted=True)
    assert caught.value.hint == describe_install("sql")


def test_the_tools_say_that_they_only_read(database):
    async def effects():
        async with opened(database, seconds=2, bytes=700) as tools:
            return [(tool.effects.read, tool.effects.read_only, tool.effects.network) for tool in tools.values()], {
                (tool.timeout, tool.max_output) for tool in tools.values()
            }

    assert asyncio.run(effects()) == ([(True, True, False)] * 2, {(8.0, 1200)})
    assert Path(database).exists()

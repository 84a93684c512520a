"""Guards a connection to SQLite: limits what a query may do, and what it may cost.

A query can only read. It ends at its deadline, which SQLite checks when the query repeats a loop. The cost of one
repetition is bounded by the limits on the size of values and queries, and by functions whose time is linear in the
length of their arguments.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable

from agentloop_tools.sql.answer import Deadline

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 500_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 5_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 16,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 200,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_STEPS = 100  # virtual instructions between two checks of the clock
# SQLite writes data that does not fit in memory to unnamed files in the first of these folders.
_TEMPORARY = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108 - SQLite's own list
_MOST_ON_DISK = 1_000_000_000
_DISK_CHECK_SECONDS = 0.05
_RECURSIVE = 33  # SQLITE_RECURSIVE, for which the module has no name
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, _RECURSIVE})
# Other functions are refused: they tell about the machine, make large values from nothing, or belong to an extension.
_NAMES = """
-> ->> abs acos acosh asin asinh atan atan2 atanh avg bm25 ceil ceiling char coalesce concat concat_ws cos
cosh count cume_dist current_date current_time current_timestamp date datetime degrees dense_rank exp
first_value floor glob group_concat hex highlight if ifnull iif instr json json_array json_array_length
json_each json_extract json_object json_quote json_tree json_type json_valid julianday lag
last_value lead length like ln log log10 log2 lower ltrim match max min mod nth_value ntile nullif
octet_length percent_rank pi pow power quote radians random rank replace round row_number rtrim sign sin sinh
snippet soundex sqrt strftime string_agg substr substring subtype sum tan tanh time timediff total trim trunc
typeof unicode unixepoch upper
"""
_FUNCTIONS = frozenset(_NAMES.split())
_DESCRIBING = frozenset({"table_xinfo", "foreign_key_list"})


def guard(connection: sqlite3.Connection, deadline: Deadline) -> None:
    """Limit a connection to reading, until the deadline."""
    connection.text_factory = _decode
    connection.set_progress_handler(_watch(deadline), _STEPS)
    for name, (count, function) in _LINEAR.items():
        connection.create_function(name, count, function, deterministic=True)
    connection.execute("PRAGMA query_only = ON")
    # A virtual table declares its columns when it is first used, which looks like writing to the authorizer. So each is
    # used once before the authorizer is set.
    virtual = connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL %' LIMIT 100")
    for name in ("json_each", "json_tree", *(name for (name,) in virtual.fetchall())):
        try:
            connection.execute(f"SELECT 1 FROM {quote(name)} LIMIT 0").close()  # noqa: S608 - quoted
        except sqlite3.OperationalError:
            continue  # its module is not available; a query of the table will say so
    # Set at the end, because virtual tables with more columns could not be declared under these limits.
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    connection.set_authorizer(_authorize)


def _watch(deadline: Deadline) -> Callable[[], int]:
    """Return a progress handler that checks the clock, and from time to time the disk, which a huge sort would fill."""
    before, next_check = _free_bytes(), deadline.clock()

    def check() -> int:
        nonlocal next_check
        now = deadline.clock()
        if now >= next_check:
            next_check = now + _DISK_CHECK_SECONDS
            if before - _free_bytes() > _MOST_ON_DISK:
                deadline.cancel("the query fills the disk with temporary data, and was stopped; ask for less")
        return int(deadline.passed)

    return check


def _free_bytes() -> int:
    folder = next((each for each in _TEMPORARY if each and os.access(each, os.W_OK)), os.curdir)
    return shutil.disk_usage(folder).free


def _authorize(action: int, first: str | None, second: str | None, *_where: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_OK if (second or "").lower() in _FUNCTIONS else sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and (first, second) == ("data_version", None):
        return sqlite3.SQLITE_OK  # full-text search itself reads it
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def authorize_describing(action: int, first: str | None, second: str | None, *where: str | None) -> int:
    """Authorize what a query may do, and also describing a table."""
    describes = action == sqlite3.SQLITE_PRAGMA and first in _DESCRIBING
    return sqlite3.SQLITE_OK if describes else _authorize(action, first, second, *where)


def quote(name: str) -> str:
    """Return a name in quotes, for use in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _decode(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _text(value: object) -> str:
    return _decode(value) if isinstance(value, bytes) else str(value)


def _of_texts(function: Callable[..., str | int]) -> Callable[..., str | int | None]:
    """Return a function for SQL: its arguments are converted to text, and the result is NULL if one of them is NULL."""

    def call(*values: object) -> str | int | None:
        return None if None in values else function(*map(_text, values))

    return call


def _replace(text: str, old: str, new: str) -> str:
    if not old:
        return text
    if len(text) + text.count(old) * (len(new) - len(old)) > _LIMITS[sqlite3.SQLITE_LIMIT_LENGTH]:
        raise OverflowError
    return text.replace(old, new)


def _in(text: str, part: str) -> int:
    return text.find(part) + 1


def _of_characters(strip: Callable[[str, str], str]) -> Callable[..., str | int | None]:
    def call(text: str, characters: str) -> str:
        return strip(text, "".join(dict.fromkeys(characters)))

    return _of_texts(call)


# The time of SQLite's own functions is the product of the lengths of their arguments. Each with its argument count.
_LINEAR: dict[str, tuple[int, Callable[..., str | int | None]]] = {
    "instr": (2, _of_texts(_in)),
    "replace": (3, _of_texts(_replace)),
    "trim": (2, _of_characters(str.strip)),
    "ltrim": (2, _of_characters(str.lstrip)),
    "rtrim": (2, _of_characters(str.rstrip)),
}

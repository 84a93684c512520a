"""Turns a tool's result into plain values: dicts, lists, texts, numbers, and objects that pydantic writes as JSON.

Everything with a JSON form that loses nothing has one here. Iterators are read, so this runs where the tool runs: an
iterator is a part of the tool's work. It is read until its entries would make a text far longer than any result.
Types of other libraries, such as pandas and numpy, are recognized by name, because importing them takes long.
"""

from __future__ import annotations

import dataclasses
import operator
from collections import UserString
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Iterator, Mapping
from datetime import date, time, timedelta
from enum import Enum
from itertools import islice
from types import GeneratorType, SimpleNamespace
from typing import Any, TypeAlias, cast

from pydantic_core import PydanticSerializationError, to_jsonable_python

from agentloop.errors import ToolError
from agentloop.items import Image, Text

Read: TypeAlias = Callable[[Any], Any]

_MOST_CHARACTERS = 1_000_000
_MOST_ENTRIES = 1_000_000  # to look at before a value counts as not plain
_MOST_LEVELS = 100
_CHARACTERS = 8  # of a number, or around a text
_CHARACTERS_UNREAD = 100  # of an object whose size is not known
_ROWS_AT_ONCE = 1_000
_ENTRIES_BETWEEN_PAUSES = 100
_REST = "[... the rest was not read ...]"

_SCALARS: frozenset[Any] = frozenset({str, bytes, int, float, bool, type(None)})
_CONTAINERS: frozenset[Any] = frozenset({list, tuple, set, frozenset})
# They have a form of their own as JSON, although some of them can be iterated.
_WRITTEN_AS_THEY_ARE = (str, bytes, bytearray, int, float, date, time, timedelta, Enum, Image, Text, type)
_MODULES_WRITTEN_AS_THEY_ARE = {"ipaddress"}
_WRITTEN_AS_TEXT = {"zoneinfo", "pandas"}
_MISSING = {"NAType", "NaTType"}  # pandas' values for a missing one


class UnwantedError(Exception):
    """Nobody waits for the result any longer."""


def refuse(value: Any, reason: object) -> ToolError:
    """Return the error that tells the model that a result has no form as JSON."""
    return ToolError(
        f"The tool ran, but its result of type {type(value).__qualname__} can't be written as JSON: {reason}"
    )


def is_plain(value: Any) -> bool:
    """Return whether a value holds only Python's own scalars, lists, tuples, sets and dicts.

    A value that is huge, or that contains itself, counts as not plain.
    """
    waiting = [value]
    for part in waiting:
        kind = cast("Any", type(part))
        if kind in _CONTAINERS:
            waiting.extend(part)
        elif kind is dict:
            waiting.extend(part)
            waiting.extend(part.values())
        elif kind not in _SCALARS:
            return False
        if len(waiting) > _MOST_ENTRIES:
            return False
    return True


def read_plain(value: Any, is_unwanted: Callable[[], bool] = bool) -> Any:
    """Return a result as plain values; what has no form as JSON stays as it is.

    Args:
        value: What a tool returned.
        is_unwanted: Tells whether nobody waits for the result any longer; asked for each entry.

    Raises:
        ToolError: the value is nested too deeply.
        UnwantedError: nobody waits for the result any longer.
    """
    return value if is_plain(value) else _Reader(is_unwanted).read(value)


async def collect(
    entries: AsyncIterator[Any], pause: Callable[[], Awaitable[None]], check: Callable[[], None]
) -> list[Any]:
    """Return the entries of an async iterator, up to the same limit, and close it.

    Args:
        entries: The iterator, which may never wait for anything.
        pause: Lets other tasks run; called from time to time.
        check: Raises an error if no more entries are wanted; called after each entry.
    """
    reader = _Reader(bool)
    collected: list[Any] = []
    try:
        async for entry in entries:
            check()
            if reader.left <= 0:
                collected.append(_REST)
                break
            collected.append(entry)
            reader.measure(entry)
            if len(collected) % _ENTRIES_BETWEEN_PAUSES == 0:
                await pause()
    finally:
        close = getattr(entries, "aclose", None)
        if close is not None:
            await close()
    return collected


class _Reader:
    """Reads one result.

    Attributes:
        left: How many more characters are read, about.
    """

    def __init__(self, is_unwanted: Callable[[], bool]) -> None:
        self.left = _MOST_CHARACTERS
        self._is_unwanted = is_unwanted
        self._level = 0
        self._reads: dict[type[Any], Read] = {}

    def measure(self, entry: Any) -> None:
        """Count the characters of an entry that may not be read yet."""
        if is_plain(entry):
            self.read(entry)
        else:
            self.left -= _CHARACTERS_UNREAD

    def read(self, value: Any) -> Any:
        """Return a value as a plain value."""
        self.left -= _CHARACTERS + (len(value) if isinstance(value, str | bytes | bytearray) else 0)
        if type(value) in _SCALARS:
            return value
        if self._level == _MOST_LEVELS:
            raise refuse(value, "it is nested too deeply")
        self._level += 1
        try:
            return self._read_object(value)
        finally:
            self._level -= 1

    def _read_object(self, value: Any) -> Any:
        kind = cast("Any", type(value))
        read = self._reads.get(kind)
        if read is None:
            read = self._reads[kind] = self._choose(kind)
        return read(value)

    def _choose(self, kind: type[Any]) -> Read:
        """Return the function that reads values of a class."""
        if _is_missing(kind):
            return lambda _: None
        if issubclass(kind, _WRITTEN_AS_THEY_ARE) or _library(kind) in _MODULES_WRITTEN_AS_THEY_ARE:
            return self._keep
        for applies, convert in _FORMS:
            if applies(kind):
                return lambda value: self.read(convert(value))
        if hasattr(kind, "__pydantic_serializer__"):
            return lambda value: self.read(self._read_model(value))
        if issubclass(kind, Mapping):
            return lambda value: self._read_pairs(value.items())
        if _has(kind, "__index__"):
            return lambda value: self.read(operator.index(value))
        if issubclass(kind, Iterable) or _has(kind, "__getitem__", "__len__"):
            return lambda value: self._read_entries(iter(value))
        return self._keep

    def _keep(self, value: Any) -> Any:
        self.left -= _CHARACTERS_UNREAD
        return value

    def _read_model(self, value: Any) -> Any:
        try:
            return to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="strings", fallback=self._read_unknown)
        except PydanticSerializationError as error:
            raise refuse(value, error) from None

    def _read_unknown(self, value: Any) -> Any:
        """Return what a model holds, of a type that pydantic does not know."""
        plain = self.read(value)
        if plain is value:
            raise refuse(value, "it has no such form")
        return plain

    def _read_entries(self, entries: Iterable[Any]) -> list[Any]:
        read: list[Any] = []
        try:
            for entry in entries:
                if self._ends():
                    read.append(_REST)
                    break
                read.append(self.read(entry))
        finally:
            if isinstance(entries, GeneratorType):
                entries.close()
        return read

    def _read_pairs(self, pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
        read: dict[Any, Any] = {}
        for key, value in pairs:
            if self._ends():
                read["..."] = _REST
                break
            read[self._read_key(key)] = self.read(value)
        return read

    def _read_key(self, key: Any) -> Any:
        plain = self.read(key)
        return plain if isinstance(plain, Hashable) else key  # a tuple has a form of its own as a key

    def _ends(self) -> bool:
        if self._is_unwanted():
            raise UnwantedError
        return self.left <= 0


def _is_missing(kind: type[Any]) -> bool:
    return kind.__name__ in _MISSING and _library(kind) == "pandas"


def _library(kind: type[Any]) -> str:
    return kind.__module__.partition(".")[0]


def _has(kind: type[Any], *methods: str) -> bool:
    return all(callable(getattr(kind, method, None)) for method in methods)


def _is_of(library: str, *names: str) -> Callable[[type[Any]], bool]:
    """Return a test for the library's classes of these names, and for classes derived from them."""
    return lambda kind: any(each.__name__ in names and _library(each) == library for each in kind.__mro__)


def _is_dataclass(kind: type[Any]) -> bool:
    return dataclasses.is_dataclass(kind) and not hasattr(kind, "__pydantic_serializer__")


def _looks_like_mapping(kind: type[Any]) -> bool:
    return _has(kind, "keys", "__getitem__") and not issubclass(kind, Mapping)


def _read_dataclass(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _read_attrs(value: Any) -> dict[str, Any]:
    kind = cast("Any", type(value))
    return {field.name: getattr(value, field.name) for field in kind.__attrs_attrs__}


def _read_frame(frame: Any) -> Any:
    """Return the rows of a pandas frame as dicts by column; its index is a column too, unless it only counts."""
    if not _only_counts(frame.index):
        try:
            frame = frame.reset_index()
        except ValueError:  # a column has the name of the index
            return {"index": frame.index, "rows": _read_frame(frame.reset_index(drop=True))}
    if not frame.columns.is_unique:
        return {"columns": frame.columns, "rows": _read_chunks(frame, lambda part: part.values.tolist())}
    return _read_chunks(frame, lambda part: part.to_dict("records"))


def _read_series(series: Any) -> Any:
    """Return the values of a pandas series; if its index does more than count, by their labels."""
    values = _read_chunks(series, list)
    if _only_counts(series.index):
        return values
    pairs = zip(series.index, values, strict=True)
    return dict(islice(pairs, _MOST_CHARACTERS)) if series.index.is_unique else pairs


def _read_chunks(table: Any, read_part: Callable[[Any], Iterable[Any]]) -> Iterator[Any]:
    for start in range(0, len(table), _ROWS_AT_ONCE):
        part = table.iloc[start : start + _ROWS_AT_ONCE]
        yield from read_part(part.astype(object).where(part.notna(), None))


def _only_counts(index: Any) -> bool:
    return type(index).__name__ == "RangeIndex" and (index.start, index.step) == (0, 1)


def _read_array(array: Any) -> Any:
    kind = getattr(getattr(array, "dtype", None), "kind", "")
    # `tolist` may give dates and durations as numbers.
    if kind in {"M", "m"} and _library(cast("Any", type(array))) == "numpy":
        array = array.astype(str) if kind == "M" else array.astype("timedelta64[us]")
    size = getattr(array, "size", 0)
    if isinstance(size, int) and size > _MOST_CHARACTERS:
        return iter(array)
    plain = array.tolist()
    return float(plain) if type(plain) is type(array) else plain  # numpy's long double has no type of Python's


def _read_keys(value: Any) -> Any:
    """Return a dict of what looks like a mapping, such as a row of a database, or an error that says what it is."""
    try:
        return dict(value)
    except (KeyError, TypeError, ValueError):
        raise refuse(value, "its keys are not names of its parts") from None


# Tests and conversions in the order in which they are tried. A converted value is read again.
_FORMS: tuple[tuple[Callable[[type[Any]], bool], Read], ...] = (
    (lambda kind: kind is memoryview, bytes),
    (lambda kind: issubclass(kind, UserString), str),
    (_is_dataclass, _read_dataclass),
    (lambda kind: hasattr(kind, "__attrs_attrs__"), _read_attrs),
    (lambda kind: issubclass(kind, SimpleNamespace), vars),
    (_is_of("pandas", "DataFrame"), _read_frame),
    (_is_of("pandas", "Series"), _read_series),
    (_is_of("numpy", "dtype"), str),
    (_is_of("polars", "DataFrame"), lambda value: value.iter_rows(named=True)),
    (_is_of("pyarrow", "Table", "RecordBatch", "Array", "ChunkedArray", "Scalar"), lambda value: value.to_pylist()),
    (lambda kind: _has(kind, "tolist"), _read_array),
    (_looks_like_mapping, _read_keys),
    (lambda kind: _library(kind) in _WRITTEN_AS_TEXT and not issubclass(kind, Iterable), str),
    (lambda kind: _has(kind, "item") and not issubclass(kind, Iterable), lambda value: value.item()),
)

"""What functions return: whatever has a JSON form that loses nothing is written, and read where the function ran."""

import array
import asyncio
import dataclasses
import itertools
import json
import sqlite3
import threading
import types
from collections import ChainMap, UserDict, UserList
from fractions import Fraction
from ipaddress import ip_network
from typing import NamedTuple
from zoneinfo import ZoneInfo

import attrs
import pytest
from pydantic import BaseModel, ConfigDict, field_serializer

from agentloop import Agent, Image, ToolError, tool
from agentloop.items import ToolCall
from agentloop.limits import Tally
from agentloop.runtime.invoke import invoke
from agentloop.schema import render
from agentloop.testing import ScriptedEndpoint, call
from agentloop.tools import ToolContext
from clock import stop_clock

ROOM = 2_000
PATIENCE_SECONDS = 60


async def told_of(function, **options):
    """Return what the model is told of a call."""
    made = tool(**options)(function)
    endpoint = ScriptedEndpoint([call(made.name), "done"])
    await Agent("m", endpoint=endpoint, tools=[made]).run("go")
    return endpoint.requests[1]["input"][-1]["output"]


# --- objects with a form as JSON ---


class Ordinal:
    """An integer of a library, like those of numpy."""

    def __init__(self, number):
        self.number = number

    def __index__(self):
        return self.number


class Scalar:
    def item(self):
        return 2.5


class Legacy:
    """A sequence from before `__iter__`."""

    def __len__(self):
        return 2

    def __getitem__(self, position):
        return ("first", "second")[position]


@dataclasses.dataclass
class Holder:
    content: object


@attrs.define
class Box:
    content: object


class Model(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    content: object


class Broken(BaseModel):
    content: int = 1

    @field_serializer("content")
    def write(self, content):
        raise ValueError("never")


def rows():
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    found = connection.execute("select 'Ada' as name, 36 as age union select 'Alan', 41").fetchall()
    connection.close()
    return found


class Pair(NamedTuple):
    left: int
    right: object


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Ordinal(4), "4"),
        (Scalar(), "2.5"),
        ({"count": Ordinal(4), "names": ["a", Ordinal(5)]}, '{"count":4,"names":["a",5]}'),
        ({Ordinal(4): "four", (1, 2): "pair"}, '{"4":"four","1,2":"pair"}'),
        (rows(), '[{"name":"Ada","age":36},{"name":"Alan","age":41}]'),
        (types.MappingProxyType({"a": {"b": (1,)}}), '{"a":{"b":[1]}}'),
        (ChainMap({"a": 1}, {"b": 2}), '{"b":2,"a":1}'),
        (UserDict(a=UserList([1])), '{"a":[1]}'),
        ({"a": 1}.keys(), '["a"]'),
        ({"a": 1}.values(), "[1]"),
        ({"a": 1}.items(), '[["a",1]]'),
        (range(2, 5), "[2,3,4]"),
        (Legacy(), '["first","second"]'),
        (Pair(1, Ordinal(2)), "[1,2]"),
        (array.array("i", [1, 2]), "[1,2]"),
        (memoryview(b"hi"), "2 bytes in base64: aGk="),
        (types.SimpleNamespace(a=Ordinal(1)), '{"a":1}'),
        (Holder(Ordinal(1)), '{"content":1}'),
        (Box([Ordinal(1)]), '{"content":[1]}'),
        (Model(content={"n": Ordinal(1)}), '{"content":{"n":1}}'),
        ({"half": "\ud800", "n": Ordinal(1)}, '{"half": "\\ud800", "n": 1}'),
        (Fraction(1, 3), '"1/3"'),
        ([ip_network("10.0.0.0/8")], '["10.0.0.0/8"]'),
        ([ZoneInfo("UTC")], '["UTC"]'),
        (zip("ab", [1, 2], strict=True), '[["a",1],["b",2]]'),
        ({"lazy": map(str, [1, 2])}, '{"lazy":["1","2"]}'),
        (Holder(n for n in (1, 2)), '{"content":[1,2]}'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_a_form_as_json_is_written_in_it(value, text):
    assert render(value, ROOM) == text


class Element(list):
    """An element of XML: its keys are attributes, but its entries are elements."""

    def keys(self):
        return ["x"]


def nest(levels):
    nested = [Ordinal(1)]
    for _ in range(levels):
        nested = [nested]
    return nested


endless = []
endless.append(endless)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Model(content=object()), "its result of type object"),
        (Broken(), "its result of type Broken"),
        ({frozenset([1]): Ordinal(1)}, "not valid as object key"),
        (nest(300), "nested too deeply"),
        (endless, "nested too deeply"),
        (int, "of type type"),
        ([types], "module"),
        (Element(), "its keys are not names of its parts"),
    ],
)
def test_what_has_no_form_as_json_is_refused_in_words(value, told):
    with pytest.raises(ToolError) as caught:
        render(value, ROOM)
    assert told in caught.value.message
    assert " at 0x" not in caught.value.message


@pytest.mark.parametrize(
    "value",
    [
        itertools.count(),
        {"numbers": (n for n in itertools.count())},
        itertools.repeat(""),
        itertools.repeat([]),
        itertools.repeat({}),
        map(bytes, itertools.repeat(5)),
        range(10**15),
        itertools.repeat(Model(content="x" * 1_000)),
        Holder(itertools.repeat("x" * 10_000)),
        UserDict.fromkeys(map(str, range(200_000)), 1),
        [0] * 1_000_001,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_endless_or_huge_is_read_up_to_a_limit_and_the_model_is_told(value):
    text = render(value, ROOM)
    assert len(text) <= ROOM
    assert "[... the rest was not read ...]" in text[-60:]


# --- stand-ins for classes of other libraries, which are recognized by name ---


def of(module, name, **members):
    return types.new_class(name, (), {}, lambda body: body.update(members, __module__=module))


NAN = float("nan")


def is_missing(value):
    return value is NAN


class Index(list):
    is_unique = property(lambda self: len(set(self)) == len(self))


RangeIndex = type("RangeIndex", (Index,), {"start": 0, "step": 1})


class Table:
    """A few rows with the methods of a pandas DataFrame, as far as they are needed."""

    def __init__(self, columns, rows, index=None):
        self.columns, self.rows = Index(columns), rows
        self.index = RangeIndex(range(len(rows))) if index is None else Index(index)
        self.iloc = self
        self.values = self

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, part):
        return type(self)(self.columns, self.rows[part], list(self.index)[part])

    def astype(self, kind):
        assert kind is object
        return self

    def notna(self):
        return [[not is_missing(value) for value in row] for row in self.rows]

    def where(self, known, other):
        rows = [
            [value if is_known else other for value, is_known in zip(*pair, strict=True)]
            for pair in zip(self.rows, known, strict=True)
        ]
        return type(self)(self.columns, rows, list(self.index))

    def reset_index(self, *, drop=False):
        if drop:
            return type(self)(self.columns, self.rows)
        if "index" in self.columns:
            raise ValueError("cannot insert index, already exists")
        rows = [[label, *row] for label, row in zip(self.index, self.rows, strict=True)]
        return type(self)(["index", *self.columns], rows)

    def to_dict(self, form):
        assert form == "records"
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def tolist(self):
        return self.rows


class Column:
    def __init__(self, values, index=None):
        self.values = values
        self.index = RangeIndex(range(len(values))) if index is None else Index(index)
        self.iloc = self

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter(self.values)

    def __getitem__(self, part):
        return type(self)(self.values[part])

    def astype(self, _kind):
        return self

    def notna(self):
        return [not is_missing(value) for value in self.values]

    def where(self, known, other):
        return type(self)([value if is_known else other for value, is_known in zip(self.values, known, strict=True)])


DataFrame = type("DataFrame", (Table,), {"__module__": "pandas.core.frame"})
GeoFrame = type("GeoFrame", (DataFrame,), {"__module__": "geopandas"})
Series = type("Series", (Column,), {"__module__": "pandas"})


class Array:
    """An array with the methods of numpy's."""

    def __init__(self, plain, kind="i", size=1):
        self.plain, self.dtype, self.size = plain, types.SimpleNamespace(kind=kind), size

    def __iter__(self):
        return itertools.repeat(1)

    def __float__(self):
        return 0.5

    def astype(self, wanted):
        return Array(f"as {getattr(wanted, '__name__', wanted)}")

    def tolist(self):
        return self if self.plain is None else self.plain


NumpyArray = type("ndarray", (Array,), {"__module__": "numpy"})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (DataFrame("ab", [[1, "x"], [NAN, "y"]]), '[{"a":1,"b":"x"},{"a":null,"b":"y"}]'),
        (GeoFrame("a", [[1]]), '[{"a":1}]'),
        (DataFrame("a", [[1]], ["x"]), '[{"index":"x","a":1}]'),
        (DataFrame(["index"], [[1]], ["x"]), '{"index":["x"],"rows":[{"index":1}]}'),
        (DataFrame("aa", [[1, NAN]]), '{"columns":["a","a"],"rows":[[1,null]]}'),
        (Series([1, NAN]), "[1,null]"),
        (Series([1, NAN], ["x", "y"]), '{"x":1,"y":null}'),
        (Series([1, NAN], ["x", "x"]), '[["x",1],["x",null]]'),
        (of("pandas._libs.missing", "NAType")(), "null"),
        ([of("pandas._libs.tslibs.nattype", "NaTType")()], "[null]"),
        ([of("pandas", "Period", __str__=lambda _: "2026-01")()], '["2026-01"]'),
        ([of("numpy.dtypes", "dtype", __str__=lambda _: "int64")()], '["int64"]'),
        (NumpyArray([[1, 2]]), "[[1,2]]"),
        ({"day": NumpyArray([1], "M")}, '{"day":"as str"}'),
        ({"wait": NumpyArray([1], "m")}, '{"wait":"as timedelta64[us]"}'),
        (NumpyArray(None, "f"), "0.5"),
        (of("polars.dataframe.frame", "DataFrame", iter_rows=lambda _, named: iter([{"a": named}]))(), '[{"a":true}]'),
        (of("pyarrow.lib", "Table", to_pylist=lambda _: [{"a": 1}])(), '[{"a":1}]'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_table_or_array_of_a_library_is_written_as_its_users_expect(value, text):
    assert render(value, ROOM) == text


def test_a_huge_array_is_read_entry_by_entry():
    text = render(NumpyArray([], size=10**9), ROOM)
    assert text.startswith("[1,1,1")
    assert "the rest was not read" in text


# --- where and for how long they are read ---


async def test_an_iterator_is_read_in_the_thread_of_its_tool():
    ran_in = []

    def rows():
        """Return rows."""

        def note(number):
            ran_in.append(threading.current_thread())
            return number

        return map(note, [1, 2])

    assert await told_of(rows) == "[1,2]"
    assert threading.main_thread() not in ran_in
    assert len(set(ran_in)) == 1


async def test_an_iterator_of_an_async_tool_is_read_in_a_thread_too():
    ran_in = []

    async def rows():
        """Return rows."""
        return {"rows": (ran_in.append(threading.current_thread()) or number for number in range(2))}

    assert await told_of(rows) == '{"rows":[0,1]}'
    assert threading.main_thread() not in ran_in


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_time_limit_holds_while_a_result_is_read_and_reading_ends_with_it(is_async):
    clock, closed = stop_clock(), threading.Event()

    def generate():
        try:
            for number in itertools.count():
                clock.advance(10)
                yield number
        finally:
            closed.set()

    async def rows_async():
        """Return rows."""
        return generate()

    def rows():
        """Return rows."""
        return generate()

    told = await told_of(rows_async if is_async else rows, timeout=30)
    assert "did not return within 30 s" in told
    assert await asyncio.to_thread(closed.wait, PATIENCE_SECONDS)


async def test_an_error_of_an_iterator_is_an_error_of_its_tool():
    def rows():
        """Return rows."""
        return map(int, ["1", "two"])

    assert await told_of(rows) == "rows failed: ValueError: invalid literal for int() with base 10: 'two'"


async def test_images_of_an_iterator_are_shown():
    context = ToolContext("run", "call", Tally(), None)

    @tool
    def pictures():
        """Return pictures."""
        yield_them = ("data:image/png;base64,iVBORw0KGgo=", "data:image/png;base64,iVBORw0KGgo=")
        return map(Image, yield_them)

    invoked = await invoke(pictures, ToolCall("call_1", "pictures", "{}"), context, None, print)
    assert len(invoked.result.images) == 2


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_async_iterator_is_read_in_the_task(is_async):
    loops = []

    async def generate():
        for number in range(3):
            await asyncio.sleep(0)
            loops.append(asyncio.get_running_loop())
            yield number

    async def rows_async():
        """Return rows."""
        return generate()

    def rows():
        """Return rows."""
        return generate()

    assert await told_of(rows_async if is_async else rows) == "[0,1,2]"
    assert set(loops) == {asyncio.get_running_loop()}


async def test_an_async_iterator_needs_no_way_to_close_it():
    class Countdown:
        left = 3

        def __aiter__(self):
            return self

        async def __anext__(self):
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return self.left

    def rows():
        """Return rows."""
        return Countdown()

    assert await told_of(rows) == "[2,1,0]"


@pytest.mark.parametrize("entry", ["x" * 1_000, Ordinal(7)])
async def test_an_endless_async_iterator_is_read_up_to_a_limit_and_closed(entry):
    closed = []

    async def generate():
        try:
            while True:
                yield entry
        finally:
            closed.append(True)

    def rows():
        """Return rows."""
        return generate()

    assert "the rest was not read" in await told_of(rows)
    assert closed == [True]


async def test_an_endless_async_iterator_that_never_waits_ends_with_the_time():
    clock = stop_clock()

    class Endless:
        def __aiter__(self):
            return self

        async def __anext__(self):
            clock.advance(1)
            return ""

    def rows():
        """Return rows."""
        return Endless()

    assert await told_of(rows, timeout=50) == "rows did not return within 50 s and was stopped."


@pytest.mark.parametrize("seconds", [None, 90])
async def test_what_a_plain_function_returns_is_awaited(seconds):
    async def fetch():
        return {"fetched": Ordinal(1)}

    def start():
        """Start."""
        return fetch()

    assert await told_of(start, timeout=seconds) == '{"fetched":1}'


async def test_what_an_async_function_returns_is_awaited():
    async def fetch():
        return asyncio.get_running_loop().create_task(asyncio.sleep(0, "slept"))

    assert await told_of(fetch, description="Fetch.") == "slept"


async def test_a_class_that_is_awaited_again_and_again_is_awaited_once():
    class Client:
        def __await__(self):
            yield from ()
            return self

    def connect():
        """Connect."""
        return Client()

    assert "can't be written as JSON" in await told_of(connect)


def test_a_result_stays_json_that_can_be_read():
    assert json.loads(render({"a": map(str, [1]), "b": Ordinal(2)}, ROOM)) == {"a": ["1"], "b": 2}

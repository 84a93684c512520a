"""Tools: what can become one, how it is called, and how tools come together under their names."""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import MethodType
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from agentloop.errors import DuplicateToolError, ToolDefinitionError, ToolError
from agentloop.limits import Tally
from agentloop.schema import ArgumentsError
from agentloop.tools import (
    BoundCall,
    Tool,
    ToolContext,
    ToolRegistry,
    collect_faults,
    collect_tools,
    near_names,
    resolve_name,
    tool,
)

CONTEXT = ToolContext("run", "call", Tally(turns=2), {"user": 7})


def run(made, arguments, context=CONTEXT):
    """Return what the tool's function returns for a model's arguments."""
    bound = made.bind(arguments, context)
    return made.function(*bound.args, **bound.kwargs)


def faults_of(function, **options):
    with pytest.raises(ToolDefinitionError) as caught:
        tool(**options)(function)
    return caught.value.faults


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


# --- one tool ---


def test_a_decorated_function_stays_what_it_was():
    assert add(2) == 3
    assert add.__name__ == "add"
    assert add.__doc__ == "Add two numbers."
    assert str(inspect.signature(add)) == "(a: int, b: int = 1) -> int"


def test_a_tool_knows_its_name_description_origin_and_defaults():
    line = inspect.unwrap(add).__code__.co_firstlineno
    assert add.origin == f"test_tools.py:{line} in {__name__}.add"
    assert (add.name, add.description, add.strict, add.is_async) == ("add", "Add two numbers.", True, False)
    assert (add.timeout, add.parallel, add.repeatable, add.max_output) == (None, True, False, 20_000)


def test_options_of_the_decorator_are_kept():
    @tool(name="other", description="Else.", strict=False, timeout=2, parallel=False, repeatable=True, max_output=300)
    def something(a): ...

    assert (something.name, something.description, something.strict) == ("other", "Else.", False)
    assert (something.timeout, something.parallel, something.repeatable, something.max_output) == (2, False, True, 300)


def test_an_async_function_is_known_as_one():
    @tool
    async def fetch(url: str) -> str:
        return url

    assert fetch.is_async
    assert asyncio.run(fetch("a")) == "a"


def test_positional_only_and_keyword_only_parameters_are_filled():
    @tool
    def mixed(a: int, b: int = 2, c: int = 3, /, d: int = 4, *, e: int): return (a, b, c, d, e)  # fmt: skip

    assert run(mixed, '{"a": 1, "b": null, "c": 30, "d": null, "e": 5}') == (1, 2, 30, 4, 5)


def test_the_context_is_injected_and_hidden():
    @tool
    def whoami(context: ToolContext[dict[str, int]], greeting: str, /, mark: str = "!"):
        return f"{greeting} {context.value['user']} {context.run_id} {context.call_id} {context.tally.turns}{mark}"

    @tool
    def alone(context: ToolContext): return context  # fmt: skip

    assert list(whoami.parameters["properties"]) == ["greeting", "mark"]
    assert run(whoami, '{"greeting": "Hi", "mark": null}') == "Hi 7 run call 2!"
    assert alone.bind("", CONTEXT) == BoundCall((CONTEXT,), {}, ("read an empty text as no arguments",))


def test_a_context_that_is_not_first_is_refused():
    def late(a: int, context: ToolContext): ...

    assert faults_of(late)[0] == "parameter `context` is the ToolContext but not the first: put it first"


def test_methods_are_tools_of_their_instance():
    class Counter:
        def __init__(self, start: int) -> None:
            self.count = start

        @tool
        def increase(self, by: int) -> int:
            """Count up."""
            self.count += by
            return self.count

        @tool
        def look(self, context: ToolContext) -> int:
            return self.count + context.tally.turns

        def plain(self, by: int) -> int:
            return self.count + by

        @classmethod
        @tool
        def named(cls, a: str) -> str:
            return cls.__name__ + a

        @staticmethod
        @tool
        def still(a: int) -> int:
            return a

    one, two = Counter(1), Counter(10)
    tools = collect_tools([one.increase, one.look, one.plain, Counter.named, Counter.still])
    assert list(tools["increase"].parameters["properties"]) == ["by"]
    assert run(tools["increase"], '{"by": 2}') == 3
    assert two.increase(2) == 12
    assert run(tools["look"], "{}") == 5
    assert run(tools["plain"], '{"by": 1}') == 4
    assert run(tools["named"], '{"a": "!"}') == "Counter!"
    assert run(tools["still"], '{"a": 1}') == 1
    with pytest.raises(ToolDefinitionError, match=r"take it from an instance: tools=\[instance.increase\]"):
        collect_tools([Counter.increase])


def test_a_bound_tool_is_found_behind_a_bound_method():
    bound = MethodType(Unbound.look, Unbound())
    assert run(collect_tools([bound])["look"], '{"a": 1}') == 1


class Unbound:
    @tool
    def look(self, a: int) -> int:
        return a


def test_a_function_may_have_a_parameter_named_self():
    @tool
    def odd(self: int, cls: str = "c"): return (self, cls)  # fmt: skip

    assert run(odd, '{"self": 1, "cls": null}') == (1, "c")


def test_callables_and_partials_become_tools_under_a_name():
    class Multiplier:
        """Multiply."""

        def __call__(self, a: int, b: int) -> int:
            return a * b

    class Waiter:
        async def __call__(self) -> None: ...

    times = tool(name="times")(Multiplier())
    assert (times.description, run(times, '{"a": 2, "b": 3}')) == ("Multiply.", 6)
    assert tool(name="wait")(Waiter()).is_async
    double = tool(name="double")(functools.partial(Multiplier(), b=2))
    assert list(double.parameters["properties"]) == ["a"]
    assert run(double, '{"a": 4}') == 8
    assert "can't be a tool's name" in faults_of(functools.partial(Multiplier(), b=2))[0]


def test_a_class_can_be_a_tool():
    @dataclass
    class Point:
        """A point."""

        x: int
        y: int = 2

    assert run(tool(Point), '{"x": 1, "y": null}') == Point(1, 2)


def test_a_wrapped_function_is_read_through_its_wrapper():
    def loud(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs).upper()

        return wrapper

    @tool
    @loud
    def say(word: str) -> str:
        """Say it."""
        return word

    assert run(say, '{"word": "hi"}') == "HI"


# --- what can't be a tool ---


def generate() -> Iterator[int]:
    yield 1


async def generate_later() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "options", "told"),
    [
        (lambda: 1, {}, "it is a lambda"),
        (lambda: 1, {"name": "one"}, "it is a lambda"),
        (lambda: 1, {"strict": False}, "'<lambda>' can't be a tool's name"),
        (generate, {}, "it is a generator"),
        (generate_later, {"strict": False}, "it is a generator"),
        (classmethod(generate), {}, "it is a generator"),
        (property(generate), {"name": "made"}, "put @tool next to the function"),
        (3, {"name": "three"}, "it can't be called"),
        (add.function, {"name": "a b"}, "'a b' can't be a tool's name"),
        (add.function, {"name": "x" * 65}, "can't be a tool's name"),
        (add.function, {"name": "add\n"}, "can't be a tool's name"),
        (add.function, {"timeout": 0}, "timeout=0 is not a number of seconds"),
        (add.function, {"timeout": float("nan")}, "timeout=nan is not a number of seconds"),
        (add.function, {"max_output": 10}, "max_output=10 is not a whole number of at least 200"),
        (dict.fromkeys, {"name": "keys"}, "may hold anything"),
        (type, {"name": "kind"}, "signature can't be read"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_the_remedy(function, options, told):
    assert told in "\n".join(faults_of(function, **options))


def test_a_field_for_a_default_is_refused():
    def create(size: int = Field(default=3, ge=1)): ...

    assert "write `size: Annotated[..., Field(...)] = ...`" in faults_of(create)[0]


def test_no_fault_names_a_folder_of_the_machine():
    def untyped(a): ...

    with pytest.raises(ToolDefinitionError) as caught:
        tool(untyped)
    assert str(Path(__file__).parent) not in str(caught.value)
    assert "test_tools.py:" in str(caught.value)
    assert "@tool(strict=False)" in caught.value.hint


# --- raw schemas ---

RAW = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1},
        "unit": {"enum": ["C", None]},
    },
    "required": ["city"],
    "additionalProperties": False,
}


def forecast(**given):
    return given


def test_a_raw_schema_checks_every_call():
    made = Tool.from_schema("forecast", "Tell the weather.", RAW, forecast, timeout=3, parallel=False, max_output=500)
    assert (made.timeout, made.parallel, made.max_output, made.strict) == (3, False, 500, False)
    assert made.parameters is RAW
    assert run(made, '{"city": "Paris", "days": null, "unit": null}') == {"city": "Paris", "unit": None}
    assert made.bind("{'city': 'Paris'}", CONTEXT).repairs == ("turned Python spelling into JSON",)
    with pytest.raises(ArgumentsError) as caught:
        made.bind('{"city": 3, "days": 0, "more": 1}', CONTEXT)
    assert "- `days`: 0 is less than the minimum of 1" in caught.value.text
    assert "`city` takes {" in caught.value.text
    assert "'more' was unexpected" in caught.value.text


@pytest.mark.parametrize(
    ("schema", "strict", "told"),
    [
        ({"type": "object", "properties": {"a": {"type": "text"}}}, False, "not a JSON schema: at $.properties.a.type"),
        ({"type": "string"}, False, "the schema must be of an object"),
        ({"type": "string"}, True, "must be an object at the top"),
        (RAW, True, "does not require days, unit: require every property"),
        ({"type": "object", "properties": {"a": {}}}, True, "parameter `a` may hold anything"),
        ({"type": "object"}, True, "is an open object"),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, True, "`a` is a list of anything"),
        (
            {
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/b", "title": "A"}},
                "$defs": {"b": {"type": "null"}},
            },
            True,
            "`$ref` beside other keywords",
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string", "enum": ["x" * 60 + str(n) for n in range(251)]}},
            },
            True,
            "more than 15,000 characters",
        ),
    ],
)
def test_a_raw_schema_that_is_of_no_use_is_refused(schema, strict, told):
    with pytest.raises(ToolDefinitionError) as caught:
        Tool.from_schema("forecast", "", schema, forecast, strict=strict)
    assert told in "\n".join(caught.value.faults)


def test_a_reference_to_elsewhere_is_never_fetched():
    schema = {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}}
    made = Tool.from_schema("forecast", "", schema, forecast)
    with pytest.raises(ArgumentsError, match="can't be checked"):
        made.bind('{"a": 1}', CONTEXT)


# --- results ---


def test_a_result_is_rendered_within_the_limit_of_the_tool():
    small = replace(add, max_output=200)
    assert add.render({"a": 1}) == '{"a":1}'
    assert len(small.render("x" * 1_000)) <= 200
    with pytest.raises(ToolError, match="object"):
        add.render(object())


# --- many tools ---


def test_a_registry_collects_tools_in_order_under_their_names():
    registry = ToolRegistry()

    @registry.tool
    def one(a: int) -> int:
        return a

    @registry.tool(name="second", timeout=1)
    def two() -> None: ...

    registry.add(add)
    assert [made.name for made in registry] == ["one", "second", "add"]
    assert len(registry) == 3
    assert "second" in registry
    assert "two" not in registry
    assert (one(3), two.timeout) == (3, 1)


def test_two_tools_of_one_name_are_refused_with_both_origins():
    registry = ToolRegistry()
    registry.add(add)
    other = tool(name="add")(forecast_city)
    with pytest.raises(DuplicateToolError) as caught:
        registry.add(other)
    assert add.origin in caught.value.message
    assert other.origin in caught.value.message
    assert other not in list(registry)
    with pytest.raises(DuplicateToolError):
        collect_tools([registry, other])


def forecast_city(city: Annotated[str, "Which city."]) -> str:
    """Tell the weather."""
    return city


def test_tools_are_collected_from_functions_tools_and_registries():
    registry = ToolRegistry()
    registry.add(add)
    tools = collect_tools([forecast_city, registry])
    assert list(tools) == ["forecast_city", "add"]
    assert all(isinstance(made, Tool) for made in tools.values())
    assert list(collect_tools([registry, add])) == ["add"]


OFFERED = ["add", "get_vat_rate", "read-file"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("add", "add"),
        ("functions.add", "add"),
        ("Add", "add"),
        ("add ", "add"),
        ("add<|channel|>commentary", "add"),
        ('add" />', "add"),
        ("`add`", "add"),
        ("functions.get_vat_rate<|call|>", "get_vat_rate"),
        ("default_api:add", "add"),
        ("add()", "add"),
        ("read_file", "read-file"),
        ("sub", None),
        ("", None),
        ("ad", None),
    ],
)
def test_a_dressed_up_name_is_understood_when_one_tool_matches(name, meant):
    assert resolve_name(name, OFFERED) == meant


def test_a_name_that_could_mean_two_tools_means_none():
    assert resolve_name("ADD", ["add", "Add"]) is None
    assert resolve_name("Add", ["add", "Add"]) == "Add"


def test_near_names_are_found_for_the_error_text():
    assert near_names("get_vat_rates", OFFERED) == ["get_vat_rate"]
    assert near_names("ReadFile", OFFERED) == ["read-file"]
    assert near_names("zzz", OFFERED) == []


@given(st.text())
def test_any_name_resolves_to_an_offered_one_or_to_none(name):
    assert resolve_name(name, OFFERED) in {*OFFERED, None}


def test_a_pattern_that_the_validator_does_not_know_is_a_fault_of_its_parameter():
    def look(code: Annotated[str, Field(pattern=r"(?=a)b")], other: int) -> str:
        """Look."""
        return code

    [fault] = faults_of(look)
    assert fault.startswith("parameter `code` has a type that can't be read")


def test_an_alias_is_a_fault_of_its_parameter():
    def look(code: Annotated[int, Field(alias="xx")]) -> int:
        """Look."""
        return code

    assert faults_of(look) == ("parameter `code` has an alias: leave it out, the name is its own",)


@pytest.mark.parametrize("encoded", ["__7_", "//7/"])
def test_bytes_are_taken_in_either_alphabet_of_base64(encoded):
    @tool
    def size(data: bytes) -> bytes:
        """Size."""
        return data

    assert run(size, f'{{"data": "{encoded}"}}') == b"\xff\xfe\xff"


@pytest.mark.parametrize("text", ['{"x": NaN}', '{"x": "inf"}'])
def test_a_number_that_json_can_not_say_is_refused(text):
    @tool
    def double(x: float) -> float:
        """Double."""
        return 2 * x

    with pytest.raises(ArgumentsError, match="finite"):
        run(double, text)


def test_the_formats_of_a_raw_schema_are_checked():
    schema = {"type": "object", "properties": {"day": {"type": "string", "format": "date"}}, "required": ["day"]}
    made = Tool.from_schema("day", "A day.", schema, lambda day: day)
    assert run(made, '{"day": "2026-11-22"}') == "2026-11-22"
    with pytest.raises(ArgumentsError, match="date"):
        run(made, '{"day": "someday"}')


def test_faults_are_collected_where_one_must_not_hide_the_next():
    registry = ToolRegistry()
    with collect_faults() as faulty:
        first = tool(lambda: 1, name="first")
        second = registry.tool(lambda: 2, name="second")
        good = tool(add.function, name="good")
    assert list(faulty) == [first, second]
    assert good not in faulty
    assert "lambda" in faulty[first].faults[0]


def test_true_is_no_number():
    @tool
    def double(x: int, *, y: float | bool = 0.5) -> object:
        """Double."""
        return [2 * x, y]

    assert run(double, '{"x": "2", "y": true}') == [4, True]
    with pytest.raises(ArgumentsError, match="`x`: expected a number; got true"):
        run(double, '{"x": true}')

"""From types to strict schemas, and from strict arguments back to values."""

import base64
import contextlib
import dataclasses
import json
import typing
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict, Union
from uuid import UUID

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from pydantic import BaseModel, Field
from pydantic_core import core_schema

from agentloop.errors import ToolDefinitionError
from agentloop.limits import Tally
from agentloop.schema import ArgumentsError, restrict
from agentloop.tools import ToolContext, tool

CONTEXT = ToolContext("run", "call", Tally(), None)

FORBIDDEN = {
    "default", "prefixItems", "oneOf", "allOf", "not", "if", "then", "else", "patternProperties", "unevaluatedItems",
    "unevaluatedProperties", "propertyNames", "minProperties", "maxProperties", "contains", "uniqueItems", "title",
    "dependentRequired", "dependentSchemas", "minLength", "maxLength", "discriminator", "examples", "contentEncoding",
}  # fmt: skip


def assert_strict(schema, definitions=None):
    """Hold a schema to OpenAI's strict rules, written down a second time so that they check the first."""
    definitions = schema.get("$defs", {}) if definitions is None else definitions
    assert not FORBIDDEN & set(schema), schema
    if "$ref" in schema:
        assert set(schema) == {"$ref"}
        assert schema["$ref"].removeprefix("#/$defs/") in definitions
        return
    assert "type" in schema or "anyOf" in schema, schema
    if schema.get("type") == "object":
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])
        for inner in schema["properties"].values():
            assert_strict(inner, definitions)
    if schema.get("type") == "array":
        assert_strict(schema["items"], definitions)
    for inner in [*schema.get("anyOf", ()), *schema.get("$defs", {}).values()]:
        assert_strict(inner, definitions)


def make_function(parameters, defaults=()):
    """Return a function with these parameters, by annotation, that returns what it was called with."""
    names = [name if name not in defaults else f"{name}=defaults[{name!r}]" for name in parameters]
    scope = {"defaults": dict(defaults)}
    exec(f"def function(*, {', '.join(names)}): return locals()" if names else "def function(): return {}", scope)  # noqa: S102 - parameters of any name can only be made so
    scope["function"].__annotations__ = dict(parameters)
    return scope["function"]


def schema_of(annotation, **options):
    return tool(**options)(make_function({"x": annotation})).parameters["properties"]["x"]


def read(annotation, value):
    """Return the value that a function gets when the model writes this one."""
    return tool(make_function({"x": annotation})).bind(json.dumps({"x": value}), CONTEXT).kwargs["x"]


def faults_of(function, **options):
    with pytest.raises(ToolDefinitionError) as caught:
        tool(**options)(function)
    return caught.value.faults


# --- types ---


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Part(BaseModel):
    """A part of something."""

    name: Annotated[str, Field(description="What it is called.")]
    count: int = 1
    tags: dict[str, int] = {}


class Node(BaseModel):
    value: int
    children: "list[Node]" = []
    note: Annotated["Node | None", Field(description="Another one.")] = None


@dataclasses.dataclass
class Place:
    street: str
    lines: list[str] = dataclasses.field(default_factory=list)
    number: int = 7
    seen: int = dataclasses.field(default=0, init=False)


class Options(TypedDict):
    depth: int
    width: NotRequired[int]


class Loose(TypedDict, total=False):
    depth: int


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str] = []


MaybeNumber = pydantic.RootModel[int | None]


class Link(TypedDict):
    """A link, and those behind it."""

    rest: "list[Link] | None"
    next: NotRequired["Link"]
    name: Annotated[str, Field(description="Its name.")]


class Family(BaseModel):
    name: str
    members: list[Annotated["Family", Field(description="A younger one.")]]


class Steps:
    """A type that pydantic is told to read in two steps."""

    def __init__(self, values: tuple[int, int]) -> None:
        self.values = values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Steps) and other.values == self.values

    __hash__ = None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: pydantic.GetCoreSchemaHandler) -> Any:
        return core_schema.chain_schema([handler(tuple[int, int]), core_schema.no_info_plain_validator_function(cls)])


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


def test_a_plain_signature_becomes_a_strict_schema():
    @tool
    def search(
        query: str, limit: int = 10, mode: Literal["fast", "deep"] = "fast", tags: list[str] | None = None
    ) -> str:
        """Search the catalogue.

        Args:
            query: What to look for.
            limit: How many results.
        """

    assert search.parameters == snapshot(
        {
            "type": "object",
            "properties": {
                "query": {"description": "What to look for.", "type": "string"},
                "limit": {"description": "How many results.", "anyOf": [{"type": "integer"}, {"type": "null"}]},
                "mode": {"anyOf": [{"type": "string", "enum": ["fast", "deep"]}, {"type": "null"}]},
                "tags": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
            },
            "required": ["query", "limit", "mode", "tags"],
            "additionalProperties": False,
        }
    )


def test_every_other_kind_of_type_becomes_a_strict_schema():
    @tool
    def build(part: Part, place: Place, pair: Pair, pet: Pet, tree: Node, at: datetime, raw: bytes = b"") -> None:
        """Build it."""

    assert build.parameters == snapshot(
        {
            "additionalProperties": False,
            "properties": {
                "part": {"$ref": "#/$defs/Part"},
                "place": {"$ref": "#/$defs/Place"},
                "pair": {"$ref": "#/$defs/Pair"},
                "pet": {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]},
                "tree": {"$ref": "#/$defs/Node"},
                "at": {"format": "date-time", "type": "string"},
                "raw": {"anyOf": [{"type": "string", "description": "Encoded as base64"}, {"type": "null"}]},
            },
            "required": ["part", "place", "pair", "pet", "tree", "at", "raw"],
            "type": "object",
            "$defs": {
                "Node": {
                    "properties": {
                        "value": {"type": "integer"},
                        "children": {"anyOf": [{"items": {"$ref": "#/$defs/Node"}, "type": "array"}, {"type": "null"}]},
                        "note": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}], "description": "Another one."},
                    },
                    "required": ["value", "children", "note"],
                    "type": "object",
                    "additionalProperties": False,
                },
                "Dog": {
                    "properties": {
                        "kind": {"const": "dog", "type": "string"},
                        "tricks": {"anyOf": [{"items": {"type": "string"}, "type": "array"}, {"type": "null"}]},
                    },
                    "required": ["kind", "tricks"],
                    "type": "object",
                    "additionalProperties": False,
                },
                "Cat": {
                    "properties": {"kind": {"const": "cat", "type": "string"}, "lives": {"type": "integer"}},
                    "required": ["kind", "lives"],
                    "type": "object",
                    "additionalProperties": False,
                },
                "Pair": {
                    "additionalProperties": False,
                    "properties": {
                        "left": {"type": "integer"},
                        "right": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    },
                    "required": ["left", "right"],
                    "type": "object",
                },
                "Place": {
                    "properties": {
                        "street": {"type": "string"},
                        "lines": {"anyOf": [{"items": {"type": "string"}, "type": "array"}, {"type": "null"}]},
                        "number": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                    },
                    "required": ["street", "lines", "number"],
                    "type": "object",
                    "additionalProperties": False,
                },
                "Part": {
                    "description": "A part of something.",
                    "properties": {
                        "name": {"description": "What it is called.", "type": "string"},
                        "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                        "tags": {
                            "anyOf": [
                                {
                                    "items": {
                                        "additionalProperties": False,
                                        "properties": {"key": {"type": "string"}, "value": {"type": "integer"}},
                                        "required": ["key", "value"],
                                        "type": "object",
                                    },
                                    "type": "array",
                                },
                                {"type": "null"},
                            ]
                        },
                    },
                    "required": ["name", "count", "tags"],
                    "type": "object",
                    "additionalProperties": False,
                },
            },
        }
    )


@pytest.mark.parametrize(
    ("annotation", "written", "value"),
    [
        (str, "a", "a"),
        (int, 3, 3),
        (float, 1, 1.0),
        (bool, True, True),
        (None, None, None),
        (Literal["a", 1] | None, 1, 1),
        (Literal[True], True, True),
        (Colour, "red", Colour.RED),
        (Level, 2, Level.HIGH),
        (Literal[Colour.RED], "red", Colour.RED),
        (int | None, None, None),
        (Union[int, str], "a", "a"),  # noqa: UP007 - both spellings have to work
        (list[int], [1], [1]),
        (set[int], [1, 2], {1, 2}),
        (frozenset[str], ["a"], frozenset({"a"})),
        (tuple[int, str], {"item1": 1, "item2": "a"}, (1, "a")),
        (tuple[int, str], {"item2": "a", "item1": 1}, (1, "a")),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[()], {}, ()),
        (deque[int], [1], deque([1])),
        (dict[str, int], [{"key": "a", "value": 1}], {"a": 1}),
        (dict[int, Part], [{"key": 1, "value": {"name": "p", "count": None, "tags": None}}], {1: Part(name="p")}),
        (dict[str, dict[str, int]], [{"key": "a", "value": [{"key": "b", "value": 1}]}], {"a": {"b": 1}}),
        (OrderedDict[str, int], [{"key": "a", "value": 1}], OrderedDict(a=1)),
        (Counter[str], [{"key": "a", "value": 2}], Counter(a=2)),
        (Part, {"name": "p", "count": 2, "tags": [{"key": "k", "value": 1}]}, Part(name="p", count=2, tags={"k": 1})),
        (Part, {"name": "p", "count": None, "tags": None}, Part(name="p")),
        (Part, {"name": "p"}, Part(name="p")),
        (
            Node,
            {"value": 1, "children": [{"value": 2, "children": None, "note": None}], "note": None},
            Node(value=1, children=[Node(value=2)]),
        ),
        (Place, {"street": "s", "lines": None, "number": None}, Place("s")),
        (Options, {"depth": 1, "width": None}, {"depth": 1}),
        (Loose, {"depth": None}, {}),
        (Options, {"depth": 1, "width": 2}, {"depth": 1, "width": 2}),
        (
            Link,
            {"rest": [{"rest": None, "next": None, "name": "b"}], "next": None, "name": "a"},
            {"rest": [{"rest": None, "name": "b"}], "name": "a"},
        ),
        (list[Link | None], [None], [None]),
        (
            Family,
            {"name": "a", "members": [{"name": "b", "members": []}]},
            Family(name="a", members=[Family(name="b", members=[])]),
        ),
        (Steps, {"item1": 1, "item2": 2}, Steps((1, 2))),
        (Pair, {"left": 1, "right": None}, Pair(1)),
        (Pet, {"kind": "cat", "lives": 9}, Cat(lives=9)),
        (list[Pet], [{"kind": "dog", "tricks": None}], [Dog(kind="dog")]),
        (date, "2026-11-22", date(2026, 11, 22)),
        (datetime, "2026-11-22T10:00:00Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        (time, "10:00:00", time(10)),
        (timedelta, "PT1H", timedelta(hours=1)),
        (Decimal, "1.10", Decimal("1.10")),
        (UUID, "00000000-0000-0000-0000-000000000001", UUID(int=1)),
        (Path, "a/b", Path("a/b")),
        (bytes, "aGk=", b"hi"),
        (pydantic.Json[list[int]], "[1]", [1]),
        (pydantic.HttpUrl, "https://example.org/", pydantic.HttpUrl("https://example.org/")),
        (Annotated[int, Field(ge=1)], 1, 1),
        (Annotated[str, "a note", Field(min_length=1)], "x", "x"),
        (pydantic.RootModel[dict[str, int]], [{"key": "a", "value": 1}], pydantic.RootModel[dict[str, int]]({"a": 1})),
    ],
)
def test_a_type_has_a_strict_schema_and_its_values_come_back(annotation, written, value):
    assert_strict(tool(make_function({"x": annotation})).parameters)
    got = read(annotation, written)
    assert got == value
    assert type(got) is type(value)


def test_a_plain_type_has_the_schema_that_pydantic_would_give():
    old = list[int] | typing.List[int]  # noqa: UP006 - what users still have
    for annotation in (
        str,
        None,
        list[list[str]],
        str | None | int,
        Literal["a"],
        Literal[1, 2],
        int | str | list[int],
        old,
    ):
        assert schema_of(annotation) == schema_of(Annotated[annotation, Field()])


# --- null and defaults ---


def test_null_and_absence_both_give_the_python_default():
    function = make_function({"a": int, "b": Part | None, "c": dict[str, int]}, {"a": 3, "b": None, "c": {"k": 1}})
    made = tool(function)
    assert made(**made.bind("{}", CONTEXT).kwargs) == {"a": 3, "b": None, "c": {"k": 1}}
    assert made(**made.bind('{"a": null, "b": null, "c": null}', CONTEXT).kwargs) == made()


def test_a_parameter_without_a_default_does_not_take_null():
    with pytest.raises(ArgumentsError, match="`x`: expected a valid integer; got null"):
        read(int, None)


def test_defaults_of_all_kinds_of_types_take_null():
    types = {"a": int | str, "b": int | Part, "c": Node, "d": list[Node], "e": Literal["x"], "f": Pet}
    defaults = {"a": 1, "b": 2, "c": Node(value=1), "d": [], "e": "x", "f": Cat(lives=1)}
    made = tool(make_function(types, defaults))
    assert_strict(made.parameters)
    assert made(**made.bind(json.dumps(dict.fromkeys(types)), CONTEXT).kwargs) == defaults
    assert faults_of(make_function({"x": MaybeNumber}, {"x": 3}))[0].startswith("parameter `x` allows None")


def test_a_parameter_that_is_none_by_default_but_not_by_type_takes_null():
    made = tool(make_function({"x": int}, {"x": None}))
    assert made.bind('{"x": null}', CONTEXT).kwargs == {}


def test_a_default_beside_a_type_that_allows_none_is_refused_at_every_level():
    class Inner(BaseModel):
        depth: int | None = 3
        items: list[int] | None = Field(default_factory=list)

    class Loose(TypedDict):
        width: NotRequired[int | None]

    function = make_function({"a": int | None, "b": Inner, "c": Loose, "d": Literal["x"] | None}, {"a": 3, "d": "x"})
    faults = faults_of(function)
    assert [fault.split("`")[1] for fault in faults] == ["a", "b.depth", "b.items", "c.width", "d"]
    assert all("make it None, or don't allow None" in fault for fault in faults)


# --- what can't be strict ---


def test_one_error_lists_every_fault_of_every_parameter_with_its_remedy():
    class Thing: ...

    @dataclasses.dataclass
    class Odd:
        call: Callable[[], int]
        thing: Thing
        stream: Iterator[int]
        kind: type[int]
        wave: complex
        mixed: tuple[int, *tuple[str, ...]]

    def messy(untyped, bare: list, nested: dict[str, list[Any]], mapping: dict, odd: Odd, n: int | None = 3, *a, **k):
        """Do it."""

    with pytest.raises(ToolDefinitionError) as caught:
        tool(messy)
    assert caught.value.faults == snapshot(
        (
            "parameter `*a` has no names for the model to give: take a `list`",
            "parameter `**k` takes any name: name each, or take one `dict[str, ...]`",
            "parameter `untyped` may hold anything: give it a type, such as `str`",
            "parameter `bare[]` may hold anything: give it a type, such as `str`",
            "parameter `nested.value[]` may hold anything: give it a type, such as `str`",
            "parameter `mapping.key` may hold anything: give it a type, such as `str`",
            "parameter `mapping.value` may hold anything: give it a type, such as `str`",
            "parameter `odd.call` is a function, which a model can't write: take a name and look it up",
            "parameter `odd.thing` is of Thing, which JSON can't hold: take what it is made from",
            "parameter `odd.stream` is of Iterator, which JSON can't hold: take what it is made from",
            "parameter `odd.kind` is a class, which a model can't write: take a name and look it up",
            "parameter `odd.wave` is a complex number: take two floats",
            "parameter `odd.mixed.item2` may hold anything: give it a type, such as `str`",
            "parameter `n` allows None but has another default, so null is unclear: make it None, or don't allow None",
        )
    )
    assert caught.value.hint == "@tool(strict=False) allows types that can't be strict"


def test_a_type_that_pydantic_cannot_read_is_named_with_all_other_faults():
    def broken(good: int, odd: 3, lost: list["Nowhere"], other: Any): ...  # noqa: F821 - a fault that is tested

    assert faults_of(broken) == snapshot(
        (
            "parameter `lost` has `Nowhere` in its type, which is not defined: import it first",
            "parameter `odd` may hold anything: give it a type, such as `str`",
            "parameter `other` may hold anything: give it a type, such as `str`",
        )
    )


class Unfinished(BaseModel):
    x: "Missing"  # noqa: F821 - what is tested


def test_a_class_that_is_not_finished_is_told_beside_the_other_faults():
    assert faults_of(make_function({"a": int, "b": Unfinished, "c": Any})) == snapshot(
        (
            "parameter `b` has a type that can't be read: name 'Missing' is not defined",
            "parameter `c` may hold anything: give it a type, such as `str`",
        )
    )


def test_an_annotation_that_names_nothing_is_told_by_that_name():
    def lost(x: "Nowhere"): ...  # noqa: F821 - the fault that is tested

    assert faults_of(lost) == ("parameter `x` has `Nowhere` in its type, which is not defined: import it first",)


def test_a_return_type_that_names_nothing_does_not_matter():
    def fine(x: "int") -> "Nowhere": ...  # noqa: F821 - what is tested

    assert tool(fine).parameters["properties"] == {"x": {"type": "integer"}}


def test_annotations_may_be_text_and_name_a_class_of_the_calling_function():
    @dataclasses.dataclass
    class Local:
        x: int

    def use(local: "Local"): ...

    assert tool(use).bind('{"local": {"x": 1}}', CONTEXT).kwargs == {"local": Local(1)}


def test_a_class_that_builds_itself_by_hand_is_refused():
    class Custom(BaseModel):
        x: int = 1

        def __init__(self, **data: Any) -> None:
            super().__init__(**data)

    assert "its own `__init__`" in faults_of(make_function({"x": Custom}))[0]
    assert tool(strict=False)(make_function({"x": Custom})).bind('{"x": {"x": 2}}', CONTEXT).kwargs["x"].x == 2


def test_a_keyword_that_strict_schemas_do_not_know_is_refused():
    annotation = Annotated[str, pydantic.WithJsonSchema({"type": "string", "not": {"const": "x"}})]
    assert faults_of(make_function({"x": annotation})) == (
        "parameter `x` uses `not`, which strict schemas don't allow: leave it out",
    )
    wide = Annotated[Any, pydantic.WithJsonSchema({"type": "object", "additionalProperties": {"type": "integer"}})]
    assert "is an open object" in faults_of(make_function({"x": wide}))[0]
    untyped = Annotated[Any, pydantic.WithJsonSchema({})]
    assert faults_of(make_function({"x": untyped})) == ("parameter `x` may hold anything: give it a type",)


def test_a_type_of_the_users_own_may_describe_itself():
    annotation = Annotated[Callable[[], int], pydantic.WithJsonSchema({"type": "string"})]
    assert schema_of(annotation) == {"type": "string"}


class Wide(BaseModel):
    x: Literal[tuple(f"value {n:05}" for n in range(1_200))]  # type: ignore[valid-type]  # made long on purpose


def test_sizes_beyond_the_limits_are_reported():
    deep: Any = int
    for level in range(11):
        deep = pydantic.create_model(f"Level{level}", x=deep)
    many = {f"property_{n}": int for n in range(5_001)}
    long = {"x" * 60_000: int, "y" * 60_001: str}
    told = [fault for types in ({"x": Wide}, {"x": deep}, many, long) for fault in faults_of(make_function(types))]
    assert [fault.removesuffix(": split the tool or simplify its types") for fault in told] == snapshot(
        [
            "the schema has 1,200 enumerated values, but at most 1,000 are allowed",
            "the schema has 12 levels of nesting, but at most 10 are allowed",
            "the schema has 5,001 properties, but at most 5,000 are allowed",
            "the schema has 120,001 characters in names and values, but at most 120,000 are allowed",
        ]
    )


# --- strict=False ---


def test_without_strictness_any_signature_goes():
    @tool(strict=False)
    def free(a, b: Any, c: dict[str, int], d: tuple[int, str], e: int | None = 3, f: int = 4, **more: str):
        return (a, b, c, d, e, f, more)

    text = '{"a": [1], "b": {"x": null}, "c": {"k": 1}, "d": [1, "x"], "e": null, "f": null, "g": "more"}'
    bound = free.bind(text, CONTEXT)
    assert free(*bound.args, **bound.kwargs) == ([1], {"x": None}, {"k": 1}, (1, "x"), None, 4, {"g": "more"})
    assert free.parameters == snapshot(
        {
            "additionalProperties": True,
            "properties": {
                "a": {},
                "b": {},
                "c": {"additionalProperties": {"type": "integer"}, "type": "object"},
                "d": {
                    "maxItems": 2,
                    "minItems": 2,
                    "prefixItems": [{"type": "integer"}, {"type": "string"}],
                    "type": "array",
                },
                "e": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "f": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            },
            "required": ["a", "b", "c", "d"],
            "type": "object",
        }
    )


def test_without_strictness_a_type_that_json_cannot_hold_is_told_without_a_type():
    class Thing: ...

    made = tool(strict=False)(make_function({"x": Thing | None, "y": Callable[[], int]}, {"x": None}))
    assert made.parameters["properties"] == {"x": {"anyOf": [{}, {"type": "null"}]}, "y": {}}


# --- coercion, repairs and refusals ---


@pytest.mark.parametrize(
    ("annotation", "written", "value"),
    [
        (int, "3", 3),
        (int, 1.0, 1),
        (float, "1.5", 1.5),
        (bool, "true", True),
        (str, 3, "3"),
        (str | None, 3, "3"),
        (str, {"a": [1]}, '{"a": [1]}'),
        (list[str], [1, {"é": 1}], ["1", '{"é": 1}']),
        (list[int], "[1, 2]", [1, 2]),
        (list[str], "[1]", ["1"]),
        (Part, '{"name": "p"}', Part(name="p")),
        (Options, '{"depth": 1}', {"depth": 1}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (tuple[int, str], [1, "a"], (1, "a")),
    ],
)
def test_what_loses_nothing_is_coerced(annotation, written, value):
    assert read(annotation, written) == value


def test_a_number_for_a_text_is_kept_as_it_was_written():
    bound = tool(make_function({"version": str})).bind('{"version": 1.10}', CONTEXT)
    assert bound.kwargs == {"version": "1.10"}
    assert bound.repairs == ("`version`: wrote a number as text",)


@pytest.mark.parametrize(
    ("annotation", "written"),
    [
        (int, "3.5"),
        (int, 1.5),
        (int, "x"),
        (str, True),
        (str, None),
        (list[int], "[1, "),
        (list[int], ""),
        (list[int], "3"),
        (dict[str, int], [{"key": "a", "value": 1}, {"key": "a", "value": 2}]),
        (tuple[int, str], [1]),
        (dict[str, int], [{"key": "a", "value": 1, "more": 2}]),
        (tuple[int, str], [1, "a", 2]),
        (Place, {"street": "s", "colour": "red"}),
        (Loose, {"depth": 1, "colour": "red"}),
        (bytes, "a"),
        (bytes, "é"),
        (Annotated[int, Field(ge=1)], 0),
        (Annotated[str, Field(min_length=2)], "a"),
        (Annotated[dict[str, int], Field(max_length=1)], [{"key": "a", "value": 1}, {"key": "b", "value": 1}]),
        (Part, {"name": "p", "colour": "red"}),
        (Pet, {"kind": "cow"}),
        (int | list[int], "x"),
        (date, "yesterday"),
    ],
)
def test_what_would_lose_something_is_refused_with_its_schema(annotation, written):
    with pytest.raises(ArgumentsError) as caught:
        read(annotation, written)
    assert "`x" in caught.value.text
    assert "`x` takes {" in caught.value.text
    assert "Traceback" not in caught.value.text


def test_the_model_is_told_path_expected_got_and_schema():
    made = tool(make_function({"part": Part, "limit": int, "mode": Literal["a", "b"], "far": str}))
    with pytest.raises(ArgumentsError) as caught:
        made.bind('{"part": {"name": 3, "count": "many", "x": 1}, "mode": "c", "far": "x", "extra": 1}', CONTEXT)
    *told, part, limit, mode = caught.value.text.splitlines()
    assert [fault.removesuffix(": split the tool or simplify its types") for fault in told] == snapshot(
        [
            "The arguments do not fit the tool, so it did not run. Correct them and call it again.",
            "- `part.name`: expected a valid string; got 3",
            '- `part.count`: expected a valid integer, unable to parse string as an integer; got "many"',
            "- `part.x` is not known",
            "- `limit` is required, but was not given",
            "- `mode`: expected 'a' or 'b'; got \"c\"",
            "- and 1 more",
        ]
    )
    assert json.loads(part.removeprefix("`part` takes ")) == made.parameters["$defs"]["Part"]
    assert (limit, mode) == snapshot(
        ('`limit` takes {"type": "integer"}', '`mode` takes {"enum": ["a", "b"], "type": "string"}')
    )


def test_an_unknown_argument_is_told_with_the_known_ones():
    with pytest.raises(ArgumentsError, match="- `z` is not known; known are `x`, `y`"):
        tool(make_function({"x": int, "y": int})).bind('{"x": 1, "y": 2, "z": 3}', CONTEXT)


@pytest.mark.parametrize("depth", [150, 250, 500, *range(860, 1_000), 2_000, 100_000])
def test_arguments_nested_however_deep_are_read_or_refused(depth):
    made = tool(make_function({"x": list[str]}))
    for text in ('{"x": ' + "[" * depth + "]" * depth + "}", '{"x": ' + '{"a": ' * depth + "1" + "}" * depth + "}"):
        for arguments in (text, f"```{text}```", json.dumps(text)):
            with contextlib.suppress(ArgumentsError):
                made.bind(arguments, CONTEXT)


def test_no_more_than_five_faults_are_told():
    made = tool(make_function(dict.fromkeys("abcdefg", int)))
    with pytest.raises(ArgumentsError, match="- and 2 more"):
        made.bind("{}", CONTEXT)


def test_whatever_a_class_of_the_user_raises_is_told_to_the_model():
    class Touchy(BaseModel):
        x: int

        @pydantic.field_validator("x")
        @classmethod
        def refuse(cls, value: int) -> int:
            raise {1: KeyError, 2: ValueError}[value]("no, thank you")

    made = tool(make_function({"t": Touchy, "s": str}))
    whole = '{"t": {"x": 1}, "s": "a"}'
    for text in (whole, f"```{whole}```", '{"t": {"x": 2}, "s": "a"}'):
        with pytest.raises(ArgumentsError, match="no, thank you"):
            made.bind(text, CONTEXT)


# --- constraints and descriptions ---


def test_a_constraint_that_strict_schemas_do_not_know_moves_into_the_description():
    assert schema_of(Annotated[str, Field(min_length=2, max_length=4, pattern="^a", description="A word.")]) == {
        "type": "string",
        "pattern": "^a",
        "description": "A word. (at least 2 characters; at most 4 characters)",
    }
    assert schema_of(Annotated[set[int], Field(min_length=1)]) == {
        "type": "array",
        "items": {"type": "integer"},
        "minItems": 1,
        "description": "No item twice",
    }
    assert schema_of(Path) == {"type": "string", "description": "In the format path"}


def test_a_constraint_that_a_server_does_not_take_moves_into_the_description():
    schema = {
        "type": "object",
        "properties": {
            "minimum": {"type": "integer", "minimum": 1, "description": "Size"},
            "at": {"type": "string", "format": "date"},
        },
        "items": True,
        "anyOf": [{"type": "array", "items": {"type": "number", "exclusiveMaximum": 2}}],
    }  # fmt: skip
    assert restrict(schema, frozenset({"format"})) == snapshot(
        {
            "type": "object",
            "properties": {
                "minimum": {"type": "integer", "description": "Size (at least 1)"},
                "at": {"type": "string", "format": "date"},
            },
            "items": True,
            "anyOf": [{"type": "array", "items": {"type": "number", "description": "Less than 2"}}],
        }
    )
    assert restrict(schema, frozenset({"format", "minimum", "exclusiveMaximum"})) == schema


DOCSTRINGS = {
    "Google": """Find a thing.

    Longer text.

    Args:
        name (str): The name,
            over two lines.
        count: How many.

    Returns:
        The thing.
    """,
    "NumPy": """Find a thing.

    Longer text.

    Parameters
    ----------
    name : str
        The name,
        over two lines.
    count : int, optional
        How many.

    Returns
    -------
    str
        The thing.
    """,
    "Sphinx": """Find a thing.

    Longer text.

    :param name: The name,
        over two lines.
    :param int count: How many.
    :returns: The thing.
    """,
}


@pytest.mark.parametrize("style", DOCSTRINGS)
def test_descriptions_come_from_docstrings_of_all_styles(style):
    def find(name: str, count: int = 1): ...

    find.__doc__ = DOCSTRINGS[style]
    made = tool(find)
    assert made.description.startswith("Find a thing.\n\nLonger text.\n\n")
    assert "The thing." in made.description
    assert "How many" not in made.description
    described = {name: schema["description"] for name, schema in made.parameters["properties"].items()}
    assert described == {"name": "The name,\nover two lines.", "count": "How many."}


def test_a_docstring_that_cannot_be_parsed_is_the_description_as_it_stands():
    def odd(x: int): ...

    odd.__doc__ = "Do it.\n\n:param"
    assert tool(odd).description
    odd.__doc__ = "Do it.\n\n:param a b c d: x\n:"
    assert tool(odd).description.startswith("Do it.")
    odd.__doc__ = None
    assert tool(odd).description == ""


def test_a_description_in_the_annotation_wins_over_the_docstring():
    def find(
        a: Annotated[str, "From a text."],
        b: Annotated[int, Field(description="From a field.")],
        c: Annotated[Part, "From a text beside a model."],
        d: Annotated[int, Field(ge=1), "From the second."],
    ):
        """Find.

        Args:
            a: Old.
            b: Old.
            c: Old.
            d: Old.
        """

    described = {name: schema["description"] for name, schema in tool(find).parameters["properties"].items()}
    assert described == {
        "a": "From a text.",
        "b": "From a field.",
        "c": "From a text beside a model.",
        "d": "From the second.",
    }


# --- properties ---


@dataclasses.dataclass(frozen=True)
class Kind:
    """A type, its values, and how a value is written on the wire."""

    annotation: Any
    values: st.SearchStrategy
    write: Callable[[Any], Any]

    @property
    def nullable(self) -> bool:
        return self.annotation is None or type(None) in getattr(self.annotation, "__args__", ())


def same(value):
    return value


LEAVES = [
    Kind(str, st.text(), same),
    Kind(int, st.integers(), same),
    Kind(float, st.floats(allow_nan=False, allow_infinity=False), same),
    Kind(bool, st.booleans(), same),
    Kind(Literal["a", "b"], st.sampled_from(["a", "b"]), same),
    Kind(Literal[1, "x"], st.sampled_from([1, "x"]), same),
    Kind(Colour, st.sampled_from(Colour), lambda value: value.value),
    Kind(Level, st.sampled_from(Level), int),
    Kind(date, st.dates(), str),
    Kind(datetime, st.datetimes(), lambda value: value.isoformat()),
    Kind(Decimal, st.decimals(allow_nan=False, allow_infinity=False, places=3), lambda value: format(value, "f")),
    Kind(UUID, st.uuids(), str),
    Kind(bytes, st.binary(), lambda value: base64.b64encode(value).decode()),
]


def list_of(kind):
    return Kind(list[kind.annotation], st.lists(kind.values, max_size=3), lambda value: [kind.write(v) for v in value])


def maybe(kind):
    return Kind(
        kind.annotation | None,
        st.none() | kind.values,
        lambda value: None if value is None else kind.write(value),
    )


def dict_of(kind):
    return Kind(
        dict[str, kind.annotation],
        st.dictionaries(st.text(), kind.values, max_size=3),
        lambda value: [{"key": key, "value": kind.write(v)} for key, v in value.items()],
    )


def tuple_of(kinds):
    return Kind(
        tuple[tuple(kind.annotation for kind in kinds)],
        st.tuples(*(kind.values for kind in kinds)),
        lambda value: {f"item{n}": kind.write(v) for n, (kind, v) in enumerate(zip(kinds, value, strict=True), 1)},
    )


def dataclass_of(kinds):
    cls = dataclasses.make_dataclass("Made", [(f"f{n}", kind.annotation) for n, kind in enumerate(kinds)])
    return Kind(
        cls,
        st.builds(cls, *(kind.values for kind in kinds)),
        lambda value: {f"f{n}": kind.write(getattr(value, f"f{n}")) for n, kind in enumerate(kinds)},
    )


def model_of(kinds):
    cls = pydantic.create_model("Made", **{f"f{n}": kind.annotation for n, kind in enumerate(kinds)})
    return Kind(
        cls,
        st.builds(cls.model_construct, **{f"f{n}": kind.values for n, kind in enumerate(kinds)}),
        lambda value: {f"f{n}": kind.write(getattr(value, f"f{n}")) for n, kind in enumerate(kinds)},
    )


KINDS = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        inner.map(list_of),
        inner.map(maybe),
        inner.map(dict_of),
        st.lists(inner, min_size=1, max_size=3).map(tuple_of),
        st.lists(inner, min_size=1, max_size=3).map(dataclass_of),
        st.lists(inner, min_size=1, max_size=3).map(model_of),
    ),
    max_leaves=4,
)
NAMES = st.sampled_from(
    [
        "x",
        "_x",
        "__y",
        "self",
        "cls",
        "schema",
        "model_config",
        "copy",
        "json",
        "dict",
        "validate",
        "type",
        "data",
        "name",
        "args",
    ]
)
SIGNATURES = st.dictionaries(NAMES, KINDS, max_size=4)
SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(SIGNATURES, st.data())
def test_any_signature_has_a_strict_schema_and_its_values_round_trip(kinds, data):
    defaults = {
        name: data.draw(kind.values.filter(lambda value: value is not None)) if not kind.nullable else None
        for name, kind in kinds.items()
        if data.draw(st.booleans())
    }
    made = tool(make_function({name: kind.annotation for name, kind in kinds.items()}, defaults))
    assert_strict(made.parameters)
    values = {name: data.draw(kind.values) for name, kind in kinds.items()}
    written = {name: kind.write(values[name]) for name, kind in kinds.items()}
    left_out = [name for name in defaults if data.draw(st.booleans())]
    expected = values | {name: defaults[name] for name in left_out}
    absent = [name for name in left_out if data.draw(st.booleans())]
    wire = {name: None if name in left_out else text for name, text in written.items() if name not in absent}
    bound = made.bind(json.dumps(wire), CONTEXT)
    assert made(*bound.args, **bound.kwargs) == expected
    assert bound.repairs == ()


KEYS = NAMES | st.sampled_from(["key", "value", "f0", "item1"])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["3", "true", "[1]", "{}"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.sampled_from(["key", "value", "f0", "item1"]), inner)
    ),
    max_leaves=8,
)


@SLOW
@given(SIGNATURES, st.one_of(st.text(), st.dictionaries(NAMES, ANY_JSON).map(json.dumps), ANY_JSON.map(json.dumps)))
def test_binding_any_text_gives_a_call_or_an_arguments_error(kinds, text):
    made = tool(make_function({name: kind.annotation for name, kind in kinds.items()}))
    try:
        bound = made.bind(text, CONTEXT)
    except ArgumentsError:
        return
    assert set(bound.kwargs) == set(kinds)


PLAIN = st.recursive(
    st.sampled_from([str, int, float, bool, Literal["a"], Literal["a", "b"], Literal[1, 2], None]),
    lambda inner: st.one_of(
        inner.map(lambda one: list[one]),
        inner.map(lambda one: Union[one, None]),  # noqa: UP007 - `None | None` is an error
        st.lists(inner, min_size=2, max_size=3).map(lambda several: Union[tuple(several)]),  # noqa: UP007 - made here
    ),
    max_leaves=4,
)


@SLOW
@given(PLAIN)
def test_a_schema_written_by_hand_is_the_one_that_pydantic_would_give(annotation):
    assert schema_of(annotation) == schema_of(Annotated[annotation, Field()])


def test_a_type_that_is_read_lazily_is_no_list():
    assert faults_of(make_function({"x": Iterable[int]})) == ("parameter `x` is an iterator: take a `list`",)


@pytest.mark.parametrize("name", ["_x", "__y__", "self", "cls", "schema", "model_config", "copy", "json", "validate"])
def test_a_parameter_may_have_any_name(name):
    made = tool(make_function({name: Part}))
    assert made(**made.bind(json.dumps({name: {"name": "p"}}), CONTEXT).kwargs) == {name: Part(name="p")}


def test_a_tool_without_parameters_has_a_strict_schema_too():
    made = tool(make_function({}))
    assert made.parameters == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert made.bind("", CONTEXT).kwargs == {}

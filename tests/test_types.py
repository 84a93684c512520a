"""Types with a name, enumerations, and numbers that JSON can't express: in tools, in models and in answers."""

import dataclasses
import json
import sys
import typing
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType, TypedDict

from agentloop import Agent, ConfigurationError, Tally, Tool, ToolContext, ToolDefinitionError, tool
from agentloop.schema import ArgumentsError
from agentloop.testing import ScriptedEndpoint

CONTEXT = ToolContext("run", "call", Tally(), None)
T = TypeVar("T")

Metres = TypeAliasType("Metres", float)
Share = TypeAliasType("Share", Annotated[float, Field(ge=0, le=1)])
Raw = TypeAliasType("Raw", bytes)
Grade = TypeAliasType("Grade", Literal["good", "bad"])
Twice = TypeAliasType("Twice", tuple[T, T], type_params=(T,))
Weights = TypeAliasType("Weights", dict[str, int])
Nested = TypeAliasType("Nested", "int | list[Nested]")
Maybe = TypeAliasType("Maybe", int | None)


class Old(typing.TypedDict):
    width: int


Older = TypeAliasType("Older", Old)
Oldest = TypeAliasType("Oldest", list[Older])


class Plank(BaseModel):
    length: Metres
    width: Metres
    parts: "list[Plank]" = []


def make(annotations, *, strict=True):
    """Return a tool with these parameters, which returns their values."""
    parameters = ", ".join(annotations)
    space: dict[str, Any] = {}
    exec(f"def use({parameters}): return ({parameters},)", space)  # noqa: S102 - names that the test chose
    use = space["use"]
    use.__annotations__, use.__doc__, use.__module__ = annotations, "Use.", __name__
    return tool(strict=strict)(use)


def read(kind, text, *, strict=True):
    made = make({"given": kind}, strict=strict)
    return made(**made.bind(f'{{"given": {text}}}', CONTEXT).kwargs)[0]


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        (Metres, 1.5, 1.5),
        (Share, 0.5, 0.5),
        (Raw, "aGk=", b"hi"),
        (Grade, "good", "good"),
        (Twice[int], {"item1": 1, "item2": 2}, (1, 2)),
        (Weights, [{"key": "a", "value": 1}], {"a": 1}),
        (Nested, [1, [2, []]], [1, [2, []]]),
        (Maybe, None, None),
        (Older, {"width": 3}, {"width": 3}),
        (Oldest, [{"width": 3}], [{"width": 3}]),
        (Plank, {"length": 2, "width": 1, "parts": None}, Plank(length=2, width=1)),
    ],
    ids=str,
)
def test_a_named_type_may_be_used_twice(kind, written, value):
    made = make({"first": kind, "second": kind, "third": list[kind]})
    text = json.dumps({"first": written, "second": written, "third": [written]})
    assert made(**made.bind(text, CONTEXT).kwargs) == (value, value, [value])


def test_a_named_type_keeps_its_checks_at_every_use():
    made = make({"first": Share, "second": Metres, "third": Metres})
    for text in ('{"first": 2, "second": 1, "third": 1}', '{"first": 1, "second": true, "third": 1}'):
        with pytest.raises(ArgumentsError, match="expected"):
            made.bind(text, CONTEXT)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax came with Python 3.12")
def test_the_syntax_of_named_types_works():
    space: dict[str, Any] = {"__name__": __name__}
    exec("type Size = int\ntype Tree = list[Tree] | Size\ndef grow(a: Size, b: Tree, c: Tree): 'Grow.'", space)  # noqa: S102 - the syntax of a later Python
    bound = tool(space["grow"]).bind('{"a": 1, "b": [2, [3]], "c": 4}', CONTEXT)
    assert bound.kwargs == {"a": 1, "b": [2, [3]], "c": 4}


@pytest.mark.parametrize(
    ("kind", "reply", "value"),
    [
        (
            Plank,
            {"length": 1, "width": 2, "parts": [{"length": 1, "width": 1, "parts": None}]},
            Plank(length=1, width=2, parts=[Plank(length=1, width=1)]),
        ),
        (Metres, {"value": 1.5}, 1.5),
        (Twice[Metres], {"item1": 1, "item2": 2}, (1, 2)),
        (Nested, {"value": [1, [2]]}, [1, [2]]),
    ],
)
def test_an_answer_may_have_named_types(kind, reply, value):
    assert Agent("m", endpoint=ScriptedEndpoint([json.dumps(reply)]), output=kind).run_sync("go").output == value


# --- enumerations ---


class Light(Enum):
    RED = "red"
    STOP = "red"  # noqa: PIE796 - a second name for one value is what is tested
    GREEN = "green"


class Size(IntEnum):
    SMALL = 1
    TINY = 1
    LARGE = 2


class Mode(Flag):
    READ = 1
    WRITE = 2
    BOTH = 3


class Nothing(Enum):
    pass


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Light, ["red", "green"]),
        (Size, [1, 2]),
        (Mode, [1, 2, 3]),
        (Literal[Light.RED, Light.STOP, "red", "blue"], ["red", "blue"]),
        (Literal[1, True, "1"], [1, True, "1"]),
        (list[Light], ["red", "green"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("strict", [True, False])
def test_every_value_of_an_enumeration_is_offered_once(kind, values, strict):
    schema = json.dumps(make({"given": kind}, strict=strict).parameters)
    if kind == Literal[1, True, "1"]:
        assert schema.count("true") == 1 + schema.count('"additionalProperties": true')
    else:
        assert f'"enum": {json.dumps(values)}' in schema


def test_a_second_name_still_gives_the_member():
    assert read(Light, '"red"') is Light.STOP


@pytest.mark.parametrize("kind", [Nothing, list[Nothing], Nothing | None, Enum])
@pytest.mark.parametrize("strict", [True, False])
def test_an_enumeration_without_members_is_refused(kind, strict):
    with pytest.raises(ToolDefinitionError, match="an Enum without members: give it members"):
        make({"given": kind}, strict=strict)


def test_an_answer_of_an_enumeration_without_members_is_refused():
    with pytest.raises(ConfigurationError, match="an Enum without members"):
        Agent("m", endpoint=ScriptedEndpoint([]), output=Nothing)


def test_an_instance_of_a_class_is_not_an_enumeration():
    assert make({"given": pydantic.InstanceOf[Light]}).parameters["$defs"]["Light"]["enum"] == ["red", "green"]
    assert make({"given": pydantic.InstanceOf[CannotBeRead]}, strict=False).parameters["properties"] == {"given": {}}


class CannotBeRead:
    pass


# --- numbers that JSON can't express ---


class Priced(BaseModel):
    model_config = ConfigDict(allow_inf_nan=True)
    price: float


class Exact(BaseModel):
    model_config = ConfigDict(allow_inf_nan=True)
    price: Decimal


@dataclasses.dataclass
class Weighed:
    price: float


class Marked(TypedDict):
    price: float


class Named(NamedTuple):
    price: float


FIELDS = '{{"price": {}}}'


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-1e400", '"nan"', '"-inf"'])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        *((kind, FIELDS) for kind in (Priced, Exact, Weighed, Marked, Named, Priced | Weighed)),
        (Decimal, "{}"),
        (Metres, "{}"),
        (float | None, "{}"),
        (Annotated[float, Field(lt=5)], "{}"),
        (set[float], "[{}]"),
        (dict[str, Priced], '[{{"key": "a", "value": {{"price": {}}}}}]'),
        (tuple[int, float], '{{"item1": 1, "item2": {}}}'),
        (tuple[float, ...], "[{}]"),
    ],
    ids=str,
)
def test_a_number_that_json_cannot_express_is_refused_everywhere(kind, shape, number):
    with pytest.raises(ArgumentsError, match="finite"):
        read(kind, shape.format(number))


@pytest.mark.parametrize("number", ["NaN", "1e999"])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (Any, "{}"),
        (Any, '{{"a": [1, {}]}}'),
        (dict, '{{"a": {}}}'),
        (dict[str, float], '{{"a": {}}}'),
        (list, "[{}]"),
        (tuple[str, float], '["a", {}]'),
        (Any | Priced, FIELDS),
    ],
    ids=str,
)
def test_without_strictness_it_is_refused_too(kind, shape, number):
    with pytest.raises(ArgumentsError, match="finite"):
        read(kind, shape.format(number), strict=False)
    read(kind, shape.format(1.5), strict=False)


def test_it_is_refused_in_arguments_without_a_name_in_the_signature():
    made = tool(strict=False)(collect)
    assert made.bind('{"a": [1.5]}', CONTEXT).kwargs == {"a": [1.5]}
    with pytest.raises(ArgumentsError, match="finite"):
        made.bind('{"a": [NaN]}', CONTEXT)


def collect(**more: Any) -> Any:
    """Collect."""
    return more


def test_it_is_refused_in_a_json_text():
    assert read(pydantic.Json, '"[1]"') == [1]
    assert read(pydantic.Json[list[float]], '"[1]"') == [1]
    for kind in (pydantic.Json, pydantic.Json[list[float]]):
        with pytest.raises(ArgumentsError, match="finite"):
            read(kind, '"[NaN]"')


def test_a_field_may_allow_it():
    assert read(Annotated[float, Field(allow_inf_nan=True)], '"inf"') == float("inf")


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_a_raw_schema_refuses_it_with_its_place(number):
    schema = {"type": "object", "properties": {"sizes": {"type": "array", "items": {"type": "number"}}}}
    made = Tool.from_schema("measure", "Measure.", schema, collect)
    with pytest.raises(ArgumentsError, match=r"- `sizes\[1\]`: expected a finite number"):
        made.bind(f'{{"sizes": [1, {number}]}}', CONTEXT)


@pytest.mark.parametrize("kind", [Priced, Weighed, {"type": "object", "properties": {"price": {"type": "number"}}}])
def test_an_answer_with_it_is_asked_for_again(kind):
    endpoint = ScriptedEndpoint(['{"price": 1e999}', '{"price": NaN}', '{"price": 2}'])
    answer = Agent("m", endpoint=endpoint, output=kind).run_sync("go").output
    assert (answer["price"] if isinstance(answer, dict) else answer.price) == 2


# --- types that raise ---


class Stubborn:
    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        raise KeyError("no schema today")


class Silent:
    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        return handler(int)

    @classmethod
    def __get_pydantic_json_schema__(cls, core, handler):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Stubborn, "KeyError: 'no schema today'"),
        (Literal[()], "AssertionError"),
        ({"x": int}, "can't be read"),
    ],
    ids=str,
)
def test_a_type_that_raises_is_one_fault_of_its_parameter(kind, why):
    with pytest.raises(ToolDefinitionError) as caught:
        make({"good": int, "odd": kind, "open": Any})
    of_odd, of_open = caught.value.faults
    assert of_odd.startswith("parameter `odd` has a type that can't be read")
    assert why in of_odd
    assert of_open.startswith("parameter `open` may hold anything")


@pytest.mark.parametrize("kind", [Silent, Enum("Odd", {"ONE": object()})], ids=str)
def test_a_type_whose_schema_cannot_be_written_is_a_fault_of_its_parameter(kind):
    with pytest.raises(ToolDefinitionError, match="parameter `odd` has a type that can't be read"):
        make({"good": int, "odd": kind})


def test_an_answer_of_a_type_that_raises_is_refused_in_our_words():
    with pytest.raises(ConfigurationError, match="no schema today"):
        Agent("m", endpoint=ScriptedEndpoint([]), output=Stubborn)

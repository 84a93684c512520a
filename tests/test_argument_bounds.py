"""What arguments can cost: whatever a model writes, whatever the schema, reading them takes bounded time.

The inputs here are far beyond what could be read without the bounds: a check that has lost its bound doesn't fail, it
goes on for hours. Each of these took seconds at a tenth of the size.
"""

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, Json, JsonValue
from typing_extensions import TypeAliasType, TypedDict

from agentloop import Agent, Tally, Tool, ToolContext, ToolDefinitionError, tool
from agentloop.items import ToolResult
from agentloop.schema import ArgumentsError, OutputSchema
from agentloop.schema.arguments import linear_patterns
from agentloop.schema.arguments.parsing import DEEPEST, MOST_CHARACTERS
from agentloop.testing import ScriptedEndpoint, call

CONTEXT = ToolContext("run_1", "call_1", Tally(), None)


def nest(depth: int, innermost: Any, key: str = "next") -> Any:
    for _ in range(depth):
        innermost = {key: innermost}
    return innermost


def refuse(made: Tool, arguments: Any) -> str:
    with pytest.raises(ArgumentsError) as refused:
        made.bind(json.dumps(arguments), CONTEXT)
    return refused.value.text


def of_schema(properties: dict, **keywords: Any) -> Tool:
    return Tool.from_schema("take", "Take.", {"type": "object", "properties": properties, **keywords}, lambda **_: "")


# --- types ---


class Left(BaseModel):
    next: "Left | Right | int"


class Right(BaseModel):
    next: "Left | Right | int"


@tool
def walk(step: Left | Right) -> str:
    """Walk."""
    return str(step)


class Word(TypedDict):
    word: str


Tangle = TypeAliasType("Tangle", "dict[str, Tangle] | dict[str, Tangle | Word] | list[Tangle] | int")


@tool(strict=False)
def untangle(tangle: Tangle) -> str:
    """Untangle."""
    return str(tangle)


@dataclass
class Pair:
    both: "tuple[Pair | Twin, Pair | Twin] | str"


@dataclass
class Twin:
    both: "tuple[Pair | Twin, Pair | Twin] | str"


@tool(strict=False)
def split(pair: Pair) -> str:
    """Split."""
    return str(pair)


class Boxed(BaseModel):
    inner: "Json[Boxed | Crated] | int"


class Crated(BaseModel):
    inner: "Json[Boxed | Crated] | int"


@tool(strict=False)
def unpack(box: Boxed) -> str:
    """Unpack."""
    return str(box)


class Renamed(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, "Renamed | Other | int"]
    first: "Renamed | Other | int" = Field(0, validation_alias="one")
    second: "Renamed | Other | int" = Field(0, validation_alias=AliasPath("path", 0))
    third: "Renamed | Other | int" = Field(0, validation_alias=AliasChoices("x", AliasPath("y", 1)))


class Other(Renamed):
    pass


@tool(strict=False)
def rename(renamed: Renamed) -> str:
    """Rename."""
    return str(renamed)


class Plus(BaseModel):
    kind: Literal["plus"]
    of: "list[Annotated[Plus | Minus, Field(discriminator='kind')] | Group | int]"


class Minus(BaseModel):
    kind: Literal["minus"]
    of: "list[Annotated[Plus | Minus, Field(discriminator='kind')] | int]"


class Group(BaseModel):
    kind: Literal["plus"] = "plus"
    of: "list[Far | Plus | int]"


class Far(BaseModel):
    of: list[Group]


@tool(strict=False)
def reckon(what: Plus) -> str:
    """Reckon."""
    return str(what)


def add(depth: int) -> Any:
    return "no number" if depth == 0 else {"kind": "plus", "of": [add(depth - 1)]}


def tie(depth: int) -> Any:
    return {"both": "end"} if depth == 0 else {"both": [tie(depth - 1), tie(depth - 1)]}


def box(depth: int) -> Any:
    return {"inner": "no number" if depth == 0 else json.dumps(box(depth - 1))}


@pytest.mark.parametrize(
    ("made", "arguments"),
    [
        (walk, {"step": nest(60, "no number")}),
        (walk, {"step": nest(60, 1)}),
        (untangle, {"tangle": nest(60, "no number")}),
        (split, {"pair": tie(9)}),
        (unpack, {"box": box(12)}),
        (reckon, {"what": add(40)}),
        (rename, {"renamed": nest(60, "no number", "one")}),
        (rename, {"renamed": nest(60, "no number", "extra")}),
    ],
)
def test_types_that_hold_one_another_in_a_union_are_bounded(made, arguments):
    assert "nested too deeply for these types" in refuse(made, arguments)


@pytest.mark.parametrize(
    ("made", "arguments"),
    [
        (walk, {"step": nest(6, 1)}),
        (untangle, {"tangle": {"a": [1, {"b": 2}], "c": {"word": "x"}}}),
        (split, {"pair": tie(2)}),
        (unpack, {"box": {"inner": json.dumps({"inner": 3})}}),
        (rename, {"renamed": {"one": 1, "path": [2], "y": [0, 3], "z": 4}}),
        (rename, {"renamed": {}}),
        (reckon, {"what": {"kind": "plus", "of": [{"kind": "minus", "of": [1, 2]}]}}),
    ],
)
def test_types_that_hold_one_another_are_read_where_it_is_cheap(made, arguments):
    made.bind(json.dumps(arguments), CONTEXT)


def test_a_wrong_kind_of_value_in_such_a_type_is_explained():
    assert "is required" in refuse(walk, {"step": {}})
    assert "expected" in refuse(walk, {"step": {"next": [1]}})
    assert "expected" in refuse(split, {"pair": {"both": {"a": 1}}})
    assert "expected" in refuse(untangle, {"tangle": "x"})
    assert "JSON" in refuse(unpack, {"box": {"inner": "{"}})
    assert "expected" in refuse(rename, {"renamed": 3})
    with pytest.raises(ArgumentsError, match="not valid JSON"):
        walk.bind('{"step": {', CONTEXT)


class Tree(BaseModel):
    name: str = "x"
    children: list["Tree"] = []
    parent: "Tree | None" = None


@tool
def plant(tree: Tree) -> str:
    """Plant."""
    return tree.name


@tool(strict=False)
def keep(anything: JsonValue, either: Left | None = None) -> str:
    """Keep."""
    return str(anything)


def test_a_type_that_holds_itself_once_may_be_deep():
    tree: Any = None
    for _ in range(60):
        tree = {"name": "x", "children": [], "parent": tree}
    assert plant.bind(json.dumps({"tree": tree}), CONTEXT).kwargs["tree"].parent.name == "x"


def test_any_json_may_be_deep():
    keep.bind(json.dumps({"anything": nest(60, [1, "a", None])}), CONTEXT)


def test_many_errors_are_not_all_told():
    @tool
    def add(numbers: list[int]) -> int:
        """Add."""
        return sum(numbers)

    assert "they have 5,000 errors" in refuse(add, {"numbers": ["x"] * 5000})


def test_repairs_that_each_lead_to_the_next_end():
    deep = {"children": []}
    for _ in range(30):
        deep = {"children": json.dumps([deep])} if len(json.dumps(deep)) < 2000 else {"children": {"key": deep}}
    assert refuse(plant, {"tree": deep})


# --- texts ---


@pytest.mark.parametrize("made", [plant, of_schema({})])
def test_a_text_that_is_too_long_or_too_deep_is_not_read(made):
    assert "characters are too many" in refuse(made, {"x": "y" * MOST_CHARACTERS})
    assert f"the most are {DEEPEST} levels" in refuse(made, {"x": nest(DEEPEST, 1)})


@pytest.mark.parametrize("made", [plant, of_schema({})])
def test_depth_that_only_pythons_quotes_reveal_is_refused_too(made):
    with pytest.raises(ArgumentsError, match=r"can't be checked|recursion limit"):
        made.bind("{'\"': " + "[" * 600 + "]" * 600 + "}", CONTEXT)


def test_brackets_in_texts_and_beside_one_another_are_not_deep():
    made = of_schema({"x": {}})
    value = ["[" * 500, '\\"{' * 500, *([[]] * 500)]
    assert made.bind(json.dumps({"x": value}), CONTEXT).kwargs == {"x": value}


def test_an_answer_that_is_too_deep_is_not_read():
    with pytest.raises(ArgumentsError, match="nested too deeply"):
        OutputSchema({"type": "object"}).read(json.dumps(nest(DEEPEST + 1, 1)))


# --- JSON schemas ---

STEP = {"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#/$defs/step"}}}
DOUBLED = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {"d40": {}}
ENTANGLED = {
    f"e{n}": {"dependentSchemas": {name: {"$ref": f"#/$defs/e{n + 1}"} for name in "pq"}} for n in range(40)
} | {"e40": {}}


@pytest.mark.parametrize(
    ("properties", "definitions", "value"),
    [
        ({"$ref": "#/$defs/step"}, {"step": {"anyOf": [STEP, STEP, {"type": "string"}]}}, nest(40, 5)),
        ({"$ref": "#/$defs/step"}, {"step": {"oneOf": [STEP, {"not": STEP}, STEP]}}, nest(40, 5)),
        ({"$ref": "#/$defs/d0"}, DOUBLED, 1),
        ({"unevaluatedProperties": False, "$ref": "#/$defs/e0"}, ENTANGLED, {"p": 1, "q": 1}),
    ],
)
@pytest.mark.parametrize("version", [{}, {"$schema": "https://json-schema.org/draft/2020-12/schema"}])
def test_a_schema_that_multiplies_the_work_is_bounded(properties, definitions, value, version):
    made = of_schema({"a": properties}, **{"$defs": definitions}, **version)
    assert "nested too deeply for this schema" in refuse(made, {"a": value})


def test_a_schema_that_refers_to_its_root_is_bounded_even_if_it_names_its_version():
    alike = {"type": "object", "properties": {"a": {"$ref": "#"}}}
    made = of_schema({"a": {"anyOf": [alike, alike]}}, **{"$schema": "http://json-schema.org/draft-07/schema#"})
    assert "nested too deeply" in refuse(made, nest(40, 5, "a"))
    assert made.bind('{"a": {"a": {"a": {}}}}', CONTEXT).kwargs == {"a": {"a": {"a": {}}}}


def test_values_of_a_schema_may_hold_what_looks_like_a_version():
    made = of_schema({"a": {"const": {"$schema": "x"}}, "b": {"enum": [{"$schema": "x"}], "default": {"pattern": "("}}})
    assert made.bind('{"a": {"$schema": "x"}, "b": {"$schema": "x"}}', CONTEXT).kwargs == {
        "a": {"$schema": "x"},
        "b": {"$schema": "x"},
    }


UNIQUE = of_schema({"a": {"type": "array", "uniqueItems": True}})


@pytest.mark.parametrize(
    "items",
    [
        [1, True, "1", [1], {"a": 1}, None],
        [{"a": 1}, {"a": 2}],
        [0, False, "", [], {}],
        [],
        [[1, 2], [2, 1]],
        [0.1, 0.2],
    ],
)
def test_items_that_differ_are_unique(items):
    assert UNIQUE.bind(json.dumps({"a": items}), CONTEXT).kwargs == {"a": items}


@pytest.mark.parametrize(
    "items",
    [[1, 1.0], [{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}], ["x", "x"], [None, None], [1e300, 1e300]],
)
def test_items_that_are_equal_are_not_unique(items):
    assert "non-unique" in refuse(UNIQUE, {"a": items})


def test_many_items_are_compared_in_linear_time():
    items = [{"k": number} for number in range(50_000)]
    assert UNIQUE.bind(json.dumps({"a": items}), CONTEXT).kwargs == {"a": items}
    assert of_schema({"a": {"uniqueItems": True}}).bind('{"a": "aa"}', CONTEXT).kwargs == {"a": "aa"}
    assert of_schema({"a": {"uniqueItems": False}}).bind('{"a": [1, 1]}', CONTEXT).kwargs == {"a": [1, 1]}


def test_a_list_of_names_that_holds_objects_is_a_fault_at_once():
    for keyword in ("required", "type"):
        with pytest.raises(ToolDefinitionError, match="must be a list of names"):
            of_schema({"a": {keyword: [{"k": number} for number in range(50_000)]}})


def test_long_arguments_for_a_large_schema_are_not_checked():
    made = of_schema({"a": {"anyOf": [{"type": "string", "minLength": n} for n in range(1000)]}})
    assert "too long for this schema" in refuse(made, {"a": ["x"] * 50_000})


def test_an_error_that_quotes_a_long_value_is_cut():
    text = refuse(of_schema({"a": {"type": "string"}}), {"a": ["x"] * 50_000})
    assert "is not of type 'string'" in text
    assert len(text) < 1500


def test_an_honest_large_list_is_checked_whole():
    entry = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "s": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
    }
    made = of_schema({"a": {"type": "array", "items": entry}})
    values = {"a": [{"n": number, "s": "text"} for number in range(3000)]}
    assert made.bind(json.dumps(values), CONTEXT).kwargs == values
    assert "`a[2999].n`" in refuse(made, {"a": [*values["a"][:-1], {"n": "x", "s": None}]})


def test_a_text_is_no_longer_compiled_to_see_whether_it_is_a_pattern():
    made = of_schema({"a": {"format": "regex"}, "b": {"format": "ipv4"}})
    made.bind(json.dumps({"a": "(?i)[\\x00-\\U0010ffff]" * 200}), CONTEXT)
    assert "ipv4" in refuse(made, {"b": "x"})


# --- patterns ---


def test_a_pattern_of_a_schema_is_linear():
    made = of_schema(
        {"a": {"type": "string", "pattern": r"^(\w+\s?)*$"}, "b": {"type": "string", "pattern": r"^(?!-)(\w+\s?)*$"}},
        patternProperties={r"^(x+)+$": {"type": "integer"}, r"^(?!x)(y+)+$": True},
        additionalProperties=False,
    )
    assert "does not match" in refuse(made, {"a": "a" * 100_000 + "!"})
    assert "does not match" in refuse(made, {"b": "a" * 1000 + "!"})
    assert "unexpected" in refuse(made, {"x" * 5000 + "!": 1})
    assert "not of type 'integer'" in refuse(made, {"xx": "text"})
    assert "not of type 'string'" in refuse(made, {"a": 3})
    made.bind('{"xx": 3, "yy": null, "a": "a b", "b": "a b"}', CONTEXT)


def test_pattern_properties_may_leave_the_rest_to_another_schema():
    made = of_schema({"a": {}}, patternProperties={"^x": {"type": "integer"}}, additionalProperties={"type": "string"})
    made.bind('{"a": 1, "x1": 2, "y": "text"}', CONTEXT)
    assert "not of type 'string'" in refuse(made, {"y": 3})
    nested = of_schema({"a": {"patternProperties": {"^x": False}, "additionalProperties": False}})
    nested.bind('{"a": 3}', CONTEXT)
    assert "False schema does not allow" in refuse(nested, {"a": {"x": 3}})


def test_a_schema_that_refers_to_nothing_is_told():
    assert "can't be checked" in refuse(of_schema({"a": {"$ref": "#/nowhere"}}), {"a": 1})


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"(a+)\1", "back references"),
        (r"(?>a)b(?=c)", "back references"),
        (r"(?i:a)(?=b)", "back references"),
        ("(", "not a 'regex'|is not a regular expression"),
        (r"(?=a){99999999999}(", "regex|regular"),
    ],
)
def test_a_pattern_that_takes_unbounded_time_is_a_fault_of_the_schema(pattern, reason):
    for schema in ({"a": {"pattern": pattern}}, {"a": {"patternProperties": {pattern: {}}}}):
        with pytest.raises(ToolDefinitionError, match=reason):
            of_schema(schema)


def test_patterns_for_names_that_are_left_over_are_a_fault_of_the_schema():
    with pytest.raises(ToolDefinitionError, match="unevaluatedProperties can't be checked"):
        of_schema({}, patternProperties={"^x": {}}, unevaluatedProperties=False)


PATTERNS = [
    r"^(?=.*[A-Z])(?=.*\d).{8,}$",
    r"(?!-)[a-c-]+(?<!-)$",
    r"(?=a)(a|b{2,3}c?)",
    r"(?!x)^(\w+\s?)*$",
    r"(?=.)\bab\b",
    r"(?=a)(ab|a)(bc|c)?$",
    r"(?!a)[^abc]+1",
    r"(?=a)(?:a?){3}b",
    r"x*(?<=ab)c",
    r"(?<!a)b",
    r"(?=(?=a)ab)a",
    r"(?=a)(a*)*b",
    r"(?!b)a{0}c{2}",
    r"(?i)(?=A)aB",
    r"(?<=^a)b*?c",
    r"(?:(?=a)a?){2}b",
]


@given(st.sampled_from(PATTERNS), st.text("abcAB1-x ", max_size=9))
def test_patterns_with_assertions_match_as_the_library_has_it(pattern, text):
    assert linear_patterns.find_pattern(pattern, text) == (re.search(pattern, text) is not None)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_each_assertion_is_matched(pattern):
    texts = ["Abcdefg1", "ab c", "a-b", "aabb", "abc", "-1", "", "b", "AB", "xbbc", "cc"]
    found = [linear_patterns.find_pattern(pattern, text) for text in texts]
    assert found == [re.search(pattern, text) is not None for text in texts]


@pytest.mark.parametrize(
    "pattern", [r"(?=.*(?=.*(?=.*b)))c", r"^(?=(a+)+$)(?=(a|aa)*$)b", r"(?=a)(((a?){9999}){9999}){9999}b"]
)
def test_a_text_that_takes_too_many_steps_does_not_match(pattern):
    assert not linear_patterns.find_pattern(pattern, "a" * 3000)


async def test_a_model_is_told_that_its_arguments_were_too_much_and_the_run_goes_on():
    agent = Agent("m", endpoint=ScriptedEndpoint([call("walk", {"step": nest(50, "x")}), "done"]), tools=[walk])
    result = await agent.run("go")
    [told] = [item for item in result.items if isinstance(item, ToolResult)]
    assert "can't be checked" in told.content
    assert result.text == "done"

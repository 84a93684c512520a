"""Answers of a type: what may be one, how it is asked for on every rung, and what becomes of one that does not fit."""

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from pydantic import BaseModel, Field, RootModel, model_validator
from typing_extensions import TypedDict

from agentloop import (
    Agent,
    Approve,
    ConfigurationError,
    Finished,
    Limits,
    Message,
    ModelSettings,
    Notice,
    OutputError,
    Policy,
    Profile,
    Run,
    RunStateError,
    TextDelta,
    ToolCall,
    ToolFinished,
    TurnStarted,
    tool,
)
from agentloop.errors import UnreachableError
from agentloop.items import Reply
from agentloop.loop.advance import ASK_FOR_FORMAT, ASK_FOR_TOOL_CALL
from agentloop.schema import OutputSchema
from agentloop.testing import ScriptedEndpoint, call
from agentloop.wire.formats.structured import is_ignored
from agentloop.wire.profile.refusals import lower_rung
from loopback import body, call_body, json_reply, text_body, text_item
from ways import PROFILES, RUN, STREAM_SYNC, both_wires, closing, every_dialect


class Line(BaseModel):
    name: str
    price: float


class Invoice(BaseModel):
    """What is owed."""

    lines: list[Line]
    total: float = 0.0


class Node(BaseModel):
    value: int
    children: "list[Node]" = []


@dataclass
class Rate:
    country: str
    percent: int


class Place(TypedDict):
    city: str


class Loose(BaseModel):
    extra: dict[str, Any]


class Picky(BaseModel):
    """A class that raises what no validator should."""

    number: int

    @model_validator(mode="after")
    def refuse(self):
        if self.number < 0:
            raise ZeroDivisionError("it is below zero")
        return self


FRENCH = '{"country": "France", "percent": 20}'
RATE = Rate("France", 20)
UNKNOWN = Profile()
QUESTION = "What is the VAT rate in France?"


@tool
def get_vat_rate(country: str) -> int:
    """Return the VAT rate for a country.

    Args:
        country: Country name or ISO 3166 code.
    """
    return 20


def agent_for(script, *tools, output: Any = Rate, profile=UNKNOWN, **options) -> tuple[Agent[Any], ScriptedEndpoint]:
    endpoint = ScriptedEndpoint(script, profile=profile)
    return Agent("scripted", endpoint=endpoint, tools=tools, output=output, **options), endpoint


# --- types ---


@pytest.mark.parametrize(
    ("wanted", "text", "value"),
    [
        (Invoice, '{"lines": [{"name": "a", "price": 1}], "total": null}', Invoice(lines=[Line(name="a", price=1)])),
        (Node, '{"value": 1, "children": [{"value": 2, "children": null}]}', Node(value=1, children=[Node(value=2)])),
        (Rate, FRENCH, RATE),
        (Place, '{"city": "Oslo"}', {"city": "Oslo"}),
        (int | str, '{"value": "many"}', "many"),
        (Line | Rate, f'{{"value": {FRENCH}}}', RATE),
        (list[Line], '{"value": [{"name": "a", "price": 2.5}]}', [Line(name="a", price=2.5)]),
        (RootModel[list[int]], '{"value": [1, 2]}', RootModel[list[int]]([1, 2])),
        (dict[str, int], '{"value": [{"key": "a", "value": 1}]}', {"a": 1}),
        (tuple[int, str], '{"item1": 1, "item2": "a"}', (1, "a")),
        (int, '{"value": 3}', 3),
        (bool, '{"value": true}', True),
        (str, '{"value": "words"}', "words"),
        (date, '{"value": "2026-02-24"}', date(2026, 2, 24)),
        (Literal["yes", "no"], '{"value": "no"}', "no"),
        (Line | None, '{"value": null}', None),
        (Loose, '{"extra": {"a": [1]}}', Loose(extra={"a": [1]})),
        (Any, '{"value": {"a": 1}}', {"a": 1}),
        (Iterable[int], '{"value": [1, 2]}', [1, 2]),
        ({"type": "array", "items": {"type": "integer"}}, '{"value": [1]}', [1]),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, '{"a": 1}', {"a": 1}),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": ["integer", "null"]}}}, '{"value": null}', None),
    ],
    ids=str,
)
async def test_an_answer_becomes_a_value_of_its_type(wanted, text, value):
    agent, endpoint = agent_for([text], output=wanted)
    result = await agent.run("go")
    assert result.output == value
    assert type(result.output) is type(value)
    assert endpoint.requests[0]["text"]["format"]["schema"]["type"] == "object"


def form_of(wanted) -> dict[str, Any]:
    return OutputSchema(wanted).form


def test_a_class_is_sent_in_the_strict_subset_as_the_root_itself():
    assert form_of(Invoice) == snapshot(
        {
            "name": "Invoice",
            "strict": True,
            "schema": {
                "description": "What is owed.",
                "properties": {
                    "lines": {"items": {"$ref": "#/$defs/Line"}, "type": "array"},
                    "total": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                },
                "required": ["lines", "total"],
                "type": "object",
                "additionalProperties": False,
                "$defs": {
                    "Line": {
                        "properties": {"name": {"type": "string"}, "price": {"type": "number"}},
                        "required": ["name", "price"],
                        "type": "object",
                        "additionalProperties": False,
                    }
                },
            },
        }
    )


def test_what_is_no_object_is_held_by_one():
    assert form_of(int) == snapshot(
        {
            "name": "int",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {"value": {"type": "integer"}},
                "required": ["value"],
                "additionalProperties": False,
            },
        }
    )


@pytest.mark.parametrize(
    ("wanted", "name", "strict"),
    [
        (int | str, "output", True),
        (RootModel[list[int]], "RootModel_list_int", True),
        (Loose, "Loose", False),
        (Any, "Any", False),
        ({"type": "object", "title": "My answer"}, "My_answer", False),
        ({"type": "integer"}, "output", True),
        ({"type": ["object", "null"], "properties": {"a": {"type": "integer"}}}, "output", False),
        ({"type": ["array", "null"]}, "output", False),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, "output", False),
    ],
    ids=str,
)
def test_a_schema_has_a_legal_name_and_is_called_strict_only_where_it_is(wanted, name, strict):
    form = form_of(wanted)
    assert (form["name"], form["strict"]) == (name, strict)


def test_references_of_a_schema_that_is_held_by_another_hold_there():
    wanted = {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "array", "items": {"$ref": "#"}}], "$defs": {"n": {"const": 1}}}
    assert OutputSchema(wanted).read('{"value": [1, [1]]}') == ([1, [1]], ())
    assert "was expected" in (OutputSchema({"$ref": "#/$defs/n", "$defs": wanted["$defs"]}).check('{"value": 2}') or "")


@pytest.mark.parametrize(
    "named",
    [
        {"$id": "http://schemas.test/list", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}}},
        {"$id": "list", "items": {"anyOf": [{"type": "integer"}, {"$ref": "list"}]}},
        {"items": {"$ref": "#n"}, "$defs": {"n": {"$anchor": "n", "type": "integer"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "integer"}]},
    ],
)
def test_names_and_the_version_of_a_schema_that_is_held_by_another_hold_there(named):
    wanted = OutputSchema({"type": "array", **named})
    assert wanted.read("[1]")[0] == [1]
    assert wanted.check('["a"]') is not None


def test_a_schema_is_taken_as_the_json_that_it_becomes():
    wanted = OutputSchema({"type": "object", "properties": {1: {"type": "number"}}})
    [value] = wanted.read('{"1": 1.50}')[0].values()
    assert (value, type(value)) == (1.5, float)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (3, "output can't be 3"),
        ("Invoice", "output can't be Invoice"),
        (threading.Thread, "output can't be <class 'threading.Thread'>"),
        (Callable[[], int], "CallableSchema"),
        (Annotated[int, Field(alias="n")], "has an alias"),
        (get_vat_rate, "output can't be Tool"),
        (get_vat_rate.function, "it is a function"),
        ({"type": "nope"}, "it is not a JSON schema"),
        ({"type": "object", "default": object()}, "is not JSON"),
        ({"type": "number", "maximum": float("nan")}, "is not JSON"),
        ({"type": "object", "properties": {"a": {"$ref": "#/no"}}}, "it refers to #/no, which is not in it"),
        (
            {"items": [{"$ref": "http://127.0.0.1:9/a"}, True], "$schema": "http://json-schema.org/draft-07/schema#"},
            "refers to http",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*'alias'")
def test_what_no_answer_can_be_is_said_at_once(wanted, reason):
    with pytest.raises(ConfigurationError, match=reason) as raised:
        Agent("ovh:any", output=wanted)
    assert raised.value.hint.startswith("give a pydantic model")


# --- reading ---


@pytest.mark.parametrize(
    ("wanted", "text", "value", "repair"),
    [
        (Rate, f"```json\n{FRENCH}\n```", RATE, "removed"),
        (Rate, f"Here you are:\n```json\n{FRENCH}\n```\nAnything else?", RATE, "out of the text around it"),
        (Rate, f"Sure! {FRENCH} That is all.", RATE, "out of the text around it"),
        (Rate, "{'country': 'France', 'percent': 20,}", RATE, "Python spelling"),
        (Rate, json.dumps(FRENCH), RATE, "encoded twice"),
        (Rate, '{"country": "France", "percent": "20"}', RATE, ""),
        (Rate, '{"country": 33, "percent": 20}', Rate("33", 20), "wrote a number as text"),
        (int, "5", 5, "used the answer as its `value`"),
        (str, '"5"', "5", "used the answer as its `value`"),
        (str, "Just {words}", "Just {words}", "used the answer as its `value`"),
        (str, 'So: {"value": "words"}.', "words", "out of the text around it"),
        (str, json.dumps('{"value": "words"}'), "words", "encoded twice"),
        (date, "2026-02-24", date(2026, 2, 24), "used the answer as its `value`"),
        (list[int], "The numbers are [1, 2].", [1, 2], "out of the text around it"),
        ({"type": "integer"}, "5", 5, "used the answer as its `value`"),
    ],
)
def test_what_is_only_badly_dressed_is_mended(wanted, text, value, repair):
    output, repairs = OutputSchema(wanted).read(text)
    assert output == value
    assert repair in "; ".join(repairs)
    assert bool(repairs) is bool(repair)


@pytest.mark.parametrize(
    ("wanted", "text", "reason"),
    [
        (Rate, "", "it is empty"),
        (Rate, "France has 20%.", "it is not valid JSON"),
        (Rate, "It is {20} percent", "it is not valid JSON"),
        (Rate, '{"country": "France", "perc', "the text seems to be cut off"),
        (Rate, '{"country": "France"}', "- `percent` is required, but was not given"),
        (Rate, '{"country": "France", "percent": "much"}', "- `percent`: expected a valid integer"),
        (Rate, f'{FRENCH[:-1]}, "unit": "%"}}', "- `unit` is not known; known are `country`, `percent`"),
        (Rate, 'So {"country": "France"} it is', "- `percent` is required, but was not given"),
        (Rate, "[1]", "- the whole: expected an object; got [1]"),
        (Rate, '"words"', "- the whole: expected an object; got"),
        (int, '{"value": true}', "- `value`: expected a number; got true"),
        (int, "five", "it is not valid JSON"),
        (Picky, '{"number": -1}', "ZeroDivisionError: it is below zero"),
        (Iterable[int], '["x"]', "- `value[0]`: expected a valid integer"),
        ({"type": "object", "required": ["a"]}, "{}", "- the whole: 'a' is a required property"),
        ({"type": "object"}, "[1]", "it must be one JSON object"),
        ({"type": "object", "properties": {"a": {"$dynamicRef": "#no"}}}, '{"a": 1}', "it can't be checked"),
    ],
)
def test_what_does_not_fit_is_told_with_the_reason_and_the_schema(wanted, text, reason):
    told = OutputSchema(wanted).check(text)
    assert told is not None
    assert reason in told
    assert "tool" not in told
    assert '"type": "object"' in told


@given(text=st.text(max_size=40) | st.text('{}[]":,1a\\ \n', max_size=40))
def test_any_text_at_all_fits_or_is_told_why_it_does_not(text):
    for schema in (OutputSchema(Rate), OutputSchema(list[int]), OutputSchema({"type": "object"})):
        told = schema.check(text)
        assert told is None or told.startswith("Your answer does not fit: ")


@pytest.mark.parametrize("wanted", [Rate, Any, {"type": "object"}], ids=str)
@pytest.mark.unmeasured
def test_an_answer_nested_however_deep_fits_or_is_told_why_it_does_not(wanted):
    schema = OutputSchema(wanted)

    def tell(depth):
        told = schema.check('{"a":' * depth + "1" + "}" * depth)
        return told and told.partition(": ")[2][:80]

    told = {depth: tell(depth) for depth in (*range(1, 1200, 25), 100_000)}
    # Where a parser gives up differs from Python to Python, so each place where the words change is looked for.
    for shallow, deep in pairwise([*told]):
        if told[shallow] != told[deep] and deep < 100_000:
            told |= {depth: tell(depth) for depth in range(shallow, deep)}
    assert "nested too deeply" in str(told) or "recursion limit exceeded" in str(told)


@given(value=st.builds(Rate, country=st.text(), percent=st.integers(-(10**15), 10**15)))
def test_what_was_written_is_read(value):
    assert OutputSchema(Rate).read(json.dumps(vars(value))) == (value, ())


# --- every way ---


@every_dialect
def test_the_result_has_the_value_however_the_agent_is_run(way):
    script = [call_body(("get_vat_rate", {"country": "France"})), text_body(FRENCH)]
    events = []
    with way.serving(script, get_vat_rate, output=Rate) as (agent, server):
        result = way.ask(agent, events=events)
    assert result.output == RATE
    assert result.text == FRENCH
    assert len(server.requests) == 2
    assert [request.json["stream"] for request in server.requests] == [way.streams] * 2
    if way.streams:
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == FRENCH
        assert events[-1] == Finished(result)


@both_wires
def test_where_a_schema_can_not_be_streamed_the_request_is_not_and_the_user_sees_the_text_all_the_same(way):
    events = []
    endpoint = {"profile": replace(PROFILES[way.dialect], structured_stream=False)}
    with way.serving([text_body(FRENCH)], output=Rate, endpoint=endpoint) as (agent, server):
        assert way.ask(agent, events=events).output == RATE
    assert server.requests[0].json["stream"] is False
    assert [event.text for event in events if isinstance(event, TextDelta)] == [FRENCH] * way.streams


@both_wires
def test_requests_without_a_schema_are_streamed_where_one_with_it_is_not(way):
    script = [call_body(("get_vat_rate", {"country": "France"})), text_body("It is 20%."), text_body(FRENCH)]
    profile = replace(PROFILES[way.dialect], structured_stream=False, structured_apart=True)
    with way.serving(script, get_vat_rate, output=Rate, endpoint={"profile": profile}) as (agent, server):
        assert way.ask(agent).output == RATE
    assert [request.json["stream"] for request in server.requests] == [way.streams, way.streams, False]


FORM_OF_RATE = form_of(Rate)
JSON_SCHEMA = {"type": "json_schema", "json_schema": FORM_OF_RATE}
RUNGS = {
    ("text_format", "native"): {"text": {"format": {"type": "json_schema", **FORM_OF_RATE}}},
    ("text_format", "chat"): {"response_format": JSON_SCHEMA},
    ("response_format", "native"): {"response_format": JSON_SCHEMA},
    ("response_format", "chat"): {"response_format": JSON_SCHEMA},
    ("json_object", "native"): {"text": {"format": {"type": "json_object"}}},
    ("json_object", "chat"): {"response_format": {"type": "json_object"}},
    ("prompt", "native"): {},
    ("prompt", "chat"): {},
}


def system_text(request: dict[str, Any]) -> str:
    first = request.get("messages", [{}])[0]
    return request.get("instructions") or (first["content"] if first.get("role") == "system" else "")


@pytest.mark.parametrize("way", [RUN, STREAM_SYNC], ids=lambda way: way.name)
@pytest.mark.parametrize(("rung", "dialect"), RUNGS)
def test_each_rung_asks_in_its_own_field_and_the_lower_ones_in_words_too(rung, dialect, way):
    way = replace(way, dialect=dialect)
    endpoint = {"profile": replace(PROFILES[dialect], structured_output=rung)}
    with way.serving([text_body(FRENCH)], output=Rate, endpoint=endpoint, instructions="Be brief.") as (agent, server):
        assert way.ask(agent).output == RATE
    [request] = [request.json for request in server.requests]
    assert {name: request[name] for name in ("text", "response_format") if name in request} == RUNGS[rung, dialect]
    said = system_text(request)
    assert said.startswith("Be brief.")
    in_words = said.partition("Answer with one JSON object of this schema, and nothing else: ")[2]
    assert (json.loads(in_words) if in_words else None) == (
        FORM_OF_RATE["schema"] if rung in {"json_object", "prompt"} else None
    )


@pytest.mark.parametrize("dialect", ["native", "chat"])
def test_a_schema_and_other_fields_of_text_go_together(dialect):
    way = replace(RUN, dialect=dialect)
    settings = ModelSettings(verbosity="low")
    with way.serving([text_body(FRENCH)], output=Rate, settings=settings) as (agent, server):
        way.ask(agent)
    request = server.requests[0].json
    assert "low" in (request.get("verbosity"), request.get("text", {}).get("verbosity"))
    assert {name: request[name] for name in ("text", "response_format") if name in request} == (
        {"text": {"verbosity": "low", **RUNGS["text_format", "native"]["text"]}}
        if dialect == "native"
        else RUNGS["text_format", "chat"]
    )


async def test_constraints_that_the_server_does_not_take_are_told_in_the_description():
    agent, endpoint = agent_for(
        ['{"value": "ab"}'], output=Annotated[str, Field(pattern="^a")], profile=Profile(schema_keywords=frozenset())
    )
    assert (await agent.run("go")).output == "ab"
    value = endpoint.requests[0]["text"]["format"]["schema"]["properties"]["value"]
    assert value == {"type": "string", "description": "Must match the pattern ^a"}


@pytest.mark.parametrize("dialect", ["native", "chat"])
@pytest.mark.parametrize("instructions", ["Be brief.", None])
def test_a_model_that_knows_no_system_text_is_told_after_the_question(dialect, instructions):
    way = replace(RUN, dialect=dialect)
    endpoint = {"profile": replace(PROFILES[dialect], structured_output="prompt", system="user")}
    script = [call_body(("get_vat_rate", {"country": "France"})), text_body(FRENCH)]
    options = {"output": Rate, "endpoint": endpoint, "instructions": instructions}
    with way.serving(script, get_vat_rate, **options) as (agent, server):
        assert way.ask(agent, QUESTION).output == RATE
    for request in (request.json for request in server.requests):
        assert system_text(request) == ""
        question = request.get("messages", request.get("input"))[0]["content"]
        text = question if isinstance(question, str) else "".join(part["text"] for part in question)
        assert text.startswith(instructions or QUESTION)
        assert "When you answer rather than call a tool, answer with one JSON object" in text


async def test_a_conversation_without_a_question_is_sent_as_it_is():
    profile = Profile(structured_output="prompt", system="user")
    agent, endpoint = agent_for([FRENCH], profile=profile)
    await agent.run([Message("assistant", "Hello.")])
    assert [item["role"] for item in endpoint.requests[0]["input"]] == ["assistant"]


# --- prompted tool calling ---


def prompted(script, *tools, rung="text_format", **options):
    way = replace(RUN, dialect="prompted")
    profile = replace(PROFILES["prompted"], structured_output=rung)
    with way.serving(script, *tools, output=Rate, endpoint={"profile": profile}, **options) as (agent, server):
        result = way.ask(agent, QUESTION)
    return result, [request.json for request in server.requests]


def test_a_prompted_model_is_held_to_a_call_or_an_answer_of_the_schema():
    result, [request] = prompted([text_body(FRENCH)], get_vat_rate)
    assert result.output == RATE
    schema = request["response_format"]["json_schema"]["schema"]
    assert [list(shape["properties"]) for shape in schema["anyOf"]] == [["tool", "arguments"], ["answer"]]
    assert schema["$defs"]["."] == FORM_OF_RATE["schema"]


def test_a_prompted_model_without_tools_is_held_to_an_answer_of_the_schema():
    _, [request] = prompted([text_body(FRENCH)])
    schema = request["response_format"]["json_schema"]["schema"]
    assert (schema["type"], list(schema["properties"])) == ("object", ["answer"])


def test_a_prompted_model_that_must_call_a_tool_may_not_answer_before():
    script = [call_body(("get_vat_rate", {"country": "France"})), text_body(FRENCH)]
    _, requests = prompted(script, get_vat_rate, settings=ModelSettings(tool_choice="required"))
    first, second = (request["response_format"]["json_schema"]["schema"]["anyOf"] for request in requests)
    assert (len(first), len(second)) == (1, 2)


@pytest.mark.parametrize("rung", ["json_object", "prompt"])
@pytest.mark.parametrize("tools", [(), (get_vat_rate,)], ids=["without tools", "with tools"])
def test_a_prompted_model_that_can_not_be_held_is_told_in_words(rung, tools):
    result, [request] = prompted([text_body(FRENCH)], *tools, rung=rung)
    assert result.output == RATE
    assert request.get("response_format") == ({"type": "json_object"} if rung == "json_object" else None)
    assert f"The answer is JSON of this schema: {json.dumps(FORM_OF_RATE['schema'], separators=(',', ':'))}" in (
        system_text(request)
    )


@pytest.mark.parametrize("way", [RUN, STREAM_SYNC], ids=lambda way: way.name)
def test_an_answer_as_json_inside_json_is_read_and_shown_without_what_is_around_it(way):
    way, events = replace(way, dialect="prompted"), []
    wrapped = {"choices": [{"index": 0, "message": {"content": f'{{"answer": {FRENCH}}}'}, "finish_reason": "stop"}]}
    with way.serving([json_reply(wrapped)], output=Rate) as (agent, _):
        assert way.ask(agent, events=events).output == RATE
    shown = [event.text for event in events if isinstance(event, TextDelta)]
    assert [json.loads(text) for text in shown] == [json.loads(FRENCH)] * way.streams


# --- what does not fit ---


def test_the_model_is_told_why_and_answers_again():
    events = []
    with RUN.serving([text_body("France has 20%."), text_body(FRENCH)], output=Rate) as (agent, server):
        result = STREAM_SYNC.ask(agent, events=events)
    assert (result.output, result.run.output_failures) == (RATE, 1)
    said, told = server.requests[1].json["input"][-2:]
    assert said["content"] == "France has 20%."
    assert (told["role"], "it is not valid JSON" in told["content"]) == ("user", True)
    assert Notice("warning", "the answer does not fit: the model is told why") in events


def test_what_was_mended_is_seen():
    with RUN.serving([text_body(f"```json\n{FRENCH}\n```")], output=Rate) as (agent, _):
        events = list(agent.stream_sync("go"))
    assert events[-1].result.output == RATE
    [notice] = [event for event in events if isinstance(event, Notice)]
    assert (notice.topic, "around the JSON" in notice.text) == ("repaired", True)


@pytest.mark.parametrize("retries", [0, 2])
async def test_after_so_many_times_it_is_an_error_with_the_run_which_can_be_resumed(retries):
    texts = [f"No {number}" for number in range(retries + 1)]
    agent, endpoint = agent_for([*texts, FRENCH], limits=Limits(output_retries=retries))
    with pytest.raises(OutputError) as raised:
        await agent.run("go")
    assert len(endpoint.requests) == retries + 1
    assert f"No {retries}" in str(raised.value)
    assert "it is not valid JSON" in str(raised.value)
    run = raised.value.run
    assert run is not None
    assert run.output_failures == retries
    result = await agent.resume(Run.from_json(run.to_json()))
    assert result.output == RATE
    assert "it is not valid JSON" in endpoint.requests[-1]["input"][-1]["content"]


async def test_without_a_limit_on_retries_the_other_limits_hold():
    agent, endpoint = agent_for(lambda _: "No.", limits=Limits(output_retries=None, turns=5))
    result = await agent.run("go")
    assert (result.stop_reason, len(endpoint.requests)) == ("turn_limit", 6)


async def test_the_count_of_retries_survives_a_crash_in_the_middle():
    agent, _ = agent_for(["No.", UnreachableError("gone"), "No.", "No.", "No."])
    with pytest.raises(UnreachableError) as raised:
        await agent.run("go")
    assert raised.value.run is not None
    assert raised.value.run.output_failures == 1


async def test_a_bad_answer_in_the_last_turn_is_asked_for_once_more_and_then_the_limit_is_the_reason():
    script = [call("get_vat_rate", {"country": "France"}), '{"no": 1}', '{"no": 1}', FRENCH]
    agent, endpoint = agent_for(script, get_vat_rate, limits=Limits(tool_calls=1, turns=1))
    result = await agent.run("go")
    assert result.stop_reason == "turn_limit"
    assert result.stop_note.endswith("the model's last answer is not of the agent's output type")
    assert len(endpoint.requests) == 3
    assert [request.get("tool_choice") for request in endpoint.requests] == [None, "none", "none"]
    assert all("text" in request for request in endpoint.requests)
    with pytest.raises(RunStateError, match="the limit on turns is reached") as raised:
        _ = result.output
    assert "result.text" in raised.value.hint


async def test_a_good_answer_in_the_last_turn_is_the_output_of_a_run_that_reached_its_limit():
    script = [call("get_vat_rate", {"country": "France"}), call("get_vat_rate", {"country": "Spain"}), FRENCH]
    agent, _ = agent_for(script, get_vat_rate, limits=Limits(turns=1))
    result = await agent.run("go")
    assert (result.stop_reason, result.output) == ("turn_limit", RATE)


def cut_off(text):
    return body(text_item(text), status="incomplete", incomplete_details={"reason": "max_output_tokens"})


def test_an_answer_that_was_cut_off_is_no_output():
    with RUN.serving([cut_off("Fr")], output=str) as (agent, _):
        result = RUN.ask(agent)
    assert result.stop_reason == "truncated"
    with pytest.raises(RunStateError, match="cut off"):
        _ = result.output


async def test_a_run_that_waits_for_approval_has_no_output_yet_and_has_it_in_another_process():
    policy = Policy(ask=("*",))
    script = [call("get_vat_rate", {"country": "France"}, "c1"), FRENCH]
    agent, endpoint = agent_for(script, get_vat_rate, policy=policy, output=Rate)
    paused = await agent.run("go")
    with pytest.raises(RunStateError, match="waiting for a decision"):
        _ = paused.output
    other = Agent("scripted", endpoint=endpoint, tools=[get_vat_rate], output=Rate)
    result = await other.resume(Run.from_json(paused.run.to_json()), decisions={paused.approvals[0].id: Approve()})
    assert result.output == RATE


async def test_an_agent_without_an_output_type_has_none():
    agent, _ = agent_for(["hi"], output=None)
    assert (await agent.run("go")).output is None


async def test_the_next_run_of_a_conversation_starts_counting_anew():
    agent, _ = agent_for(["No.", FRENCH, FRENCH])
    first = await agent.run("go")
    second = await agent.run("again", history=first.items)
    assert (second.output, second.run.output_failures) == (RATE, 0)


# --- two phases ---

APART = Profile(structured_apart=True)


@both_wires
def test_where_schemas_and_tools_do_not_mix_the_answer_is_formed_in_a_turn_of_its_own(way):
    script = [call_body(("get_vat_rate", {"country": "France"})), text_body("It is 20%."), text_body(FRENCH)]
    profile = replace(PROFILES[way.dialect], structured_apart=True)
    settings = ModelSettings(reasoning_effort="low")
    options = {"endpoint": {"profile": profile}, "settings": settings, "output": Rate}
    events = []
    with way.serving(script, get_vat_rate, **options) as (agent, server):
        result = way.ask(agent, events=events)
    assert (result.output, result.stop_reason) == (RATE, "answered")
    requests = [request.json for request in server.requests]
    assert ["tools" in request for request in requests] == [True, True, False]
    assert [bool({"text", "response_format"} & request.keys()) for request in requests] == [False, False, True]
    assert [bool({"reasoning", "reasoning_effort"} & request.keys()) for request in requests] == [True, True, False]
    assert (requests[-1].get("input") or requests[-1]["messages"])[-1]["content"] == ASK_FOR_FORMAT
    if way.streams:
        assert len([event for event in events if isinstance(event, TurnStarted)]) == 3


async def test_an_answer_that_fits_already_is_not_formed_again():
    agent, endpoint = agent_for([FRENCH], get_vat_rate, profile=APART)
    assert (await agent.run("go")).output == RATE
    assert len(endpoint.requests) == 1


async def test_without_tools_and_reasoning_there_is_nothing_to_keep_apart():
    agent, endpoint = agent_for([FRENCH], profile=APART)
    assert (await agent.run("go")).output == RATE
    assert "text" in endpoint.requests[0]


async def test_reasoning_alone_is_kept_apart_too():
    agent, endpoint = agent_for(["20%", FRENCH], profile=APART, settings=ModelSettings(reasoning_effort="high"))
    assert (await agent.run("go")).output == RATE
    assert ["text" in request for request in endpoint.requests] == [False, True]


async def test_forming_the_answer_is_no_turn_too_many():
    agent, endpoint = agent_for(["20%", FRENCH], get_vat_rate, profile=APART, limits=Limits(turns=1))
    result = await agent.run("go")
    assert (result.output, result.stop_reason, len(endpoint.requests)) == (RATE, "answered", 2)


async def test_an_answer_that_does_not_take_its_form_is_an_error_in_the_end():
    agent, endpoint = agent_for(lambda _: "20%", get_vat_rate, profile=APART)
    with pytest.raises(OutputError):
        await agent.run("go")
    assert ["tools" in request for request in endpoint.requests] == [True, False, False, False]


async def test_calls_while_the_answer_is_formed_are_not_run():
    script = ["20%", call("get_vat_rate", {"country": "France"}, "c1"), FRENCH]
    agent, endpoint = agent_for(script, get_vat_rate, profile=APART)
    result = await agent.run("go")
    assert (result.output, result.tally.tool_calls) == (RATE, 0)
    assert "Not run" in endpoint.requests[-1]["input"][-2]["output"]


# --- tools that must be called ---


@pytest.mark.parametrize(("choice", "name"), [("required", "a tool"), ("get_vat_rate", "get_vat_rate")])
async def test_a_model_that_answers_without_the_call_it_owes_is_asked_for_it_once(choice, name):
    script = ["20%, I think.", call("get_vat_rate", {"country": "France"}), "It is 20%."]
    agent, endpoint = agent_for(script, get_vat_rate, output=None, settings=ModelSettings(tool_choice=choice))
    result = await agent.run("go")
    assert (result.text, result.tally.tool_calls) == ("It is 20%.", 1)
    assert endpoint.requests[1]["input"][-1]["content"] == ASK_FOR_TOOL_CALL.format(name)


async def test_a_model_that_answers_again_without_it_is_believed():
    settings = ModelSettings(tool_choice="required")
    agent, endpoint = agent_for(["20%.", "20%!"], get_vat_rate, output=None, settings=settings)
    result = await agent.run("go")
    assert (result.text, result.stop_reason, len(endpoint.requests)) == ("20%!", "answered", 2)


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (ModelSettings(), {}),
        (ModelSettings(tool_choice="auto"), {}),
        (ModelSettings(tool_choice="none"), {}),
        (ModelSettings(tool_choice="required"), {"policy": Policy(deny=("*",))}),
        (ModelSettings(tool_choice="get_vat_rate"), {"policy": Policy(deny=("*",))}),
    ],
    ids=str,
)
async def test_nobody_is_asked_for_a_call_that_was_not_owed(settings, options):
    agent, endpoint = agent_for(["20%."], get_vat_rate, output=None, settings=settings, **options)
    assert (await agent.run("go")).text == "20%."
    assert len(endpoint.requests) == 1


# --- servers that ignore it ---


@pytest.mark.parametrize(
    ("reply", "rung", "ignored"),
    [
        (Reply((Message("assistant", "20%"),)), "text_format", True),
        (Reply((Message("assistant", "20%"),)), "json_object", True),
        (Reply((Message("assistant", "20%"),)), "prompt", False),
        (Reply((Message("assistant", FRENCH),)), "text_format", False),
        (Reply((Message("assistant", ""),)), "text_format", False),
        (Reply(()), "text_format", False),
        (Reply((Message("assistant", "20%"),), stop="truncated"), "text_format", False),
        (Reply((Message("assistant", "Let me see."), ToolCall("c", "get_vat_rate", "{}"))), "text_format", False),
    ],
    ids=str,
)
def test_a_reply_without_a_trace_of_json_shows_that_the_schema_was_ignored(reply, rung, ignored):
    assert is_ignored(reply, Profile(structured_output=rung)) is ignored


@pytest.mark.parametrize(
    ("profile", "below"),
    [
        (Profile(), "response_format"),
        (Profile(route="chat"), "json_object"),
        (Profile(tool_calling="prompted"), "json_object"),
        (Profile(structured_output="response_format"), "json_object"),
        (Profile(structured_output="json_object"), "prompt"),
        (Profile(structured_output="prompt"), None),
    ],
)
def test_the_rung_below_is_another_request(profile, below):
    assert lower_rung(profile) == below


# --- a real model ---


@dataclass
class Percent:
    percent: int


@pytest.mark.usefixtures("new_model")
def test_a_real_model_is_held_to_the_schema_and_what_it_found_out_is_brought_into_form():
    settings = ModelSettings(temperature=0, max_output_tokens=60)
    countries: Any = Literal["France", "Germany", "Italy"]
    with closing(Agent("local:smollm2", output=countries, settings=settings)) as agent:
        assert agent.run_sync("Which country is Paris in?").output == "France"
    with closing(Agent("local:smollm2", output=Percent, tools=[get_vat_rate], settings=settings)) as agent:
        events = list(agent.stream_sync(QUESTION))
    assert any(isinstance(event, ToolFinished) for event in events)
    assert events[-1].result.output == Percent(20)

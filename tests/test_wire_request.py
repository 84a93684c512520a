import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop import tools
from agentloop.errors import ConfigurationError
from agentloop.items import ToolCall
from agentloop.wire.formats.dialect import ModelRequest
from agentloop.wire.formats.request import choose_tools, write_arguments, write_body, write_call, write_schema
from agentloop.wire.profile import ModelSettings, Profile

NUMBER = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
COUNT = tools.Tool.from_schema("count", "Count up to n.", NUMBER, lambda n: n)


def test_a_body_leaves_out_what_is_unset_and_ends_with_the_conversation():
    fields = {"model": "m", "tools": b"[1]", "temperature": None, "store": False}
    body = write_body(fields, {"seed": 7}, "input", [b"1", b"2"])
    assert body == b'{"model":"m","store":false,"seed":7,"tools":[1],"input":[1,2]}'


def test_a_conversation_may_have_any_number_of_fragments():
    bodies = [write_body({"model": "m"}, {}, "input", [b"0"] * length) for length in range(3)]
    assert [json.loads(body)["input"] for body in bodies] == [[], [0], [0, 0]]


def test_extra_fields_are_sent_as_they_are_and_come_before_known_ones():
    body = write_body({"model": "m", "top_p": 0.5}, {"top_p": None, "input": "x"}, "input", [b"1"])
    assert body == b'{"model":"m","top_p":null,"input":"x"}'


def test_an_extra_field_that_is_no_json_is_the_users_mistake():
    with pytest.raises(ConfigurationError, match="extra_body can't be sent as JSON") as caught:
        write_body({}, {"seed": object()}, "input", [])
    assert caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ("```json\n{'a': 1}\n```", '{"a":1}'),
        ('{"a": "\ud83d"}', '{"a":"\ufffd"}'),
        ('{"a": NaN}', '{"a":null}'),
        ('{"a":', "{}"),
        ("", "{}"),
        ("[1]", "{}"),
        ("null", "{}"),
        ("[" * 100_000, "{}"),
    ],
)
def test_arguments_go_out_as_the_text_of_a_json_object(arguments, written):
    assert write_arguments(ToolCall("c", "add", arguments)) == written


@given(st.text() | st.text(alphabet='{}[]":,a1 \ud800\\'))
def test_any_arguments_go_out_as_the_text_of_a_json_object(arguments):
    assert isinstance(json.loads(write_arguments(ToolCall("c", "add", arguments))), dict)


def test_a_call_is_written_as_an_entry_of_tool_calls():
    function = {"name": "add", "arguments": "{}"}
    assert write_call(ToolCall("c", "add", "{}")) == {"id": "c", "type": "function", "function": function}


def test_constraints_that_a_server_does_not_take_are_told_in_words():
    assert write_schema(COUNT, Profile())["properties"]["n"] == {"type": "integer", "minimum": 1}
    (number,) = write_schema(COUNT, Profile(schema_keywords=frozenset()))["properties"].values()
    assert "minimum" not in number
    assert "1" in number["description"]


@pytest.mark.parametrize(
    ("choice", "obeyed", "sent"),
    [
        (None, {"auto"}, (None, None)),
        ("auto", {"auto"}, ("auto", None)),
        ("required", {"auto"}, (None, None)),
        ("count", {"auto", "named"}, (None, "count")),
        ("count", {"auto", "required"}, ("required", None)),
        ("count", {"auto"}, (None, None)),
    ],
)
def test_a_tool_choice_is_sent_as_far_as_the_server_obeys_it(choice, obeyed, sent):
    ask = ModelRequest(
        model="m",
        instructions=None,
        items=(),
        tools=(COUNT,),
        settings=ModelSettings(tool_choice=choice),
        profile=Profile(tool_choice=frozenset(obeyed)),
        stream=False,
    )
    assert choose_tools(ask) == sent


def test_without_tools_no_choice_is_sent():
    settings = ModelSettings(tool_choice="required")
    ask = ModelRequest(
        model="m", instructions=None, items=(), tools=(), settings=settings, profile=Profile(), stream=False
    )
    assert choose_tools(ask) == (None, None)

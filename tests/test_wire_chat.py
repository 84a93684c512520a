import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop import tools
from agentloop.items import Image, Message, Opaque, Reasoning, Text, ToolCall, ToolResult
from agentloop.wire.formats.chat import ChatCompletions
from agentloop.wire.formats.dialect import ModelRequest
from agentloop.wire.profile import ModelSettings, Profile

CHAT = ChatCompletions()


@tools.tool
def get_vat_rate(country: str) -> float:
    """Return the VAT rate of a country."""
    return 0.2 if country == "France" else 0.25


LOOSE = tools.Tool.from_schema("loose", "", {"type": "object"}, dict)


def ask(**changes):
    fields = {
        "model": "gpt-oss-20b",
        "instructions": None,
        "items": (),
        "tools": (),
        "settings": ModelSettings(),
        "profile": Profile(),
        "stream": False,
    }
    return ModelRequest(**{**fields, **changes})


def written(items):
    return [json.loads(fragment) for fragment in CHAT.encode_items(items, Profile())]


def test_what_the_assistant_says_and_calls_in_a_turn_is_one_message():
    items = [
        Message("user", "VAT in France and Denmark?"),
        Reasoning("hm", "ciphertext"),
        Message("assistant", "Let me see."),
        ToolCall("c1", "get_vat_rate", '{"country": "France"}'),
        Message("assistant", "And Denmark."),
        ToolCall("c2", "get_vat_rate", "cut"),
        ToolResult("c1", "0.2"),
        ToolResult("c2", "The arguments are cut off.", ok=False),
        Opaque({"type": "compaction"}),
        Message("system", "Be brief."),
        ToolCall("c3", "get_vat_rate", "{}"),
        ToolResult("c3", "0.25"),
        Message("assistant", ""),
        Message("assistant", "20 %."),
    ]

    def call(call_id, arguments):
        return {"id": call_id, "type": "function", "function": {"name": "get_vat_rate", "arguments": arguments}}

    assert written(items) == [
        {"role": "user", "content": "VAT in France and Denmark?"},
        {
            "role": "assistant",
            "content": "Let me see.\n\nAnd Denmark.",
            "tool_calls": [call("c1", '{"country": "France"}'), call("c2", "{}")],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "0.2"},
        {"role": "tool", "tool_call_id": "c2", "content": "The arguments are cut off."},
        {"role": "assistant", "content": None, "tool_calls": [call("c3", "{}")]},
        {"role": "tool", "tool_call_id": "c3", "content": "0.25"},
        {"role": "assistant", "content": "20 %."},
    ]


def test_a_message_with_a_picture_is_written_in_parts():
    message = Message("user", (Text("What is this?"), Image("data:image/png;base64,AA==")))
    assert written([message])[0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    ]


def test_a_plain_request_holds_what_was_asked_for_and_nothing_else():
    body = CHAT.encode(ask(), CHAT.encode_items([Message("user", "Hi")], Profile()), b"[]")
    assert body == b'{"model":"gpt-oss-20b","stream":false,"messages":[{"role":"user","content":"Hi"}]}'


def test_a_full_request_has_the_system_text_first_in_the_conversation_at_its_end():
    settings = ModelSettings(
        temperature=0.0,
        top_p=0.9,
        max_output_tokens=100,
        reasoning_effort="low",
        tool_choice="get_vat_rate",
        extra_body={"seed": 7},
    )
    asked = ask(instructions="Be brief.", tools=(get_vat_rate,), settings=settings, stream=True)
    assert list(json.loads(CHAT.encode(asked, [b"1"], b"[0]")).items()) == [
        ("model", "gpt-oss-20b"),
        ("stream", True),
        ("stream_options", {"include_usage": True}),
        ("tool_choice", {"type": "function", "function": {"name": "get_vat_rate"}}),
        ("temperature", 0.0),
        ("top_p", 0.9),
        ("max_tokens", 100),
        ("reasoning_effort", "low"),
        ("seed", 7),
        ("tools", [0]),
        ("messages", [{"role": "system", "content": "Be brief."}, 1]),
    ]


def test_tools_are_written_as_functions_that_are_strict_only_if_they_say_so():
    strict, loose = json.loads(CHAT.encode_tools((get_vat_rate, LOOSE), Profile()))
    assert strict == {
        "type": "function",
        "function": {
            "name": "get_vat_rate",
            "description": "Return the VAT rate of a country.",
            "parameters": get_vat_rate.parameters,
            "strict": True,
        },
    }
    assert "strict" not in loose["function"]
    (strict,) = json.loads(CHAT.encode_tools((get_vat_rate,), Profile(strict_tools=False)))
    assert "strict" not in strict["function"]


def test_the_path_is_the_one_of_chat_completions():
    assert CHAT.path == "/chat/completions"


OBJECTS = st.dictionaries(st.text(), st.integers() | st.text()).map(json.dumps)
NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
CALLS = st.lists(
    st.builds(ToolCall, st.text(min_size=1), NAMES, OBJECTS), min_size=1, unique_by=lambda call: call.call_id
)


@pytest.mark.parametrize("said", [[], [Message("assistant", "Let me see.")]])
@given(calls=CALLS)
def test_a_turn_of_the_assistant_decodes_as_it_was_encoded(said, calls):
    (message,) = CHAT.encode_items([*said, *calls], Profile())
    reply = CHAT.decode(b'{"choices":[{"message":%b,"finish_reason":"tool_calls"}]}' % message)
    assert list(reply.items) == [*said, *calls]

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentloop import tools
from agentloop.items import Image, Message, Opaque, Reasoning, Text, ToolCall, ToolResult
from agentloop.wire.formats.dialect import ModelRequest
from agentloop.wire.formats.responses import MessageResponses, NativeResponses
from agentloop.wire.payload import dump
from agentloop.wire.profile import ModelSettings, Profile

NATIVE, MESSAGE = NativeResponses(), MessageResponses()


@tools.tool
def get_vat_rate(country: str) -> float:
    """Return the VAT rate of a country."""
    return 0.2 if country == "France" else 0.25


LOOSE = tools.Tool.from_schema("loose", "", {"type": "object"}, dict)
TURN = [
    Message("user", "VAT in France and Denmark?"),
    Reasoning("Let me look it up."),
    ToolCall("c1", "get_vat_rate", '{"country": "France"}'),
    Message("assistant", "And Denmark.", phase="commentary"),
    ToolCall("c2", "get_vat_rate", "{'country': 'Denmark'"),
    ToolResult("c1", "0.2"),
    ToolResult("c2", "The arguments are cut off.", ok=False),
    Message("system", "Be brief."),
    Message("assistant", "20 %."),
]


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


def written(dialect, items):
    return [json.loads(fragment) for fragment in dialect.encode_items(items, Profile())]


def test_calls_and_results_are_items_of_their_own_in_the_native_dialect():
    assert written(NATIVE, TURN) == [
        {"type": "message", "role": "user", "content": "VAT in France and Denmark?"},
        {"type": "message", "role": "assistant", "content": "And Denmark.", "phase": "commentary"},
        {"type": "function_call", "call_id": "c1", "name": "get_vat_rate", "arguments": '{"country": "France"}'},
        {"type": "function_call", "call_id": "c2", "name": "get_vat_rate", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "0.2"},
        {"type": "function_call_output", "call_id": "c2", "output": "The arguments are cut off."},
        {"type": "message", "role": "assistant", "content": "20 %."},
    ]


def test_calls_and_results_are_messages_in_the_message_dialect():
    first = {"name": "get_vat_rate", "arguments": '{"country": "France"}'}
    second = {"name": "get_vat_rate", "arguments": "{}"}
    assert written(MESSAGE, TURN)[2:5] == [
        {
            "type": "message",
            "role": "assistant",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": first},
                {"id": "c2", "type": "function", "function": second},
            ],
        },
        {"type": "message", "role": "tool", "tool_call_id": "c1", "content": "0.2", "name": "get_vat_rate"},
        {
            "type": "message",
            "role": "tool",
            "tool_call_id": "c2",
            "content": "The arguments are cut off.",
            "name": "get_vat_rate",
        },
    ]
    assert "name" not in written(MESSAGE, [ToolResult("elsewhere", "0.2")])[0]


@pytest.mark.parametrize("dialect", [NATIVE, MESSAGE])
def test_reasoning_goes_back_only_as_ciphertext_and_unknown_items_unchanged(dialect):
    raw = {"type": "compaction", "id": "cmp_1", "encrypted_content": "..."}
    items = [Reasoning("hm"), Reasoning("hm", "ciphertext", "rs_1"), Reasoning("", "other"), Opaque(raw)]
    assert written(dialect, items) == [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "ciphertext"},
        {"type": "reasoning", "summary": [], "encrypted_content": "other"},
        raw,
    ]


def test_a_users_message_with_a_picture_is_written_in_parts():
    message = Message("user", (Text("What is this?"), Image("data:image/png;base64,AA==")))
    assert written(NATIVE, [message])[0]["content"] == [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
    ]


def test_an_empty_message_of_the_assistant_is_left_out():
    assert written(NATIVE, [Message("assistant", ""), Message("assistant", ())]) == []


def test_any_text_can_be_sent():
    assert written(NATIVE, [Message("user", "half \ud83d of a pair\0")])[0]["content"] == "half \ufffd of a pair\0"


def test_a_plain_request_holds_what_was_asked_for_and_nothing_else():
    body = NATIVE.encode(ask(), NATIVE.encode_items([Message("user", "Hi")], Profile()), b"[]")
    assert body == (
        b'{"model":"gpt-oss-20b","store":false,"stream":false,'
        b'"input":[{"type":"message","role":"user","content":"Hi"}]}'
    )


def test_a_full_request_keeps_the_conversation_at_its_end():
    settings = ModelSettings(
        temperature=0.0,
        top_p=0.9,
        max_output_tokens=100,
        reasoning_effort="low",
        tool_choice="get_vat_rate",
        extra_body={"seed": 7},
    )
    asked = ask(instructions="Be brief.", tools=(get_vat_rate,), settings=settings, stream=True)
    body = json.loads(NATIVE.encode(asked, [b"1", b"2"], b"[0]"))
    assert list(body.items()) == [
        ("model", "gpt-oss-20b"),
        ("store", False),
        ("stream", True),
        ("tool_choice", {"type": "function", "name": "get_vat_rate"}),
        ("instructions", "Be brief."),
        ("temperature", 0.0),
        ("top_p", 0.9),
        ("max_output_tokens", 100),
        ("reasoning", {"effort": "low"}),
        ("seed", 7),
        ("tools", [0]),
        ("input", [1, 2]),
    ]


def test_the_system_text_goes_to_the_top_of_the_input_where_the_server_wants_it_there():
    profile = Profile(system="message")
    body = json.loads(NATIVE.encode(ask(instructions="Be brief.", profile=profile), [b"1"], b"[]"))
    assert "instructions" not in body
    assert body["input"] == [{"type": "message", "role": "system", "content": "Be brief."}, 1]
    assert json.loads(NATIVE.encode(ask(profile=profile), [b"1"], b"[]"))["input"] == [1]


def test_tools_are_written_flat_and_always_say_whether_they_are_strict():
    strict, loose = json.loads(NATIVE.encode_tools((get_vat_rate, LOOSE), Profile()))
    assert strict == {
        "type": "function",
        "name": "get_vat_rate",
        "description": "Return the VAT rate of a country.",
        "parameters": get_vat_rate.parameters,
        "strict": True,
    }
    assert loose["strict"] is False
    (strict,) = json.loads(NATIVE.encode_tools((get_vat_rate,), Profile(strict_tools=False)))
    assert strict["strict"] is False


def test_both_dialects_speak_the_same_path():
    assert NATIVE.path == MESSAGE.path == "/responses"


TEXTS = st.text(min_size=1)
PARTS = st.lists(st.builds(Text, st.text()) | st.builds(Image, TEXTS), min_size=1).map(tuple)
JSON_OBJECTS = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text())
SAID = st.builds(Message, st.just("assistant"), TEXTS, phase=st.none() | TEXTS)
THOUGHTS = st.builds(Reasoning, st.just(""), TEXTS, st.none() | TEXTS)
ITEMS = st.one_of(
    st.builds(Message, st.just("user"), PARTS),
    SAID,
    st.builds(ToolResult, TEXTS, st.text(), images=st.lists(st.builds(Image, TEXTS), max_size=2).map(tuple)),
    st.builds(Opaque, JSON_OBJECTS.map(lambda raw: {**raw, "type": "web_search_call"})),
)
NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
CALLS = st.builds(ToolCall, TEXTS, NAMES, JSON_OBJECTS.map(lambda arguments: dump(arguments).decode()))


def read_id(item):
    match item:
        case Reasoning(id=item_id) | Opaque(raw={"id": item_id}):
            return item_id
        case ToolResult():
            return "result", item.call_id
        case _:
            return None


@given(
    st.lists(ITEMS.map(lambda item: [item]) | st.tuples(THOUGHTS, SAID)),
    st.lists(CALLS, unique_by=lambda call: call.call_id),
)
def test_what_is_encoded_as_input_decodes_the_same_as_output(turns, calls):
    items = [*(item for turn in turns for item in turn), *calls]
    ids = [item_id for item in items if (item_id := read_id(item)) is not None]
    assume(len(ids) == len(set(ids)))  # a second item with the id of the first is the same item, sent twice
    fragments = NATIVE.encode_items(items, Profile(tool_images="result"))
    reply = NATIVE.decode(b'{"output":[%b]}' % b",".join(fragments))
    assert list(reply.items) == items
    assert reply.dialect == ("native" if calls else None)


@given(st.lists(CALLS, min_size=1, unique_by=lambda call: call.call_id))
def test_calls_that_are_encoded_as_messages_decode_the_same(calls):
    reply = MESSAGE.decode(b'{"output":[%b]}' % b",".join(MESSAGE.encode_items(calls, Profile())))
    assert list(reply.items) == calls
    assert reply.dialect == "message"


@pytest.mark.parametrize("dialect", [NATIVE, MESSAGE])
@given(items=st.lists(ITEMS | CALLS | THOUGHTS))
def test_whole_turns_encode_the_same_one_by_one(dialect, items):
    pairs = [ToolCall("the call of this turn", "add", "{}"), ToolResult("the call of this turn", "1")]
    whole = dialect.encode_items([*items, *pairs, *items], Profile())
    assert whole == dialect.encode_items([*items, *pairs], Profile()) + dialect.encode_items(items, Profile())

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from agentloop.errors import ReplyError, StreamCutError
from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import Image, Item, Message, Opaque, Reasoning, Reply, Text, ToolCall, ToolResult, Usage
from agentloop.tools import Tool, tool
from agentloop.wire.formats.dialect import ModelRequest
from agentloop.wire.formats.prompted import PromptedChat
from agentloop.wire.profile import ModelSettings, Profile

QUESTION = Message("user", "What is the VAT rate in France?")
CALL = ToolCall("call_1", "get_vat_rate", '{"country":"France"}')
RESULT = ToolResult("call_1", "20%")


@tool
def get_vat_rate(country: str) -> float:
    """Return the VAT rate for a country.

    Args:
        country: Country name or ISO 3166 code.
    """
    raise NotImplementedError


@tool
def get_time() -> str:
    """Return the time."""
    raise NotImplementedError


def encode(*items: Item, tools=(get_vat_rate,), settings=ModelSettings(), instructions=None, profile=Profile()):
    dialect = PromptedChat()
    ask = ModelRequest(
        model="small",
        instructions=instructions,
        items=items,
        tools=tools,
        settings=settings,
        profile=profile,
        stream=False,
    )
    return json.loads(dialect.encode(ask, dialect.encode_items(items, Profile()), dialect.encode_tools(tools, profile)))


def decode(text: str, *, finish: str = "stop", **message) -> Reply:
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    return PromptedChat().decode(json.dumps({"choices": [choice]}).encode())


# --- requests ---


def test_tools_are_told_in_words_and_the_reply_is_held_to_a_call_or_an_answer():
    assert encode(QUESTION, instructions="Be brief.") == snapshot(
        {
            "model": "small",
            "stream": False,
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "reply",
                    "strict": True,
                    "schema": {
                        "anyOf": [
                            {
                                "type": "object",
                                "properties": {
                                    "tool": {"const": "get_vat_rate"},
                                    "arguments": {"$ref": "#/$defs/get_vat_rate"},
                                },
                                "required": ["tool", "arguments"],
                                "additionalProperties": False,
                            },
                            {
                                "type": "object",
                                "properties": {"answer": {"type": "string"}},
                                "required": ["answer"],
                                "additionalProperties": False,
                            },
                        ],
                        "$defs": {
                            "get_vat_rate": {
                                "type": "object",
                                "properties": {
                                    "country": {"description": "Country name or ISO 3166 code.", "type": "string"}
                                },
                                "required": ["country"],
                                "additionalProperties": False,
                            }
                        },
                    },
                },
            },
            "messages": [
                {
                    "role": "system",
                    "content": """\
Be brief.

Tools:
{"tool": "get_vat_rate", "arguments": {"country": ...}} Return the VAT rate for a country. \
country: Country name or ISO 3166 code.
{"answer": ...} when the result is known\
""",
                },
                {"role": "user", "content": "If a tool can find this out, use it: What is the VAT rate in France?"},
            ],
        }
    )


def test_a_result_is_followed_by_the_question_once_more():
    assert encode(QUESTION, CALL, RESULT)["messages"][1:] == snapshot(
        [
            {"role": "user", "content": "What is the VAT rate in France?"},
            {"role": "assistant", "content": '{"tool": "get_vat_rate", "arguments": {"country": "France"}}'},
            {
                "role": "user",
                "content": """\
get_vat_rate returned: 20%

What is the VAT rate in France?
Answer with the result, in one short sentence.\
""",
            },
        ]
    )


def test_the_words_for_the_last_item_are_not_kept_when_it_is_no_longer_the_last():
    again = ToolCall("call_2", "get_vat_rate", '{"country":"Italy"}')
    messages = encode(QUESTION, CALL, RESULT, again, ToolResult("call_2", "22%"))["messages"]
    assert [message["content"] for message in messages[1:4]] == [
        "What is the VAT rate in France?",
        '{"tool": "get_vat_rate", "arguments": {"country": "France"}}',
        "get_vat_rate returned: 20%",
    ]


def test_the_question_is_the_latest_one():
    messages = encode(Message("user", "Hello"), Message("assistant", "Hi"), QUESTION, CALL, RESULT)["messages"]
    assert "Hello" not in messages[-1]["content"]
    assert "What is the VAT rate in France?" in messages[-1]["content"]


def test_a_result_without_a_question_or_a_call_is_still_told():
    assert encode(RESULT)["messages"][1:] == [
        {"role": "user", "content": "The tool returned: 20%\nAnswer with the result, in one short sentence."}
    ]


def test_the_last_turn_without_tools_is_a_plain_chat():
    body = encode(QUESTION, CALL, RESULT, tools=())
    assert "response_format" not in body
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]


def test_a_question_without_tools_is_sent_as_it_is():
    assert encode(QUESTION, tools=()) == {
        "model": "small",
        "stream": False,
        "messages": [{"role": "user", "content": "What is the VAT rate in France?"}],
    }


def test_a_conversation_may_be_empty_or_end_with_the_assistant():
    assert [message["role"] for message in encode()["messages"]] == ["system"]
    assert encode(QUESTION, Message("assistant", "It is"))["messages"][-1]["content"] == "It is"


def test_the_words_stand_before_the_text_of_a_message_and_its_images_stay():
    image = Image("data:image/png;base64,AA==")
    texts = [part["type"] for part in encode(Message("user", (Text("What is it?"), image)))["messages"][-1]["content"]]
    assert texts == ["text", "image_url"]
    lone = encode(Message("user", (image,)))["messages"][-1]["content"]
    assert lone == [{"type": "image_url", "image_url": {"url": image.url}}]


def offer(*items: Item, tools, choice=None) -> list[str]:
    shape = encode(QUESTION, *items, tools=tools, settings=ModelSettings(tool_choice=choice)).get("response_format")
    shapes = shape["json_schema"]["schema"]["anyOf"] if shape else []
    return [entry["properties"].get("tool", {"const": "an answer"})["const"] for entry in shapes]


@pytest.mark.parametrize(
    ("choice", "offered"),
    [
        ("auto", ["get_vat_rate", "get_time", "an answer"]),
        ("required", ["get_vat_rate", "get_time"]),
        ("get_time", ["get_time"]),
        ("none", []),
    ],
)
def test_the_choice_of_a_tool_decides_which_shapes_a_reply_may_have(choice, offered):
    assert offer(tools=(get_vat_rate, get_time), choice=choice) == offered


def test_a_small_model_is_held_to_one_sentence_once_a_tool_has_returned():
    body = encode(QUESTION, CALL, RESULT, profile=Profile(small_model=True))
    assert body["response_format"]["json_schema"]["schema"]["type"] == "string"
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert encode(QUESTION, profile=Profile(small_model=True)) == encode(QUESTION)


def test_each_tool_is_told_on_one_line():
    told = Tool.from_schema("wait", "Wait.\n\n  Long.\n", {"type": "object", "properties": {}}, lambda **_: "")
    assert encode(QUESTION, tools=(told,))["messages"][0]["content"].splitlines() == [
        "Tools:",
        '{"tool": "wait", "arguments": {}} Wait. Long.',
        '{"answer": ...} when the result is known',
    ]


def test_references_within_a_schema_hold_at_their_new_place():
    schema = {
        "type": "object",
        "properties": {"node": {"$ref": "#/$defs/Node"}, "$ref": {"type": "string"}},
        "$defs": {"Node": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
    }
    tree = Tool.from_schema("tree", "A tree.", schema, lambda **_: "")
    moved = encode(QUESTION, tools=(tree,))["response_format"]["json_schema"]["schema"]["$defs"]["tree"]
    assert moved["properties"]["node"] == {"$ref": "#/$defs/tree/$defs/Node"}
    assert moved["properties"]["$ref"] == {"type": "string"}
    assert moved["$defs"]["Node"]["anyOf"][1] == {"$ref": "#/$defs/tree"}


def test_what_the_user_puts_into_the_body_wins():
    settings = ModelSettings(extra_body={"response_format": {"type": "text"}})
    assert encode(QUESTION, settings=settings)["response_format"] == {"type": "text"}


# --- replies ---


def test_a_call_is_read_from_its_shape():
    assert decode('{\n "tool": "get_vat_rate", "arguments": {"country": "France"}}') == Reply(
        (ToolCall("", "get_vat_rate", '{"country":"France"}'),), dialect="prompted"
    )


def test_an_answer_is_read_from_its_shape():
    assert decode('{"answer": "It is 20%."}').items == (Message("assistant", "It is 20%."),)


@pytest.mark.parametrize(
    "text",
    ["It is 20%.", "{}", "[1]", '{"tool": 3, "arguments": {}}', '{"tool": "a", "arguments": "b"}', '{"answer": 3}'],
)
def test_whatever_else_is_said_is_text(text):
    assert decode(text).items == (Message("assistant", text),)


def test_a_call_that_was_cut_off_is_no_call_and_an_answer_that_was_is_shown():
    cut = '{"tool": "get_vat_rate", "arguments": {"country": "Fra'
    assert decode(cut, finish="length").items == (Message("assistant", cut),)
    assert decode('{"answer": "It is 2', finish="length") == Reply(
        (Message("assistant", "It is 2"),), stop="truncated", dialect="prompted"
    )


def test_reasoning_and_true_calls_are_kept():
    true_call = {"id": "c", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    reply = decode('{"answer": "Now."}', reasoning_content="Hm.", tool_calls=[true_call])
    assert reply.items == (Reasoning("Hm."), Message("assistant", "Now."), ToolCall("c", "get_time", "{}"))


def test_a_body_that_is_no_reply_is_said_to_be_none():
    with pytest.raises(ReplyError):
        PromptedChat().decode(b"<html>")


@given(
    name=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    arguments=st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(-9, 9) | st.none(), max_size=3),
)
def test_a_call_in_the_conversation_is_written_as_the_model_is_to_write_it(name, arguments):
    written = PromptedChat().encode_items([ToolCall("call_1", name, json.dumps(arguments))], Profile())
    [call] = decode(json.loads(written[0])["content"]).items
    assert isinstance(call, ToolCall)
    assert (call.name, json.loads(call.arguments)) == (name, arguments)


def test_items_that_a_chat_does_not_know_are_left_out():
    assert PromptedChat().encode_items([Reasoning("Hm."), Opaque({"type": "x"})], Profile()) == []


# --- streams ---


def stream(pieces: list[str]) -> bytes:
    chunks = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


def cut(text: str, cuts: list[int]) -> list[str]:
    places = sorted({min(place, len(text)) for place in cuts} | {0, len(text)})
    return [text[start:end] for start, end in pairwise(places)]


def show(pieces: list[str]) -> tuple[str, Reply]:
    decoder = PromptedChat().decoder()
    deltas = decoder.feed(stream(pieces))
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)), decoder.close()


@given(
    text=st.text(max_size=20),
    spaces=st.sampled_from(["", " ", "\n  "]),
    ascii_only=st.booleans(),
    cuts=st.lists(st.integers(0, 60), max_size=8),
)
def test_an_answer_is_shown_as_it_comes_however_its_stream_is_cut(text, spaces, ascii_only, cuts):
    answer = f'{{{spaces}"answer":{spaces}{json.dumps(text, ensure_ascii=ascii_only)}{spaces}}}'
    shown, reply = show(cut(answer, cuts))
    assert shown == text
    assert reply == decode(answer)


@given(
    text=st.text(max_size=20).filter(lambda text: not text.lstrip().startswith(("{", '"'))),
    cuts=st.lists(st.integers(0, 20)),
)
def test_plain_text_is_shown_as_it_comes(text, cuts):
    shown, reply = show(cut(text, cuts))
    assert shown.strip() == text.strip()
    assert reply == decode(text)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ('"France has 20%."', "France has 20%."),
        ('"Hi" is a greeting', '"Hi" is a greeting'),
        ('"', '"'),
        ('"cut', '"cut'),
    ],
)
def test_a_sentence_in_quotation_marks_is_read_at_its_end(said, meant):
    shown, reply = show(list(said))
    assert shown == ""
    assert reply.items == (Message("assistant", meant),)


@given(cuts=st.lists(st.integers(0, 60), max_size=8))
def test_nothing_of_a_call_is_shown(cuts):
    call = '{"tool": "get_vat_rate", "arguments": {"country": "France"}}'
    assert show(cut(call, cuts)) == ("", decode(call))


def test_json_of_another_shape_is_shown_as_the_text_that_it_is():
    assert show(['{"ans', 'wers"', ": 1}"]) == ('{"answers": 1}', decode('{"answers": 1}'))


def test_thoughts_are_shown_and_tokens_counted():
    decoder = PromptedChat().decoder()
    thought = {"choices": [{"index": 0, "delta": {"reasoning_content": "Hm."}}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}
    head = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in (thought, usage))
    assert decoder.feed(head + stream(['{"answer": "Now."}'])) == [ReasoningDelta("Hm."), TextDelta("Now.")]
    assert decoder.close().usage == Usage(1, 2, 3)


def test_a_stream_that_was_cut_says_so():
    decoder = PromptedChat().decoder()
    decoder.feed(b'data: {"choices": [{"index": 0, "delta": {"content": "{\\"answer\\": \\"It"}}]}\n\n')
    with pytest.raises(StreamCutError):
        decoder.close()

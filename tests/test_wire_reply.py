import pytest

from agentloop.items import Image, Message, Reasoning, Text, ToolCall, Usage
from agentloop.wire.streams.reply import read_arguments, read_call, read_message, read_text, read_usage


@pytest.mark.parametrize(
    "content",
    [
        "Hello",
        ["Hel", "lo"],
        [{"type": "output_text", "text": "Hel", "annotations": []}, {"type": "text", "text": "lo"}],
        [{"text": "Hello"}, {"type": "audio", "data": "..."}, None, {"text": None}],
    ],
)
def test_the_text_of_a_message_is_read_from_a_string_or_from_parts(content):
    said = read_message({"role": "assistant", "content": content})
    assert said.items == [Message("assistant", "Hello")]
    assert not said.refused


@pytest.mark.parametrize("content", [None, "", [], {}, 7, [{"type": "output_text"}]])
def test_a_message_without_text_is_no_item(content):
    assert read_message({"content": content}).items == []


@pytest.mark.parametrize("role", ["system", "developer", "tool", 1])
def test_a_model_cant_speak_as_somebody_else(role):
    assert read_message({"role": role, "content": "obey", "tool_calls": [{"name": "add"}]}) == read_message({})


@pytest.mark.parametrize("role", ["assistant", None, ""])
def test_a_message_without_a_role_is_the_assistants(role):
    assert read_message({"role": role, "content": "Hello"}).items == [Message("assistant", "Hello")]


@pytest.mark.parametrize(
    "raw",
    [
        {"refusal": "No."},
        {"content": None, "refusal": "No."},
        {"content": [{"type": "refusal", "refusal": "No."}]},
    ],
)
def test_the_text_of_a_refusal_is_kept(raw):
    said = read_message(raw)
    assert said.refused
    assert said.items == [Message("assistant", "No.")]


@pytest.mark.parametrize(
    "raw",
    [
        {"reasoning": "hm", "content": "Hello"},
        {"reasoning_content": "hm", "content": "Hello"},
        {"reasoning": "hm", "reasoning_content": "hm", "content": "Hello"},
        {"content": [{"type": "thinking", "thinking": [{"text": "hm"}]}, {"type": "text", "text": "Hello"}]},
        {"content": [{"type": "thinking", "thinking": "hm"}, "Hello"]},
    ],
)
def test_reasoning_is_read_wherever_a_server_puts_it(raw):
    assert read_message(raw).items == [Reasoning("hm"), Message("assistant", "Hello")]


def test_a_users_message_keeps_its_parts_and_the_phase_of_an_answer_is_kept():
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:,a"},
        {"type": "image_url", "image_url": {"url": "data:,b"}},
        {"type": "input_file"},
        {"type": "input_image", "image_url": "FILE:///etc/passwd"},
    ]
    (message,) = read_message({"role": "user", "content": parts}).items
    assert message == Message("user", (Text("What is this?"), Image("data:,a"), Image("data:,b")))
    (message,) = read_message({"content": "Hello", "phase": "commentary"}).items
    assert message == Message("assistant", "Hello", phase="commentary")


@pytest.mark.parametrize(
    ("raw", "call"),
    [
        ({"call_id": "c", "id": "fc", "name": "add", "arguments": '{"a":1}'}, ToolCall("c", "add", '{"a":1}')),
        ({"id": "c", "function": {"name": "add", "arguments": {"a": 1}}}, ToolCall("c", "add", '{"a":1}')),
        ({"id": 7, "name": "add", "arguments": None}, ToolCall("7", "add", "")),
        ({"id": "", "name": "add", "arguments": ""}, ToolCall("", "add", "")),
        ({"id": None, "function": None, "name": 3, "arguments": [1]}, ToolCall("", "", "[1]")),
    ],
)
def test_a_call_is_read_whether_its_function_is_inside_or_not(raw, call):
    assert read_call(raw) == call


def test_arguments_become_text():
    assert [read_arguments(value) for value in ("{", {"a": None}, None, "", False, 1.5)] == [
        "{", '{"a":null}', "", "", "false", "1.5",
    ]  # fmt: skip


def test_the_text_of_a_result_is_read_from_a_string_or_parts():
    assert read_text("20 %") == read_text([{"type": "input_text", "text": "20 %"}]) == "20 %"
    assert read_text(None) == ""


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (
            {
                "input_tokens": 3,
                "output_tokens": 4,
                "total_tokens": 7,
                "input_tokens_details": {"cached_tokens": 2},
                "output_tokens_details": {"reasoning_tokens": 0},
            },
            Usage(3, 4, 7, 2, 0),
        ),
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": 4,
                "total_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 2},
                "completion_tokens_details": None,
            },
            Usage(3, 4, 7, 2, None),
        ),
        ({"input_tokens": 3, "output_tokens": 0}, Usage(3)),
        ({"input_tokens": 0, "output_tokens": 0, "input_tokens_details": {"cached_tokens": 0}}, Usage()),
        ({"input_tokens": True, "output_tokens": -1, "total_tokens": "nine"}, Usage()),
        (None, Usage()),
        ([], Usage()),
    ],
)
def test_usage_is_none_where_the_server_did_not_count(raw, usage):
    assert read_usage(raw) == usage

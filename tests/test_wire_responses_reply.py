import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop.errors import EndpointError, ReplyError, ServerError
from agentloop.items import Message, Opaque, Reasoning, Reply, ToolCall, ToolResult, Usage
from agentloop.wire.streams.responses_reply import read_body
from any_json import any_json

CALL = ToolCall("c1", "add", '{"a":1}')
NATIVE_CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": '{"a":1}'}
MESSAGE_CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
HELLO = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}


def read(body):
    return read_body(json.dumps(body).encode())


def test_a_whole_reply_is_read():
    body = {
        "id": "resp_1",
        "status": "completed",
        "error": None,
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "ciphertext"},
            HELLO,
            NATIVE_CALL,
            {"type": "web_search_call", "id": "ws_1"},
        ],
        "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
    }
    search = Opaque({"type": "web_search_call", "id": "ws_1"})
    items = (Reasoning("", "ciphertext", "rs_1"), Message("assistant", "Hello"), CALL, search)
    assert read(body) == Reply(items, Usage(3, 4, 7), "complete", "resp_1", "native")


@pytest.mark.parametrize(
    "body",
    [
        {"output": [HELLO], "tool_calls": [MESSAGE_CALL]},
        {"output": [{**HELLO, "tool_calls": [MESSAGE_CALL]}]},
        {"output": [HELLO], "message": {"role": "assistant", "tool_calls": [MESSAGE_CALL]}},
        {"message": {"content": "Hello", "tool_calls": [MESSAGE_CALL]}},
        {"choices": [{"message": {"content": "Hello", "tool_calls": [MESSAGE_CALL]}}]},
        {"output": [{**HELLO, "tool_calls": [MESSAGE_CALL]}], "tool_calls": [MESSAGE_CALL]},
    ],
)
def test_calls_are_found_wherever_a_gateway_puts_them(body):
    reply = read(body)
    assert reply.items == (Message("assistant", "Hello"), CALL)
    assert reply.dialect == "message"


def test_calls_that_are_items_count_alone():
    reply = read({"output": [NATIVE_CALL, {**HELLO, "tool_calls": [MESSAGE_CALL]}], "tool_calls": [MESSAGE_CALL]})
    assert reply.items == (CALL, Message("assistant", "Hello"))
    assert reply.dialect == "native"


@pytest.mark.parametrize(
    "raw",
    [
        {"summary": [{"type": "summary_text", "text": "hm"}]},
        {"content": [{"type": "reasoning_text", "text": "hm"}], "summary": [{"text": "shorter"}]},
        {"content": "hm"},
        {"text": "hm"},
    ],
)
def test_reasoning_is_read_from_its_content_or_its_summary(raw):
    assert read({"output": [{"type": "reasoning", **raw}]}).items == (Reasoning("hm"),)


def test_results_are_read_and_what_has_no_type_is_no_item():
    output = [{"type": "function_call_output", "call_id": "c1", "output": [{"text": "1"}]}, {"type": 7}, {}, "text"]
    assert read({"output": output}).items == (ToolResult("c1", "1"),)


@pytest.mark.parametrize(
    ("fields", "stop"),
    [
        ({}, "complete"),
        ({"status": "completed", "usage": {"output_tokens": 4}, "max_output_tokens": None}, "complete"),
        ({"status": "completed", "usage": {"output_tokens": 4}, "max_output_tokens": 5}, "complete"),
        ({"status": "completed", "usage": {"output_tokens": 5}, "max_output_tokens": 5}, "truncated"),
        ({"status": "completed", "max_output_tokens": 5}, "complete"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "truncated"),
        ({"status": "incomplete", "incomplete_details": None}, "truncated"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "refused"),
    ],
)
def test_why_a_reply_stopped(fields, stop):
    reply = read({"output": [HELLO], **fields})
    assert (reply.stop, reply.items) == (stop, (Message("assistant", "Hello"),))


@pytest.mark.parametrize(
    "body",
    [
        {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]},
        {"message": {"refusal": "No."}},
    ],
)
def test_a_refusal_is_no_answer_but_its_text_is_kept(body):
    assert (read(body).stop, read(body).items) == ("refused", (Message("assistant", "No."),))


@pytest.mark.parametrize("output", [[], None, {}, "text"])
def test_a_reply_without_items_is_empty(output):
    assert read({"status": "completed", "output": output}) == Reply(())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"status": "failed", "error": {"message": "no"}, "output": []}, "no"),
        ({"error": {"message": "no"}}, "no"),
        ({"error": "no"}, "no"),
        ({"message": "no"}, "no"),
        ({"detail": "no"}, "no"),
    ],
)
def test_a_failure_under_a_status_of_200_is_an_error(body, message):
    with pytest.raises(ServerError, match=f": {message}"):
        read(body)


def test_a_failure_without_an_error_says_so():
    with pytest.raises(ServerError, match="gave no reason"):
        read({"status": "cancelled", "output": []})


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"7", b"{}", b'{"object": "list"}', b'{"output": ['])
def test_what_is_no_reply_is_a_reply_error_with_a_hint(body):
    with pytest.raises(ReplyError, match="not") as caught:
        read_body(body)
    assert caught.value.hint


ANY_JSON = any_json(
    "type role content text output tool_calls function arguments name call_id id status summary refusal message "
    "choices error usage reason output_tokens phase",
    "message function_call reasoning function_call_output assistant user incomplete failed",
)
OPTIONAL = ["tool_calls", "message", "choices", "status", "incomplete_details", "usage", "max_output_tokens"]
FIELDS = st.fixed_dictionaries(
    {"output": ANY_JSON | st.lists(ANY_JSON, max_size=3)}, optional=dict.fromkeys(OPTIONAL, ANY_JSON)
)


@given(ANY_JSON | FIELDS)
def test_any_json_gives_a_reply_or_an_endpoint_error(body):
    with suppress(EndpointError):
        assert isinstance(read(body), Reply)


@given(st.binary())
def test_any_bytes_give_a_reply_or_an_endpoint_error(body):
    with suppress(EndpointError):
        assert isinstance(read_body(body), Reply)

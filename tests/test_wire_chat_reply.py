import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop.errors import EndpointError, ReplyError, ServerError
from agentloop.items import Message, Reasoning, Reply, ToolCall, Usage
from agentloop.wire.streams.chat_reply import read_body
from any_json import any_json

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}


def read(body):
    return read_body(json.dumps(body).encode())


def completion(message, finish="stop", **fields):
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], **fields}


def test_a_whole_reply_is_read():
    message = {"role": "assistant", "content": "Hello", "reasoning_content": "hm", "tool_calls": [CALL]}
    body = completion(message, "tool_calls", id="chatcmpl-1", usage={"prompt_tokens": 3, "completion_tokens": 4})
    items = (Reasoning("hm"), Message("assistant", "Hello"), ToolCall("c1", "add", '{"a":1}'))
    assert read(body) == Reply(items, Usage(3, 4), "complete", "chatcmpl-1")


def test_calls_are_read_though_the_server_says_that_it_stopped_and_the_content_is_null():
    assert read(completion({"content": None, "tool_calls": [CALL]})).items == (ToolCall("c1", "add", '{"a":1}'),)


@pytest.mark.parametrize(
    ("finish", "stop"),
    [
        ("stop", "complete"),
        ("tool_calls", "complete"),
        (None, "complete"),
        ([], "complete"),
        ("length", "truncated"),
        ("content_filter", "refused"),
    ],
)
def test_why_a_reply_stopped(finish, stop):
    assert read(completion({"content": "Hello"}, finish)).stop == stop


def test_a_refusal_is_no_answer_but_its_text_is_kept():
    reply = read(completion({"content": None, "refusal": "No."}))
    assert (reply.stop, reply.items) == ("refused", (Message("assistant", "No."),))


@pytest.mark.parametrize("body", [{"error": {"message": "no"}}, {"error": "no"}, {"message": "no"}, {"detail": "no"}])
def test_a_failure_under_a_status_of_200_is_an_error(body):
    with pytest.raises(ServerError, match=": no"):
        read(body)


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"{}", b'{"choices": []}', b'{"choices": ["text"]}'])
def test_what_is_no_reply_is_a_reply_error_with_a_hint(body):
    with pytest.raises(ReplyError, match="not") as caught:
        read_body(body)
    assert caught.value.hint


ANY_JSON = any_json(
    "choices message role content text thinking refusal reasoning tool_calls function arguments name id finish_reason "
    "usage error type prompt_tokens_details"
)


@given(ANY_JSON | st.builds(completion, ANY_JSON, ANY_JSON, usage=ANY_JSON))
def test_any_json_gives_a_reply_or_an_endpoint_error(body):
    with suppress(EndpointError):
        assert isinstance(read(body), Reply)

import json
import urllib.request

import pytest

from loopback import (
    ERROR_SHAPES,
    Gate,
    Loopback,
    body,
    call_body,
    call_item,
    events_of,
    guide_call_body,
    sse_reply,
    stream_of,
    text_body,
    text_item,
    written,
)


def post(url: str, body: object) -> tuple[int, bytes]:
    request = urllib.request.Request(url, json.dumps(body).encode())  # noqa: S310 - the loopback server's own http URL
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310 - as above
        return reply.status, reply.read()


def test_a_body_is_sent_as_json_or_as_events_as_the_request_asks():
    with Loopback.in_thread([text_body("hello there"), text_body("hello there")]) as server:
        _, plain = post(f"{server.base_url}/responses", {"stream": False})
        _, streamed = post(f"{server.base_url}/responses", {"stream": True})
    assert json.loads(plain) == text_body("hello there")
    assert streamed.startswith(b'event: response.created\ndata: {"type": "response.created"')
    assert [request.json["stream"] for request in server.requests] == [False, True]


def test_a_request_beyond_the_script_is_refused_with_a_status_that_nobody_retries():
    with Loopback.in_thread([]) as server, pytest.raises(urllib.error.HTTPError, match="418") as refused:
        post(f"{server.base_url}/responses", {})
    refused.value.close()


def test_the_deltas_of_a_streamed_text_join_to_the_text():
    deltas = [data["delta"] for name, data in events_of(text_body(" two  spaces ")) if name.endswith("text.delta")]
    assert "".join(deltas) == " two  spaces "


def test_the_events_of_a_call_end_with_the_whole_response():
    body = call_body(("add", {"a": 1}), ("add", '{"a":'))
    *_, (name, data) = events_of(body)
    assert (name, data["response"]) == ("response.completed", body)
    assert [item["call_id"] for item in body["output"]] == ["call_1", "call_2"]


def test_a_call_of_the_guide_stands_beside_the_output():
    body = guide_call_body(("add", {"a": 1}), first=7)
    function = {"name": "add", "arguments": '{"a": 1}'}
    assert body["tool_calls"] == [{"id": "call_7", "type": "function", "function": function}]
    assert body["output"] == []


def test_the_same_answer_goes_out_on_the_route_that_is_asked():
    with Loopback.in_thread([text_body("hello there")] * 2) as server:
        _, plain = post(f"{server.base_url}/chat/completions", {"stream": False})
        _, streamed = post(f"{server.base_url}/chat/completions", {"stream": True})
    [choice] = json.loads(plain)["choices"]
    assert choice["message"] == {"role": "assistant", "content": "hello there"}
    assert streamed.startswith(b'data: {"id": "resp_1"')
    assert streamed.endswith(b"data: [DONE]\n\n")


def test_a_chat_says_what_a_response_says():
    response = body(text_item("Adding."), call_item("add", {"a": 1}), call_item("add", '{"a":', "call_2"))
    [choice] = written(response, "chat")["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Adding."
    assert choice["message"]["tool_calls"] == guide_call_body(("add", {"a": 1}), ("add", '{"a":'))["tool_calls"]
    cut_off = written(response | {"status": "incomplete"}, "chat")
    assert cut_off["choices"][0]["finish_reason"] == "length"
    assert written(response | {"status": "failed", "error": {"message": "no"}}, "chat") == {"error": {"message": "no"}}


def test_the_chunks_of_a_chat_join_to_its_message_and_end_with_its_usage():
    *chunks, (_, last), (_, done) = stream_of(call_body(("add", {"a": 1})), "chat")
    pieces = [piece for _, data in chunks for piece in data["choices"][0]["delta"].get("tool_calls", ())]
    assert "".join(piece["function"]["arguments"] for piece in pieces) == '{"a": 1}'
    assert (last["choices"], last["usage"]["total_tokens"], done) == ([], 15, "[DONE]")


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (text_body("It is 3."), {"answer": "It is 3."}),
        (call_body(("add", {"a": 1})), {"tool": "add", "arguments": {"a": 1}}),
    ],
)
def test_a_prompted_model_writes_json(response, said):
    [choice] = written(response, "prompted")["choices"]
    assert json.loads(choice["message"]["content"]) == said


def test_rechunking_keeps_the_bytes_and_the_gates():
    gate = Gate()
    parts = sse_reply([("a", "1"), gate, ("", {"b": 2})], chunk_bytes=5).parts
    assert b"".join(part for part in parts if isinstance(part, bytes)) == b'event: a\ndata: 1\n\ndata: {"b": 2}\n\n'
    assert [part for part in parts if not isinstance(part, bytes)] == [gate]


@pytest.mark.parametrize("shape", ERROR_SHAPES)
def test_every_error_shape_carries_the_text(shape):
    assert "out of coffee" in json.dumps(ERROR_SHAPES[shape]("out of coffee"))

import json

import pytest

from agentloop import Agent, Endpoint, Limits, Profile, tool
from agentloop.errors import RateLimitedError, RefusedError, ServerError, StreamCutError
from agentloop.events import Notice, TextDelta
from agentloop.items import Message, ToolCall, Usage
from agentloop.wire.formats.chat import ChatCompletions
from agentloop.wire.formats.responses import NativeResponses
from loopback import Loopback, Reply, json_reply, sse_reply

PART = "Paris has three airports, of which"
CALL = {"id": "k1", "type": "function", "function": {"name": "pay", "arguments": '{"euros":5}'}}
HALF_CALL = {"id": "k1", "type": "function", "function": {"name": "pay", "arguments": '{"euros":'}}


def chat(message, finish, *, stream, **fields):
    """Return the reply of a chat completion, whole or as a stream."""
    if not stream:
        return ChatCompletions().decode(
            json.dumps({"choices": [{"message": message, "finish_reason": finish, **fields}]}).encode()
        )
    chunks = [
        {"choices": [{"index": 0, "delta": message}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": finish, **fields}]},
    ]
    decoder = ChatCompletions().decoder()
    for chunk in chunks:
        decoder.feed(b"data: %b\n\n" % json.dumps(chunk).encode())
    return decoder.close()


def respond(*, stream, kind="completed", **fields):
    response = {"output": [{"type": "message", "content": [{"text": PART}]}], **fields}
    if not stream:
        return NativeResponses().decode(json.dumps(response).encode())
    decoder = NativeResponses().decoder()
    decoder.feed(b"event: response.%b\ndata: %b\n\n" % (kind.encode(), json.dumps({"response": response}).encode()))
    return decoder.close()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "word",
    [
        "end_turn",
        "STOP",
        "stop_sequence",
        "eos",
        "tool_use",
        "functionCall",
        "FINISH_REASON_STOP",
        "FinishReason.STOP",
        "COMPLETE",
    ],
)
def test_words_for_a_good_end_are_not_mentioned(word, stream):
    reply = chat({"content": "Done.", "tool_calls": [CALL]}, word, stream=stream)
    assert (reply.stop, reply.notes) == ("complete", ())


@pytest.mark.parametrize("word", ["null", "", None])
def test_no_word_is_a_good_end_of_a_whole_reply_and_no_end_of_a_stream(word):
    reply = chat({"content": "Done."}, word, stream=False)
    assert (reply.stop, reply.notes) == ("complete", ())
    with pytest.raises(StreamCutError):
        chat({"content": "Done."}, word, stream=True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "word",
    [
        "error",
        "ERROR",
        "network_error",
        "abort",
        "aborted",
        "cancelled",
        "engine_overloaded",
        "upstream_timeout",
        "insufficient_system_resource",
        "MALFORMED_FUNCTION_CALL",
        "function_call_filter: UNEXPECTED_TOOL_CALL",
        "missing_thought_signature",
        "connection-lost",
        "internal_failure",
    ],
)
@pytest.mark.parametrize("message", [{"content": PART}, {"tool_calls": [CALL]}, {"content": ""}])
def test_a_choice_that_failed_is_an_error_whatever_it_holds(word, message, stream):
    with pytest.raises(ServerError, match=f"stopped for the reason '{word}'"):
        chat(message, word, stream=stream)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("word", "stop"),
    [
        ("max_tokens", "truncated"),
        ("MAX_TOKENS", "truncated"),
        ("maxTokens", "truncated"),
        ("model_length", "truncated"),
        ("model_context_window_exceeded", "truncated"),
        ("pause_turn", "truncated"),
        ("repetition", "truncated"),
        ("sensitive", "refused"),
        ("SAFETY", "refused"),
        ("guardrail_intervened", "refused"),
        ("PROHIBITED_CONTENT", "refused"),
        ("content-filter", "refused"),
        ("refusal", "refused"),
        ("RECITATION", "refused"),
    ],
)
def test_words_of_other_servers_for_an_early_end_are_known(word, stop, stream):
    assert chat({"content": PART, "tool_calls": [CALL]}, word, stream=stream).stop == stop


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("message", [{"content": "Done."}, {"tool_calls": [CALL]}])
def test_an_unknown_word_is_accepted_and_mentioned_if_the_reply_is_whole(message, stream):
    reply = chat(message, "zebra", stream=stream)
    assert reply.stop == "complete"
    assert "'zebra'" in reply.notes[0]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("message", [{"content": ""}, {"tool_calls": [HALF_CALL]}, {"reasoning": "hm"}])
def test_an_unknown_word_is_an_error_if_nothing_is_whole(message, stream):
    with pytest.raises(ServerError, match="'zebra'"):
        chat(message, "zebra", stream=stream)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("finish", ["stop", "error", None])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "message": "slow down"}, RateLimitedError),
        ({"code": 402, "message": "slow down"}, RefusedError),
        ("slow down", ServerError),
    ],
)
def test_an_error_in_a_choice_is_the_error_of_the_request(error, kind, finish, stream):
    with pytest.raises(kind, match="slow down"):
        chat({"content": PART}, finish, stream=stream, error=error)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("native", "stop"), [("STOP", "complete"), ("zebra", "complete"), ("MAX_TOKENS", "truncated")])
def test_the_word_of_the_server_behind_a_router_counts_where_it_is_known(native, stop, stream):
    reply = chat({"content": PART}, "stop", stream=stream, native_finish_reason=native)
    assert (reply.stop, reply.notes) == (stop, ())
    with pytest.raises(ServerError, match="network_error"):
        chat({"content": PART}, "stop", stream=stream, native_finish_reason="network_error")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fields", "stop"),
    [
        ({"status": "completed"}, "complete"),
        ({"status": "incomplete"}, "truncated"),
        ({"status": "incomplete", "incomplete_details": {"reason": "zebra"}}, "truncated"),
        ({"status": "incomplete", "incomplete_details": {"reason": "SAFETY"}}, "refused"),
        (
            {"output": [{"type": "function_call", "name": "pay", "arguments": "{}", "status": "incomplete"}]},
            "truncated",
        ),
    ],
)
def test_why_a_response_ended(fields, stop, stream):
    assert respond(stream=stream, **fields).stop == stop


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        {"status": "aborted"},
        {"status": "network_error"},
        {"status": "incomplete", "incomplete_details": {"reason": "server_error"}},
    ],
)
def test_a_response_that_failed_is_an_error(fields, stream):
    with pytest.raises(ServerError):
        respond(stream=stream, **fields)


def test_the_last_event_of_a_stream_outweighs_the_status_in_it():
    assert respond(stream=True, status="in_progress").notes == ()
    assert respond(stream=False, status="in_progress").notes != ()
    assert respond(stream=True, kind="incomplete", status="completed").stop == "truncated"


def test_a_chat_in_place_of_a_response_says_why_it_ended_in_its_choice():
    choice = {"message": {"content": PART}, "finish_reason": "length"}
    assert NativeResponses().decode(json.dumps({"choices": [choice]}).encode()).stop == "truncated"
    with pytest.raises(ServerError, match="no luck"):
        NativeResponses().decode(json.dumps({"choices": [{"error": {"message": "no luck"}}]}).encode())


# --- parts of a reply in other places ---


def choices_reply(choices, *, stream):
    if not stream:
        whole = [{"message": delta, "finish_reason": "stop", "index": at} for at, delta in choices]
        return [], ChatCompletions().decode(json.dumps({"choices": whole}).encode())
    decoder, shown = ChatCompletions().decoder(), []
    for at, delta in choices:
        for piece in (delta, {}):
            choice = {"index": at, "delta": piece, "finish_reason": None if piece else "stop"}
            shown += decoder.feed(b"data: %b\n\n" % json.dumps({"choices": [choice]}).encode())
    return shown, decoder.close()


OTHER_CALL = {"id": "k2", "type": "function", "function": {"name": "pay", "arguments": '{"euros":7}'}}
CALLS = (ToolCall("k1", "pay", '{"euros":5}'), ToolCall("k2", "pay", '{"euros":7}'))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "choices",
    [
        [(0, {"content": "I pay."}), (1, {"tool_calls": [CALL, OTHER_CALL]})],
        [(0, {"content": "I pay."}), (1, {"tool_calls": [CALL]}), (2, {"tool_calls": [OTHER_CALL]})],
        [(0, {"tool_calls": [CALL]}), (1, {"content": "I pay.", "tool_calls": [OTHER_CALL]})],
        [(0, {"content": "I pay.", "tool_calls": [CALL]}), (1, {"content": "Or", "tool_calls": [CALL, OTHER_CALL]})],
    ],
)
def test_the_parts_of_one_reply_in_several_choices_are_one_reply(choices, stream):
    shown, reply = choices_reply(choices, stream=stream)
    assert reply.items == (Message("assistant", "I pay."), *CALLS)
    assert "".join(delta.text for delta in shown) == ("I pay." if stream else "")


def test_choices_of_a_chat_in_place_of_a_response_are_one_reply_too():
    choices = [{"message": {"content": "I pay."}}, {"message": {"tool_calls": [CALL, OTHER_CALL]}}]
    reply = NativeResponses().decode(json.dumps({"choices": choices}).encode())
    assert reply.items == (Message("assistant", "I pay."), *CALLS)


def test_text_of_another_choice_that_comes_while_one_speaks_is_not_shown():
    texts = [(1, "Yes"), (0, "No"), (1, ", it is."), (0, "t at all.")]
    chunks = [{"choices": [{"index": at, "delta": {"content": text}}]} for at, text in texts]
    decoder = ChatCompletions().decoder()
    shown = [delta.text for chunk in chunks for delta in decoder.feed(b"data: %b\n\n" % json.dumps(chunk).encode())]
    decoder.feed(b"data: [DONE]\n\n")
    assert decoder.close().items == (Message("assistant", "Yes, it is."),)
    assert shown == ["Yes", ", it is."]


# --- for the user of an agent ---


@tool
def pay(euros: int) -> str:
    """Pay an amount."""
    return f"paid {euros}"


def completion(message, finish="stop", **fields):
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], **fields}


async def run(script, *, stream=False, **options):
    """Run an agent on chat; return the result, the events and the requests."""
    async with Loopback(script) as server:
        endpoint = Endpoint(server.base_url, profile=Profile(route="chat"), retries=1)
        async with Agent("any", endpoint=endpoint, tools=[pay], **options) as agent:
            events = [event async for event in agent.stream("Pay.")] if stream else []
            result = events[-1].result if stream else await agent.run("Pay.")
    return result, events, server.requests


async def test_a_call_beside_a_failure_does_not_run_and_the_request_is_sent_again():
    failed = completion({"content": None, "tool_calls": [CALL]}, "network_error")
    result, _, requests = await run([json_reply(failed), json_reply(completion({"content": "Whole."}))])
    assert (result.text, result.tally.tool_calls, len(requests)) == ("Whole.", 0, 2)


async def test_a_notice_tells_of_a_word_that_is_not_known():
    chunk = {"choices": [{"index": 0, "delta": {"content": "Paid."}, "finish_reason": "zebra"}]}
    result, events, _ = await run([sse_reply([("", chunk), ("", "[DONE]")])], stream=True)
    assert result.stop_reason == "answered"
    (notice,) = (event for event in events if isinstance(event, Notice))
    assert (notice.topic, "'zebra'" in notice.text) == ("warning", True)


async def test_a_notice_is_given_once_in_a_run():
    paying = [{"choices": [{"delta": {"tool_calls": [CALL]}, "finish_reason": "zebra"}]}] * 2
    done = {"choices": [{"delta": {"content": "Paid."}, "finish_reason": "zebra"}]}
    script = [sse_reply([("", chunk), ("", "[DONE]")]) for chunk in (*paying, done)]
    result, events, _ = await run(script, stream=True)
    assert (result.text, sum(isinstance(event, Notice) for event in events)) == ("Paid.", 1)


@pytest.mark.parametrize("pieces", [["Pa", "id."], ["Oslo is", "Oslo is it."], ["Paid."]])
async def test_text_in_a_last_event_that_is_not_finished_is_shown(pieces):
    *before, last = pieces
    chunks = [{"choices": [{"delta": {"content": piece}}]} for piece in before]
    chunks.append({"choices": [{"delta": {"content": last}, "finish_reason": "stop"}]})
    data = b"\n\n".join(b"data: " + json.dumps(chunk).encode() for chunk in chunks)
    result, events, _ = await run([Reply((data,), content_type="text/event-stream")], stream=True)
    shown = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert shown == result.text == ("Paid." if pieces[-1] != "Oslo is it." else "Oslo is it.")


# --- tokens ---

READ = Usage(30, 12, 42)
COUNTED = {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        {"usage": COUNTED},
        {"x_groq": {"id": "req_1", "usage": COUNTED}},
        {"usage": None, "x_groq": {"usage": COUNTED}},
        {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, "x_groq": {"usage": COUNTED}},
        {"choices": [{"index": 0, "usage": COUNTED}]},
        {"usage": {name: str(count) for name, count in COUNTED.items()}},
        {"usage": {name: float(count) for name, count in COUNTED.items()}},
        {"usage": {name: f" {count}.0" for name, count in COUNTED.items()}},
        {"usage": {"input_tokens": 0, "prompt_tokens": 30, "completion_tokens": "12", "total_tokens": 42.0}},
        {"usage": {"promptTokens": 30, "completionTokens": 12, "totalTokens": 42}},
        {"usage": {**COUNTED, "total_tokens": 7}},
        {"usageMetadata": {"promptTokenCount": 30, "candidatesTokenCount": 12, "totalTokenCount": 42}},
    ],
)
def test_tokens_are_counted_wherever_they_stand_and_in_any_type(fields, stream):
    choice = {"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}
    extra = fields.get("choices", [{}])[0]
    if not stream:
        body = {**fields, "choices": [{**choice, **extra}]}
        assert ChatCompletions().decode(json.dumps(body).encode()).usage == READ
        return
    decoder = ChatCompletions().decoder()
    for chunk in ({"choices": [choice]}, {"choices": [], **fields}):
        decoder.feed(b"data: %b\n\n" % json.dumps(chunk).encode())
    assert decoder.close().usage == READ


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("usage", [COUNTED, {"input_tokens": "30", "output_tokens": 12.0, "total_tokens": 42}])
def test_tokens_of_a_response_are_counted_in_any_type(usage, stream):
    assert respond(stream=stream, usage=usage).usage == READ


def test_tokens_beside_the_response_of_the_last_event_count():
    decoder = NativeResponses().decoder()
    event = {"type": "response.completed", "response": {"output": [], "usage": None}, "usage": COUNTED}
    decoder.feed(b"data: %b\n\n" % json.dumps(event).encode())
    assert decoder.close().usage == READ


def test_the_last_count_of_a_stream_counts_and_a_zero_takes_nothing_away():
    counts = [{"prompt_tokens": 30, "completion_tokens": 1}, {"completion_tokens": 12}, {"prompt_tokens": 0}]
    decoder = ChatCompletions().decoder()
    for usage in counts:
        chunk = {"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}], "usage": usage}
        decoder.feed(b"data: %b\n\n" % json.dumps(chunk).encode())
    assert decoder.close().usage == Usage(30, 12)


@pytest.mark.parametrize("count", ["many", "9" * 40, 1e300, float("inf"), -3, True, [7], {"n": 7}, None])
def test_what_is_no_number_of_tokens_is_not_counted(count):
    assert chat({"content": "Hi"}, "stop", stream=False).usage == Usage()
    body = completion({"content": "Hi"}, usage={"prompt_tokens": count, "total_tokens": count})
    assert ChatCompletions().decode(json.dumps(body).encode()).usage == Usage()


@pytest.mark.parametrize("usage", [{"total_tokens": "600"}, {"prompt_tokens": 599.0, "completion_tokens": 1.0}])
async def test_a_limit_of_tokens_holds_for_odd_counts(usage):
    def answer(_request) -> Reply:
        return json_reply(completion({"tool_calls": [CALL]}, "tool_calls", usage=usage))

    result, _, requests = await run(answer, limits=Limits(tokens=1000))
    assert (result.stop_reason, len(requests)) == ("token_limit", 3)

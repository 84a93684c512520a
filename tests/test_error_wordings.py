"""Errors in the shapes and the words of many servers: their class, their words and the wait that they ask for."""

import json

import pytest

from agentloop import Agent, AuthenticationError, ContextOverflowError, Endpoint, NotFoundError, Profile, ServerError
from agentloop.errors import RefusedError
from agentloop.wire.profile.failures import read_error
from agentloop.wire.profile.refusals import Sent, draw_lessons
from loopback import Loopback, Reply, error_reply, json_reply, sse_reply, text_body
from ways import Way, both_wires, closing, ours, streaming

WORDS = "the kettle is empty"
SHAPES = {
    "an object under `detail`": {"detail": {"msg": WORDS}},
    "a capital letter": {"Message": WORDS, "__type": "InternalFailure"},
    "a capital `Error`": {"Error": {"Code": "Kettle", "Message": WORDS}},
    "an errorMessage": {"errorMessage": WORDS, "errorType": "Kettle"},
    "an error_message": {"error_message": WORDS},
    "an errmsg": {"ret": -1, "errmsg": WORDS},
    "an err": {"errno": 3, "err": WORDS},
    "a fault": {"fault": {"faultstring": WORDS, "detail": {"errorcode": "kettle.Empty"}}},
}


@both_wires
@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES)
def test_a_body_that_only_says_what_failed_is_an_error(way: Way, body):
    with way.serving([json_reply(body)], endpoint={"retries": 0}) as (agent, _), ours(ServerError, WORDS):
        way.ask(agent)


@streaming
@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES)
def test_such_an_event_is_an_error_after_half_a_text_too(way: Way, body):
    reply = sse_reply([*way.stream_of(text_body("The tea is"))[:-3], ("", body)])
    with way.serving([reply]) as (agent, _), ours(ServerError, WORDS):
        way.ask(agent)


@streaming
@pytest.mark.parametrize(
    ("data", "words"), [(f'event: error\ndata: "{WORDS}"\n\n', WORDS), ("event: error\ndata:\n\n", "gave no reason")]
)
def test_an_error_event_may_hold_a_text_in_quotes_or_nothing(way: Way, data, words):
    reply = Reply((data.encode(),), content_type="text/event-stream")
    with way.serving([reply], endpoint={"retries": 0}) as (agent, _), ours(ServerError, words):
        way.ask(agent)


@pytest.mark.parametrize(
    "words",
    [
        "Context window is full",
        "too many tokens: total 9120 > 8192",
        "Total tokens exceed max sequence length 4096",
        "request too large: 70,500 tokens, limit 65536",
        "n_prompt_tokens 9120 > n_ctx 4096",
        "ValueError: prompt longer than max_model_len (4096)",
        "input_length (9120) > max_input_length 4096",
        "Sequence length 5120 > 4096",
        "the messages made 9120 tokens but context is 8192",
        "prompt (9120 tokens) + new tokens > max model length",
        "max context is 8192 tokens, got 9120",
        "your prompt holds 9120 tokens, more than the 8192 supported",
        "this conversation exceeds the model's window of 8192 tokens",
        "it exceeds the model's maximum input limit of 8192 tokens",
        "上下文长度超过限制",
        "输入过长",
    ],
)
def test_more_words_for_a_conversation_that_is_too_long(words):
    assert type(_read(400, {"error": {"message": words}})) is ContextOverflowError


@pytest.mark.parametrize(
    "words",
    [
        "max_tokens 超过限制",
        "failed to allocate n_ctx",
        "max_tokens must be less than max_model_len",
        "the image is full of context",
        "the list has 3 tokens more than one",
        "the window of the search is full",
    ],
)
def test_words_about_something_else_are_no_overflow(words):
    assert type(_read(400, {"error": {"message": words}})) is RefusedError


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ({"parameters": {"retry_after": 3}, "message": "slow down"}, {}, 3.0),
        ({"error": {"message": "slow down", "data": {"retry_after": "4s"}}}, {}, 4.0),
        ({"error": {"message": "slow down", "extra": {"retryAfterMs": 250}}}, {}, 0.25),
        ({"message": "Please try again later in 30 seconds"}, {}, 30.0),
        ({"message": "next request allowed in 4 s"}, {}, 4.0),
        ({"message": "slow down"}, {"X-Retry-After": "8"}, 8.0),
        ({"message": "slow down"}, {"x-ms-retry-after-ms": "700"}, 0.7),
        ({"message": "slow down"}, {"x-retry-after": "8", "retry-after": "5"}, 5.0),
    ],
)
def test_more_places_and_words_for_a_wait(body, headers, seconds):
    assert _read(429, body, headers).retry_after == seconds


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "Authentication failed"}, AuthenticationError),
        ({"message": "the token has expired"}, AuthenticationError),
        ({"message": "`tea-7b` is gone", "code": "model_decommissioned"}, NotFoundError),
        ({"message": "The model `tea-7b` is no longer supported"}, NotFoundError),
        ({"message": "model tea-7b has been retired, use tea-8b"}, NotFoundError),
        ({"message": "Unsupported model: tea-7b"}, NotFoundError),
        ({"message": "this model does not take the parameter top_k any more"}, RefusedError),
    ],
)
def test_a_400_may_be_about_the_key_or_the_model(error, kind):
    assert type(_read(400, {"error": error})) is kind


@pytest.mark.parametrize("words", ["the stream option must be enabled", "no sync calls for this model, use streaming"])
def test_more_words_of_a_server_that_only_streams(words):
    with Loopback.in_thread([error_reply(400, words), text_body("hi")]) as server:
        with closing(Agent("any", endpoint=Endpoint(server.base_url))) as agent:
            assert agent.run_sync("go").text == "hi"
        assert [request.json["stream"] for request in server.requests] == [False, True]


@streaming
def test_arguments_that_begin_as_null_are_those_that_follow(way: Way):
    deltas = [
        {"index": 0, "id": "call_1", "function": {"name": "pour", "arguments": text}}
        for text in ("null", '{"cups": 2}')
    ]
    chunks = [("", {"choices": [{"index": 0, "delta": {"tool_calls": [delta]}}]}) for delta in deltas]
    end = ("", {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    poured = []

    def pour(cups: int) -> str:
        """Pour tea."""
        poured.append(cups)
        return "done"

    with Loopback.in_thread([sse_reply([*chunks, end, ("", "[DONE]")]), text_body("hi")]) as server:
        endpoint = Endpoint(server.base_url, profile=Profile(route="chat"))
        with closing(Agent("any", endpoint=endpoint, tools=[pour])) as agent:
            way.ask(agent)
    assert poured == [2]


def test_json_that_quotes_a_web_page_is_still_read():
    page = "<html><title>502 Bad Gateway</title></html>"
    error = _read(400, {"error": {"message": "the provider failed", "code": 502, "metadata": {"raw": page}}})
    assert error.message == "the endpoint answered 400: the provider failed: a web page, '502 Bad Gateway'"


def test_a_list_behind_a_number_is_read_without_its_brackets():
    text = f"400: {json.dumps([{'type': 'kettle', 'msg': WORDS}])}"
    assert _read(400, {"message": text}).message == f"the endpoint answered 400: 400: {WORDS}"


def test_the_type_of_a_detail_is_no_code():
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3s"}]
    assert _read(429, {"error": {"message": WORDS, "status": "BUSY", "details": details}}).code == ""


def _read(status, body, headers=None):
    return read_error(status, headers or {}, json.dumps(body).encode())


@streaming
@pytest.mark.parametrize("word", ["connected", "[PROCESSING]", "waiting...", "noop", "Still alive", "queued"])
def test_a_word_that_shows_that_the_server_works_is_skipped(way: Way, word):
    events = [("", word), *way.stream_of(text_body("hi there"))]
    with way.serving([sse_reply(events)], endpoint={"retries": 0}) as (agent, _):
        assert way.ask(agent).text == "hi there"


@pytest.mark.parametrize(
    "words", ["parallel tool calls are not supported by this model", "`tool_choice` none is not allowed with tools"]
)
def test_refusing_one_use_of_tools_teaches_this_run_alone(words):
    error = _read(400, {"error": {"message": words}})
    sent = Sent({"tools": [{"type": "function"}]}, has_results=True)
    [lesson] = draw_lessons(error, Profile(route="chat"), sent)
    assert (lesson.field, lesson.is_passing) == ("tool_calling", True)

"""Replies that say under the status 200 that the request failed, and waits that a server asks for, on the wire."""

import json

import pytest

from agentloop import (
    AuthenticationError,
    ContextOverflowError,
    EndpointError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    ReplyError,
    Retrying,
    ServerError,
)
from agentloop.endpoint.transport import retry
from loopback import Reply, error_reply, json_reply, sse_reply, text_body
from ways import Way, both_wires, each_route, ours, streaming

WORDS = "the teapot fell off the shelf"
SHAPES = {
    "an object `error`": ({"object": "error", "message": WORDS, "type": "BadRequestError", "code": 400}, RefusedError),
    "a type `error`": ({"type": "error", "message": WORDS, "code": "model_not_found"}, NotFoundError),
    "an error text": ({"error": WORDS, "code": 401}, AuthenticationError),
    "an error inside an error": (
        {"error": {"message": {"error": {"message": WORDS, "code": 403}}}},
        AuthenticationError,
    ),
    "a detail": ({"detail": WORDS}, ServerError),
    "a list of details": ({"detail": [{"loc": ["body"], "msg": WORDS, "type": "missing"}]}, ServerError),
    "a message": ({"message": WORDS, "code": 422}, RefusedError),
    "a code and a msg": ({"code": 1305, "msg": WORDS}, ServerError),
    "a status and a message": ({"status": "error", "message": WORDS}, ServerError),
    "a failed base_resp": ({"choices": None, "base_resp": {"status_code": 1008, "status_msg": WORDS}}, RefusedError),
    "errors": ({"success": False, "errors": [{"code": 400, "message": WORDS}]}, RefusedError),
    "a content filter": ({"error": {"code": "content_filter", "message": WORDS}}, RefusedError),
    "JSON in a message": (
        {"error": {"message": json.dumps({"error": {"message": WORDS, "code": "invalid_api_key"}})}},
        AuthenticationError,
    ),
    "an array": ([{"error": {"code": 503, "message": WORDS}}], ServerError),
    "JSON as a text": (json.dumps({"error": {"code": 403, "message": WORDS}}), AuthenticationError),
    "an overflow": ({"message": f"{WORDS}: prompt is too long: 9 tokens > 8 maximum"}, ContextOverflowError),
}
every_shape = pytest.mark.parametrize(("body", "kind"), SHAPES.values(), ids=SHAPES)


@both_wires
@every_shape
def test_an_error_as_a_whole_body_tells_the_servers_words(way: Way, body, kind):
    with way.serving([json_reply(body)], endpoint={"retries": 0}) as (agent, server), ours(kind, WORDS):
        way.ask(agent)
    assert len(server.requests) == 1


@streaming
@every_shape
def test_an_error_in_a_stream_tells_them_too(way: Way, body, kind):
    for name in ("", "error"):
        reply = sse_reply([(name, json.dumps(body)), ("", "[DONE]")])
        with way.serving([reply], endpoint={"retries": 0}) as (agent, _), ours(kind, WORDS):
            way.ask(agent)


@streaming
def test_an_error_after_half_a_text_is_no_answer(way: Way):
    half = way.stream_of(text_body("The reasons are"))[:-2]
    reply = sse_reply([*half, ("", {"detail": WORDS}), ("", "[DONE]")])
    with way.serving([reply]) as (agent, server), ours(ServerError, WORDS):
        way.ask(agent)
    assert len(server.requests) == 1


@streaming
@pytest.mark.parametrize(
    ("data", "match"),
    [
        (f"error: {json.dumps({'error': {'message': WORDS, 'code': 500}})}\n\n", WORDS),
        (f"error: {WORDS}\n\n", WORDS),
        (f"event: error\ndata: {WORDS}\n\n", WORDS),
        ("event: error\nid: 7\n\n", "gave no reason"),
        ("event: error\n\ndata: [DONE]\n\n", "gave no reason"),
        ("event: error", "gave no reason"),
    ],
)
def test_a_field_or_an_event_called_error_ends_the_reply(way: Way, data, match):
    reply = Reply((data.encode(),), content_type="text/event-stream")
    with way.serving([reply], endpoint={"retries": 0}) as (agent, server), ours(ServerError, match):
        way.ask(agent)
    assert len(server.requests) == 1


@pytest.fixture(autouse=True)
def without_jitter(monkeypatch):
    """Let no wait be longer than what the server asks for; the tests of the transport have jitter."""
    monkeypatch.setattr(retry, "JITTER_SECONDS", 0)


@streaming
@pytest.mark.parametrize("text", [WORDS, f"{WORDS}\n\nmore", f'"{WORDS}"'])
def test_a_text_in_place_of_a_stream_is_quoted(way: Way, text):
    reply = Reply((text.encode(),), content_type="text/plain")
    with way.serving([reply], endpoint={"retries": 0}) as (agent, _), pytest.raises(ReplyError, match=WORDS):
        way.ask(agent)


@both_wires
def test_a_response_that_failed_says_why_where_it_can(way: Way):
    reply = json_reply({"status": "failed", "error": None, "message": WORDS, "output": []})
    with way.serving([reply], endpoint={"retries": 0}) as (agent, _), ours(ServerError, WORDS):
        way.ask(agent)


@each_route
def test_a_passing_failure_in_a_reply_is_sent_again(way: Way):
    failure = json_reply({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "retry in 1ms"}})
    with way.serving([failure, text_body("hi")]) as (agent, server):
        assert way.ask(agent).text == "hi"
    assert len(server.requests) == 2


@streaming
@pytest.mark.parametrize(
    "reply",
    [
        json_reply([{"error": {"code": 429, "details": [{"retryDelay": "0.010s"}]}}], 429),
        error_reply(429, "Please try again in 10ms."),
        json_reply({"message": "slow down", "retry_after_ms": 10}, 429),
        error_reply(429, headers={"x-ratelimit-reset-requests": "10ms", "x-ratelimit-remaining-requests": "0"}),
        error_reply(503, "overloaded, retry after 0.01 seconds"),
        sse_reply([("", {"error": {"code": 429, "message": "try again in 10ms"}})]),
    ],
)
def test_the_wait_that_a_server_asks_for_is_kept_once(way: Way, reply):
    events = []
    with way.serving([reply, text_body("hi")]) as (agent, server):
        assert way.ask(agent, events=events).text == "hi"
    [retrying] = [event for event in events if isinstance(event, Retrying)]
    assert retrying.seconds == 0.01
    assert len(server.requests) == 2


@each_route
@pytest.mark.parametrize(
    "reply",
    [
        error_reply(429, "Limit reached for requests per day. Please try again in 1h2m3s."),
        error_reply(429, headers={"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}),
        error_reply(429, headers={"x-ratelimit-reset": "4102444800"}),
        json_reply(
            {"error": {"message": "no more today", "metadata": {"headers": {"X-RateLimit-Reset": "4102444800000"}}}},
            429,
        ),
    ],
)
def test_a_wait_of_an_hour_ends_the_run_at_once_and_is_told(way: Way, reply):
    with way.serving([reply]) as (agent, server), ours(RateLimitedError, r"asks for a wait of \d+ s") as raised:
        way.ask(agent)
    assert isinstance(raised.value, EndpointError)
    assert raised.value.retry_after is not None
    assert raised.value.retry_after > 3600
    assert len(server.requests) == 1


@each_route
def test_a_date_that_is_over_is_no_wait(way: Way):
    busy = error_reply(429, headers={"retry-after": "Wed, 01 Jan 2020 00:00:00 GMT"})
    with way.serving([busy, text_body("hi")]) as (agent, _):
        assert way.ask(agent).text == "hi"

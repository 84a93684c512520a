import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop.errors import (
    AuthenticationError,
    ContextOverflowError,
    EndpointError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    ReplyError,
    ServerError,
)
from agentloop.wire.profile.failures import not_a_reply, read_error, read_failure
from any_json import any_json

NO_TOOLS = "feature 'tool calls' is not currently supported"


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"error": {"message": "no", "code": "bad", "type": "worse"}}, "no", "bad"),
        ({"error": {"message": "no", "code": None, "type": "invalid_request_error"}}, "no", "invalid_request_error"),
        ({"error": {"message": "no", "code": 400}}, "no", "400"),
        ({"error": "no"}, "no", ""),
        ({"error": "no", "code": "bad"}, "no", "bad"),
        ({"message": NO_TOOLS}, NO_TOOLS, ""),
        ({"detail": "no"}, "no", ""),
        (
            {"detail": [{"loc": ["body", "input", 0], "msg": "Field required", "type": "missing"}]},
            "body.input.0: Field required",
            "missing",
        ),
        ({"detail": [{"msg": "Field required"}]}, "Field required", ""),
        ([{"error": {"message": "no", "code": 400}}], "no", "400"),
        ({"error": {"message": json.dumps({"error": {"message": "no", "code": "bad"}})}}, "no", "bad"),
        (json.dumps(json.dumps({"message": "no"})), "no", ""),
        ({"error": {"message": '{"no'}}, '{"no', ""),
        ({"type": "error", "error": {"message": "no"}}, "no", ""),
        ({"error": {"reason": "unknown"}}, '{"error": {"reason": "unknown"}}', ""),
        ({"code": True, "message": "no"}, "no", ""),
    ],
)
def test_each_shape_of_error_body_gives_its_message_and_code(body, message, code):
    error = read_error(400, {}, json.dumps(body).encode())
    assert type(error) is RefusedError
    assert (error.message, error.code, error.status) == (f"the endpoint answered 400: {message}", code, 400)
    assert error.hint


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<!DOCTYPE html><html><head><title>502\n Bad Gateway</title>", "502: a web page, '502 Bad Gateway'"),
        (b"<html>nothing", "502: a web page"),
        (b"<html><title> </title>", "502: a web page"),
        (b" upstream gone ", "502: upstream gone"),
        (b"\xff", "502: \ufffd"),
        (b"", "502 and gave no reason"),
        (b"{}", "502 and gave no reason"),
        (b"null", "502 and gave no reason"),
        (b"x" * 5000, "502: " + "x" * 1000 + "..."),
    ],
)
def test_bodies_that_are_no_json_are_quoted_briefly(body, message):
    assert read_error(502, {}, body).message == f"the endpoint answered {message}"


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (400, RefusedError, "its message"),
        (401, AuthenticationError, "key"),
        (402, RefusedError, "billing"),
        (403, AuthenticationError, "rights"),
        (404, NotFoundError, "base_url"),
        (405, RefusedError, 'route="chat"'),
        (413, RefusedError, "too large"),
        (422, RefusedError, "its message"),
        (429, RateLimitedError, "wait"),
        (500, ServerError, "server has a problem"),
        (501, ServerError, 'route="chat"'),
        (503, ServerError, "server has a problem"),
        (307, ReplyError, "redirect"),
    ],
)
def test_the_status_decides_the_kind_of_error_and_what_to_do(status, kind, hint):
    error = read_error(status, {}, b'{"message": "no"}')
    assert type(error) is kind
    assert hint in error.hint
    assert error.status == status


@pytest.mark.parametrize(
    "message",
    [
        {"type": "exceed_context_size_error", "message": "request (4031 tokens) exceeds the available context size"},
        {"code": "context_length_exceeded", "message": "too long"},
        "This model's maximum context length is 8192 tokens",
        "max_tokens must be at least 1, got -17032",
        "prompt is too long: 9 tokens > 8 maximum",
    ],
)
def test_a_conversation_that_is_too_long_is_told_from_other_refusals(message):
    body = json.dumps({"error": message}).encode()
    assert type(read_error(400, {}, body)) is ContextOverflowError
    assert type(read_error(500, {}, body)) is ContextOverflowError
    assert type(read_error(429, {}, body)) is RateLimitedError
    assert type(read_failure(json.loads(body))) is ContextOverflowError


def test_a_missing_feature_is_named_in_the_servers_words_and_has_its_own_hint():
    error = read_error(400, {}, json.dumps({"message": NO_TOOLS}).encode())
    assert NO_TOOLS in error.message
    assert "lacks the feature" in error.hint


def test_a_used_up_quota_is_no_rate_limit_though_its_status_says_so():
    body = b'{"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}'
    error = read_error(429, {}, body)
    assert type(error) is RefusedError
    assert (error.status, error.code) == (429, "insufficient_quota")
    assert "billing" in error.hint


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"retry-after-ms": "soon", "Retry-After": "1"}, 1.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Date": "Mon, 23 Nov 2026 10:00:00 GMT", "Retry-After": "Mon, 23 Nov 2026 10:01:30 GMT"}, 90.0),
        ({"Date": "Mon, 23 Nov 2026 10:00:00 GMT", "Retry-After": "Mon, 23 Nov 2026 09:00:00 GMT"}, 0.0),
        ({"Date": "Mon, 23 Nov 2026 10:00:00", "Retry-After": "Mon, 23 Nov 2026 10:00:00 GMT"}, None),
        ({"Retry-After": "Mon, 23 Nov 2026 10:01:30 GMT"}, None),
    ],
)
def test_how_long_to_wait_is_read_from_the_headers(headers, seconds):
    assert read_error(429, headers, b"").retry_after == seconds


@pytest.mark.parametrize(
    ("payload", "kind", "code"),
    [
        ({"error": {"message": "no"}}, ServerError, ""),
        ({"message": "no", "code": "server_error"}, ServerError, "server_error"),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "no"}, RateLimitedError, "rate_limit_exceeded"),
        (
            {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}},
            RefusedError,
            "invalid_request_error",
        ),
        ({"error": {"code": 429, "message": "no"}}, RateLimitedError, "429"),
        ({"error": {"code": 503, "message": "no"}}, ServerError, "503"),
        ({"error": {"code": "insufficient_quota", "message": "no"}}, RefusedError, "insufficient_quota"),
        ("no", ServerError, ""),
    ],
)
def test_a_failure_under_a_status_of_200_is_classified_by_its_code(payload, kind, code):
    error = read_failure(payload)
    assert type(error) is kind
    assert (error.message, error.code, error.status) == ("the endpoint failed while it answered: no", code, None)


def test_a_failure_without_words_says_so():
    assert read_failure(None).message == "the endpoint failed while it answered and gave no reason"


def test_a_body_that_is_no_reply_is_quoted():
    assert not_a_reply(b"<html><title>Sign in</title>", "JSON").message.endswith("not JSON: a web page, 'Sign in'")
    assert not_a_reply(b"", "JSON").message.endswith("not JSON: nothing")


@given(st.integers(100, 599), st.dictionaries(st.sampled_from(["retry-after", "date"]), st.text()), st.binary())
def test_any_bytes_make_an_endpoint_error(status, headers, body):
    assert isinstance(read_error(status, headers, body), EndpointError)


@given(any_json("error message detail code type loc msg"))
def test_any_json_makes_an_endpoint_error(payload):
    assert isinstance(read_error(400, {}, json.dumps(payload).encode()), EndpointError)
    assert isinstance(read_failure(payload), EndpointError)

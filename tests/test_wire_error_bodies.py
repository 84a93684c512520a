"""What an error says, in whatever shape it comes: its words, its kind, and how long to wait."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop.errors import (
    AuthenticationError,
    ContextOverflowError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    ServerError,
)
from agentloop.wire.profile.error_body import first_object, is_failure, read_error_body
from agentloop.wire.profile.failures import not_a_reply, read_error, read_failure
from any_json import any_json

NOW = 1795600801.0  # 2026-11-25T10:00:01Z
WORDS = "the kettle is empty"
UPSTREAM = json.dumps({"error": {"message": WORDS, "type": "kettle_error", "code": "empty_kettle"}})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": UPSTREAM, "provider_name": "P"}}},
            f"Provider returned error: {WORDS}",
        ),
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": WORDS}}},
            f"Provider returned error: {WORDS}",
        ),
        ({"error": {"message": "upstream failed", "cause": {"message": WORDS}}}, f"upstream failed: {WORDS}"),
        ({"error": {"message": "upstream failed", "cause": WORDS}}, f"upstream failed: {WORDS}"),
        ({"error": {"code": "x", "innererror": {"code": "y", "message": WORDS}}}, WORDS),
        ({"error": {"message": "bad", "inner_error": {"message": WORDS}}}, f"bad: {WORDS}"),
        ({"error": {"message": "bad", "details": [{}, {"message": WORDS}, {"message": "more"}]}}, f"bad: {WORDS}"),
        (
            {"error": {"message": f"litellm.BadRequestError: OpenAIException - {UPSTREAM}. Received Model Group=m"}},
            f"litellm.BadRequestError: OpenAIException: {WORDS}: Received Model Group=m",
        ),
        ({"detail": {"error": json.dumps(UPSTREAM)}}, WORDS),
        (f"event: error\ndata: {UPSTREAM}\n\n", WORDS),
        (f"data: {UPSTREAM}", WORDS),
        (f"error: {UPSTREAM}", WORDS),
        ({"statusCode": 400, "error": "Bad Request", "message": [WORDS, "more"]}, f"Bad Request: {WORDS}"),
        ({"title": "One or more faults", "errors": {"message": WORDS}}, f"One or more faults: {WORDS}"),
        ({"Message": WORDS, "message": WORDS}, WORDS),
        ({"error": {"message": f"short: {WORDS}"}, "message": WORDS}, f"short: {WORDS}"),
        ({"error": WORDS, "message": f"long: {WORDS}"}, f"long: {WORDS}"),
        ({"message": f"long: {WORDS}", "error": {"message": WORDS}}, f"long: {WORDS}"),
        ({"success": False, "errors": [{"code": 5021, "message": WORDS}]}, WORDS),
        ({"choices": None, "base_resp": {"status_code": 1008, "status_msg": WORDS}}, WORDS),
        ({"error": {"message": "must be one of [1, 2] {or} 3"}}, "must be one of [1, 2] {or} 3"),
        ({"error": {"message": '["a", "b"] is what it must be'}}, '["a", "b"] is what it must be'),
        ({"error": {"message": 'refused: {"a": 1}'}}, 'refused: {"a": 1}'),
        ({"message": "\ud800 half"}, "? half"),
        ({"detail": [{"loc": [["x"], "body"], "msg": WORDS}]}, f"body: {WORDS}"),
        ({"detail": [{"loc": ["body"], "msg": WORDS, "input": {"message": "what a user said"}}]}, f"body: {WORDS}"),
    ],
)
def test_the_words_are_read_from_the_outside_in(body, message):
    raw = (body if isinstance(body, str) else json.dumps(body)).encode()
    assert read_error_body(raw).message == message


def test_the_innermost_code_and_type_are_kept_and_all_of_them_are_known():
    read = read_error_body(json.dumps({"code": 400, "type": "proxy_error", "error": UPSTREAM}).encode())
    assert (read.code, read.kind) == ("empty_kettle", "kettle_error")
    assert read.codes == ("400", "proxyerror", "emptykettle", "kettleerror")


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":' * 5000,
        b"[" * 60_000,
        b'{"message": "' + b"{" * 60_000,
        json.dumps({"errors": [{"message": {"error": [{"detail": [{"cause": "x"}] * 50}] * 50}}] * 50}).encode(),
        b"<html>" + b"<title>" * 9000,
        b"feature '" * 7000,
        b"max " * 16_000,
        b"again in " * 7000,
        b"1h" * 30_000,
        b"x" * 30_000_000,
    ],
)
def test_a_hostile_body_costs_little(body):
    error = read_error(400, {}, body)
    assert len(error.message) < 1100


def test_no_level_and_no_entry_is_read_beyond_a_limit():
    deep: object = WORDS
    for _ in range(30):
        deep = {"error": deep}
    wide = [{"detail": [{"cause": "x"}] * 10}] * 10
    assert read_error_body(deep).message.startswith('{"error":')
    assert (
        read_error_body(
            {"details": {"errors": wide, "cause": wide, "error": wide, "exception": {"message": WORDS}}}
        ).message
        == "x"
    )


@pytest.mark.parametrize(
    ("status", "body", "kind", "hint"),
    [
        (
            400,
            {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: ab***yz."},
            AuthenticationError,
            "key",
        ),
        (
            400,
            [
                {
                    "error": {
                        "code": 400,
                        "message": "API key not valid. Please pass a valid API key.",
                        "details": [{"reason": "API_KEY_INVALID"}],
                    }
                }
            ],
            AuthenticationError,
            "key",
        ),
        (400, {"error": {"message": "no such thing", "code": "model_not_found"}}, NotFoundError, "name"),
        (400, {"error": {"message": "Model Not Exist", "type": "invalid_request_error"}}, NotFoundError, "name"),
        (400, {"error": {"message": "foo/bar is not a valid model ID", "code": 400}}, NotFoundError, "name"),
        (
            400,
            {
                "error": {
                    "message": "filtered",
                    "code": "content_filter",
                    "innererror": {"code": "ResponsibleAIPolicyViolation"},
                }
            },
            RefusedError,
            "filter",
        ),
        (
            400,
            {"code": "DataInspectionFailed", "message": "Output data may contain inappropriate content."},
            RefusedError,
            "filter",
        ),
        (
            403,
            {"error": {"message": "This prompt was flagged", "metadata": {"reasons": ["violence"]}}},
            RefusedError,
            "filter",
        ),
        (
            403,
            {
                "error": {
                    "message": "Country, region, or territory not supported",
                    "code": "unsupported_country_region_territory",
                }
            },
            RefusedError,
            "country",
        ),
        (403, b"<!DOCTYPE html><html><head><title>Attention Required!</title>", RefusedError, "bot check"),
        (403, b"error code: 1020", RefusedError, "bot check"),
        (404, b"<html><title>404 Not Found</title>", NotFoundError, "base_url"),
        (403, {"error": {"message": "this key may not use it"}}, AuthenticationError, "rights"),
        (403, {"error": {"message": "API rate limit exceeded"}}, RateLimitedError, "wait"),
        (
            429,
            {"error": {"code": "1113", "message": "Insufficient balance or no resource package."}},
            RefusedError,
            "billing",
        ),
        (
            429,
            [
                {
                    "error": {
                        "code": 429,
                        "message": "You exceeded your current quota, please check your plan and billing details.",
                        "status": "RESOURCE_EXHAUSTED",
                    }
                }
            ],
            RateLimitedError,
            "wait",
        ),
        (
            502,
            {"error": {"message": "Provider returned error", "metadata": {"raw": "Invalid API key"}}},
            AuthenticationError,
            "key",
        ),
        (
            413,
            {
                "error": {
                    "message": "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 9000",
                    "type": "tokens",
                    "code": "rate_limit_exceeded",
                }
            },
            RefusedError,
            "minute",
        ),
        (
            429,
            {"error": {"message": "Request too large for m on tokens per min (TPM): Limit 30000, Requested 40000."}},
            RefusedError,
            "minute",
        ),
        (
            403,
            {"code": "The caller does not have permission", "error": "Your team doesn't have any credits yet."},
            RefusedError,
            "billing",
        ),
        (400, {"error": {"message": "Budget has been exceeded!", "type": "budget_exceeded"}}, RefusedError, "billing"),
        (400, {"object": "error", "message": "Invalid model: foo", "code": "1500"}, NotFoundError, "name"),
        (
            400,
            {
                "error": {
                    "message": "maximum context length is 65536 tokens. However, you requested about 70000 tokens "
                    "(4464 of text input, 65536 in the output)."
                }
            },
            RefusedError,
            "max_output_tokens",
        ),
        (400, {"error": {"message": "the valid range of max_tokens is [1, 8192]"}}, RefusedError, "max_output_tokens"),
        (
            400,
            {
                "error": {
                    "message": "max_tokens is too large: 100000. This model supports at most 16384 completion tokens"
                }
            },
            RefusedError,
            "max_output_tokens",
        ),
        (503, b"<html><title>503 Service Unavailable</title>", ServerError, "later"),
    ],
)
def test_the_true_cause_is_told_where_the_status_hides_it(status, body, kind, hint):
    error = read_error(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert (type(error), error.status) == (kind, status)
    assert hint in error.hint


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"object": "error", "message": WORDS, "type": "BadRequestError", "code": 400}, RefusedError),
        ({"object": "error", "message": WORDS, "type": "NotFoundError", "code": 404}, NotFoundError),
        ({"message": WORDS, "code": "model_not_found"}, NotFoundError),
        ({"error": {"status": "UNAVAILABLE", "message": WORDS}}, ServerError),
        ({"error": {"status": "PERMISSION_DENIED", "message": WORDS}}, AuthenticationError),
        ({"base_resp": {"status_code": 1002, "status_msg": WORDS}}, RateLimitedError),
        ({"base_resp": {"status_code": 1004, "status_msg": WORDS}}, AuthenticationError),
        ({"base_resp": {"status_code": 1008, "status_msg": WORDS}}, RefusedError),
        ({"base_resp": {"status_code": 1013, "status_msg": WORDS}}, ServerError),
        (
            {"error": {"code": 400, "message": "failed", "metadata": {"raw": {"type": "rate_limit_error"}}}},
            RateLimitedError,
        ),
        ({"error": {"code": "content_filter", "message": WORDS}}, RefusedError),
        ({"detail": "prompt is too long: 9 tokens > 8 maximum"}, ContextOverflowError),
        ({"code": 1302, "msg": WORDS}, ServerError),
    ],
)
def test_a_failure_inside_a_reply_is_classified_by_its_codes_and_words(payload, kind):
    assert type(read_failure(payload)) is kind


@pytest.mark.parametrize(
    "payload",
    [
        {"error": "x"},
        {"type": "error"},
        {"object": "error"},
        {"detail": "x"},
        {"detail": [{"msg": "x"}]},
        {"message": "x"},
        {"code": 1302, "msg": "x"},
        {"code": 500},
        {"success": False},
        {"errors": [{"message": "x"}]},
        {"error_msg": "x"},
        {"type": "invalid_request_error", "message": "x"},
        {"type": "kettle_problem", "message": "x", "code": 418},
        {"choices": [], "base_resp": {"status_code": 1008}},
        {"choices": [{"delta": {"content": "x"}}], "base_resp": {"status_code": 1027}},
    ],
)
def test_an_error_is_known_by_its_shape(payload):
    assert is_failure(payload)


@pytest.mark.parametrize("value", [None, [], ["x"], "x", "{x", 7])
def test_a_value_without_an_object_is_read_as_an_empty_one(value):
    assert first_object(value) == {}


@pytest.mark.parametrize("value", [{"a": 1}, [{"a": 1}, {"b": 2}], ["x", {"a": 1}], ' {"a": 1}'])
def test_the_object_of_an_event_is_found_in_an_array_or_a_text_too(value):
    assert first_object(value) == {"a": 1}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": 400, "type": "too_many_prompt_tokens"}, "too_many_prompt_tokens"),
        ({"code": "429", "type": None}, "429"),
        ({"code": "1301", "type": "x"}, "1301"),
        ({"code": "bad", "type": "x"}, "bad"),
    ],
)
def test_a_type_says_more_than_a_code_that_repeats_the_status(error, code):
    assert read_error(400, {}, json.dumps({"error": error}).encode()).code == code


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"choices": [{"delta": {"content": "x"}}], "message": "fine"},
        {"choices": [{"delta": {}}], "base_resp": {"status_code": 0, "status_msg": "success"}},
        {"choices": [], "usage": {"total_tokens": 3}},
        {"error": None, "choices": []},
        {"message": {"role": "assistant", "content": "x"}},
        {"code": 0, "msg": "success", "choices": []},
        {"code": 200, "message": "ok"},
        {"type": "response.heartbeat", "message": "alive"},
        {"type": "ping"},
        {"type": "status", "message": "searching the web"},
        {"code": "x"},
    ],
)
def test_what_is_no_error_is_not_taken_for_one(payload):
    assert not is_failure(payload)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({}, {"retry_after": 3}, 3.0),
        ({}, {"error": {"message": "slow", "retryAfter": "4"}}, 4.0),
        ({}, {"error": {"retry_after_ms": 1500}}, 1.5),
        ({}, {"error": {"details": [{"@type": "x"}, {"retryDelay": "34.074824224s"}]}}, 34.074824224),
        ({}, {"error": {"metadata": {"headers": {"X-RateLimit-Reset": "1795600891000"}}}}, 90.0),
        ({}, {"error": {"type": "usage_limit_reached", "resets_in_seconds": 77}}, 77.0),
        ({}, {"error": "Model m is currently loading", "estimated_time": 20.5}, 20.5),
        ({}, {"retryAt": "2026-11-25T10:01:01Z"}, 60.0),
        ({}, {"error": {"resets_at": 1795600831}}, 30.0),
        ({}, {"error": {"retry_after": True}}, None),
        ({}, {"message": "Please try again in 1m30s."}, 90.0),
        ({}, {"message": "Please try again in 6.5s. Visit us"}, 6.5),
        ({}, {"message": "try again in 350ms"}, 0.35),
        ({}, {"message": "Please retry in 2 minutes and 5 seconds"}, 125.0),
        ({}, {"message": "Please retry after 26 seconds."}, 26.0),
        ({}, {"message": "Please retry your request after 59 seconds"}, 59.0),
        ({}, {"message": "wait at least 20 seconds before trying again"}, 20.0),
        ({}, {"message": "Try again in about 2 hours"}, 7200.0),
        ({}, {"message": "limit reached, retry-after: 7"}, 7.0),
        ({}, {"message": "Limit resets at 2026-11-25T10:00:10Z"}, 9.0),
        ({}, {"message": "10 requests a minute. The quota of your plan resets in 12 days. Please retry in 2s."}, 2.0),
        ({}, {"retry_after": 2, "reset_at": "2026-12-25T10:00:10Z"}, 2.0),
        ({"retry-after": "2"}, {"message": "The quota of your plan resets in 12 days."}, 2.0),
        ({}, {"message": "Limit resets at 2026-11-25 11:00:10 +01:00"}, 9.0),
        ({}, {"message": "try again in a moment; 100 requests in 60 s are the most"}, None),
        ({}, {"message": "Wait 2 months"}, None),
        ({"Retry-After": "1"}, {"message": "try again in 3s"}, 3.0),
        ({"Retry-After": "Wed, 25 Nov 2026 10:00:31 GMT"}, {}, 30.0),
        ({"Retry-After": "2026-11-25T10:00:31Z"}, {}, 30.0),
        ({"Retry-After": "2 minutes"}, {}, 120.0),
        ({"Retry-After": "1795600831"}, {}, 30.0),
        (
            {
                "x-ratelimit-reset-requests": "2m59.56s",
                "x-ratelimit-remaining-requests": "14370",
                "x-ratelimit-reset-tokens": "7.66s",
                "x-ratelimit-remaining-tokens": "120",
            },
            {},
            7.66,
        ),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, {}, 360.0),
        (
            {
                "anthropic-ratelimit-requests-reset": "2026-11-25T10:00:11Z",
                "anthropic-ratelimit-requests-remaining": "0",
            },
            {},
            10.0,
        ),
        ({"X-RateLimit-Reset": "soon"}, {}, None),
        ({"x-ratelimit-reset-tokens": "9s", "retry-after": "2"}, {}, 2.0),
    ],
)
def test_how_long_to_wait_is_read_wherever_it_stands(headers, body, seconds):
    error = read_error(429, headers, json.dumps(body).encode(), now=NOW)
    assert error.retry_after == (None if seconds is None else pytest.approx(seconds))


def test_the_limits_that_come_with_every_reply_say_nothing_about_another_failure():
    assert read_error(500, {"x-ratelimit-reset-tokens": "9s"}, b"{}").retry_after is None


def test_a_failure_inside_a_reply_says_how_long_to_wait():
    error = read_failure({"error": {"code": 429, "message": "Please try again in 3s"}})
    assert (type(error), error.retry_after) == (RateLimitedError, 3.0)


def test_a_body_that_is_no_reply_is_quoted_as_it_is():
    assert not_a_reply(b'{"id": "r", "message": "x"}', "JSON").message.endswith('not JSON: {"id": "r", "message": "x"}')


@given(any_json("error message details cause retry_after code"), st.dictionaries(
    st.sampled_from(["retry-after", "x-ratelimit-reset", "x-ratelimit-remaining", "date"]), st.text()))  # fmt: skip
def test_whatever_is_read_a_wait_is_no_negative_number(payload, headers):
    wait = read_error(429, headers, json.dumps(payload).encode(), now=1e9).retry_after
    assert wait is None or wait >= 0

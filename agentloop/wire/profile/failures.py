"""Turns an endpoint's error reply into an EndpointError with a hint. This module sends and retries nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping

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
from agentloop.wire.profile.error_body import ErrorBody, read_error_body
from agentloop.wire.profile.error_causes import find_cause, status_of
from agentloop.wire.profile.overflow import find_excess
from agentloop.wire.profile.waits import find_wait

_LONGEST_QUOTE = 1000
_OVERFLOW_HINT = (
    "the conversation is longer than the model's context window: start from a shorter history or cap tool results"
)
_UNSUPPORTED = re.compile(r"feature ['\"`][^'\"`]{1,100}['\"`] is not (?:currently )?supported", re.IGNORECASE)
_UNSUPPORTED_HINT = "this model or endpoint lacks the feature: leave it out, or choose another model"
_LONG_REPLY_HINT = "the model can't write so long a reply: lower max_output_tokens"
_RETRY_HINT = "the server has a problem: try again later, or use another model"

# Statuses that have an error and a hint of their own; `_by_hundred` covers the others.
_BY_STATUS: dict[int, tuple[type[EndpointError], str]] = {
    401: (AuthenticationError, "check the key of this endpoint: it is missing, mistyped or expired"),
    402: (RefusedError, "the account has no credit left: check its billing"),
    403: (
        AuthenticationError,
        "the key is valid but may not do this: check its rights, the project and its billing",
    ),
    404: (
        NotFoundError,
        "check the model's name, capitals included, and that base_url ends where the API begins (/v1)",
    ),
    405: (RefusedError, 'the server lacks this route: try Profile(route="chat")'),
    413: (RefusedError, "the request is too large: send fewer or smaller images and cap tool results"),
    429: (RateLimitedError, "too many requests: wait, send fewer at once, or use a key with a higher limit"),
    501: (ServerError, 'the server lacks this route: try Profile(route="chat")'),
}


def read_error(status: int, headers: Mapping[str, str], body: bytes, *, now: float | None = None) -> EndpointError:
    """Return the exception for a reply with an HTTP error status.

    Args:
        status: Any status that is not a 2xx.
        headers: Those that say how long to wait are read; see `waits`.
        body: The body; `error_body` lists its known shapes.
        now: Seconds since the epoch, for a date if the reply has no `Date`.
    """
    words = read_error_body(body)
    error, hint = _classify(words, status)
    return error(
        f"the endpoint answered {status}{_quote(words)}",
        hint=hint,
        status=status,
        code=_name(words),
        retry_after=find_wait(words, headers, is_limited=error is RateLimitedError, now=now),
    )


def read_failure(payload: object) -> EndpointError:
    """Return the exception for an error in a body or an event that came with the status 200.

    Args:
        payload: The value of the body's `error` field, or the whole body.
    """
    words = read_error_body(payload)
    error, hint = _classify(words, None)
    return error(
        f"the endpoint failed while it answered{_quote(words)}",
        hint=hint,
        code=_name(words),
        retry_after=find_wait(words, {}, is_limited=error is RateLimitedError),
    )


def not_a_reply(body: bytes, wanted: str) -> ReplyError:
    """Return the exception for a body that is not a reply, such as a proxy's HTML page.

    Args:
        body: The body.
        wanted: What the body should be, such as "JSON".
    """
    read = read_error_body(body)
    text = read.message if read.is_page else body[: 2 * _LONGEST_QUOTE].decode("utf-8", "replace").strip()
    return ReplyError(
        f"the endpoint answered with something that is not {wanted}: {_cut(text) or 'nothing'}",
        hint="check that base_url is the address of the API, not of a web page or another service",
    )


def _classify(words: ErrorBody, status: int | None) -> tuple[type[EndpointError], str]:
    text = f"{words.code} {words.kind} {words.message}"
    cause = find_cause(words, status)
    if cause is not None:
        return cause.error, cause.hint
    known = status or status_of(words)
    error, hint = _BY_STATUS.get(known) or _by_hundred(known)
    if error not in {AuthenticationError, NotFoundError, RateLimitedError}:
        match find_excess(text):
            case "conversation":
                return ContextOverflowError, _OVERFLOW_HINT
            case "reply":
                return error, _LONG_REPLY_HINT
            case _:
                pass
    return error, _UNSUPPORTED_HINT if _UNSUPPORTED.search(text) else hint


def _name(words: ErrorBody) -> str:
    """Return the code of an error; its type says more where the code only repeats the status."""
    is_status = len(words.code) == 3 and words.code.isdigit()  # noqa: PLR2004 - the digits of a status
    return words.kind or words.code if is_status else words.code or words.kind


def _quote(words: ErrorBody) -> str:
    return f": {_cut(words.message)}" if words.message else " and gave no reason"


def _by_hundred(status: int) -> tuple[type[EndpointError], str]:
    match status // 100:
        case 5:
            return ServerError, _RETRY_HINT
        case 4:
            return RefusedError, "the server does not accept this request: its message says why"
        case _:
            return ReplyError, "check base_url: this is not a reply of a model API, perhaps a redirect"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "..."

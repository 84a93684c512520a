"""Turns an endpoint's error reply into an EndpointError with a hint. This module sends and retries nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple, cast

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
from agentloop.wire.payload import dump, load, mapping, mappings

_LONGEST_MESSAGE = 1000
_DEEPEST = 6  # levels of nested errors: no known server nests deeper, and a hostile one is stopped here
_OVERFLOW = re.compile(
    r"exceed_context_size|context_length_exceeded|context (?:length|size|window)"
    r"|maximum (?:model|context|sequence) length"
    r"|max_tokens must be at least 1|prompt is too long|too many tokens in (?:the )?prompt",
    re.IGNORECASE,
)
_QUOTA_USED_UP = 402
_UNSUPPORTED = re.compile(r"feature ['\"`].+['\"`] is not (?:currently )?supported", re.IGNORECASE)
_HTML_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_OVERFLOW_HINT = (
    "the conversation is longer than the model's context window: start from a shorter history or cap tool results"
)
_RETRY_HINT = "the server has a problem: try again later, or use another model"

# Statuses that have an error and a hint of their own; `_by_hundred` covers the others.
_BY_STATUS: dict[int, tuple[type[EndpointError], str]] = {
    401: (AuthenticationError, "check the key of this endpoint: it is missing, mistyped or expired"),
    _QUOTA_USED_UP: (RefusedError, "the account has no credit left: check its billing"),
    403: (AuthenticationError, "the key is valid but may not do this: check its rights, the project and its billing"),
    404: (
        NotFoundError,
        "check the model's name, capitals included, and that base_url ends where the API begins (/v1)",
    ),
    405: (RefusedError, 'the server lacks this route: try Profile(route="chat")'),
    413: (RefusedError, "the request is too large: send fewer or smaller images and cap tool results"),
    429: (RateLimitedError, "too many requests: wait, send fewer at once, or use a key with a higher limit"),
    501: (ServerError, 'the server lacks this route: try Profile(route="chat")'),
}

# The status for error codes that arrive inside a 200 reply or a stream (OpenAI, vLLM, OpenRouter).
_BY_CODE: dict[str, int] = {
    "authentication_error": 401,
    "insufficient_quota": _QUOTA_USED_UP,
    "invalid_api_key": 401,
    "invalid_prompt": 400,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
}


class _Words(NamedTuple):
    """The message, the code and the type of an error body."""

    message: str
    code: str = ""
    kind: str = ""


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> EndpointError:
    """Return the exception for a reply with an HTTP error status.

    Args:
        status: Any status that is not a 2xx.
        headers: `Retry-After` and `retry-after-ms` are read. A date is compared with the reply's own `Date`.
        body: `{"error": {...}}`, `{"error": "..."}`, `{"message": ...}` (OVHcloud's gateway), `{"detail": ...}`
            (FastAPI), any of them encoded twice, HTML, or plain text.
    """
    words = _read_words(_parse(body))
    # OpenAI reports a used-up quota as a 429, but waiting does not help.
    like = _QUOTA_USED_UP if words.code == "insufficient_quota" else status
    error, hint = _classify(words, like)
    message = f"the endpoint answered {status}{_quote(words)}"
    return error(message, hint=hint, status=status, code=words.code or words.kind, retry_after=_retry_after(headers))


def read_failure(payload: object) -> EndpointError:
    """Return the exception for an error in a body or an event that came with the status 200.

    Args:
        payload: The value of the body's `error` field, or the whole body.
    """
    words = _read_words(payload)
    code = words.code
    like = int(code) if re.fullmatch(r"[45]\d\d", code) else _BY_CODE.get(code) or _BY_CODE.get(words.kind) or 500
    error, hint = _classify(words, like)
    return error(f"the endpoint failed while it answered{_quote(words)}", hint=hint, code=code or words.kind)


def not_a_reply(body: bytes, wanted: str) -> ReplyError:
    """Return the exception for a body that is not a reply, such as a proxy's HTML page.

    Args:
        body: The body.
        wanted: What the body should be, such as "JSON".
    """
    text = _cut(_plain(body.decode("utf-8", "replace"))) or "nothing"
    return ReplyError(
        f"the endpoint answered with something that is not {wanted}: {text}",
        hint="check that base_url is the address of the API, not of a web page or another service",
    )


def _classify(words: _Words, status: int) -> tuple[type[EndpointError], str]:
    error, hint = _BY_STATUS.get(status) or _by_hundred(status)
    text = f"{words.code} {words.kind} {words.message}"
    if error not in {AuthenticationError, NotFoundError, RateLimitedError} and _OVERFLOW.search(text):
        return ContextOverflowError, _OVERFLOW_HINT
    if _UNSUPPORTED.search(text):
        return error, "this model or endpoint lacks the feature: leave it out, or choose another model"
    return error, hint


def _quote(words: _Words) -> str:
    return f": {_cut(words.message)}" if words.message else " and gave no reason"


def _by_hundred(status: int) -> tuple[type[EndpointError], str]:
    match status // 100:
        case 5:
            return ServerError, _RETRY_HINT
        case 4:
            return RefusedError, "the server does not accept this request: its message says why"
        case _:
            return ReplyError, "check base_url: this is not a reply of a model API, perhaps a redirect"


def _parse(body: bytes) -> object:
    try:
        return load(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def _read_words(payload: object, depth: int = 0) -> _Words:
    if isinstance(payload, str):
        return _read_text(payload, depth)
    # FastAPI sends a list of faults and Google's gateway a list with one error: the first entry is enough.
    fields = (mappings(payload) or [mapping(payload)])[0]
    code, kind = _scalar(fields.get("code")), _scalar(fields.get("type"))
    kind = "" if kind == "error" else kind  # "error" is the type of the event, not of the error
    for name in ("error", "message", "detail", "msg"):
        inner = fields.get(name)
        if inner and depth < _DEEPEST:
            words = _read_words(inner, depth + 1)
            where = _location(fields) if name == "msg" else ""
            return _Words(where + words.message, words.code or code, words.kind or kind)
    return _Words(dump(payload).decode() if payload else "", code, kind)


def _read_text(text: str, depth: int) -> _Words:
    text = text.strip()
    if text[:1] in {"{", "[", '"'} and depth < _DEEPEST:
        try:
            return _read_words(load(text.encode()), depth + 1)
        except ValueError:
            pass
    return _Words(_plain(text))


def _plain(text: str) -> str:
    if "<html" not in text[:1000].lower() and "<!doctype" not in text[:1000].lower():
        return text.strip()
    title = _HTML_TITLE.search(text)
    return f"a web page, {' '.join(title[1].split())!r}" if title else "a web page"


def _location(fields: Mapping[str, object]) -> str:
    """Return the path to the field in which FastAPI found a fault, such as `body.input.0: `, or ""."""
    where = fields.get("loc")
    return ".".join(str(step) for step in cast("list[object]", where)) + ": " if isinstance(where, list) else ""


def _scalar(value: object) -> str:
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + "..."


def _retry_after(headers: Mapping[str, str]) -> float | None:
    fields = {name.lower(): value for name, value in headers.items()}
    milliseconds = _number(fields.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = fields.get("retry-after", "")
    seconds = _number(value)
    return seconds if seconds is not None else _seconds_between(fields.get("date", ""), value)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\s*\d{1,9}(\.\d*)?\s*", text) else None


def _seconds_between(start: str, end: str) -> float | None:
    # Both dates come from the server's clock, so the local clock is not read and a wrong one does no harm.
    try:
        return max(0.0, (parsedate_to_datetime(end) - parsedate_to_datetime(start)).total_seconds())
    except (TypeError, ValueError):
        return None

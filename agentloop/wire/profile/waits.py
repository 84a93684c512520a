"""Reads how long a server asks to wait: from headers, from fields of an error body, and from its words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from agentloop.wire.profile.error_body import ErrorBody, squeeze
from agentloop.wire.rare_pattern import RarePattern

_SECONDS = {"ms": 0.001, "mi": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
# Larger numbers are times since the epoch, which began in 1970: in seconds, or in milliseconds.
_EPOCH, _EPOCH_MILLISECONDS = 1e9, 1e12
_MILLISECONDS = ("ms", "milliseconds")
# The most exact first. The third and the fourth are those of Azure and of proxies.
_WAIT_HEADERS = ("retry-after-ms", "retry-after", "x-ms-retry-after-ms", "x-retry-after")

_NUMBER = r"\d{1,15}(?:\.\d{0,15})?"
_UNIT = r"(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])"
_DURATION = rf"(?:{_NUMBER} ?{_UNIT}(?:, |,| )?(?:and )?){{1,5}}"
_MOMENT = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)? ?(?:Z|UTC|[+-]\d\d:?\d\d)"
_FILLER_WORDS = "again|later|allowed|your|the|this|request|for|in|after|at|on|least|about|approximately|another|until"
_FILLERS = rf"(?:(?:{_FILLER_WORDS}) ?){{0,5}}"
_ASKS = RarePattern(
    rf"\b(?:again|retry|wait|next request):? {_FILLERS}({_DURATION}|{_MOMENT})"
    rf"|retry[-_ ]?after['\"]?[:= ]{{1,3}}({_NUMBER})(?![\d.])",
)
_RESETS = RarePattern(rf"\b(?:resets?|reset|available|lifted):? {_FILLERS}({_DURATION}|{_MOMENT})")
_IS_NUMBER = re.compile(_NUMBER)
_IS_DURATION = re.compile(_DURATION, re.IGNORECASE)
_PART = re.compile(rf"({_NUMBER}) ?(ms|mi(?=lli)|[smhd])", re.IGNORECASE)
_IS_RESET = re.compile(r"rate-?limit.{0,40}reset")


def find_wait(
    words: ErrorBody, headers: Mapping[str, str], *, is_limited: bool, now: float | None = None
) -> float | None:
    """Return for how many seconds the server asks to wait, or None if it does not say.

    If it says so in several places, the longest wait counts, so that no request comes too early. When a limit is reset
    counts only if the server does not ask for a wait: the limit that is reset may be another one.

    Args:
        words: The error body. Fields such as `retry_after` and `retryDelay` are read, and words such as "try again in
            1m30s".
        headers: `Retry-After` and `retry-after-ms` are read. A date is compared with the reply's own `Date`, so that a
            wrong clock on this machine does no harm.
        is_limited: Whether the request exceeded a rate limit. Only then the `x-ratelimit-reset-*` headers are read:
            servers send them with every reply.
        now: Seconds since the epoch, for a date if the reply has no `Date`.
    """
    headers = {name.lower(): value.strip() for name, value in headers.items()}
    sent = _epoch(headers.get("date", ""))
    now = now if sent is None else sent
    asked = [_asked_by_header(headers, now), _read_words(_ASKS, words.message, now)]
    resets = [_read_words(_RESETS, words.message, now)]
    for name, value in words.waits.items():
        (resets if "reset" in name else asked).append(_read(name, value, now))
    for waits in (asked, resets):
        known = [seconds for seconds in waits if seconds is not None]
        if known:
            return max(known)
    return _reset(headers, now) if is_limited else None


def _asked_by_header(headers: Mapping[str, str], now: float | None) -> float | None:
    waits = (_read(name, headers.get(name, ""), now) for name in _WAIT_HEADERS)
    return next((seconds for seconds in waits if seconds is not None), None)


def _reset(headers: Mapping[str, str], now: float | None) -> float | None:
    """Return the seconds until the limit is reset of which the least remains: the limit that was exceeded."""
    resets: list[tuple[float, float]] = []
    for name, value in headers.items():
        seconds = _read("", value, now) if _IS_RESET.search(name) else None
        if seconds is not None:
            remaining = headers.get(name.replace("reset", "remaining"), "")
            resets.append((float(remaining) if _IS_NUMBER.fullmatch(remaining) else 0.0, -seconds))
    return -min(resets)[1] if resets else None


def _read_words(pattern: RarePattern, message: str, now: float | None) -> float | None:
    found = pattern.search(message)
    return _read("", next(filter(None, found.groups())), now) if found else None


def _read(name: str, value: str, now: float | None) -> float | None:
    """Return the seconds that a value means: a number, a duration such as "1m30s", or a date."""
    value = value.strip()
    if _IS_DURATION.fullmatch(value):
        return sum(float(number) * _SECONDS[unit.lower()] for number, unit in _PART.findall(value))
    if not _IS_NUMBER.fullmatch(value):
        return _until(_epoch(value), now)
    number = float(value)
    if number >= _EPOCH:
        return _until(number / 1000 if number >= _EPOCH_MILLISECONDS else number, now)
    return number / 1000 if squeeze(name).endswith(_MILLISECONDS) else number


def _until(moment: float | None, now: float | None) -> float | None:
    return None if moment is None or now is None else max(0.0, moment - now)


def _epoch(text: str) -> float | None:
    """Return a date as seconds since the epoch; None if it is no date, or has no time zone."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            date = read(text.removesuffix("UTC").strip() + "Z" if text.endswith("UTC") else text)
            return date.timestamp() if date.tzinfo is not None else None
        except (TypeError, ValueError, OverflowError):
            continue
    return None

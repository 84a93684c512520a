"""Sends a request again if it is idempotent, the server may recover, and there is time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from agentloop import Fetched

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_TEMPORARY = frozenset({429, 502, 503, 504})
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 8.0

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a request is sent again.

    Attributes:
        retries: How often at most.
        seconds: No attempt begins later than this after the first.
        sleep: Waits between two attempts.
    """

    retries: int
    seconds: float
    sleep: Sleep

    async def call(self, method: str, attempt: Callable[[], Awaitable[Fetched]]) -> Fetched:
        """Make attempts until one succeeds or no more are allowed, and return the last answer, whatever its status."""
        import tenacity  # noqa: PLC0415 - only the first request imports it

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_is_connection_failure) | tenacity.retry_if_result(_is_busy),
            wait=_wait,
            stop=tenacity.stop_after_attempt(1 + (self.retries if method in _IDEMPOTENT else 0))
            | tenacity.stop_before_delay(self.seconds),
            sleep=self.sleep,
            retry_error_callback=_last,
        )
        return await retrying(attempt)


def _last(state: RetryCallState) -> Fetched:
    assert state.outcome is not None  # noqa: S101 - tenacity sets it before it gives up
    answer: Fetched = state.outcome.result()
    return answer


def _is_connection_failure(error: BaseException) -> bool:
    """Return whether the connection failed, and was not refused by a check of the fetcher."""
    import httpcore2  # noqa: PLC0415 - as tenacity

    return isinstance(error.__cause__, OSError | httpcore2.NetworkError | httpcore2.RemoteProtocolError)


def _is_busy(answer: Fetched) -> bool:
    return answer.status in _TEMPORARY


def _wait(state: RetryCallState) -> float:
    import tenacity  # noqa: PLC0415 - as above

    retry_after = None
    if state.outcome is not None and not state.outcome.failed:
        retry_after = _read_retry_after(state.outcome.result())
    backoff = tenacity.wait_exponential_jitter(
        multiplier=_FIRST_WAIT_SECONDS, max=_LONGEST_WAIT_SECONDS, jitter=_FIRST_WAIT_SECONDS
    )
    return backoff(state) if retry_after is None else retry_after


def _read_retry_after(answer: Fetched) -> float | None:
    """Return the seconds of the answer's Retry-After header, which has seconds or a date, or None."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None

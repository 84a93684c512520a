"""When a request is sent again: where that changes nothing more, the server may recover, and there is time."""

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
_PASSING = frozenset({429, 502, 503, 504})
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 8.0

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a request is sent again.

    Attributes:
        retries: How often at the most.
        seconds: No try begins later than this after the first.
        sleep: Waits.
    """

    retries: int
    seconds: float
    sleep: Sleep

    async def call(self, method: str, attempt: Callable[[], Awaitable[Fetched]]) -> Fetched:
        """Return the answer to the last attempt, whatever it is."""
        import tenacity  # noqa: PLC0415 - a run without requests need not pay for it

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_is_passing) | tenacity.retry_if_result(_is_busy),
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


def _is_passing(error: BaseException) -> bool:
    """Tell a connection that failed from a guard that refused one."""
    import httpcore2  # noqa: PLC0415 - as tenacity

    return isinstance(error.__cause__, OSError | httpcore2.NetworkError | httpcore2.RemoteProtocolError)


def _is_busy(answer: Fetched) -> bool:
    return answer.status in _PASSING


def _wait(state: RetryCallState) -> float:
    import tenacity  # noqa: PLC0415 - as above

    asked = None
    if state.outcome is not None and not state.outcome.failed:
        asked = _asked_seconds(state.outcome.result())
    backoff = tenacity.wait_exponential_jitter(
        multiplier=_FIRST_WAIT_SECONDS, max=_LONGEST_WAIT_SECONDS, jitter=_FIRST_WAIT_SECONDS
    )
    return backoff(state) if asked is None else asked


def _asked_seconds(answer: Fetched) -> float | None:
    """Return how long the server asks to wait: so many seconds, or until a date."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None

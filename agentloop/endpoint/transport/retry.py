"""Decides when a failed request is sent again: RetryPolicy and is_retryable, with tenacity.

It contains no code about requests, so a stream that must be requested again follows the same rules as a broken
connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeAlias, TypeVar, cast

from agentloop.endpoint.interception import is_replaying
from agentloop.errors import (
    EmptyReplyError,
    EndpointError,
    EndpointTimeoutError,
    OutputError,
    RateLimitedError,
    ReplyError,
    ServerError,
    StreamCutError,
    UnreachableError,
)
from agentloop.events import Retrying
from agentloop.wire.profile import Endpoint
from agentloop.wire.profile.refusals import is_models_fault

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")
OnRetry: TypeAlias = Callable[[Retrying], Awaitable[None]]

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 8.0
LONGEST_ASKED_SECONDS = 120.0
JITTER_SECONDS = 0.5

_REQUEST_TIMEOUT, _CONFLICT = 408, 409


def is_retryable(error: EndpointError) -> bool:
    """Return whether the same request may succeed if it is sent again."""
    match error:
        case EmptyReplyError() | OutputError():  # the model's doing, which the loop answers
            return False
        case UnreachableError() | EndpointTimeoutError() | StreamCutError() | RateLimitedError() | ServerError():
            return True
        case ReplyError(status=None):  # what came with a 200 is empty, cut off or a web page
            return True
        case _:
            return error.status in {_REQUEST_TIMEOUT, _CONFLICT} or is_models_fault(error)


async def _sleep(seconds: float) -> None:
    """Wait for a server; a recorded one is there at once."""
    await asyncio.sleep(0 if is_replaying() else seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and for how long, a failed request is sent again.

    A wait that the server asked for (`Retry-After`) is kept, up to two minutes; 0 is no wait. Otherwise waits double
    from half a second to eight. All waits have jitter, so that many runs that failed together don't retry together.

    Attributes:
        retries: How often a request is sent again at most.
        give_up_after_seconds: No retry starts later than this after the first failure; waits that the server asked
            for are not counted.
        sleep: Waits for a number of seconds; cancelling it ends the retries.
        clock: Returns seconds since any fixed point.
    """

    retries: int = 4
    give_up_after_seconds: float = 30.0
    sleep: Callable[[float], Awaitable[None]] = _sleep
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def of(cls, endpoint: Endpoint) -> RetryPolicy:
        """Return the policy in the endpoint's settings."""
        return cls(retries=endpoint.retries, give_up_after_seconds=endpoint.give_up_after_seconds)

    async def call(
        self,
        attempt: Callable[[], Awaitable[T]],
        on_retry: OnRetry,
        retryable: Callable[[EndpointError], bool] = is_retryable,
    ) -> T:
        """Call `attempt`, again after failures as the policy allows, and return its result.

        Args:
            attempt: Sends the request and reads the reply; called once for each try.
            on_retry: Called with each retry before the wait; `attempt` in the event counts the retries from 1.
            retryable: Returns whether a failure may be retried; it may not, for example, once text has been shown.

        Raises:
            EndpointError: the last failure; its message says how often the request was sent.
        """
        try:
            return await attempt()
        except EndpointError as error:
            if self.retries == 0 or not retryable(error):
                raise
            failure = error
        return await self._call_again(failure, attempt, on_retry, retryable)

    async def _call_again(
        self,
        failure: EndpointError,
        attempt: Callable[[], Awaitable[T]],
        on_retry: OnRetry,
        retryable: Callable[[EndpointError], bool],
    ) -> T:
        import tenacity  # noqa: PLC0415 - a request that succeeds need not pay for the import nor for its bookkeeping

        failed: list[EndpointError] = [failure]

        async def replay_or_try() -> T:
            if failed:
                raise failed.pop()
            return await attempt()

        backoff = tenacity.wait_exponential_jitter(
            multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS, jitter=JITTER_SECONDS
        )
        course = _Course(self, on_retry, backoff, tenacity.wait_random(0, JITTER_SECONDS))
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, EndpointError) and retryable(error)),
            wait=course.wait,
            stop=course.is_over,
            before_sleep=course.tell,
            sleep=self.sleep,
            retry_error_callback=course.give_up,
        )
        return await retrying(replay_or_try)


class _Course:
    """The retries of one request, counted from its first failure."""

    def __init__(
        self,
        policy: RetryPolicy,
        on_retry: OnRetry,
        backoff: Callable[[RetryCallState], float],
        jitter: Callable[[RetryCallState], float],
    ) -> None:
        self._policy = policy
        self._on_retry = on_retry
        self._backoff = backoff
        self._jitter = jitter
        self._began = policy.clock()
        self._asked_seconds = 0.0

    def wait(self, state: RetryCallState) -> float:
        """Return the seconds until the next try."""
        asked = _failure(state).retry_after
        return self._backoff(state) if asked is None else asked + self._jitter(state)

    def is_over(self, state: RetryCallState) -> bool:
        """Return whether the next try would exceed the number of retries, the time limit or the longest wait."""
        asked = _asked(state)
        starts_after = self._seconds() - self._asked_seconds + state.upcoming_sleep - asked
        return (
            asked > LONGEST_ASKED_SECONDS
            or state.attempt_number > self._policy.retries
            or starts_after > self._policy.give_up_after_seconds
        )

    async def tell(self, state: RetryCallState) -> None:
        """Report the next retry."""
        self._asked_seconds += _asked(state)
        await self._on_retry(Retrying(_failure(state).message, state.upcoming_sleep, state.attempt_number))

    def give_up(self, state: RetryCallState) -> NoReturn:
        """Raise the last failure, with the reason why there is no further try in its message."""
        failure, asked = _failure(state), _asked(state)
        if asked > LONGEST_ASKED_SECONDS:
            why = f"the server asks for a wait of {asked:.0f} s, and {LONGEST_ASKED_SECONDS:.0f} s is the most"
        else:
            why = f"sent {state.attempt_number} times, the last {self._seconds():.0f} s after the first failure"
        failure.message = f"{failure.message.rstrip('.')} ({why})"
        raise failure

    def _seconds(self) -> float:
        return self._policy.clock() - self._began


def _failure(state: RetryCallState) -> EndpointError:
    assert state.outcome is not None  # noqa: S101 - tenacity sets it before it asks what to do about it
    return cast("EndpointError", state.outcome.exception())


def _asked(state: RetryCallState) -> float:
    return _failure(state).retry_after or 0.0

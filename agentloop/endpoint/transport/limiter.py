"""Keeps to an endpoint's rate limit, over all runs, threads and event loops of the process.

The profile gives the rate limit. `retry` handles requests that are refused in spite of it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from bisect import insort
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from agentloop.endpoint.interception import is_replaying
from agentloop.errors import RateLimitedError
from agentloop.events import Notice
from agentloop.forking import begin_anew_after_fork
from agentloop.wire.profile import Endpoint, Profile

T = TypeVar("T")

MINUTE_SECONDS = 60.0
# A server counts a request when it arrives, and the time that this takes varies.
MARGIN_SECONDS = 1.0
# The wait after a refusal that gives none: the four retries of a request then take a minute.
REFUSED_SECONDS = 15.0
# A server that asks for a longer wait has a used-up quota. Other requests are still sent, so that they fail at once.
LONGEST_HELD_SECONDS = 120.0
_TOLD_SECONDS = 0.5


@dataclass(eq=False, slots=True, weakref_slot=True)
class RateLimiter:
    """Lets a limited number of requests start in any minute; the others wait.

    Requests start at once until the limit is reached. From then on each waits until the oldest is a minute old.

    Attributes:
        clock: Returns seconds since any fixed point, the same one in all threads.
        sleep: Waits for a number of seconds.
    """

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _lock: threading.Lock = field(init=False)
    # The start times of recent and of waiting requests, in order.
    _starts: list[float] = field(default_factory=list[float], init=False)
    _held_until: float = field(default=float("-inf"), init=False)

    def __post_init__(self) -> None:
        self.begin_anew()
        begin_anew_after_fork(self)

    def begin_anew(self) -> None:
        """Free the lock; what was counted counts for a forked process too, which sends from the same address."""
        self._lock = threading.Lock()

    async def wait(self, per_minute: float, tell: Callable[[float, bool], Awaitable[None]]) -> None:
        """Wait until the next request may be sent; if the wait is cancelled, another request may take its place.

        Args:
            per_minute: The limit; below 1 it means one request in more than a minute.
            tell: Called before a wait of more than half a second, with its seconds and whether the server asked for it.
        """
        while True:
            start, seconds, asked = self._reserve(per_minute)
            try:
                if seconds > _TOLD_SECONDS:
                    await tell(seconds, asked)
                if seconds > 0:
                    await self.sleep(seconds)
            except BaseException:  # usually a cancellation: another request may take the place
                self._give_back(start)
                raise
            if self._held_until <= start:
                return
            self._give_back(start)  # the server has asked for a longer wait in the meantime

    def hold(self, seconds: float) -> None:
        """Let no request start for a number of seconds, because the server asked for it."""
        if seconds <= LONGEST_HELD_SECONDS:
            with self._lock:
                self._held_until = max(self._held_until, self.clock() + seconds)

    def _reserve(self, per_minute: float) -> tuple[float, float, bool]:
        """Return when a request starts, in how many seconds that is, and whether the server asked for that wait."""
        most, span = max(1, int(per_minute)), MINUTE_SECONDS / min(1, per_minute) + MARGIN_SECONDS
        with self._lock:
            now = self.clock()
            while self._starts and self._starts[0] <= now - span:
                del self._starts[0]
            free = self._starts[-most] + span if len(self._starts) >= most else now
            start = max(now, free, self._held_until)
            insort(self._starts, start)
        return start, start - now, start > free

    def _give_back(self, start: float) -> None:
        with self._lock, suppress(ValueError):  # the start of a wait that ends late may have been removed already
            self._starts.remove(start)


@dataclass(frozen=True, slots=True)
class Pace:
    """The rate limit of one model on one endpoint, with or without a key.

    Attributes:
        limiter: The limiter that all requests to the model share.
        per_minute: The number of requests per minute; None for no limit.
        terms: The limit in words.
    """

    limiter: RateLimiter
    per_minute: float | None
    terms: str = ""

    @classmethod
    def of(cls, endpoint: Endpoint, model: str, profile: Profile) -> Pace:
        """Return the rate limit in the profile."""
        anonymous = endpoint.api_key is None
        per_minute = profile.anonymous_requests_per_minute if anonymous else profile.requests_per_minute
        limiter = _LIMITERS.setdefault((endpoint.base_url, model, endpoint.api_key), RateLimiter())
        return cls(
            limiter, per_minute, f"{per_minute} requests a minute {'without a' if anonymous else 'with this'} key"
        )

    async def call(self, send: Callable[[], Awaitable[T]], emit: Callable[[Notice], Awaitable[None]]) -> T:
        """Wait until the rate limit allows it, call `send` and return its result.

        Other programs may use the same key or address, so a request may be refused nevertheless. Then later requests
        wait as long as the server says. If it does not say, REFUSED_SECONDS is set as the error's `retry_after`.

        Args:
            send: Sends one request.
            emit: Called with a notice before a wait.

        Raises:
            RateLimitedError: the server refused the request because of its rate limit.
        """
        if not self.per_minute or is_replaying():
            return await send()

        async def tell(seconds: float, asked: bool) -> None:  # noqa: FBT001 - called by position
            why = "the server asked for it" if asked else f"the limit is {self.terms}"
            await emit(Notice("waiting", f"waiting {seconds:.0f} s before the next request: {why}"))

        await self.limiter.wait(self.per_minute, tell)
        try:
            return await send()
        except RateLimitedError as refusal:
            if refusal.retry_after is None:
                refusal.retry_after = REFUSED_SECONDS
            self.limiter.hold(refusal.retry_after)
            raise


# By base URL, model and key.
_LIMITERS: dict[tuple[str, str, str | None], RateLimiter] = {}

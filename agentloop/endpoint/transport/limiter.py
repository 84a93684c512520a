"""Keeps the pace that an endpoint asks for, over all runs, threads and event loops of the process.

What the pace is stands in the profile. That a request was refused in spite of it is for `retry` to deal with.
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

from agentloop.errors import RateLimitedError
from agentloop.events import Notice
from agentloop.wire.profile import Endpoint, Profile

T = TypeVar("T")

MINUTE_SECONDS = 60.0
# A server counts a request when it arrives, which takes longer for one than for the next.
MARGIN_SECONDS = 1.0
# After a refusal that does not say how long: the four retries of a request then last for a minute.
REFUSED_SECONDS = 15.0
# Who asks for more has no room for a long time, and whoever comes next is to hear that from the server at once.
LONGEST_HELD_SECONDS = 120.0
_TOLD_SECONDS = 0.5


@dataclass(eq=False, slots=True)
class RateLimiter:
    """Lets at most so many requests start in any minute; the others wait for their turn.

    Requests go as they come until there are too many; from then on each waits until the oldest is a minute old.

    Attributes:
        clock: Seconds from any fixed point, the same one in all threads.
        sleep: Waits for some seconds.
    """

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    # Of the requests that were sent lately and those that still wait, in order.
    _starts: list[float] = field(default_factory=list[float], init=False)
    _held_until: float = field(default=float("-inf"), init=False)

    async def wait(self, per_minute: float, tell: Callable[[float, bool], Awaitable[None]]) -> None:
        """Return when the next request may be sent; a wait that is cancelled gives its place back.

        Args:
            per_minute: The limit; one below 1 is a request in more than a minute.
            tell: Hears of a wait that is worth a word before it begins: how long, and whether the server asked for it.
        """
        while True:
            start, seconds, asked = self._reserve(per_minute)
            try:
                if seconds > _TOLD_SECONDS:
                    await tell(seconds, asked)
                if seconds > 0:
                    await self.sleep(seconds)
            except BaseException:  # most of all a cancellation: the place is somebody else's then
                self._give_back(start)
                raise
            if self._held_until <= start:
                return
            self._give_back(start)  # meanwhile the server has asked for more

    def hold(self, seconds: float) -> None:
        """Let nothing start for so long, because the server asked for it."""
        if seconds <= LONGEST_HELD_SECONDS:
            with self._lock:
                self._held_until = max(self._held_until, self.clock() + seconds)

    def _reserve(self, per_minute: float) -> tuple[float, float, bool]:
        """Return when a request starts, in how many seconds that is, and whether the server's own wish decides it."""
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
        with self._lock, suppress(ValueError):  # a wait that ends late may be forgotten already
            self._starts.remove(start)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often one model on one endpoint may be asked, with or without a key.

    Attributes:
        limiter: Shared by all who ask.
        per_minute: How often; None for as often as one likes.
        terms: The same in words.
    """

    limiter: RateLimiter
    per_minute: float | None
    terms: str = ""

    @classmethod
    def of(cls, endpoint: Endpoint, model: str, profile: Profile) -> Pace:
        """Return the pace that the profile asks for."""
        anonymous = endpoint.api_key is None
        per_minute = profile.anonymous_requests_per_minute if anonymous else profile.requests_per_minute
        limiter = _LIMITERS.setdefault((endpoint.base_url, model, endpoint.api_key), RateLimiter())
        return cls(
            limiter, per_minute, f"{per_minute} requests a minute {'without a' if anonymous else 'with this'} key"
        )

    async def call(self, send: Callable[[], Awaitable[T]], emit: Callable[[Notice], Awaitable[None]]) -> T:
        """Return what `send` returns, called when it may be.

        Others may use the same key or address, so that a request comes too soon in spite of it all. Then those that
        follow wait as long as the server says; where it does not say, that is written on the refusal.

        Args:
            send: Sends one request.
            emit: Hears of a wait before it begins.

        Raises:
            RateLimitedError: the request came too soon.
        """
        if not self.per_minute:
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

"""The time of an event loop, which passes only when a test says so.

    clock = stop_clock()
    ...
    clock.advance(60)  # a timeout of a minute is over

Timeouts and timers of asyncio go by the time of their loop, and so does what a run says that it took. So no test has
to wait, and how fast the machine is decides nothing.
"""

import asyncio
from math import ceil


class Clock:
    """What time it is on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._now = float(ceil(loop.time()))  # so that sums of whole seconds are exact

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass, from any thread: what is due by then happens next."""
        self._loop.call_soon_threadsafe(self._move, seconds)

    def _move(self, seconds: float) -> None:
        self._now += seconds


def stop_clock() -> Clock:
    """Stop the time of the running event loop, for as long as that lives."""
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    loop.time = clock
    return clock

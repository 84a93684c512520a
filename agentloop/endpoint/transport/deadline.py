"""Defines Deadline, one timer for all the waits of a request. It contains no code about the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self


def _always() -> bool:
    return True


class Deadline:
    """A block that ends with a TimeoutError when its time is up, though not while it is paused.

    It is for generators. `asyncio.timeout` would cancel the code that uses a yielded value inside its block, and a new
    one around each wait takes 6 µs, half as long as reading a chunk of a stream. Otherwise it does the same.

    Args:
        seconds: The time of the block.
        idle_seconds: The longest silence after the first call of `go_on`; None for any.
        may_end: Called when the time is up. If it returns False, the block goes on without a limit.

    Attributes:
        fell_silent: Whether the block ended because of a silence.
    """

    def __init__(
        self, seconds: float, idle_seconds: float | None = None, may_end: Callable[[], bool] = _always
    ) -> None:
        self._seconds = seconds
        self._idle_seconds = idle_seconds
        self._may_end = may_end
        self._heard: float | None = None
        self._paused = False
        self._passed = False
        self._struck = False
        self.fell_silent = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._cancelled_before = self._task.cancelling() if self._task else 0
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._end = now + self._seconds
        self._timer = self._loop.call_at(self._earliest(now), self._look)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._timer.cancel()
        # If other code has cancelled the task too, the cancellation goes on and no TimeoutError is raised.
        if self._struck and self._task and self._task.uncancel() <= self._cancelled_before:
            raise TimeoutError from error

    def pause(self) -> None:
        """Something has come: do not cancel the task until `go_on` is called, which must be before the next wait."""
        self._paused = True

    def go_on(self) -> None:
        """End the pause, which was no silence. The next one begins here.

        Raises:
            TimeoutError: the time is up.
        """
        self._paused = False
        if self._passed:
            raise TimeoutError
        self._heard = self._loop.time()

    def _look(self) -> None:
        """Let the block end if its time is up, otherwise look again when it may be."""
        now = self._loop.time()
        since = now if self._heard is None or self._paused else self._heard
        due = self._earliest(since)
        if now < due:
            self._timer = self._loop.call_at(due, self._look)
        else:
            self.fell_silent = due < self._end
            self._pass()

    def _earliest(self, since: float) -> float:
        """Return when the block may have to end, if nothing comes from the time `since` on."""
        return self._end if self._idle_seconds is None else min(self._end, since + self._idle_seconds)

    def _pass(self) -> None:
        self._passed = True
        if self._task and not self._paused and self._may_end():
            self._struck = True
            self._task.cancel()

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
        idle_seconds: The longest silence after the first call of `hear`; None for any.
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
        self._end = self._loop.time() + self._seconds
        self._timer = self._loop.call_at(self._end, self._look)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._timer.cancel()
        # If other code has cancelled the task too, the cancellation goes on and no TimeoutError is raised.
        if self._struck and self._task and self._task.uncancel() <= self._cancelled_before:
            raise TimeoutError from error

    def hear(self) -> None:
        """Note that something has come."""
        now = self._loop.time()
        if self._heard is None and self._idle_seconds is not None:
            # The task may be cancelled only while it waits, and so only by the timer.
            self._look_again(min(self._end, now + self._idle_seconds))
        self._heard = now

    def pause(self) -> None:
        """Do not cancel the task until `go_on` is called, which must happen before the next wait."""
        self._paused = True

    def go_on(self) -> None:
        """End the pause, which was no silence.

        Raises:
            TimeoutError: the time is up.
        """
        self._paused = False
        if self._passed:
            raise TimeoutError
        self._heard = self._loop.time()

    def _look(self) -> None:
        """Let the block end if its time is up, otherwise look again when it may be."""
        now, due, is_silence = self._loop.time(), self._end, False
        if self._heard is not None and self._idle_seconds is not None:
            silence_ends = (now if self._paused else self._heard) + self._idle_seconds
            due, is_silence = min((due, False), (silence_ends, True))
        if now < due:
            self._look_again(due)
        else:
            self.fell_silent = is_silence
            self._pass()

    def _look_again(self, due: float) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _pass(self) -> None:
        self._passed = True
        if self._task and not self._paused and self._may_end():
            self._struck = True
            self._task.cancel()

"""Defines Deadline, one timer for all the waits of a request. It contains no code about the network."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Deadline:
    """A block that ends with a TimeoutError when its time is up, though not while it is paused.

    It is for generators. `asyncio.timeout` would cancel the code that uses a yielded value inside its block, and a new
    one around each wait takes 6 µs, half as long as reading a chunk of a stream. Otherwise it does the same.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._paused = False
        self._passed = False
        self._struck = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._cancelled_before = self._task.cancelling() if self._task else 0
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._pass)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._timer.cancel()
        # If other code has cancelled the task too, the cancellation goes on and no TimeoutError is raised.
        if self._struck and self._task and self._task.uncancel() <= self._cancelled_before:
            raise TimeoutError from error

    def pause(self) -> None:
        """Do not cancel the task until `go_on` is called, which must happen before the next wait."""
        self._paused = True

    def go_on(self) -> None:
        """End the pause.

        Raises:
            TimeoutError: the time is up.
        """
        self._paused = False
        if self._passed:
            raise TimeoutError

    def _pass(self) -> None:
        self._passed = True
        if self._task and not self._paused:
            self._struck = True
            self._task.cancel()

"""Portal: one background event loop per process. Sync calls run their coroutines on it.

So sync calls work inside a running event loop and in Jupyter, and connections stay pooled between calls.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import aclosing
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from agentloop.errors import RunStateError
from agentloop.forking import begin_anew_after_fork
from agentloop.loop.run import carry_run

T = TypeVar("T")


class Portal:
    """An event loop in a daemon thread. It is started at the first call, and again after a fork."""

    def __init__(self) -> None:
        self._inherited: list[asyncio.AbstractEventLoop | None] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self.begin_anew()
        begin_anew_after_fork(self)

    def begin_anew(self) -> None:
        """Start another event loop at the next call."""
        # The loop of the parent is kept: as garbage it would close what the two processes share.
        self._inherited.append(self._loop)
        self._loop = None
        self._lock = threading.Lock()

    def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the background loop, with the caller's context variables, and return its result."""
        task = _RemoteTask(work, self._running_loop())
        try:
            task.start()
            return task.outcome.result()
        except KeyboardInterrupt as interrupt:
            task.cancel(interrupt)
            raise

    def iterate(self, work: Callable[[], AsyncGenerator[T, None]]) -> Generator[T, None, None]:
        """Run an async generator on the background loop and yield its items. Closing this generator closes it too."""
        items: SimpleQueue[tuple[T] | None] = SimpleQueue()

        async def pump() -> None:
            try:
                async with aclosing(work()) as source:
                    async for item in source:
                        items.put((item,))
            finally:
                items.put(None)

        task = _RemoteTask(pump, self._running_loop())
        try:
            task.start()
            while (item := items.get()) is not None:
                yield item[0]
        except BaseException as interrupt:
            task.cancel(interrupt)
            raise
        task.outcome.result()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="agentloop-loop", daemon=True).start()
            loop = self._loop
        if _this_threads_loop() is loop:
            raise RunStateError(
                "a sync call was made on agentloop's own event loop, which would then wait for itself",
                hint="in an async tool use `await agent.run(...)` in place of `agent.run_sync(...)`",
            )
        return loop


PORTAL = Portal()


class _RemoteTask(Generic[T]):
    """A task on the event loop of another thread."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]], loop: asyncio.AbstractEventLoop) -> None:
        self.outcome: Future[T] = Future()
        self._work = work
        self._loop = loop
        self._task: asyncio.Task[T] | None = None

    def start(self) -> None:
        """Start the task, with the context variables of this thread."""
        self._loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        self._task = self._loop.create_task(self._work())
        self._task.add_done_callback(self._deliver)

    def _deliver(self, task: asyncio.Task[T]) -> None:
        try:
            error = task.exception()
        except asyncio.CancelledError as cancelled:
            # An exception that would end this loop, such as KeyboardInterrupt, arrives as the cause of a cancellation.
            error = cancelled.__cause__ or cancelled
            carry_run(cancelled, error)
        if error is None:
            self.outcome.set_result(task.result())
        else:
            self.outcome.set_exception(error)

    def cancel(self, interrupt: BaseException) -> None:
        """Cancel the task, wait until it has ended, and attach its run to the exception that interrupted it."""
        self._loop.call_soon_threadsafe(self._cancel)
        carry_run(self.outcome.exception(), interrupt)

    def _cancel(self) -> None:
        if self._task is None:  # interrupted before it was started
            self.outcome.set_exception(asyncio.CancelledError())
        else:
            self._task.cancel()


def _this_threads_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

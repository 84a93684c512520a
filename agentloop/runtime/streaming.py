"""A run as a stream of events: the driver runs in its own task and sends its events through a channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from agentloop.events import Event
from agentloop.loop.run import RunResult, carry_run
from agentloop.runtime.journal import Observer


async def stream_events(
    drive: Callable[[Observer], Coroutine[Any, Any, RunResult[Any]]],
) -> AsyncGenerator[Event, None]:
    """Yield a run's events as they happen.

    Closing the generator, or cancelling the task that iterates it, cancels the run. No task is left running.

    Args:
        drive: Called with an observer, returns the coroutine that drives the run.

    Raises:
        AgentloopError: what the run raised, after its last event. A cancellation too has the run on its `run`.
    """
    channel = _Channel()
    task = asyncio.create_task(drive(channel.put))
    task.add_done_callback(channel.close)
    try:
        while events := await channel.take():
            for event in events:
                yield event
        await task
    except asyncio.CancelledError as cancelled:
        carry_run(await _end(task), cancelled)
        raise
    finally:
        await _end(task)


async def _end(task: asyncio.Task[RunResult[Any]]) -> BaseException | None:
    """Cancel a task, wait until it has ended, and return what it raised."""
    task.cancel()
    await asyncio.wait({task})
    try:
        return task.exception()
    except asyncio.CancelledError as error:
        return error


class _Channel:
    """Passes events from one task to another. All events that have arrived are taken at once."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None

    def put(self, event: Event) -> None:
        self._events.append(event)
        self._wake()

    def close(self, _task: object) -> None:
        self._closed = True
        self._wake()

    async def take(self) -> list[Event]:
        """Wait for an event, and return all events since the last call. An empty list means that it is closed."""
        if not self._events and not self._closed:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        events, self._events = self._events, []
        return events

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

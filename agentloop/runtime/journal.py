"""Journal: the interface that every effect of a run goes through, so that a run can be made to survive a crash.

MemoryJournal, the default, stores nothing. A durable engine would be another implementation of the same interface.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, TypeAlias

from agentloop.errors import AgentloopError
from agentloop.events import Event

Observer: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One effect: the function to call, and the key under which its result is stored.

    Attributes:
        key: `model:{turn}`, `tool:{call_id}` and the like, unique in the run.
        fn: The function that has the effect. Its result can be written as JSON.
        args: Its arguments, which can be written as JSON too.
        effect: `once` if it must not be called twice, `repeat` if it can simply be called again after a crash.
    """

    key: str
    fn: Callable[..., Awaitable[Any]]
    args: tuple[Any, ...] = ()
    effect: Literal["repeat", "once"] = "repeat"


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A step that raised."""

    error: AgentloopError


class CancellationGuard:
    """A block of foreign code, which may keep a cancellation of this task to itself.

    Whoever cancelled has left. So the block then raises CancelledError at its end, in place of another exception too.
    """

    def __enter__(self) -> Self:
        self._before = _count_cancellations()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None or isinstance(error, Exception):
            self.check(error)

    def check(self, error: Exception | None = None) -> None:
        """Raise CancelledError if this task was cancelled since the block began."""
        if _count_cancellations() > self._before:
            raise asyncio.CancelledError from error


def _count_cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0


class Journal(Protocol):
    """Carries out a run's effects and reports its events."""

    async def steps(self, batch: Sequence[Step]) -> list[Any]:
        """Carry out steps concurrently, and return a result or a StepFailed for each, in their order."""
        ...

    async def emit(self, event: Event) -> None:
        """Report an event to the observers of the run."""
        ...


class MemoryJournal:
    """Carries out steps and stores nothing.

    Args:
        observers: Called with every event, in the event loop. They must not block.
    """

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    async def steps(self, batch: Sequence[Step]) -> list[Any]:
        """Carry out the steps: a single step is awaited directly, several run as tasks in one group."""
        with CancellationGuard():
            if len(batch) == 1:
                return [await _attempt(batch[0])]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_attempt(step)) for step in batch]
            return [task.result() for task in tasks]

    async def emit(self, event: Event) -> None:
        """Call the observers with the event."""
        for observe in self._observers:
            observe(event)


async def _attempt(step: Step) -> Any:
    try:
        return await step.fn(*step.args)
    except AgentloopError as error:
        return StepFailed(error)

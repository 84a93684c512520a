"""The Journal seam: every effect of a run goes through it, so that a run can be made to survive a crash.

The default, MemoryJournal, keeps nothing. A durable engine is another implementation; the core never knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from agentloop.errors import AgentloopError
from agentloop.events import Event

Observer: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One effect: what to call, and under which name its result is kept.

    Attributes:
        key: `model:{turn}` or `tool:{call_id}`, unique in the run.
        fn: What has the effect; its result is JSON-able.
        args: JSON-able too.
        effect: `once` when doing it twice does harm, `repeat` when it may simply be done again after a crash.
    """

    key: str
    fn: Callable[..., Awaitable[Any]]
    args: tuple[Any, ...] = ()
    effect: Literal["repeat", "once"] = "repeat"


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A step that raised."""

    error: AgentloopError


class Journal(Protocol):
    """Carries out a run's effects and tells of its events."""

    async def steps(self, batch: Sequence[Step]) -> list[Any]:
        """Carry out steps at the same time; return a result or a StepFailed for each, in their order."""
        ...

    async def emit(self, event: Event) -> None:
        """Tell whoever watches the run."""
        ...


class MemoryJournal:
    """Carries out steps and keeps nothing.

    Args:
        observers: Called with every event, in the event loop; they must not block.
    """

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    async def steps(self, batch: Sequence[Step]) -> list[Any]:
        """Carry out the steps; a lone one is awaited directly, more run as tasks that end together."""
        if len(batch) == 1:
            return [await _attempt(batch[0])]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_attempt(step)) for step in batch]
        return [task.result() for task in tasks]

    async def emit(self, event: Event) -> None:
        """Tell the observers."""
        for observe in self._observers:
            observe(event)


async def _attempt(step: Step) -> Any:
    try:
        return await step.fn(*step.args)
    except AgentloopError as error:
        return StepFailed(error)

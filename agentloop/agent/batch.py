"""Runs an agent on many inputs, so many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic

from agentloop.agent.input import Input
from agentloop.errors import AgentloopError, ConfigurationError
from agentloop.loop.run import Output_co, RunResult

_AHEAD = 4  # how many times `at_once` results may wait for one before them


@dataclass(frozen=True, slots=True)
class BatchResult(Generic[Output_co]):
    """What came of one input of a batch: a result or an error.

    Attributes:
        index: The place of the input, from 0.
        input: The input.
        result: The result; None if there is an error.
        error: Why there is no result. It has the run, which can be resumed.
    """

    index: int
    input: Input
    result: RunResult[Output_co] | None
    error: AgentloopError | None = None


async def run_batch(
    run: Callable[[Input], Awaitable[RunResult[Any]]], inputs: Iterable[Input], *, at_once: int, in_order: bool
) -> AsyncGenerator[BatchResult[Any], None]:
    """Yield a BatchResult for each input as it comes, or in the order of the inputs.

    The inputs are read as they are needed. Closing the generator cancels the runs that are going on.

    Args:
        run: Runs the agent on one input.
        inputs: The inputs.
        at_once: How many runs go on at the same time at most.
        in_order: Whether results wait for those before them.

    Raises:
        ConfigurationError: `at_once` is below 1.
    """
    if at_once < 1:
        raise ConfigurationError(f"at_once is {at_once}", hint="give 1 or more")
    rest, running, ended = enumerate(inputs), dict[asyncio.Task[BatchResult[Any]], int](), dict[int, BatchResult[Any]]()
    due = 0  # how many results were yielded; in order, the index of the next
    try:
        while True:
            most = min(at_once, _AHEAD * at_once - len(ended))
            for index, said in islice(rest, max(0, most - len(running))):
                running[asyncio.create_task(_run_one(run, index, said))] = index
            if not running:
                return
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=running.__getitem__):
                ended[running.pop(task)] = task.result()
            for index in [*ended] if not in_order else _in_a_row(ended, due):
                due += 1
                yield ended.pop(index)
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)


def _in_a_row(ended: dict[int, BatchResult[Any]], due: int) -> list[int]:
    last = due
    while last in ended:
        last += 1
    return list(range(due, last))


async def _run_one(run: Callable[[Input], Awaitable[RunResult[Any]]], index: int, said: Input) -> BatchResult[Any]:
    try:
        return BatchResult(index, said, await run(said))
    except AgentloopError as error:
        return BatchResult(index, said, None, error)

"""The seam through which every effect goes."""

import asyncio

from agentloop import ToolError
from agentloop.events import TextDelta
from agentloop.runtime.journal import MemoryJournal, Step, StepFailed


async def double(number):
    await asyncio.sleep(0)
    return 2 * number


async def fail():
    raise ToolError("no")


async def test_steps_give_their_results_in_order_and_failures_in_their_place():
    steps = [Step("a", double, (1,)), Step("b", fail), Step("c", double, (3,))]
    first, second, third = await MemoryJournal().steps(steps)
    assert (first, third) == (2, 6)
    assert isinstance(second, StepFailed)
    assert second.error.message == "no"


async def test_a_lone_step_runs_in_the_same_task():
    async def task():
        return asyncio.current_task()

    assert await MemoryJournal().steps([Step("a", task)]) == [asyncio.current_task()]


async def test_every_observer_hears_every_event():
    heard = []
    journal = MemoryJournal([heard.append, heard.append])
    await journal.emit(TextDelta("x"))
    assert heard == [TextDelta("x")] * 2

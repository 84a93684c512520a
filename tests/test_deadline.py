import asyncio
from contextlib import aclosing

import pytest

from agentloop.endpoint.transport.deadline import Deadline


async def forever() -> None:
    await asyncio.Event().wait()


async def wait_with(deadline: Deadline, begun: asyncio.Event) -> None:
    with deadline:
        begun.set()
        await forever()


async def until(seconds: float) -> None:
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, passed.set)
    await asyncio.wait_for(passed.wait(), 10)


async def test_a_wait_ends_when_the_time_is_up():
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wait_with(Deadline(0.01), asyncio.Event()), 10)
    assert asyncio.current_task().cancelling() == 0


async def test_whoever_holds_what_was_yielded_is_left_alone_and_the_next_wait_does_not_begin():
    async def numbers():
        with Deadline(0) as deadline:
            deadline.pause()
            yield 1
            deadline.go_on()
            pytest.fail("a wait began too late")

    async with aclosing(numbers()) as held:
        async for number in held:
            assert number == 1
            with pytest.raises(TimeoutError):
                await wait_and_take(held)
            break


async def wait_and_take(held) -> None:
    await until(0.01)
    await anext(held)


async def test_a_block_that_ends_in_time_leaves_no_trace():
    with Deadline(0.01) as deadline:
        deadline.pause()
        deadline.go_on()
    await until(0.02)
    assert asyncio.current_task().cancelling() == 0


@pytest.mark.parametrize("passes", [False, True])
async def test_a_task_that_others_cancel_is_cancelled_even_when_the_time_is_up_too(passes):
    deadline, begun = Deadline(10), asyncio.Event()
    task = asyncio.create_task(wait_with(deadline, begun))
    await asyncio.wait_for(begun.wait(), 10)
    if passes:
        deadline._pass()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_outer_timeout_still_works_around_a_wait():
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wait_with(Deadline(10), asyncio.Event()), 0.01)

import asyncio
from contextlib import aclosing

import pytest

from agentloop.endpoint.transport.deadline import Deadline
from clock import Clock, stop_clock

PATIENCE_SECONDS = 60


async def forever() -> None:
    await asyncio.Event().wait()


async def wait_with(deadline: Deadline, begun: asyncio.Event) -> None:
    with deadline:
        begun.set()
        await forever()


async def let_pass(clock: Clock, seconds: float) -> None:
    """Let time pass, and all that is due by then happen."""
    clock.advance(seconds)
    await asyncio.sleep(seconds)


async def test_a_wait_ends_when_the_time_is_up():
    clock, begun = stop_clock(), asyncio.Event()
    waiting = asyncio.create_task(wait_with(Deadline(90), begun))
    await begun.wait()
    await let_pass(clock, 89)
    assert not waiting.done()
    clock.advance(1)
    with pytest.raises(TimeoutError):
        await waiting
    assert waiting.cancelling() == 0


async def test_whoever_holds_what_was_yielded_is_left_alone_and_the_next_wait_does_not_begin():
    clock = stop_clock()

    async def numbers():
        with Deadline(90) as deadline:
            deadline.pause()
            yield 1
            deadline.go_on()
            pytest.fail("a wait began too late")

    async with aclosing(numbers()) as held:
        async for number in held:
            assert number == 1
            with pytest.raises(TimeoutError):
                await wait_and_take(held, clock)
            break


async def wait_and_take(held, clock) -> None:
    await let_pass(clock, 90)
    await anext(held)


async def test_a_block_that_ends_in_time_leaves_no_trace():
    clock = stop_clock()
    with Deadline(90) as deadline:
        deadline.pause()
        deadline.go_on()
    await let_pass(clock, 90)
    assert asyncio.current_task().cancelling() == 0


@pytest.mark.parametrize("passes", [False, True])
async def test_a_task_that_others_cancel_is_cancelled_even_when_the_time_is_up_too(passes):
    deadline, begun = Deadline(PATIENCE_SECONDS), asyncio.Event()
    task = asyncio.create_task(wait_with(deadline, begun))
    await asyncio.wait_for(begun.wait(), PATIENCE_SECONDS)
    if passes:
        deadline._pass()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_outer_timeout_still_works_around_a_wait():
    clock, begun = stop_clock(), asyncio.Event()
    waiting = asyncio.create_task(asyncio.wait_for(wait_with(Deadline(91), begun), 90))
    await begun.wait()
    clock.advance(90)
    with pytest.raises(TimeoutError):
        await waiting


async def test_what_comes_when_the_time_is_up_already_is_not_cancelled():
    clock = stop_clock()

    async def numbers():
        with Deadline(90, 60) as deadline:
            clock._move(90)  # before the timer has had its turn
            deadline.pause()
            yield 1
            deadline.go_on()
            pytest.fail("a wait began too late")

    async with aclosing(numbers()) as held:
        assert await anext(held) == 1
        for _ in range(3):  # a task that was cancelled would end here
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await anext(held)
    assert asyncio.current_task().cancelling() == 0


async def test_a_silence_ends_a_wait_but_not_a_pause():
    clock, begun = stop_clock(), asyncio.Event()

    async def wait():
        with Deadline(1000, 60) as deadline:
            deadline.pause()
            await let_pass(clock, 500)
            deadline.go_on()
            begun.set()
            try:
                await forever()
            finally:
                silent.append(deadline.fell_silent)

    silent = []
    waiting = asyncio.create_task(wait())
    await begun.wait()
    await let_pass(clock, 59)
    assert not waiting.done()
    clock.advance(1)
    with pytest.raises(TimeoutError):
        await waiting
    assert silent == [True]

"""What an async tool returns is written in a thread, where it is read by code that may take its time."""

import asyncio
import threading

import pytest

from agentloop import Agent, ToolFinished, tool
from agentloop.testing import ScriptedEndpoint, call
from clock import stop_clock

PATIENCE_SECONDS = 60

READ_IN = []


def note(number):
    READ_IN.append(threading.current_thread() is threading.main_thread())
    return number


@pytest.mark.parametrize("seconds", [None, 60])
async def test_an_iterator_of_an_async_tool_is_read_in_a_thread(seconds):
    READ_IN.clear()

    @tool(timeout=seconds)
    async def count() -> list[int]:
        """Count."""
        return map(note, range(3))

    endpoint = ScriptedEndpoint([call("count"), "done"])
    result = await Agent("any", endpoint=endpoint, tools=[count]).run("go")
    assert (result.items[-2].content, READ_IN) == ("[0,1,2]", [False] * 3)


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_iterator_that_nobody_waits_for_any_more_is_not_read_on(is_async):
    clock, over, closed, asked = stop_clock(), threading.Event(), threading.Event(), []

    def generate():
        try:
            clock.advance(31)
            over.wait(PATIENCE_SECONDS)
            yield 1
            asked.append("for more")
            yield 2
        finally:
            closed.set()

    async def rows_async() -> object:
        """Return rows."""
        return generate()

    def rows() -> object:
        """Return rows."""
        return generate()

    function = tool(timeout=30)(rows_async if is_async else rows)
    endpoint = ScriptedEndpoint([call(function.name), "done"])
    async for event in Agent("any", endpoint=endpoint, tools=[function]).stream("go"):
        if isinstance(event, ToolFinished):
            assert "did not return within 30 s" in event.result.content
            over.set()
    assert await asyncio.to_thread(closed.wait, PATIENCE_SECONDS)
    assert not asked

"""What an async tool returns is written in a thread, where it is read by code that may take its time."""

import threading

import pytest

from agentloop import Agent, tool
from agentloop.testing import ScriptedEndpoint, call

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

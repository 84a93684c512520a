import asyncio

import pytest

from agentloop import Tally, ToolContext, ToolError, tool
from agentloop.items import ToolCall
from agentloop.runtime.invoke import Invoked, invoke

CALL = ToolCall("call_1", "next_one", "{}")
CONTEXT = ToolContext("run_1", "call_1", Tally(), None)


async def call(function, seconds: float | None = None) -> tuple[Invoked, list[str]]:
    abandoned: list[str] = []
    async with asyncio.timeout(60):
        return await invoke(tool(function), CALL, CONTEXT, seconds, abandoned.append), abandoned


@pytest.mark.parametrize("seconds", [None, 90])
async def test_a_tool_may_raise_even_what_ends_iterations(seconds):
    def next_one() -> str:
        """Return the next one."""
        return next(iter(()))

    invoked, abandoned = await call(next_one, seconds)
    assert "StopIteration" in invoked.result.content
    assert not invoked.result.ok
    assert not abandoned


async def test_a_timeout_of_the_tools_own_is_not_taken_for_the_limit():
    def next_one() -> str:
        """Return the next one."""
        raise TimeoutError("the database is slow")

    invoked, _ = await call(next_one, 90)
    assert invoked.result.content == "next_one failed: TimeoutError: the database is slow"


@pytest.mark.parametrize("kind", [ToolError, ValueError])
async def test_an_error_is_no_longer_than_a_result_may_be(kind):
    @tool(max_output=1_000)
    def next_one() -> str:
        """Return the next one."""
        raise kind("x" * 1_000_000)

    invoked = await invoke(next_one, CALL, CONTEXT, 90, print)
    assert len(invoked.result.content) <= 1_000
    assert "x" * 300 in invoked.result.content


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit])
def test_what_ends_the_program_in_the_main_thread_is_let_through(error):
    async def next_one() -> str:
        """Return the next one."""
        raise error

    with pytest.raises(error):
        invoke(tool(next_one), CALL, CONTEXT, None, print).send(None)

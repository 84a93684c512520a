"""What code of the user may do at worst: call tools after a cancellation, raise unreadable errors, be a mock."""

from __future__ import annotations

import asyncio
import inspect
from collections import UserString
from unittest.mock import AsyncMock  # as a tool that a user gives

import pytest

from agentloop import Agent, ConfigurationError, Limits, ToolContext, ToolStarted, tool
from agentloop.schema import render
from agentloop.testing import ScriptedEndpoint, call
from agentloop.tools import describe_error, find_leaves


class SilentError(Exception):
    def __str__(self):
        raise KeyboardInterrupt


class SelfGroup(ExceptionGroup):
    @property
    def exceptions(self):
        return (self,)


def tell(made):
    endpoint = ScriptedEndpoint([call(made.name), "done"])
    Agent("m", endpoint=endpoint, tools=[made]).run_sync("go")
    return endpoint.requests[1]["input"][-1]["output"]


def test_text_of_an_error_that_interrupts_does_not_end_the_loop():
    @tool
    def probe_line() -> str:
        """Probe."""
        raise SilentError

    assert tell(probe_line) == "probe_line failed: SilentError"


def test_leaves_are_those_that_python_keeps():
    leaf = ValueError("broken pipe")
    group = SelfGroup("several", [ExceptionGroup("inner", [leaf])])

    assert list(find_leaves(group)) == [leaf]
    assert describe_error(group) == "ValueError: broken pipe"


def test_tool_that_keeps_a_cancellation_calls_no_other_tool():
    sent = []

    @tool
    async def send_mail() -> str:
        """Send it."""
        sent.append(1)
        return "sent"

    @tool
    async def draft(context: ToolContext) -> str:
        """Write it."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await context.call("send_mail", {})
        return "drafted"

    assert asyncio.run(leave([draft, send_mail], "draft"))
    assert not sent


def test_async_iterator_that_keeps_a_cancellation_is_read_no_further():
    asked = []

    async def follow():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            yield "cancelled"
        asked.append(1)
        yield "and more"

    @tool
    async def tail_log() -> object:
        """Follow the log."""
        return follow()

    assert asyncio.run(leave([tail_log], "tail_log"))
    assert not asked


async def leave(tools, name):
    """Cancel a run while its tool waits, and tell whether it ended so."""
    started = asyncio.Event()

    async def go():
        agent = Agent("m", endpoint=ScriptedEndpoint([call(name), "done"]), tools=tools)
        async for event in agent.stream("go"):
            if isinstance(event, ToolStarted):
                started.set()

    task = asyncio.create_task(go())
    await started.wait()
    for _ in range(20):  # until the tool waits
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=60)
    return task.cancelled()


def test_text_of_another_class_is_a_text():
    assert render([UserString("abc")], 1_000) == '["abc"]'


def test_docstring_that_only_describes_parameters():
    @tool(description="Convert money.")
    def convert(amount: float, currency: str) -> str:
        """
        Args:
            amount: How much.
            currency: What of.
        """
        return f"{amount} {currency}"

    properties = convert.parameters["properties"]
    assert [each["description"] for each in properties.values()] == ["How much.", "What of."]


@pytest.mark.parametrize(
    "section",
    [
        "Args:\n    - width: In mm.\n    - height: In mm.",
        "Args:\n    `width`: In mm.\n    `height`: In mm.",
        "Parameters\n----------\nwidth, height : int\n    In mm.",
    ],
)
def test_parameters_in_a_list_in_quotes_and_together(section):
    def cut(width: int, height: int) -> str:
        return f"{width}x{height}"

    cut.__doc__ = f"Cut a sheet.\n\n{section}\n"
    made = tool(cut)

    assert made.description == "Cut a sheet."
    assert [each["description"] for each in made.parameters["properties"].values()] == ["In mm.", "In mm."]


def test_mock_whose_code_is_a_mock_has_an_origin():
    async def look_up(word: str) -> str:
        """Look up a word."""
        return word

    mock = AsyncMock(spec=look_up, return_value="a meaning")
    mock.__name__ = "look_up"
    mock.__signature__ = inspect.signature(look_up, eval_str=True)
    made = tool(description="Look up a word.")(mock)

    assert "co_filename" not in made.origin
    assert asyncio.run(made(word="loop")) == "a meaning"


def test_limits_by_tool_are_by_name():
    with pytest.raises(ConfigurationError, match="mapping from tool names"):
        Limits(per_tool={5: 1})

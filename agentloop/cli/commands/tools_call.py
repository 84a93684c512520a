"""`agentloop tools call`: calls one tool by hand, in the same way as a model's call."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from agentloop.agent import Agent
from agentloop.cli.approvals.approver import Approvals
from agentloop.cli.failure import DONE, STOPPED, report
from agentloop.cli.follow import follow_run
from agentloop.cli.screen import Screen
from agentloop.cli.sources import find_sources, open_tools
from agentloop.cli.terminal import keep_stdout, print_text, say
from agentloop.errors import AgentloopError, ConfigurationError
from agentloop.events import ApprovalAsked, Event, Finished, Notice
from agentloop.items import ToolResult
from agentloop.packs import ToolSource
from agentloop.policy import Policy
from agentloop.testing import ScriptedEndpoint, call
from agentloop.tools import Tool, near_names

_SHOWN: Final = (ApprovalAsked, Notice, Finished)


def call_tool(
    name: str, arguments: str, *, packs: list[str] | None, tools: list[str] | None, yes: list[str] | None
) -> int:
    """Call a tool as a model would call it, print its result, and return the exit status."""
    with keep_stdout() as stdout:
        try:
            _check_arguments(arguments)
            approvals = Approvals(yes)
            sources = find_sources(tools, packs)
            result = follow_run(lambda: _call(name, arguments, sources, approvals), Screen(None), approvals)
        except (AgentloopError, KeyboardInterrupt) as failure:
            return report(failure)
        answer = next(item for item in reversed(result.items) if isinstance(item, ToolResult))
        if not answer.ok:
            say("failed", answer.content)
            return STOPPED
        print_text(answer.content, stdout)
        return DONE


def _check_arguments(text: str) -> None:
    try:
        given: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"the arguments are not JSON: {error}", hint="""give an object in quotes: '{"path": "a.txt"}'"""
        ) from None
    if not isinstance(given, dict):
        raise ConfigurationError(
            "the arguments are not a JSON object", hint="""give an object in quotes: '{"path": "a.txt"}'"""
        )


async def _call(
    name: str, arguments: str, sources: Sequence[ToolSource], approvals: Approvals
) -> AsyncGenerator[Event, None]:
    """Yield the events of a run with a scripted model, which calls this tool once."""
    async with open_tools(sources) as tools:
        endpoint = ScriptedEndpoint([call(_find_tool(name, tools).name, arguments), "done"])
        agent = Agent("by hand", endpoint=endpoint, tools=tools, policy=Policy(approver=approvals))
        async with aclosing(agent.stream(f"Call {name}.")) as events:
            async for event in events:
                if isinstance(event, _SHOWN):
                    yield event


def _find_tool(name: str, tools: Sequence[Tool]) -> Tool:
    for tool in tools:
        if name in {tool.name, tool.label}:
            return tool
    if not tools:
        raise ConfigurationError(f"there is no tool {name!r}", hint="name a pack with --pack, or a file with --tools")
    labels = [tool.label for tool in tools]
    near = near_names(name, [*labels, *(tool.name for tool in tools)])
    raise ConfigurationError(
        f"there is no tool {name!r}", hint=f"did you mean {near[0]}?" if near else f"there are: {', '.join(labels)}"
    )

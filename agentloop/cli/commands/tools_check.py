"""`agentloop tools check`: prints the schemas and the faults of the tools in a file, without a network."""

from __future__ import annotations

import json

from agentloop.cli.failure import DONE, report
from agentloop.cli.terminal import keep_stdout, say
from agentloop.cli.tool_file import load_tools
from agentloop.errors import ToolDefinitionError, UserError
from agentloop.schema.parameters.strict import find_faults
from agentloop.showable import show_json
from agentloop.tools import Tool, collect_faults
from agentloop.wire.formats.responses import NativeResponses
from agentloop.wire.profile import Profile


def check_tools(spec: str) -> int:
    """Print the tools' JSON as it would be sent on `/v1/responses`, and every fault; return the exit status."""
    with keep_stdout() as stdout:
        try:
            with collect_faults() as faulty:
                tools = [tool for tool in load_tools(spec) if tool not in faulty]
        except UserError as error:
            return report(error)
        wire = json.loads(NativeResponses().encode_tools(tools, Profile()))
        print(show_json(wire, indent=2), file=stdout)
        for tool in tools:
            # A strict tool can't have faults: they are errors when it is defined.
            for fault in () if tool.strict else find_faults(tool.parameters):
                say("note", f"{tool.name} is declared as not strict: {fault}")
        errors = [*faulty.values(), *(_describe_silent(tool) for tool in tools if not tool.description.strip())]
        return max(map(report, errors), default=DONE)


def _describe_silent(tool: Tool) -> ToolDefinitionError:
    return ToolDefinitionError(
        f"{tool.name!r} ({tool.origin}) has no description, so a model can only guess what it is for",
        hint="write a docstring, or give @tool(description=...)",
    )

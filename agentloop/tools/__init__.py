"""Defines tools: functions that a model can call.

- `definition`: Tool and ToolContext; `run_context`: RunContext; `decorator`: `@tool`; `registry`: ToolRegistry.
- `search`: search_tools, which offers many tools on demand.
- `functions`: what there is to know about any callable.
- `effects`: Effects, which a tool declares; `argument_reading`: ArgumentReading, which rules use.
- `readings`: what was read of a call's arguments, for those who need it later.
- `taint`: whether a run has read untrusted text, and whether a result is untrusted.
- `waiting`: whether a call has waited for a person while the run was paused.
- `failure`: describes what a function has raised.
- `naming`: finds the tool that a model means if the name is slightly wrong.
"""

from agentloop.tools.argument_reading import ArgumentReading
from agentloop.tools.decorator import tool
from agentloop.tools.definition import BoundCall, CallTool, Quota, Tool, ToolContext, collect_faults
from agentloop.tools.effects import UNKNOWN, Effects
from agentloop.tools.failure import describe_error, find_leaves, is_told
from agentloop.tools.naming import near_names, resolve_name
from agentloop.tools.registry import ToolRegistry, collect_tools
from agentloop.tools.run_context import RunContext
from agentloop.tools.search import search_tools
from agentloop.tools.taint import following_taint, mark_untrusted, run_is_tainted
from agentloop.tools.waiting import call_has_waited, making_preview

__all__ = [
    "UNKNOWN",
    "ArgumentReading",
    "BoundCall",
    "CallTool",
    "Effects",
    "Quota",
    "RunContext",
    "Tool",
    "ToolContext",
    "ToolRegistry",
    "call_has_waited",
    "collect_faults",
    "collect_tools",
    "describe_error",
    "find_leaves",
    "following_taint",
    "is_told",
    "making_preview",
    "mark_untrusted",
    "near_names",
    "resolve_name",
    "run_is_tainted",
    "search_tools",
    "tool",
]

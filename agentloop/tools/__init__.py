"""Tools: functions that a model can call."""

from agentloop.tools.decorator import tool
from agentloop.tools.definition import BoundCall, CallTool, Quota, Tool, ToolContext, collect_faults
from agentloop.tools.effects import UNKNOWN, Effects
from agentloop.tools.naming import near_names, resolve_name
from agentloop.tools.registry import ToolRegistry, collect_tools

__all__ = [
    "UNKNOWN",
    "BoundCall",
    "CallTool",
    "Effects",
    "Quota",
    "Tool",
    "ToolContext",
    "ToolRegistry",
    "collect_faults",
    "collect_tools",
    "near_names",
    "resolve_name",
    "tool",
]

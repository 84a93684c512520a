"""Tools: functions that a model can call."""

from agentloop.tools.decorator import tool
from agentloop.tools.definition import BoundCall, Tool, ToolContext, collect_faults
from agentloop.tools.naming import near_names, resolve_name
from agentloop.tools.registry import ToolRegistry, collect_tools

__all__ = [
    "BoundCall",
    "Tool",
    "ToolContext",
    "ToolRegistry",
    "collect_faults",
    "collect_tools",
    "near_names",
    "resolve_name",
    "tool",
]

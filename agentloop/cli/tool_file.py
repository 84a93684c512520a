"""Loads the tools in a user's file, written as `FILE.py[:NAME]`."""

from __future__ import annotations

import inspect
from types import ModuleType

from agentloop.errors import ConfigurationError
from agentloop.packs.modules import find_file, import_file
from agentloop.tools import Tool, ToolRegistry, collect_tools


def load_tools(spec: str) -> list[Tool]:
    """Return the tools that `FILE.py` or `FILE.py:NAME` names.

    Raises:
        ConfigurationError: the file does not exist, can't be imported, or has no such tool.
        ToolDefinitionError: a function can't become a tool.
        DuplicateToolError: two tools have the same name.
    """
    file, colon, name = spec.rpartition(":")
    named = bool(colon) and name.isidentifier()
    path = find_file(file if named else spec)
    module = import_file(path)
    if named:
        return _pick(module, path.name, name)
    things: list[Tool | ToolRegistry] = [
        thing for thing in vars(module).values() if isinstance(thing, (Tool, ToolRegistry))
    ]
    tools = list(collect_tools(things).values())
    if not tools:
        functions = _functions(module)
        raise ConfigurationError(
            f"{path.name} defines no tool; it defines {_listed(functions)}",
            hint=f"put @tool (from agentloop import tool) above a function, or name a plain function: {path.name}:NAME",
        )
    return tools


def _pick(module: ModuleType, file: str, name: str) -> list[Tool]:
    thing = getattr(module, name, None)
    if not isinstance(thing, ToolRegistry) and not callable(thing):
        tools = [key for key, value in vars(module).items() if isinstance(value, (Tool, ToolRegistry))]
        what = f"{name!r} in {file} is not a function" if hasattr(module, name) else f"{file} has no {name!r}"
        raise ConfigurationError(
            f"{what}; the file defines {_listed([*tools, *_functions(module)])}", hint="name one of these"
        )
    return list(collect_tools([thing]).values())


def _functions(module: ModuleType) -> list[str]:
    """Return the names of the plain functions that the file itself defines."""
    return [
        name for name, value in inspect.getmembers(module, inspect.isfunction) if value.__module__ == module.__name__
    ]


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "no function either"

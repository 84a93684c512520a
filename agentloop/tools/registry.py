"""Defines ToolRegistry, which collects tools by a decorator, and reads the `tools` of an agent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import MethodType
from typing import Any, Unpack, cast, overload

from agentloop.errors import DuplicateToolError, ToolDefinitionError
from agentloop.schema import unwrap_callable
from agentloop.tools.decorator import ToolOptions, tool
from agentloop.tools.definition import P, R, Tool
from agentloop.tools.functions import is_async


class ToolRegistry:
    """Collects tools by a decorator, `@registry.tool`. Two tools can't have the same name."""

    def __init__(self) -> None:
        self._tools: dict[str, Tool] = {}

    @overload
    def tool(self, function: Callable[P, R], /) -> Tool[P, R]: ...
    @overload
    def tool(self, **options: Unpack[ToolOptions]) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
    def tool(self, *function: Callable[..., Any], **options: Unpack[ToolOptions]) -> Any:
        """Make a tool from a function and add it. The options are those of `agentloop.tool`.

        Raises:
            ToolDefinitionError: there is no such option, or the function can't become a tool.
            DuplicateToolError: the registry has a tool of this name already.
        """
        define = tool(**options)

        def register(function: Callable[..., Any]) -> Tool:
            return self.add(define(function))

        return register(*function) if function else register

    def add(self, thing: Tool[P, R]) -> Tool[P, R]:
        """Add a tool and return it.

        Raises:
            DuplicateToolError: the registry has a tool of this name already.
        """
        _add(self._tools, thing)
        return thing

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __contains__(self, name: object) -> bool:
        return name in self._tools


def collect_tools(things: Iterable[Tool | Callable[..., Any] | ToolRegistry]) -> dict[str, Tool]:
    """Return the tools by name, from tools, registries and plain functions, in the given order.

    Raises:
        ToolDefinitionError: a function can't become a tool, or is a method without its instance.
        DuplicateToolError: two tools have the same name.
    """
    collected: dict[str, Tool] = {}
    for thing in things:
        for one in thing if isinstance(thing, ToolRegistry) else (thing,):
            _add(collected, _as_tool(one))
    return collected


def _as_tool(thing: Any) -> Tool:
    function: Any = getattr(thing, "__func__", None)
    if isinstance(thing, MethodType) and isinstance(function, Tool):
        # From Python 3.13 on, a classmethod around a tool gives a bound method whose function is the tool.
        thing = cast("Tool", function).__get__(thing.__self__)
    made = cast("Tool", thing) if isinstance(thing, Tool) else _make_tool(thing)
    if made.unbound:
        raise ToolDefinitionError(
            f"{made.name!r} ({made.origin}) is a method without its instance",
            hint=f"take it from an instance: tools=[instance.{made.name}]",
        )
    return made


def _make_tool(function: Any) -> Tool:
    """Return the tool for a function; if it is a decorator's, around a tool, it keeps all that the tool declares."""
    tools: list[Tool] = [each for each in unwrap_callable(function) if isinstance(each, Tool)]
    return replace(tools[0], function=function, is_async=is_async(function)) if tools else tool(function)


def _add(tools: dict[str, Tool], new: Tool) -> None:
    old = tools.setdefault(new.name, new)
    if old is not new:
        of_packs = old.pack or new.pack
        raise DuplicateToolError(
            f"two tools are named {new.name!r}: {_describe_source(old)} and {_describe_source(new)}",
            hint="give one of them another name with @tool(name=...)"
            + (f", or the pack with {of_packs}.prefixed(...) or .renamed(...)" if of_packs else ""),
        )


def _describe_source(tool: Tool) -> str:
    return f"{tool.origin}, of the pack {tool.pack!r}" if tool.pack else tool.origin

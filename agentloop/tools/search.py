"""Defines search_tools: offers the model many tools by one that searches them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from inspect import isawaitable
from typing import Any

from agentloop.errors import ConfigurationError
from agentloop.items import Item, ToolCall, ToolResult
from agentloop.tools.decorator import tool
from agentloop.tools.definition import Tool
from agentloop.tools.effects import Effects
from agentloop.tools.registry import ToolRegistry, collect_tools
from agentloop.tools.run_context import RunContext

SEARCH_TOOLS = "search_tools"
_WORD = re.compile(r"[^\W_]+")
_LEAST_LETTERS = 3
_SHOWN_CHARACTERS = 300


def search_tools(tools: Iterable[Tool | Callable[..., Any] | ToolRegistry], *, most: int = 5) -> list[Tool]:
    """Return tools that the model is offered only after it has found them, and first the tool that finds them.

    A request then holds the schemas of a few tools, not of hundreds: `Agent(..., tools=[add, *search_tools(many)])`.
    What has been found stays on offer in the conversation, also when it goes on in another process.

    Args:
        tools: The tools, functions and registries to search.
        most: How many tools one search finds at most.

    Raises:
        ConfigurationError: `most` is below 1, or one of the tools is named like the search itself.
        ToolDefinitionError: a function can't become a tool.
        DuplicateToolError: two tools have the same name.
    """
    hidden = collect_tools(tools)
    if most < 1 or SEARCH_TOOLS in hidden:
        what = f"a tool that is searched can't be named {SEARCH_TOOLS}" if most >= 1 else f"most is {most}"
        raise ConfigurationError(
            what, hint="give it another name with @tool(name=...)" if most >= 1 else "give 1 or more"
        )
    words = {name: _words(f"{name} {each.description}") for name, each in hidden.items()}

    @tool(name=SEARCH_TOOLS, effects=Effects(), repeatable=True)
    def search(query: str) -> str:
        """Search for more tools, and get to use those that are found.

        Args:
            query: What the tool should do, in a few words.
        """
        asked = _words(query)
        ranked = sorted(hidden, key=lambda name: -_match(asked, words[name]))
        found = [name for name in ranked[:most] if _match(asked, words[name])]
        return json.dumps({"tools": {name: hidden[name].description[:_SHOWN_CHARACTERS] for name in found}})

    seen = _Found()
    return [search, *(replace(each, when=_join(seen, each)) for each in hidden.values())]


class _Found:
    """Tells which tools the searches of a conversation have found."""

    def __init__(self) -> None:
        self._last: tuple[tuple[Item, ...], frozenset[str]] = ((), frozenset())

    def names(self, items: tuple[Item, ...]) -> frozenset[str]:
        """Return the names; each conversation is read once, as there may be hundreds of tools."""
        last, names = self._last
        if last is not items:
            searches = {item.call_id for item in items if isinstance(item, ToolCall) and item.name == SEARCH_TOOLS}
            results = (item for item in items if isinstance(item, ToolResult) and item.ok and item.call_id in searches)
            names = frozenset(name for result in results for name in _read_found(result.content))
            self._last = items, names
        return names


def _join(found: _Found, each: Tool) -> Callable[[RunContext[Any]], Any]:
    """Return the condition of a tool that has been found: its own, if it has one."""

    async def when(run: RunContext[Any]) -> Any:
        if each.name not in found.names(run.items):
            return False
        said = True if each.when is None else each.when(run)
        return await said if isawaitable(said) else said

    return when


def _read_found(content: str) -> Iterable[str]:
    try:
        found: Any = json.loads(content)
        return [str(name) for name in found["tools"]]
    except (ValueError, TypeError, KeyError, RecursionError):  # a user may have written the history
        return ()


def _match(asked: frozenset[str], words: frozenset[str]) -> float:
    """Return how well a tool fits a query: one for each word in common, less for words that begin alike."""
    alike = (any(_are_alike(one, other) for other in words) for one in asked - words)
    return len(asked & words) + 0.5 * sum(alike)


def _are_alike(one: str, other: str) -> bool:
    return min(len(one), len(other)) > _LEAST_LETTERS and (one.startswith(other) or other.startswith(one))


def _words(text: str) -> frozenset[str]:
    return frozenset(word for word in _WORD.findall(text.lower()) if len(word) >= _LEAST_LETTERS)

"""Opens the packs of a run and gives their tools the names that a model sees."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from hashlib import sha256
from typing import Any

from agentloop.errors import AgentloopError, DuplicateToolError, PackError
from agentloop.packs.pack import ToolPack
from agentloop.tools import Tool

_LONGEST = 64
_HASH = 8


async def open_packs(packs: Iterable[ToolPack[Any]], stack: AsyncExitStack) -> list[Tool]:
    """Enter the packs one after another and return their tools, named; the stack leaves them in reverse.

    Raises:
        DuplicateToolError: two packs have one name.
        PackError: one can't be opened.
    """
    tools: list[Tool] = []
    seen: dict[str, ToolPack[Any]] = {}
    for pack in packs:
        prefix = pack.prefix or pack.name
        other = seen.setdefault(prefix, pack)
        if other is not pack:
            raise DuplicateToolError(
                f"two packs are named {prefix!r}: {_origin(other)} and {_origin(pack)}",
                hint='give one of them another name: pack.prefixed("other"), or other=PACK on the command line',
            )
        try:
            opened = await stack.enter_async_context(pack.open())
        except AgentloopError:
            raise
        except Exception as error:
            raise PackError(
                f"the pack {pack.name!r} can't be opened: {type(error).__name__}: {error}",
                hint="mend its configuration, or leave it out",
            ) from error
        tools += [name_tool(tool, prefix) for tool in opened]
    return tools


def name_tool(tool: Tool, prefix: str) -> Tool:
    """Return a pack's tool as `prefix_tool` for the model and `prefix.tool` for policies and logs."""
    name = f"{prefix}_{tool.name}".replace(".", "_")
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - _HASH - 1]}_{sha256(name.encode()).hexdigest()[:_HASH]}"
    return replace(tool, name=name, dotted=f"{prefix}.{tool.name}", pack=prefix)


def _origin(pack: ToolPack[Any]) -> str:
    kind = type(pack)
    return f"{kind.__module__}.{kind.__qualname__} {pack.version}"

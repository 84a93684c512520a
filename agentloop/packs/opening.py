"""Opens the packs of a run and gives their tools the names that a model sees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from types import TracebackType
from typing import Any, TypeAlias, TypeGuard

from agentloop.errors import AgentloopError, DuplicateToolError, PackError
from agentloop.packs.discovery import load_pack
from agentloop.packs.pack import ToolPack
from agentloop.tools import Tool, ToolRegistry

LEAVE_SECONDS = 10.0

Tell: TypeAlias = Callable[[str], Awaitable[None]]

_LONGEST = 64
_HASH = 8


@asynccontextmanager
async def open_packs(packs: Iterable[ToolPack[Any]], tell: Tell) -> AsyncGenerator[list[Tool]]:
    """Open packs one after another and yield their tools, named; leave them in reverse, also on failure.

    Args:
        packs: What to open.
        tell: Told what went wrong when one was left; nothing that a run has done is lost for it.

    Raises:
        DuplicateToolError: two packs have one name.
        PackError: one can't be opened; those that were open have been left.
    """
    packs = list(packs)
    _check_names(packs)
    tools: list[Tool] = []
    async with AsyncExitStack() as stack:
        for pack in packs:
            context = pack.open()
            try:
                opened = await context.__aenter__()
            except AgentloopError:
                raise
            except Exception as error:
                raise PackError(
                    f"the pack {pack.name!r} can't be opened: {type(error).__name__}: {error}",
                    hint="mend its configuration, or leave it out",
                ) from error
            stack.push_async_exit(partial(_leave, pack.name, context, tell))
            tools += [name_tool(tool, pack.prefix or pack.name) for tool in opened]
        yield tools


async def _leave(
    name: str,
    context: AbstractAsyncContextManager[object],
    tell: Tell,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    """Leave a pack, which has no say in how the run ended."""
    try:
        async with asyncio.timeout(LEAVE_SECONDS):
            await context.__aexit__(kind, error, traceback)
    except Exception as trouble:  # noqa: BLE001 - whatever a pack's own code raises
        if trouble is not error:
            await tell(f"the pack {name!r} could not be closed: {type(trouble).__name__}: {trouble}")


def _check_names(packs: Sequence[ToolPack[Any]]) -> None:
    seen: dict[str, ToolPack[Any]] = {}
    for pack in packs:
        prefix = pack.prefix or pack.name
        other = seen.setdefault(prefix, pack)
        if other is not pack:
            raise DuplicateToolError(
                f"two packs are named {prefix!r}: {_origin(other)} and {_origin(pack)}",
                hint='give one of them another name: pack.prefixed("other"), or other=PACK on the command line',
            )


def name_tool(tool: Tool, prefix: str) -> Tool:
    """Return a pack's tool as `prefix_tool` for the model and `prefix.tool` for policies and logs."""
    name = f"{prefix}_{tool.name}".replace(".", "_")
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - _HASH - 1]}_{sha256(name.encode()).hexdigest()[:_HASH]}"
    return replace(tool, name=name, dotted=f"{prefix}.{tool.name}", pack=prefix)


ToolSource: TypeAlias = Tool | ToolRegistry | ToolPack[Any] | str | Callable[..., Any]


def part_packs(sources: Iterable[ToolSource]) -> tuple[list[Any], list[ToolPack[Any]]]:
    """Return what is no pack, and the packs; those named by text are loaded.

    Raises:
        ConfigurationError: there is no such pack, or it can't be configured so.
        PackError: it can't be imported.
    """
    own, packs = list[Any](), list[ToolPack[Any]]()
    for source in sources:
        if _is_pack(source):
            packs.append(source)
        elif isinstance(source, str):
            packs.append(load_pack(source))
        else:
            own.append(source)
    return own, packs


def _is_pack(source: object) -> TypeGuard[ToolPack[Any]]:
    return isinstance(source, ToolPack)


def _origin(pack: ToolPack[Any]) -> str:
    kind = type(pack)
    return f"{kind.__module__}.{kind.__qualname__} {pack.version}"

"""Opens the packs of a run, and gives their tools the names that the model sees."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from types import TracebackType
from typing import Any, TypeAlias, TypeGuard, cast

from agentloop.errors import AgentloopError, ConfigurationError, DuplicateToolError, PackError
from agentloop.packs.discovery import load_pack
from agentloop.packs.pack import ToolPack
from agentloop.tools import Tool, ToolRegistry, describe_error

LEAVE_SECONDS = 10.0

Tell: TypeAlias = Callable[[str], Awaitable[None]]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST = 64
_HASH = 8


@asynccontextmanager
async def open_packs(packs: Iterable[ToolPack[Any]], tell: Tell) -> AsyncGenerator[list[Tool]]:
    """Open packs in order and yield their named tools; close the packs in reverse order, also on failure.

    Args:
        packs: The packs to open.
        tell: Called with a message if a pack can't be closed; the run keeps its result.

    Raises:
        DuplicateToolError: two packs have the same name.
        ConfigurationError: a tool has a name that servers don't accept.
        PackError: a pack has no name, can't be opened, or yields something that is not a tool; the packs that were open
            have been closed.
    """
    packs = list(packs)
    _check_names(packs)
    tools: list[Tool] = []
    async with AsyncExitStack() as stack:
        for pack in packs:
            with _converting_errors(pack):
                context = _call_open(pack)
                opened = await context.__aenter__()
                stack.push_async_exit(partial(_close, pack.name, context, tell))
                tools += [_check_and_name(pack, thing) for thing in opened]
        yield tools


@contextmanager
def _converting_errors(pack: ToolPack[Any]) -> Generator[None]:
    """Convert any exception of the pack's own code to PackError; so `sys.exit` in it does not end the program."""
    try:
        yield
    except AgentloopError:
        raise
    except BaseException as error:  # includes sys.exit in a pack; exceptions that are not the pack's are raised again
        if not _is_packs_own(error):
            raise
        raise PackError(
            f"the pack {pack.name!r} can't be opened: {describe_error(error)}",
            hint="fix its configuration, or leave the pack out",
        ) from error


def _is_packs_own(error: BaseException) -> bool:
    """Tell whether the pack's code raised the error itself.

    It did not if the run was cancelled, or on Ctrl-C, which raises KeyboardInterrupt in the main thread.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    in_main = threading.current_thread() is threading.main_thread()
    return not (isinstance(error, KeyboardInterrupt) and in_main) and not isinstance(error, GeneratorExit)


def _call_open(pack: ToolPack[Any]) -> AbstractAsyncContextManager[Iterable[object]]:
    context: Any = pack.open()
    if not isinstance(context, AbstractAsyncContextManager):
        raise PackError(
            f"open() of the pack {pack.name!r} returns a {type(context).__name__}, not an async context manager",
            hint="put @asynccontextmanager above it, and yield the tools",
        )
    return cast("AbstractAsyncContextManager[Iterable[object]]", context)


def _check_and_name(pack: ToolPack[Any], thing: object) -> Tool:
    if not _is_tool(thing):
        raise PackError(
            f"the pack {pack.name!r} yields a {type(thing).__name__}, which is not a tool",
            hint="mark the function with @tool",
        )
    named = name_tool(thing, pack.prefix or pack.name)
    if not thing.name or not _NAME.fullmatch(named.name):
        raise ConfigurationError(
            f"{named.label!r} can't be a tool's name: servers accept letters, digits, `_` and `-`",
            hint="give the pack another name with .prefixed(...), or the tool with .renamed(...)",
        )
    return named


async def _close(
    name: str,
    context: AbstractAsyncContextManager[object],
    tell: Tell,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    """Close a pack; an error while closing is reported, and does not change how the run ended."""
    try:
        async with asyncio.timeout(LEAVE_SECONDS):
            await context.__aexit__(kind, error, traceback)
    except BaseException as close_error:  # as above
        if not _is_packs_own(close_error):
            raise
        if close_error is not error:
            await tell(f"the pack {name!r} could not be closed: {describe_error(close_error)}")


def _check_names(packs: Sequence[ToolPack[Any]]) -> None:
    seen: dict[str, ToolPack[Any]] = {}
    for pack in packs:
        prefix = pack.prefix or pack.name
        if (
            not prefix
        ):  # the policy would treat its tools as plain functions, which are allowed without declared effects
            raise PackError(f"the pack {_origin(pack)} has no name", hint='write name = "..." in its class')
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
    """Return the sources that are not packs, and the packs; packs that are named by text are loaded.

    Raises:
        ConfigurationError: a pack does not exist, or its configuration is not valid.
        PackError: a pack can't be imported.
    """
    others, packs = list[Any](), list[ToolPack[Any]]()
    for source in sources:
        if _is_pack(source):
            packs.append(source)
        elif isinstance(source, str):
            packs.append(load_pack(source))
        else:
            others.append(source)
    return others, packs


def _is_tool(thing: object) -> TypeGuard[Tool]:
    return isinstance(thing, Tool)


def _is_pack(source: object) -> TypeGuard[ToolPack[Any]]:
    return isinstance(source, ToolPack)


def _origin(pack: ToolPack[Any]) -> str:
    kind = type(pack)
    return f"{kind.__module__}.{kind.__qualname__} {pack.version}"

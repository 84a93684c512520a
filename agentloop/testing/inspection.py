"""Checks a pack in a process that has not imported any part of it before."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from agentloop.errors import AgentloopError
from agentloop.items import JsonObject
from agentloop.packs import ToolPack
from agentloop.packs.opening import name_tool
from agentloop.packs.pack import API
from agentloop.packs.spec import PREFIX
from agentloop.testing.rehearsal import rehearse
from agentloop.testing.source import PackSource
from agentloop.testing.watch import AuditRecorder, recording_threads
from agentloop.tools import Tool, near_names

Calls: TypeAlias = Mapping[str, list[JsonObject]]


def inspect_pack(request: bytes) -> bytes:
    """Return the faults of a pack as JSON.

    Args:
        request: The pickled pair of the `PackSource` and the calls by the tool's name; the latter may be None.
    """
    source, calls = pickle.loads(request)  # noqa: S301 - written by our own process
    return json.dumps(list(dict.fromkeys(_find_faults(source, calls)))).encode()


def _find_faults(source: PackSource, calls: Calls | None) -> Iterator[str]:
    watch = AuditRecorder()
    environment = dict(os.environ)
    with watch.recording(importing=True) as effects, recording_threads() as threads:
        try:
            pack = source.load()
        except AgentloopError as error:
            yield f"it can't be loaded: {error}"
            return
    for effect, shown in effects.items():
        yield f"its import has effects ({effect}: {shown}): do that in open() or in the tool"
    if threads:
        yield "its import starts a thread: do that in open() or in the tool"
    if dict(os.environ) != environment:
        yield "its import changes the environment: leave that to the user"
    yield from _check_pack(pack)
    yield from asyncio.run(_check_opened(pack, calls, watch))


def _check_pack(pack: ToolPack[Any]) -> Iterator[str]:
    if not PREFIX.fullmatch(pack.name):
        yield f"its name {pack.name!r} is not valid: use letters, digits, `_` and `-`, at most 40, a letter first"
    if not 1 <= pack.api <= API:
        yield f"its api {pack.api!r} is not supported: this version of agentloop supports 1 to {API}"
    kind = type(pack)
    config = getattr(kind, "Config", None)
    if config is None:
        return
    for name, described in config.model_fields.items():
        if not described.description:
            yield f"the field {name!r} of its configuration has no description: give Field(description=...)"
    values = dict(pack.config)
    if kind.from_options(values).config != pack.config:
        yield "its configuration, made again from its own values, differs: validators must accept their own results"
    texts = {name: str(value) for name, value in values.items() if isinstance(value, str | int | float | Path)}
    try:
        same = kind.from_options({**values, **texts}).config == pack.config
    except AgentloopError:
        same = False
    if not same:
        yield "its configuration can't be given as text, as on a command line: let fields take strings"


async def _check_opened(pack: ToolPack[Any], calls: Calls | None, watch: AuditRecorder) -> list[str]:
    faults: list[str] = []
    try:
        async with pack.open() as opened:
            tools = list(opened)
            for tool in tools:
                faults += _check_tool(pack, tool, called=bool(calls and tool.name in calls))
            faults += _check_names(pack, tools, calls)
            for name, given in (calls or {}).items():
                for tool in (tool for tool in tools if tool.name == name):
                    faults += [fault async for fault in rehearse(name_tool(tool, pack.name), given, watch)]
    except Exception as error:  # noqa: BLE001 - a pack's own code may raise anything
        faults.append(f"it can't be opened and closed: {type(error).__name__}: {error}")
    if asyncio.all_tasks() - {asyncio.current_task()}:
        faults.append("it leaves tasks running when it is closed: cancel and await them in open(), after the yield")
    return faults


def _check_tool(pack: ToolPack[Any], tool: Tool, *, called: bool) -> Iterator[str]:
    label = f"{pack.name}.{tool.name}"
    if not tool.strict:
        yield f"{label} has a schema that is not strict: give its parameters types, without strict=False"
    if not tool.description:
        yield f"{label} has no description: write a docstring"
    for name, schema in tool.parameters.get("properties", {}).items():
        if not schema.get("description"):
            yield f"{label} does not describe {name!r}: list it in the docstring under `Args:`"
    if tool.effects is None:
        yield f"{label} declares no effects: @tool(effects=Effects(...))"
    if tool.timeout is None and not called:
        yield f"{label} has no timeout: @tool(timeout=seconds), or an example that shows that it returns"


def _check_names(pack: ToolPack[Any], tools: list[Tool], calls: Calls | None) -> Iterator[str]:
    if not tools:
        yield "it has no tools: mark its methods with @tool"
    for name, count in Counter(name_tool(tool, pack.name).name for tool in tools).items():
        if count > 1:
            yield f"{count} of its tools are named {name}: give them different names"
    own = [tool.name for tool in tools]
    for name in [] if calls is None else own:
        if name not in (calls or {}):
            yield f"{pack.name}.{name} has no example: add {name!r} to examples"
    for name in calls or {}:
        if name not in own:
            near = near_names(name, own)
            yield f"there is an example for {name!r}, which is not a tool: " + (
                f"did you mean {near[0]!r}?" if near else f"its tools are {', '.join(own)}"
            )

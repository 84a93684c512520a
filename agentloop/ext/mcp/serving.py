"""Offers packs as an MCP server: another program's model calls the same tools under the same policy.

A session is a run without a model. It has grants, quotas and taint, but no limits on the run, which the client sets.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from agentloop.installation import read_version
from agentloop.items import Image, ToolCall, ToolResult
from agentloop.limits import Limits
from agentloop.loop.guard import Rules, check_names, decide_nested, is_offered, judge_nested, note_results
from agentloop.loop.run import Pending, Run
from agentloop.policy import Approver, Policy
from agentloop.runtime.approval import ask_nested
from agentloop.runtime.invoke import invoke
from agentloop.runtime.journal import MemoryJournal
from agentloop.tools import Tool, ToolContext
from agentloop.tools.effects import UNKNOWN

_LONGEST_LINE = 2**24
_CHUNK = 2**16
_UNLIMITED = Limits(tool_calls=None, turns=None, repeats=None)


async def serve_on_stdio(tools: Sequence[Tool], approver: Approver) -> None:
    """Serve tools on standard input and output until the input ends; all other output goes to standard error.

    Args:
        tools: The tools, with the names that they have in a run.
        approver: Decides each call that needs approval.
    """
    server = make_server(tools, Policy(approver=approver))
    async with stdio_server(stdin=cast("Any", _read_lines(_take_stdin()))) as (incoming, outgoing):
        try:
            await server.run(incoming, outgoing, server.create_initialization_options())
        finally:
            sys.stdout.flush()  # write Python's buffer now, while standard output leads to standard error


def make_server(tools: Sequence[Tool], policy: Policy) -> Server:
    """Return a server that offers the tools as far as the policy allows; the policy needs an approver."""
    session = _Session(tools, policy)
    return Server("agentloop", version=read_version(), on_list_tools=session.list_tools, on_call_tool=session.call_tool)


class _Session:
    """Answers a client's requests."""

    def __init__(self, tools: Sequence[Tool], policy: Policy) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._rules = Rules(limits=_UNLIMITED, tools=self._tools, policy=policy)
        check_names(self._rules)
        self._run = Run(run_id=uuid4().hex)
        self._alone = asyncio.Lock()  # for tools that may not run at the same time
        self._judging = asyncio.Lock()  # a person is asked one question at a time

    async def list_tools(
        self, _context: ServerRequestContext, _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        """Return the tools that are not denied."""
        offered = [_describe(tool) for tool in self._tools.values() if is_offered(tool, self._rules)]
        return types.ListToolsResult(tools=offered)

    async def call_tool(
        self, _context: ServerRequestContext, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        """Return the result of a call, or the reason why it was refused."""
        call = ToolCall(uuid4().hex, params.name, json.dumps(params.arguments or {}))
        async with self._judging:
            pending = await self._judge(call)
        return _write(pending.answer or await self._carry_out(pending))

    async def _judge(self, call: ToolCall) -> Pending:
        self._run, pending = judge_nested(self._run, call, self._rules)
        if pending.plan == "ask":
            decision = await ask_nested(self._run, pending, self._rules, MemoryJournal(), None)
            self._run, pending = decide_nested(self._run, pending, decision, self._rules)
        return pending

    async def _carry_out(self, pending: Pending) -> ToolResult:
        call = pending.call
        tool = self._tools[call.name]
        context = ToolContext(self._run.run_id, call.call_id, self._run.tally, None)
        lock: AbstractAsyncContextManager[object] = nullcontext() if tool.parallel else self._alone
        async with lock:
            invoked = await invoke(tool, call, context, None, lambda _thread: None)
        result = replace(invoked.result, content=pending.note + invoked.result.content)
        if (tool.presumed_effects or UNKNOWN).open_world:
            result = replace(result, untrusted=True)
        self._run = note_results(self._run, [result])
        return result


def _take_stdin() -> asyncio.StreamReader:
    """Reserve standard input for the protocol, and return a reader of it; tools and their processes get an empty one.

    A daemon thread reads it, so that Ctrl-C need not wait for the client's next message.
    """
    kept = os.dup(0)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    loop = asyncio.get_running_loop()

    def read() -> None:
        with suppress(RuntimeError):  # the event loop was closed
            while data := os.read(kept, _CHUNK):
                loop.call_soon_threadsafe(reader.feed_data, data)
            loop.call_soon_threadsafe(reader.feed_eof)

    threading.Thread(target=read, name="agentloop-stdin", daemon=True).start()
    return reader


async def _read_lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the lines of the input, up to its end or to a line that is too long."""
    with suppress(ValueError):
        while line := await reader.readline():
            yield line


def _describe(tool: Tool) -> types.Tool:
    effects = tool.presumed_effects or UNKNOWN
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.parameters,
        annotations=types.ToolAnnotations(
            read_only_hint=effects.read_only,
            destructive_hint=effects.destructive,
            idempotent_hint=effects.idempotent,
            open_world_hint=effects.open_world or effects.network,
        ),
    )


def _write(result: ToolResult) -> types.CallToolResult:
    texts: list[types.ContentBlock] = [types.TextContent(text=result.content)] if result.content else []
    return types.CallToolResult(content=[*texts, *map(_write_image, result.images)], is_error=not result.ok)


def _write_image(image: Image) -> types.ImageContent:
    kind, _, data = image.url.removeprefix("data:").partition(";base64,")  # a result holds data URLs only
    return types.ImageContent(data=data, mime_type=kind)

"""Opens, uses and closes the connection to a server within time and size limits, in a task of its own.

The SDK's cancel scopes must be left in the task that entered them, and cancel that task when a connection breaks. A
task of its own keeps both away from the run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import mcp_types as types
from mcp import Client, ClientSession, MCPError
from pydantic import TypeAdapter, ValidationError

from agentloop.endpoint.transport import hide_values, hiding_in_log
from agentloop.errors import AgentloopError, PackError, ToolError
from agentloop.ext.mcp.address import open_address
from agentloop.ext.mcp.config import McpConfig
from agentloop.ext.mcp.definitions import canonize
from agentloop.ext.mcp.process import Complaints, run_process
from agentloop.items import JsonObject
from agentloop.schema.invisible_characters import strip_invisible

_ANSWER: TypeAdapter[types.CallToolResult | types.InputRequiredResult] = TypeAdapter(
    types.CallToolResult | types.InputRequiredResult
)
_CLOSE_SECONDS = 4.0
_MOST_PAGES = 100
_MOST_TOOLS = 1_000
_SHOWN_CHARACTERS = 500

for _name in ("mcp", "client"):  # what the SDK logs about invalid messages must not appear on the terminal
    logging.getLogger(_name).addHandler(logging.NullHandler())


class Connection:
    """An open connection to a server whose tools have been listed.

    Attributes:
        definitions: The server's definition of each of its tools, as canonical text.
        hide: Returns a text of the server's without the secrets that it was given.
    """

    def __init__(self, config: McpConfig, session: ClientSession, definitions: Sequence[str]) -> None:
        self.definitions = definitions
        self.hide = _hiding(config)
        self._config = config
        self._session = session

    async def call(self, name: str, arguments: JsonObject) -> types.CallToolResult:
        """Return the server's answer to a call.

        Raises:
            ToolError: the server did not answer, or its answer is not a result; the text is for the model.
        """
        server, seconds = f"The MCP server {self._config.name}", self._config.timeout
        request = types.CallToolRequest(params=types.CallToolRequestParams(name=name, arguments=arguments))
        try:
            async with asyncio.timeout(seconds):
                # `call_tool` is not used, because it checks the result against the server's own patterns without limit.
                with hiding_in_log(self.hide):
                    answer = await self._session.send_request(request, _ANSWER)
        except TimeoutError:
            late = f"{server} did not answer within {seconds:g} s; what it was asked to do may still take effect."
            raise ToolError(late) from None
        except MCPError as error:
            # The message is compared too, because servers use the same code for errors of their own.
            if (error.code, error.message) == (types.CONNECTION_CLOSED, "Connection closed"):
                raise ToolError(f"{server} has ended; none of its tools can be used any more.") from None
            raise ToolError(
                f"{server} refused the call: {self.hide(strip_invisible(error.message))[:_SHOWN_CHARACTERS]}"
            ) from None
        except ValidationError:
            raise ToolError(f"{server} answered with something that is not a result.") from None
        if isinstance(answer, types.InputRequiredResult):
            raise ToolError(f"{server} asks for more input, which can't be given to it here.")
        return answer


@asynccontextmanager
async def connect(config: McpConfig) -> AsyncGenerator[Connection]:
    """Open a connection, and close it together with the server's process, if it has one.

    Raises:
        ConfigurationError: a token is missing.
        PackError: the server can't be started or reached, or its answers are not those of an MCP server.
    """
    ready: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()
    complaints = Complaints()
    holder = asyncio.create_task(_hold(config, complaints, ready, leave))
    first: set[asyncio.Future[Any]] = {ready, holder}
    try:
        await asyncio.wait(first, timeout=config.start_timeout, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            raise _explain(config, complaints, holder.exception() if holder.done() else None)
        yield ready.result()
    finally:
        leave.set()
        if not ready.done():
            holder.cancel()
        for _ in range(2):  # first wait for it to end by itself, then cancel it and wait again
            await asyncio.wait({holder}, timeout=_CLOSE_SECONDS)
            holder.cancel()


async def _hold(
    config: McpConfig, complaints: Complaints, ready: asyncio.Future[Connection], leave: asyncio.Event
) -> None:
    streams = open_address(config) if config.url else run_process(config, complaints)
    with hiding_in_log(_hiding(config)):
        async with Client(streams, cache=None) as client:
            ready.set_result(Connection(config, client.session, await _list_tools(config, client.session)))
            await leave.wait()


async def _list_tools(config: McpConfig, session: ClientSession) -> list[str]:
    """Return the server's definitions of its tools, from all pages."""
    definitions: list[str] = []
    length = 0
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
        definitions += [canonize(tool) for tool in page.tools]
        length += sum(len(tool.model_dump_json()) for tool in page.tools)
        cursor = page.next_cursor
        if len(definitions) > _MOST_TOOLS or length > config.max_message:
            break
        if cursor is None:
            return definitions
    most = f"{_MOST_TOOLS:,} tools or {_MOST_PAGES} pages or {config.max_message:,} characters"
    raise PackError(
        f"the MCP server {config.name!r} lists more than {most}", hint="an agent can't choose among so many"
    )


def _hiding(config: McpConfig) -> Callable[[str], str]:
    return partial(hide_values, values=config.secrets)


def _explain(config: McpConfig, complaints: Complaints, error: BaseException | None) -> AgentloopError:
    """Return the exception for a server that could not be opened; the end of its standard error goes into the hint."""
    hide = _hiding(config)
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    if isinstance(error, AgentloopError):
        return error
    if error is None or isinstance(error, TimeoutError):
        why = f"it did not answer within {config.start_timeout:g} s"
    else:
        why = f"{type(error).__name__}: {hide(strip_invisible(str(error)))[:_SHOWN_CHARACTERS]}".removesuffix(": ")
    output = hide(strip_invisible(str(complaints)))
    check = "does it use streamable HTTP?" if config.url else "does it run if you start it by hand?"
    return PackError(
        f"the MCP server {config.name!r} can't be opened: {why}",
        hint=f"its last output was: {output}" if output else check,
    )

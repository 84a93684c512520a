"""Defines McpServer: the tools of an MCP server as a pack. The server is started and stopped with the run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from agentloop.errors import ConfigurationError
from agentloop.ext.mcp.config import McpConfig
from agentloop.installation import describe_install
from agentloop.packs import ToolPack
from agentloop.tools import Tool

if TYPE_CHECKING:
    from agentloop.ext.mcp.changes import Review


class McpServer(ToolPack[McpConfig]):
    """The tools of an MCP server.

    ```python
    github = McpServer(McpConfig(name="github", command=("github-mcp-server", "stdio"), env=("GITHUB_TOKEN",)))
    agent = Agent(tools=[github.only("list_issues")])
    ```
    """

    name = "mcp"
    version = "1.0"
    imports = ("agentloop.ext.mcp.connection", "agentloop.ext.mcp.offer")
    extra = "mcp"

    def __init__(self, config: McpConfig | None = None) -> None:
        super().__init__(config)
        self.name = self.config.name

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Iterable[Tool]]:
        """Start or connect to the server, yield its tools, and end it with all processes that it has started.

        Raises:
            ConfigurationError: the extra is missing, or the file of accepted definitions can't be read.
            PackError: the server can't be opened, or its tools do not match the pin.
        """
        await asyncio.to_thread(_load_sdk)
        from agentloop.ext.mcp.connection import connect
        from agentloop.ext.mcp.offer import make_tools

        async with connect(self.config) as connection:
            yield make_tools(self.config, connection)

    async def review(self) -> Review:
        """Start or connect to the server, and return which of its tools a person has not accepted yet.

        Raises:
            ConfigurationError: the extra is missing, or the file of accepted definitions can't be read.
            PackError: the server can't be opened.
        """
        await asyncio.to_thread(_load_sdk)
        from agentloop.ext.mcp.connection import connect
        from agentloop.ext.mcp.offer import review_tools

        async with connect(self.config) as connection:
            return review_tools(self.config, connection)


def _load_sdk() -> None:
    """Import the SDK; this is called in a thread, because it takes most of a second and would block other runs."""
    if find_spec("mcp") is None:
        raise ConfigurationError("MCP needs the extra `mcp`, which is not installed", hint=describe_install("mcp"))
    import_module("agentloop.ext.mcp.offer")

"""Implements the Model Context Protocol, as a client and as a server. It needs the extra `mcp`.

The pack and its configuration are imported at once. Modules that import the SDK are imported when a server is opened
or served.

- `server_pack`: McpServer; `config`: its configuration.
- `connection`: sends requests to a server; `address`: connects to it by HTTP.
- `process`: starts it as a program; `keeper`: the program that starts it there, and ends what it has started.
- `definitions` and `schemas`: read the server's tools; `pins`: stores accepted definitions; `changes`: compares them;
  `offer`: makes the tools.
- `results`: reads the result of a call.
- `serving`: offers packs as an MCP server.
"""

from agentloop.ext.mcp.config import McpConfig
from agentloop.ext.mcp.server_pack import McpServer

__all__ = ["McpConfig", "McpServer"]

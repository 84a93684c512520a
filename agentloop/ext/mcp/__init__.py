"""The Model Context Protocol in both directions; needs the extra `mcp`.

The pack and its configuration are imported at once; everything that imports the SDK is imported when a server is opened
or served.

- `server_pack`: McpServer; `config`: its configuration.
- `connection`: talks to a server; `process` starts it as a program, `address` reaches it by HTTP.
- `definitions` and `schemas`: reads the server's tools; `pins`: remembers them; `offer`: makes tools of them.
- `results`: reads what a call returns.
- `serving`: offers packs as an MCP server.
"""

from agentloop.ext.mcp.config import McpConfig
from agentloop.ext.mcp.server_pack import McpServer

__all__ = ["McpConfig", "McpServer"]

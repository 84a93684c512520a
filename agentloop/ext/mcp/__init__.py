"""MCP both ways, by the extra `mcp`: a server's tools as a pack, and packs offered as a server.

The pack and its configuration are here at once; whatever imports the SDK is imported when a server is opened or served.
"""

from agentloop.ext.mcp.config import McpConfig
from agentloop.ext.mcp.server_pack import McpServer

__all__ = ["McpConfig", "McpServer"]

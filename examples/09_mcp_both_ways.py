"""MCP as a server and as a client: another process serves a pack over MCP, and in this one an agent uses that server.

`command` can start any other MCP server, and `url` connects to one over HTTP. And any other MCP client can start
`agentloop packs serve --mcp PACK`.
"""

import sys
from pathlib import Path

from agentloop import Agent, ToolResult
from agentloop.ext.mcp import McpConfig, McpServer

STOCK = str(Path(__file__).with_name("03_own_pack.py"))

stock = McpServer(
    McpConfig(
        name="shop",
        command=(sys.executable, "-m", "agentloop", "packs", "serve", "--mcp", f"{STOCK}:Stock"),
        trust_annotations=True,  # it is our own server; without this, every call would need approval
    )
)

if __name__ == "__main__":
    agent = Agent("local:smollm2", tools=[stock])
    result = agent.run_sync("How many apples are there in the shop?")
    for item in result.items:
        if isinstance(item, ToolResult):
            print("the other process:", item.content)
    print("the model:", result.text)

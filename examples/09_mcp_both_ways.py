"""MCP both ways: one process serves a pack to any MCP client, and in this one an agent uses it as a pack.

In place of ours, `command` starts any MCP server, and `url` reaches one. In place of the agent, any MCP client can be
told to start `agentloop packs serve --mcp PACK`.
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
        trust_annotations=True,  # it is our own; with another's server, every call would need a yes
    )
)

if __name__ == "__main__":
    agent = Agent("local:smollm2", tools=[stock])
    result = agent.run_sync("How many apples are there in the shop?")
    for item in result.items:
        if isinstance(item, ToolResult):
            print("the other process:", item.content)
    print("the model:", result.text)

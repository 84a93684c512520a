"""What needs an extra: one module or folder for each, reached by an import string and never imported by the core.

- `local`: the embedded model (llama.cpp).
- `mcp/`: MCP servers as packs, and packs as an MCP server.
"""

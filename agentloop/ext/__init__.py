"""Contains what needs an extra: one module or folder for each, which the core reaches by an import string only.

- `local`: the embedded model (llama.cpp).
- `mcp/`: MCP servers as packs, and packs as an MCP server.
"""

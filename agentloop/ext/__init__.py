"""Contains what needs an extra: one module or folder for each, which the core reaches by an import string only.

- `local`: the embedded model (llama.cpp).
- `aiohttp`: the HTTP client that goes through aiohttp.
- `mcp/`: MCP servers as packs, and packs as an MCP server.
"""

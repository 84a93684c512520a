"""One module for each command.

- `run`, `chat`, `models`, `profile`, `probe`, `prompts`, `trust` and `packs` have the names of their commands.
- `mcp_pin`, `packs_new`, `packs_serve`, `tools_call` and `tools_check` are commands with a name of two words.
"""

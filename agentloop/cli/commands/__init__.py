"""One module for each command.

- `run`, `chat`, `models`, `profile`, `probe` and `packs` are the commands of these names.
- `packs_new`, `packs_serve`, `tools_call` and `tools_check` are commands of two words.
"""

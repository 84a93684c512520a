"""The pack `shell`: runs programs in a sandbox, and ends them with all processes that they started.

- `pack`: the pack, its configuration and its tool.
- `backends`: finds out which sandboxes work on this machine.
- `command`: runs one command, by starting the program `supervisor`.
- `supervisor`: a separate program that starts the command in the sandbox and enforces its limits.
"""

from agentloop_tools.shell.pack import Shell, ShellConfig

__all__ = ["Shell", "ShellConfig"]

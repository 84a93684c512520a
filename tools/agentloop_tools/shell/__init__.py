"""The pack `shell`: programs, run in a sandbox and ended with everything they started."""

from agentloop_tools.shell.pack import Shell, ShellConfig

__all__ = ["Shell", "ShellConfig"]

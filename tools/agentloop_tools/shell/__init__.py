"""The pack `shell`: runs programs in a sandbox, and ends them with all processes that they started.

- `pack`: the pack, its configuration and its tool. It is imported when it is first used, because the supervisor needs
  the other modules alone.
- `backends`: finds out which sandboxes work on this machine.
- `seccomp`: makes the filter of system calls for a sandbox.
- `command`: runs one command, by starting the program `supervisor`.
- `supervisor/`: a separate program that starts the command in the sandbox and enforces its limits.
- `disk` and `cgroup`: measures what a command has written; makes a group of processes that the kernel ends as a whole.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentloop_tools.shell.pack import Shell, ShellConfig

__all__ = ["Shell", "ShellConfig"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from agentloop_tools.shell import pack  # noqa: PLC0415 - it imports agentloop, which takes the supervisor too long

    return getattr(pack, name)

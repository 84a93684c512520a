"""Finds out which sandboxes work on this machine, by asking the kernel and by a trial, not by names and versions."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from agentloop import ConfigurationError, describe_install

_CREATE_RULESET = 444
_LEAST_LANDLOCK = 6
_ACTIONS = Path("/proc/sys/kernel/seccomp/actions_avail")
_TRIAL_SECONDS = 10


def landlock_version() -> int:
    """Return the version of Landlock that the kernel has, or 0."""
    if sys.platform != "linux":
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, 1)))


def _lacks_sandlock() -> str:
    if sys.platform != "linux":
        return "sandlock needs Linux"
    if find_spec("sandlock") is None:
        return f"sandlock is not installed: {describe_install('shell')}"
    version = landlock_version()
    if version < _LEAST_LANDLOCK:
        return f"sandlock needs Landlock {_LEAST_LANDLOCK} (Linux 6.12), and the kernel has {version or 'none'}"
    try:
        actions = _ACTIONS.read_text()
    except OSError:
        actions = ""
    return "" if "user_notif" in actions else "sandlock needs seccomp's user notification, which the kernel lacks"


def _lacks_bwrap() -> str:
    program = shutil.which("bwrap")
    if program is None:
        return "bwrap is not on the path: install bubblewrap with the system's package manager"
    trial = [program, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    try:
        tried = subprocess.run(  # noqa: S603 - a fixed command
            trial, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TRIAL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "bwrap can't be run here"
    return "" if tried.returncode == 0 else "bwrap may not make namespaces here: the system forbids it"


# Each function returns why its sandbox does not work on this machine, or "".
LACKS = {"sandlock": _lacks_sandlock, "bwrap": _lacks_bwrap}


def find_sandbox(wanted: str) -> str:
    """Return the sandbox to use. For `auto` it is the first that works.

    Raises:
        ConfigurationError: the sandbox, or every one for `auto`, does not work here. The message has the reasons.
    """
    reasons: list[str] = []
    for name in LACKS if wanted == "auto" else (wanted,):
        reason = LACKS[name]()
        if not reason:
            return name
        reasons.append(reason)
    raise ConfigurationError(
        f"the pack 'shell' has no sandbox: {'; '.join(reasons)}",
        hint="unsafe_host=true runs commands without a sandbox, with all the rights of this user",
    )

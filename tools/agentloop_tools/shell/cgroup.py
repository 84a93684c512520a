"""Makes a control group for a command, which the kernel ends as a whole, wherever its processes went.

It needs a control group of this process in which it may make others: root has one, and so has a service of systemd that
runs as a user.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

_GROUPS, _MOUNTS = Path("/proc/self/cgroup"), Path("/proc/self/mountinfo")
_OWN = re.compile(r"^0::(/.*)$", re.MULTILINE)
_MOUNTED = re.compile(r"^\S+ \S+ \S+ (/\S*) (/\S*) .* - cgroup2 ", re.MULTILINE)
_END_SECONDS = 5.0
_PAUSE_SECONDS = 0.001


def make_group() -> str:
    """Return the folder of a new control group, or "" where none can be made.

    A process that writes 0 to its file `cgroup.procs` enters it, with all processes that it starts from then on.
    """
    try:
        own, mounted = _OWN.search(_GROUPS.read_text()), _MOUNTED.search(_MOUNTS.read_text())
        if own is None or mounted is None:
            return ""
        below = Path(own[1]).relative_to(mounted[1])
        group = Path(mounted[2]) / below / f"agentloop-{os.urandom(8).hex()}"
        group.mkdir()
    except (OSError, ValueError):
        return ""
    if (group / "cgroup.kill").exists():
        return str(group)
    group.rmdir()
    return ""


def end_group(group: str) -> None:
    """Kill all processes of a control group, and remove it. One that is gone is no error."""
    deadline = time.monotonic() + _END_SECONDS
    with suppress(FileNotFoundError):
        Path(group, "cgroup.kill").write_text("1")
        while time.monotonic() < deadline:
            try:
                Path(group).rmdir()
            except FileNotFoundError:
                raise
            except OSError:  # a process is still ending
                time.sleep(_PAUSE_SECONDS)
            else:
                return

"""Imports installed packs, each in a separate process, so that an import has no effects on this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Final

from agentloop.errors import AgentloopError, ConfigurationError
from agentloop.packs.discovery import InstalledPack, list_packs
from agentloop.packs.published import make_pack, read_published

TRIAL_SECONDS: Final = 20.0

_PREFIX = "tried:"
# The pack's output goes to stderr, apart from the verdict; `_exit` does not wait for threads that the pack started.
_PROGRAM = f"""
import os, sys
verdict = os.dup(1)
os.dup2(2, 1)
from agentloop.packs.import_check import find_failure
os.write(verdict, ("{_PREFIX}" + find_failure(*sys.argv[1:])).encode("utf-8", "replace"))
os._exit(0)
"""


def try_pack(pack: InstalledPack, seconds: float = TRIAL_SECONDS) -> str:
    """Return why an installed pack is broken, or "". It is imported in another process, which is killed afterwards."""
    path = os.pathsep.join(folder for folder in sys.path if folder)
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-P", "-c", _PROGRAM, pack.name, pack.distribution],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )
    try:
        output = process.communicate(timeout=seconds)[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        return f"its import takes more than {seconds:g} s"
    finally:
        _kill(process)
    if not output.startswith(_PREFIX):
        return f"its import ends the process, with status {process.returncode}"
    return output.removeprefix(_PREFIX)


def find_failure(name: str, distribution: str) -> str:
    """Return why a pack of a distribution can't be imported or made, or ""."""
    for pack in list_packs():
        if (pack.name, pack.distribution) == (name, distribution):
            try:
                published = read_published(pack.load(), pack.origin)
                with suppress(ConfigurationError):  # a pack that requires a configuration is not broken
                    make_pack(published, name, {}, pack.origin)
            except AgentloopError as error:
                return f"{error.message.removeprefix(pack.origin).strip()} ({error.hint})"
    return ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and the processes that it has started."""
    with process, suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()

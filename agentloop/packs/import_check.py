"""Imports and opens installed packs, each in a separate process, so that an import has no effects on this process.

The modules that a pack declares in `imports` are imported too.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, Final

from agentloop.errors import AgentloopError, ConfigurationError, PackError
from agentloop.installation import describe_install
from agentloop.packs.discovery import InstalledPack, list_packs
from agentloop.packs.opening import open_packs
from agentloop.packs.pack import ToolPack
from agentloop.packs.published import Published, attempt, make_pack, read_published
from agentloop.tools import ToolRegistry

TRIAL_SECONDS: Final = 60.0

_TRIED = "tried:"
# The pack's output goes to stderr, apart from the verdict; `_exit` does not wait for threads that the pack started.
_PROGRAM = f"""
import os, sys
verdict = os.dup(1)
os.dup2(2, 1)
from agentloop.packs.import_check import find_failure
os.write(verdict, ("{_TRIED}" + find_failure(*sys.argv[1:])).encode("utf-8", "replace"))
os._exit(0)
"""


def try_pack(pack: InstalledPack, seconds: float = TRIAL_SECONDS) -> str:
    """Return why an installed pack is broken, or "". It is opened in another process, which is killed afterwards."""
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
        said = process.communicate(timeout=seconds)[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        return f"to import and open it takes more than {seconds:g} s"
    finally:
        _end(process)
    if not said.startswith(_TRIED):
        return f"to import or open it ends the process, with status {process.returncode}"
    return said.removeprefix(_TRIED)


def find_failure(name: str, distribution: str) -> str:
    """Return why a pack of a distribution can't be imported or opened, or "".

    A pack that requires a configuration is imported and not opened.
    """
    for pack in list_packs():
        if (pack.name, pack.distribution) == (name, distribution):
            try:
                published = read_published(pack.load(), pack.origin)
                made = _make(published, pack)
                return _find_failed_imports(published, distribution) or (_find_failed_opening(made) if made else "")
            except AgentloopError as error:
                return f"{error.message.removeprefix(pack.origin).strip()} ({error.hint})"
    return ""


def _make(published: Published, pack: InstalledPack) -> ToolPack[Any] | None:
    """Return the pack with the defaults of its configuration, or None if it requires a configuration."""
    try:
        return make_pack(published, pack.name, {}, pack.origin)
    except ConfigurationError:
        return None


def _find_failed_imports(published: Published, distribution: str) -> str:
    """Return which of the modules that its tools import are missing or broken, and what to do, or ""."""
    if isinstance(published, ToolRegistry):
        return ""
    failures: dict[str, str] = {}  # with the hints
    for module in published.imports:
        try:
            attempt(partial(import_module, module), f"{module} can't be imported")
        except PackError as error:
            cause = error.__cause__
            missing = isinstance(cause, ModuleNotFoundError) and cause.name
            failures[f"{missing} is not installed" if missing else error.message] = error.hint
    if not failures:
        return ""
    hint = describe_install(published.extra, distribution) if published.extra else next(iter(failures.values()))
    return f"{'; '.join(failures)} ({hint})"


def _find_failed_opening(pack: ToolPack[Any]) -> str:
    """Return what is wrong with the pack when it is left, or "".

    Raises:
        AgentloopError: it can't be opened.
    """
    told: list[str] = []

    async def tell(trouble: str) -> None:
        told.append(trouble)

    async def open_and_leave() -> None:
        with suppress(ConfigurationError):  # it has to be configured, though no field is required
            async with open_packs([pack], tell):
                pass

    asyncio.run(open_and_leave())
    return "; ".join(told)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it has started."""
    with process, suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()

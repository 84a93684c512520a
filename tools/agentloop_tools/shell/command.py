"""Runs one command: starts the supervisor process, sends it the spec, and reads its report."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from agentloop import ToolError

_SUPERVISOR = str(Path(__file__).with_name("supervisor.py"))
# The supervisor itself takes at most ten seconds to end a command.
_LEAVE_SECONDS = 15.0
_WHY = {
    "seconds": "did not end within {seconds:g} s and was stopped",
    "processes": "had more than {processes} processes and was stopped",
    "memory": "used more than {memory_mb} MB of memory and was stopped",
}


async def run_command(spec: dict[str, Any]) -> str:
    """Run a command, and return its exit code and output. It leaves no process behind, also after a cancellation.

    Args:
        spec: The command and its limits, as the supervisor takes them.

    Raises:
        ToolError: the command could not be run, or was stopped because it exceeded a limit.
    """
    report = await _ask_supervisor(spec)
    if failure := report.get("failure"):
        raise ToolError(_explain(failure, spec["argv"][0]))
    wrote = _describe(report)
    if stopped := report["stopped"]:
        why = _WHY[stopped].format(**spec, memory_mb=spec["memory"] // 2**20)
        raise ToolError(f"The command {why}, with everything it had started.\n{wrote}".rstrip())
    return f"{_describe_end(report['code'])}\n{wrote}".rstrip()


async def _ask_supervisor(spec: dict[str, Any]) -> dict[str, Any]:
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-B",
        _SUPERVISOR,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"TMPDIR": tempfile.gettempdir()},
        start_new_session=True,
    )
    if supervisor.stdin is None or supervisor.stdout is None:  # pragma: no cover - both are pipes
        raise ToolError("the command could not be started")
    try:
        supervisor.stdin.write(json.dumps(spec).encode() + b"\n")
        report = await supervisor.stdout.read()
        await supervisor.wait()
    finally:
        supervisor.stdin.close()  # makes it end the command
        await _wait_for_end(supervisor)
    try:
        read: dict[str, Any] = json.loads(report)
    except ValueError:
        raise ToolError("the command's sandbox crashed; it is not known what the command has done") from None
    return read


async def _wait_for_end(supervisor: asyncio.subprocess.Process) -> None:
    """Wait until the supervisor has ended, however often this task is cancelled during the wait."""
    ending = asyncio.ensure_future(_wait_or_kill(supervisor))
    cancelled: asyncio.CancelledError | None = None
    while not ending.done():
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def _wait_or_kill(supervisor: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_LEAVE_SECONDS):
            await supervisor.wait()
    except TimeoutError:
        supervisor.kill()
        await supervisor.wait()


def _describe(report: dict[str, Any]) -> str:
    out, err = report["out"], report["err"]
    return f"{out.rstrip()}\n[standard error]\n{err.rstrip()}".lstrip() if err.strip() else out.rstrip()


def _describe_end(code: int | None) -> str:
    if code is None:
        return "[killed by the sandbox or the system, perhaps for its use of memory]"
    if code < 0:
        names = {each.value: each.name for each in signal.Signals}
        return f"[killed by {names.get(-code, f'signal {-code}')}]"
    return f"[exit code {code}]"


def _explain(failure: str, program: str) -> str:
    if failure.startswith("FileNotFoundError"):
        return f"there is no program {program!r} here"
    if failure.startswith("PermissionError"):
        return f"{program!r} may not be run"
    return f"the command could not be started ({failure.partition(':')[0]})"

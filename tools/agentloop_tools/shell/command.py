"""The host's side of one command: it starts the keeper, hands it the order, and reads its report."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from agentloop import ToolError

_KEEPER = str(Path(__file__).with_name("keeper.py"))
# The keeper itself takes at most ten seconds to end a command.
_LEAVE_SECONDS = 15.0
_WHY = {
    "seconds": "did not end within {seconds:g} s and was stopped",
    "processes": "had more than {processes} processes and was stopped",
    "memory": "used more than {memory_mb} MB of memory and was stopped",
}


async def run_command(order: dict[str, Any]) -> str:
    """Return how a command ended and what it wrote; nothing of it is left then, nor after a cancellation.

    Args:
        order: What the keeper is told.

    Raises:
        ToolError: it could not be run, or was stopped for going beyond a limit.
    """
    report = await _ask_keeper(order)
    if failure := report.get("failure"):
        raise ToolError(_explain(failure, order["argv"][0]))
    wrote = _describe(report)
    if stopped := report["stopped"]:
        why = _WHY[stopped].format(**order, memory_mb=order["memory"] // 2**20)
        raise ToolError(f"The command {why}, with everything it had started.\n{wrote}".rstrip())
    return f"{_describe_end(report['code'])}\n{wrote}".rstrip()


async def _ask_keeper(order: dict[str, Any]) -> dict[str, Any]:
    keeper = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-B",
        _KEEPER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"TMPDIR": tempfile.gettempdir()},
        start_new_session=True,
    )
    if keeper.stdin is None or keeper.stdout is None:  # pragma: no cover - both are pipes
        raise ToolError("the command could not be started")
    try:
        keeper.stdin.write(json.dumps(order).encode() + b"\n")
        report = await keeper.stdout.read()
        await keeper.wait()
    finally:
        keeper.stdin.close()  # which tells it to end the command
        await _see_off(keeper)
    try:
        read: dict[str, Any] = json.loads(report)
    except ValueError:
        raise ToolError("the command's sandbox broke down; it is not known how far the command came") from None
    return read


async def _see_off(keeper: asyncio.subprocess.Process) -> None:
    """Wait until the keeper has gone, however often this task is cancelled meanwhile."""
    gone = asyncio.ensure_future(_wait_or_kill(keeper))
    cancelled: asyncio.CancelledError | None = None
    while not gone.done():
        try:
            await asyncio.shield(gone)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def _wait_or_kill(keeper: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_LEAVE_SECONDS):
            await keeper.wait()
    except TimeoutError:
        keeper.kill()
        await keeper.wait()


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

"""Runs one command: starts the supervisor, sends it the spec, and reads its report."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from agentloop import ToolError
from agentloop_tools.shell.cgroup import end_group, make_group
from agentloop_tools.shell.disk import remove_folder

_FOLDER = str(Path(__file__).parents[2])
_SUPERVISOR = (
    "import sys; sys.path.insert(0, sys.argv[1]); from agentloop_tools.shell.supervisor.program import main; main()"
)
# The supervisor itself takes at most ten seconds to end a command.
_LEAVE_SECONDS = 15.0
_ROUNDS = 3
_WHY = {
    "seconds": "did not end within {seconds:g} s and was stopped",
    "processes": "had more than {processes} processes and was stopped",
    "memory": "used more than {memory_mb} MB of memory and was stopped",
    "disk": "wrote more to the disk than the {disk_mb} MB that the commands of a run may add, and was stopped",
}


async def run_command(spec: dict[str, Any]) -> str:
    """Run a command, and return its exit code and output. It leaves no process behind, also after a cancellation.

    Args:
        spec: The command and its limits, as the supervisor takes them. What the disk has lost is noted in it.

    Raises:
        ToolError: the command could not be run, or was stopped because it exceeded a limit.
    """
    scratch = tempfile.mkdtemp(prefix="agentloop-")
    group = make_group() if not spec["sandbox"] else ""  # in a sandbox it can't reach its supervisor
    try:
        report = await _ask_supervisor({**spec, "scratch": scratch, "cgroup": group})
    finally:
        if Path(scratch).exists() or group:  # noqa: ASYNC240 - quick
            await _finish(asyncio.to_thread(_clean_up, scratch, group))
    if failure := report.get("failure"):
        raise ToolError(_explain(failure, spec["argv"][0]))
    spec["disk"].update(report["disk"])
    wrote = _describe(report)
    if stopped := report["stopped"]:
        why = _WHY[stopped].format(**spec, memory_mb=spec["memory"] // 2**20, disk_mb=spec["disk"]["most"] // 2**20)
        raise ToolError(f"The command {why}, with everything it had started.\n{wrote}".rstrip())
    return f"{_describe_end(report['code'])}\n{wrote}".rstrip()


def _clean_up(scratch: str, group: str) -> None:
    """Do what the supervisor does at its end, unless it was killed."""
    if group:
        end_group(group)
    with suppress(OSError):  # the command may have had the rights to make that impossible
        remove_folder(scratch)


async def _ask_supervisor(spec: dict[str, Any]) -> dict[str, Any]:
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-c",
        _SUPERVISOR,
        _FOLDER,
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
        await _finish(_wait_or_kill(supervisor))
    try:
        read: dict[str, Any] = json.loads(report)
    except ValueError:
        raise ToolError("the command's sandbox crashed; it is not known what the command has done") from None
    return read


async def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Wait until some work has ended, however often this task is cancelled during the wait."""
    ending = asyncio.ensure_future(work)
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
        _kill_tree(supervisor.pid)
        await supervisor.wait()


def _kill_tree(pid: int) -> None:
    """Kill a process after all of its descendants."""
    psutil: Any = import_module("psutil")  # it has no type hints
    with suppress(psutil.NoSuchProcess):
        supervisor = psutil.Process(pid)
        for _ in range(_ROUNDS):  # a process that is started during one round is found in the next
            for process in supervisor.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        supervisor.kill()


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

"""The program: runs one command, stops it when it exceeds a limit, and ends everything that it has started."""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

from agentloop_tools.shell.disk import DiskWatch, remove_folder
from agentloop_tools.shell.supervisor.processes import (
    KILL_SECONDS,
    SET_NO_NEW_PRIVILEGES,
    SET_SUBREAPER,
    descendants,
    end_everything,
    prctl,
    psutil,
)
from agentloop_tools.shell.supervisor.sandboxes import Command, start

TICK_SECONDS = 0.05
_CHUNK = 65_536


class Output:
    """Keeps the beginning and the end of a command's output. The bytes between them are counted and dropped."""

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Add bytes that were read."""
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        over = max(0, len(self._tail) - self._half)
        self._dropped += over
        del self._tail[:over]

    def text(self) -> str:
        """Return the output as text."""
        head, tail = (bytes(part).decode(errors="replace") for part in (self._head, self._tail))
        return f"{head}\n[{self._dropped} bytes left out]\n{tail}" if self._dropped else head + tail


class Supervisor:
    """Reads a command's output until it ends, and stops it when it exceeds a limit of the spec."""

    def __init__(self, spec: dict[str, Any], command: Command) -> None:
        self._spec = spec
        self._command = command
        self._disk = DiskWatch(spec["disk"], spec["scratch"])
        self._outputs = [Output(spec["most"]) for _ in command.outputs]
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ, None)
        for stream, output in zip(command.outputs, self._outputs, strict=True):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, output)

    def run(self) -> dict[str, Any]:
        """Wait until the command has ended, kill its remaining processes, and return the report."""
        now = time.monotonic()
        deadline, next_check = now + self._spec["seconds"], now
        stopped = ""
        while not self._command.ended.is_set() and not stopped:
            host_left = self._read()
            now = time.monotonic()
            stopped = "cancelled" if host_left else "seconds" if now > deadline else ""
            if now > next_check and not stopped:
                stopped = self._find_excess()
                next_check = time.monotonic() + TICK_SECONDS
        end_everything(self._command.pid)
        self._command.ended.wait(KILL_SECONDS)
        self._read()  # the rest that is still in the pipes
        texts = [output.text() for output in self._outputs]
        report = {"code": self._command.code, "out": texts[0], "err": texts[1]}
        return {**report, "stopped": stopped or ("disk" if self._disk.end() else ""), "disk": self._spec["disk"]}

    def _read(self) -> bool:
        """Read output, waiting a moment for it, and return whether the host has closed standard input."""
        host_left = False
        for key, _ in self._selector.select(TICK_SECONDS):
            if key.data is None:
                host_left = not os.read(0, 1)
                continue
            data = os.read(key.fd, _CHUNK)
            key.data.add(data)
            if not data:
                self._selector.unregister(key.fileobj)
        return host_left

    def _find_excess(self) -> str:
        """Return the limit that all of the command's processes together exceed, or ""."""
        tree = descendants()
        if len(tree) > self._spec["processes"]:
            return "processes"
        used = 0
        for process in tree:
            with suppress(psutil.Error):
                used += process.memory_info().rss
        if used > self._spec["memory"]:
            return "memory"
        return "disk" if self._disk.exceeds(process.pid for process in tree) else ""


def confine_itself(spec: dict[str, Any]) -> None:
    """Set what this process's children inherit: the limits and no new privileges. Also become their reaper."""
    prctl(SET_SUBREAPER, 1)
    prctl(SET_NO_NEW_PRIVILEGES, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (spec["file_size"], spec["file_size"]))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def main() -> None:
    """Run the command of one spec in a child of this process, and end what a child that is killed has left."""
    spec = json.loads(sys.stdin.buffer.readline())
    try:
        confine_itself(spec)
        child = os.fork()
        if not child:
            prctl(SET_SUBREAPER, 1)
            run_command(spec)
            os._exit(0)
        os.close(1)  # the report has ended when the child has
        with suppress(ChildProcessError):
            os.waitpid(child, 0)
    finally:
        end_everything()
        if spec["cgroup"]:
            from agentloop_tools.shell.cgroup import end_group  # noqa: PLC0415 - it imports pathlib

            end_group(spec["cgroup"])
        remove_folder(spec["scratch"])


def run_command(spec: dict[str, Any]) -> None:
    """Run the command of a spec, and write the report."""
    try:
        report = Supervisor(spec, start(spec)).run()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        report = {"failure": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(report))
    sys.stdout.flush()

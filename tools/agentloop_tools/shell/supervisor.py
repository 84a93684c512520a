"""The process between the host and a command: it starts the command confined, watches it, and leaves nothing of it.

A script of its own: it reads one line of JSON, the spec, and writes one, the report. When the other end of its
standard input is closed, because the call was cancelled or the host has died, it ends the command.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import IO, Any

TICK_SECONDS = 0.05
_KILL_SECONDS = 5.0
_CHUNK = 65_536
_SET_SUBREAPER, _DROP_BOUNDING, _SET_NO_NEW_PRIVILEGES, _SET_DEATH_SIGNAL = 36, 24, 38, 1
_CAPABILITIES = 64
_OPEN_FILES = 1024

psutil: Any = import_module("psutil")  # it ships no types


class Output:
    """The beginning and the end of what a command writes; what lies between is counted and dropped."""

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Take what has been read."""
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        over = max(0, len(self._tail) - self._half)
        self._dropped += over
        del self._tail[:over]

    def text(self) -> str:
        """Return it as text."""
        head, tail = (bytes(part).decode(errors="replace") for part in (self._head, self._tail))
        return f"{head}\n[{self._dropped} bytes left out]\n{tail}" if self._dropped else head + tail


class Command:
    """A command that has been started: its outputs, and how it ended.

    Attributes:
        outputs: Its standard output and standard error.
        pid: Its process.
        ended: Set when it has ended.
        code: Its exit code then, negative for a signal, or None when that is not known.
    """

    def __init__(self, outputs: list[IO[bytes]], pid: int, wait: Callable[[], int | None]) -> None:
        self.outputs = outputs
        self.pid = pid
        self.ended = threading.Event()
        self.code: int | None = None
        self._wait = wait
        threading.Thread(target=self._await_end, daemon=True).start()

    def _await_end(self) -> None:
        self.code = self._wait()
        self.ended.set()


def start(spec: dict[str, Any], scratch: str) -> Command:
    """Start what was ordered, confined as ordered.

    Raises:
        OSError: the program can't be run.
        RuntimeError: the sandbox can't be set up.
    """
    environment = {**spec["env"], "HOME": scratch, "TMPDIR": scratch}
    if spec["sandbox"] == "sandlock":
        return _start_in_sandlock(spec, environment, scratch)
    argv = spec["argv"]
    if spec["sandbox"] == "bwrap":
        argv = [*_bwrap_options(spec, scratch), *argv]

    def confine() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (spec["memory"], spec["memory"]))
        _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)

    process = subprocess.Popen(  # noqa: S603 - running it is what this program is for
        argv,
        cwd=spec["folder"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=confine,  # noqa: PLW1509 - nothing else runs in this process yet
    )
    outputs = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    return Command(outputs, process.pid, process.wait)


def _start_in_sandlock(spec: dict[str, Any], environment: dict[str, str], scratch: str) -> Command:
    sandlock: Any = import_module("sandlock")  # it ships no types
    devices = ["/dev/null", "/dev/zero", "/dev/full"]
    box = sandlock.Sandbox(
        fs_readable=[*spec["readable"], *devices, "/dev/random", "/dev/urandom", spec["root"]],
        fs_writable=[scratch, *devices, *([spec["root"]] if spec["write"] else [])],
        net_allow=["*:*", "icmp://*"] if spec["network"] else [],
        max_memory=spec["memory"],
        max_processes=spec["processes"],
        max_open_files=_OPEN_FILES,
        no_coredump=True,
        clean_env=True,
        env=environment,
        cwd=spec["folder"],
    )
    modes = sandlock.StdioMode
    process = box.popen(spec["argv"], stdin=modes.NULL, stdout=modes.PIPED, stderr=modes.PIPED)

    def wait() -> int | None:
        result = process.wait()
        if result.reason == sandlock.ExitReason.EXITED:
            return int(result.exit_code)
        return -int(result.signal) if result.signal and result.signal > 0 else None

    return Command([process.stdout, process.stderr], process.pid, wait)


def _bwrap_options(spec: dict[str, Any], scratch: str) -> list[str]:
    options = [spec["bwrap"], "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    options += ["--share-net"] if spec["network"] else []
    for path in spec["readable"]:
        options += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind", path, path]  # noqa: PTH114, PTH115 - paths are text here
    options += ["--proc", "/proc", "--dev", "/dev", "--bind", scratch, scratch]
    options += ["--bind" if spec["write"] else "--ro-bind", spec["root"], spec["root"]]
    # What is left of the sandbox's own file system would be memory that nothing limits.
    options += ["--remount-ro", "/dev", "--remount-ro", "/"]
    return [*options, "--chdir", spec["folder"], "--"]


class Supervisor:
    """Reads a command's output until it ends, and ends it when it goes beyond what was ordered."""

    def __init__(self, spec: dict[str, Any], command: Command) -> None:
        self._spec = spec
        self._command = command
        self._outputs = [Output(spec["most"]) for _ in command.outputs]
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ, None)
        for stream, output in zip(command.outputs, self._outputs, strict=True):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, output)

    def run(self) -> dict[str, Any]:
        """Return the report, once nothing of the command is left."""
        now = time.monotonic()
        deadline, next_look = now + self._spec["seconds"], now
        stopped = ""
        while not self._command.ended.is_set() and not stopped:
            left = self._read()
            now = time.monotonic()
            stopped = "cancelled" if left else "seconds" if now > deadline else ""
            if now > next_look and not stopped:
                stopped = self._find_excess()
                next_look = time.monotonic() + TICK_SECONDS
        end_everything(self._command.pid)
        self._command.ended.wait(_KILL_SECONDS)
        self._read()  # what was still in the pipes
        texts = [output.text() for output in self._outputs]
        return {"stopped": stopped, "code": self._command.code, "out": texts[0], "err": texts[1]}

    def _read(self) -> bool:
        """Take what there is to read, waiting a moment for it; return whether the host has left."""
        left = False
        for key, _ in self._selector.select(TICK_SECONDS):
            if key.data is None:
                left = not os.read(0, 1)
                continue
            data = os.read(key.fd, _CHUNK)
            key.data.add(data)
            if not data:
                self._selector.unregister(key.fileobj)
        return left

    def _find_excess(self) -> str:
        """Return which limit all of the command's processes together are beyond, or ""."""
        tree = descendants()
        if len(tree) > self._spec["processes"]:
            return "processes"
        used = 0
        for process in tree:
            with suppress(psutil.Error):
                used += process.memory_info().rss
        return "memory" if used > self._spec["memory"] else ""


def descendants() -> list[Any]:
    """Return all processes below this one; being their reaper, it has those too whose parents have gone."""
    return list(psutil.Process().children(recursive=True))


def end_everything(command: int) -> None:
    """Kill and reap all processes below this one, by group, so that one that forks is not outrun.

    Args:
        command: The process that is waited for elsewhere.
    """
    deadline = time.monotonic() + _KILL_SECONDS
    while (left := descendants()) and time.monotonic() < deadline:
        own = os.getpgrp()
        groups: set[int] = set()
        for process in left:
            with suppress(ProcessLookupError):
                groups.add(os.getpgid(process.pid))
        for group in groups - {own}:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        for process in left:
            with suppress(ProcessLookupError, PermissionError, ChildProcessError):
                os.kill(process.pid, signal.SIGKILL)
                if process.pid != command:
                    os.waitpid(process.pid, os.WNOHANG)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def confine_itself(spec: dict[str, Any]) -> None:
    """Take on what holds for all that is started from here: limits, no privileges, and being the reaper of all."""
    _prctl(_SET_SUBREAPER, 1)
    _prctl(_SET_NO_NEW_PRIVILEGES, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (spec["file_size"], spec["file_size"]))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    if spec["sandbox"] == "sandlock":  # which leaves root most of its privileges, where bwrap drops them all
        for capability in range(_CAPABILITIES):
            _prctl(_DROP_BOUNDING, capability)


def main() -> None:
    """Carry out one spec."""
    spec = json.loads(sys.stdin.buffer.readline())
    scratch = tempfile.mkdtemp(prefix="agentloop-")
    try:
        confine_itself(spec)
        report = Supervisor(spec, start(spec, scratch)).run()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        report = {"failure": f"{type(error).__name__}: {error}"}
    finally:
        with suppress(RecursionError):
            shutil.rmtree(scratch, ignore_errors=True)
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()

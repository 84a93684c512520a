"""The process between the host and a command: starts the command in the sandbox, enforces its limits, and ends it.

It is a separate program. It reads one line of JSON, the spec, and writes one line of JSON, the report. When its
standard input is closed, because the call was cancelled or the host has died, it ends the command. At its end no
process that the command started is left.
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

psutil: Any = import_module("psutil")  # it has no type hints


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


class Command:
    """A command that has been started.

    Attributes:
        outputs: Its standard output and standard error.
        pid: The id of its process.
        ended: Set when it has ended.
        code: Its exit code after the end, negative for a signal, or None if it is not known.
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
    """Start the command of the spec, in its sandbox.

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

    process = subprocess.Popen(  # noqa: S603 - the purpose of this program
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
    sandlock: Any = import_module("sandlock")  # it has no type hints
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
        options += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind", path, path]  # noqa: PTH114, PTH115 - the paths are text
    options += ["--proc", "/proc", "--dev", "/dev", "--bind", scratch, scratch]
    options += ["--bind" if spec["write"] else "--ro-bind", spec["root"], spec["root"]]
    # The rest of the sandbox's own file system is in memory, and would have no size limit if it were writable.
    options += ["--remount-ro", "/dev", "--remount-ro", "/"]
    return [*options, "--chdir", spec["folder"], "--"]


class Supervisor:
    """Reads a command's output until it ends, and stops it when it exceeds a limit of the spec."""

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
        self._command.ended.wait(_KILL_SECONDS)
        self._read()  # the rest that is still in the pipes
        texts = [output.text() for output in self._outputs]
        return {"stopped": stopped, "code": self._command.code, "out": texts[0], "err": texts[1]}

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
        return "memory" if used > self._spec["memory"] else ""


def descendants() -> list[Any]:
    """Return all descendants of this process. As their reaper it gets those too whose parents have ended."""
    return list(psutil.Process().children(recursive=True))


def end_everything(command: int) -> None:
    """Kill and reap all descendants of this process.

    They are killed by process group, so that a process that forks all the time can't escape.

    Args:
        command: The id of the command's process, which is reaped elsewhere.
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
    """Set what this process's children inherit: the limits and no new privileges. Also become their reaper."""
    _prctl(_SET_SUBREAPER, 1)
    _prctl(_SET_NO_NEW_PRIVILEGES, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (spec["file_size"], spec["file_size"]))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    if spec["sandbox"] == "sandlock":  # sandlock leaves root most capabilities, while bwrap drops them all
        for capability in range(_CAPABILITIES):
            _prctl(_DROP_BOUNDING, capability)


def main() -> None:
    """Run the command of one spec."""
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

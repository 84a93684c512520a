"""Starts a command in a sandbox."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from queue import SimpleQueue
from typing import IO, Any

from agentloop_tools.shell.supervisor.processes import (
    DROP_BOUNDING,
    SET_DEATH_SIGNAL,
    SET_SECCOMP,
    prctl,
)

_CAPABILITIES = 64
_OPEN_FILES = 1024
_FILTER_MODE = 2


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


def start(spec: dict[str, Any]) -> Command:
    """Start the command of the spec, in its sandbox.

    Raises:
        OSError: the program can't be run, or the sandbox can't be set up.
        RuntimeError: the sandbox can't be set up.
    """
    environment = {**spec["env"], "HOME": spec["scratch"], "TMPDIR": spec["scratch"]}
    if spec["sandbox"] == "sandlock":
        return _start_in_thread(lambda: _start_in_sandlock(spec, environment))
    if spec["sandbox"] == "bwrap":
        return _start_in_bwrap(spec, environment)
    return _start(spec, environment, spec["argv"])


def _start(spec: dict[str, Any], environment: dict[str, str], argv: list[str], *passed: int) -> Command:
    group = spec["cgroup"] and f"{spec['cgroup']}/cgroup.procs"

    def confine() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (spec["memory"], spec["memory"]))
        prctl(SET_DEATH_SIGNAL, signal.SIGKILL)
        if group:
            with suppress(OSError), open(group, "w") as processes:  # noqa: PTH123 - pathlib takes long to import
                processes.write("0")

    process = subprocess.Popen(  # noqa: S603 - the purpose of this program
        argv,
        cwd=spec["folder"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        pass_fds=passed,
        preexec_fn=confine,  # noqa: PLW1509 - nothing else runs in this process yet
    )
    outputs = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    return Command(outputs, process.pid, process.wait)


def _start_in_bwrap(spec: dict[str, Any], environment: dict[str, str]) -> Command:
    reads, writes = os.pipe()
    os.write(writes, bytes.fromhex(spec["filter"]))  # a pipe holds 64 KB, and a filter has 4
    os.close(writes)
    try:
        return _start(spec, environment, [*_bwrap_options(spec, reads), *spec["argv"]], reads)
    finally:
        os.close(reads)


def _bwrap_options(spec: dict[str, Any], filter_file: int) -> list[str]:
    scratch, root = spec["scratch"], spec["root"]
    options = [spec["bwrap"], "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    options += ["--seccomp", str(filter_file)]
    options += ["--share-net"] if spec["network"] else []
    for path in spec["readable"]:
        options += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind", path, path]  # noqa: PTH114, PTH115 - the paths are text
    options += ["--proc", "/proc", "--dev", "/dev", "--bind", scratch, scratch]
    options += ["--bind" if spec["write"] else "--ro-bind", root, root]
    # The rest of the sandbox's own file system is in memory, and would have no size limit if it were writable.
    options += ["--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/"]
    return [*options, "--chdir", spec["folder"], "--"]


def _start_in_sandlock(spec: dict[str, Any], environment: dict[str, str]) -> Command:
    _drop_capabilities()  # sandlock leaves root most of them, while bwrap drops them all
    _install_filter(bytes.fromhex(spec["filter"]))
    sandlock: Any = import_module("sandlock")  # it has no type hints
    devices = ["/dev/null", "/dev/zero", "/dev/full"]
    box = sandlock.Sandbox(
        fs_readable=[*spec["readable"], *devices, "/dev/random", "/dev/urandom", spec["root"]],
        fs_writable=[spec["scratch"], *devices, *([spec["root"]] if spec["write"] else [])],
        net_allow=["*:*", "icmp://*"] if spec["network"] else [],
        max_memory=spec["memory"],
        max_processes=spec["processes"],
        max_open_files=_OPEN_FILES,
        extra_deny_syscalls=["pidfd_getfd", "process_vm_readv", "process_vm_writev", "ptrace"],
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


def _start_in_thread(start_command: Callable[[], Command]) -> Command:
    """Start a command in a thread, so that what is done to the thread holds for the command and not for this program.

    The thread lives as long as the program, because a command of sandlock ends with the thread that has started it.
    """
    started: SimpleQueue[Command | Exception] = SimpleQueue()

    def run() -> None:
        try:
            started.put(start_command())
        except Exception as error:  # noqa: BLE001 - it is raised in the other thread
            started.put(error)
        threading.Event().wait()

    threading.Thread(target=run, daemon=True).start()
    result = started.get()
    if isinstance(result, Exception):
        raise result
    return result


def _drop_capabilities() -> None:
    with suppress(OSError):  # only root may
        for capability in range(_CAPABILITIES):
            prctl(DROP_BOUNDING, capability)


def _install_filter(program: bytes) -> None:
    """Filter the system calls of this thread, and of all threads and processes that it starts."""
    instructions = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    described = Program(len(program) // 8, ctypes.addressof(instructions))
    prctl(SET_SECCOMP, _FILTER_MODE, ctypes.byref(described))

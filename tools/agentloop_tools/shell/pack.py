"""Shell: the pack, its configuration and its tool. Commands are run in `command`."""

from __future__ import annotations

import os
import re
import sys
from asyncio import to_thread
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from agentloop import (
    ArgumentReading,
    ConfigurationError,
    Effects,
    PackConfig,
    Tool,
    ToolError,
    ToolPack,
    bound_tools,
    describe_install,
    mark_untrusted,
    tool,
)
from agentloop_tools.shell.backends import find_sandbox
from agentloop_tools.shell.command import run_command
from agentloop_tools.shell.disk import start_watch
from agentloop_tools.shell.seccomp import make_filter
from agentloop_tools.storage.marks import Marks

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache")
_FOR_NETWORK = ("/etc/ssl", "/etc/ca-certificates", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf")
_MOST_ARGUMENTS = 100_000
_NO_ARGUMENT = re.compile(r"[\0\ud800-\udfff]")
_GRACE_SECONDS = 30.0


def _split(value: object) -> object:
    return tuple(re.split(r"[\s;]+", value.strip())) if isinstance(value, str) and value.strip() else value or ()


Words = Annotated[tuple[str, ...], BeforeValidator(_split)]


class ShellConfig(PackConfig):
    """The configuration of the shell pack."""

    root: Path = Field(description="the folder that commands start in and may read")
    write: bool = Field(default=False, description="whether commands may write in the folder")
    network: bool = Field(
        default=False, description="whether commands may use the network, including this machine's own services"
    )
    sandbox: Literal["auto", "bwrap", "sandlock"] = Field(default="auto", description="the sandbox to use")
    readable: Words = Field(default=(), description="more paths that commands may read; programs are always readable")
    env: Words = Field(default=(), description="the names of this process's environment variables to pass on")
    seconds: float = Field(default=60, gt=0, le=3600, description="how long a command may take")
    memory_mb: int = Field(default=1024, ge=16, description="how much memory a command may use")
    processes: int = Field(default=64, ge=1, description="how many processes a command may have at a time")
    file_size_mb: int = Field(default=100, ge=1, description="the size of the largest file a command may write")
    trusted: bool | None = Field(
        default=None,
        description="whether the files hold no untrusted text; by default, those do not that a run has written after "
        "it had read untrusted text",
    )
    disk_mb: int | None = Field(
        default=None,
        ge=1,
        description="how much a run may add to the disk, in the folder and in $TMPDIR; 10 * file_size_mb if not set",
    )
    unsafe_host: bool = Field(default=False, description="run without a sandbox, with all the rights of this user")


class Shell(ToolPack[ShellConfig]):
    """Runs programs, given as argument lists, in a sandbox.

    Only the sandbox is a security boundary. A policy's pattern that denies some programs is not one, because any
    program can start another.
    """

    name = "shell"
    version = "1.0"
    imports = ("psutil", "sandlock") if sys.platform == "linux" else ("psutil",)
    extra = "shell"

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Iterable[Tool]]:
        """Yield the tool of one run.

        Raises:
            ConfigurationError: the folder does not exist, or no sandbox works on this machine.
        """
        config = self.config
        root = _find_root(config)
        if sys.platform == "win32" or find_spec("psutil") is None:
            raise ConfigurationError(
                "the pack 'shell' needs psutil, and a system other than Windows", hint=describe_install("shell")
            )
        sandbox = ("", "") if config.unsafe_host else await to_thread(find_sandbox, config.sandbox)
        most = (config.disk_mb or 10 * config.file_size_mb) * 2**20
        writable = str(root) if config.write or config.unsafe_host else ""
        disk = await to_thread(start_watch, writable, most)
        opened = _OpenShell(config, root, sandbox, disk)
        yield [
            replace(
                each,
                description=f"{each.description}\n\n{_describe(config, sandbox[0])}",
                effects=_read_effects(config),
                timeout=config.seconds + _GRACE_SECONDS,
                readings={"folder": ArgumentReading(opened.read_folder, lambda pattern: pattern.removeprefix("./"))},
            )
            for each in bound_tools(opened)
        ]


class _OpenShell:
    """The tool of one run."""

    def __init__(self, config: ShellConfig, root: Path, sandbox: tuple[str, str], disk: dict[str, Any]) -> None:
        self._config = config
        self._root = root
        self._sandbox, self._program = sandbox
        self._filter = _make_filter(config, self._sandbox)
        self._disk = disk
        self._marks = Marks(str(root), config.trusted)
        self._more = [Marks(os.path.realpath(path), config.trusted) for path in config.readable]
        self._can_write = config.write or config.unsafe_host

    @tool(effects=Effects(read=True, execute=True), max_output=40_000)
    async def run(self, argv: list[str], folder: str = ".") -> str:
        """Run a program and return its exit code and what it wrote. It gets no input, and ends with the call.

        Args:
            argv: The program and its arguments, each on its own: ["ls", "-l"]. For pipes, ["sh", "-c", "ls | wc -l"].
            folder: Where to run it, relative to the working folder.
        """
        if not argv or not argv[0]:
            raise ToolError("argv is empty: give the program and its arguments")
        if _NO_ARGUMENT.search(" ".join(argv)) or sum(map(len, argv)) > _MOST_ARGUMENTS:
            raise ToolError("argv has a NUL or a lone surrogate character, or is too long: write a file instead")
        spec = self._spec(argv, self._find_folder(folder))
        async with self._marks.following_changes(*self._more) if self._can_write else nullcontext():
            said = await run_command(spec)
        if self._marks.trusted is None and any(each.are_within() for each in (self._marks, *self._more)):
            mark_untrusted()  # it may have read any file
        return said

    def read_folder(self, arguments: Mapping[str, Any]) -> list[str]:
        """Return the folder of a call, below the working folder and without links, for rules."""
        return [os.path.relpath(self._find_folder(arguments["folder"]), self._root)]

    def _find_folder(self, folder: str) -> str:
        try:
            found = Path(os.path.realpath(self._root / folder))
            if found.is_relative_to(self._root) and found.is_dir():
                return str(found)
        except (OSError, ValueError):
            pass
        raise ToolError(f"there is no folder {folder!r} in the working folder")

    def _spec(self, argv: list[str], folder: str) -> dict[str, Any]:
        config = self._config
        system = (*_SYSTEM, *(_FOR_NETWORK if config.network else ()))
        inherited = {name: os.environ[name] for name in config.env if name in os.environ}
        return {
            "argv": argv,
            "folder": folder,
            "root": str(self._root),
            "sandbox": self._sandbox,
            "bwrap": self._program,
            "filter": self._filter,
            "readable": [path for path in (*system, *map(os.path.abspath, config.readable)) if os.path.exists(path)],  # noqa: PTH110 - the paths are text
            "write": config.write,
            "network": config.network,
            "env": {"PATH": _PATH, "LANG": "C.UTF-8", **inherited},
            "seconds": config.seconds,
            "memory": config.memory_mb * 2**20,
            "processes": config.processes,
            "disk": self._disk,
            "file_size": config.file_size_mb * 2**20,
            "most": 16_000,
        }


def _make_filter(config: ShellConfig, sandbox: str) -> str:
    if not sandbox:
        return ""
    return make_filter(network=config.network, namespaces=sandbox == "bwrap", write=config.write).hex()


def _find_root(config: ShellConfig) -> Path:
    root = Path(os.path.realpath(config.root))
    if not root.is_dir():
        raise ConfigurationError("the pack 'shell' needs a folder", hint="name one that exists as root=...")
    return root


def _read_effects(config: ShellConfig) -> Effects:
    writes, networks = config.write or config.unsafe_host, config.network or config.unsafe_host
    untrusted = networks or config.trusted is False
    return Effects(read=True, execute=True, write=writes, destructive=writes, network=networks, open_world=untrusted)


_CONFINES = {
    "bwrap": "Programs run in namespaces of their own (bwrap)",
    "sandlock": "Programs are confined by Landlock (sandlock), and can't change the mode, owner or times of a file",
}


def _describe(config: ShellConfig, sandbox: str) -> str:
    if not sandbox:
        return "There is no sandbox: programs have all the rights of the user on this machine."
    may = "read and write" if config.write else "read but not write"
    return (
        f"{_CONFINES[sandbox]}: they may {may} the working folder, write to $TMPDIR, which is emptied "
        f"after each call, and {'use' if config.network else 'not use'} the network."
    )

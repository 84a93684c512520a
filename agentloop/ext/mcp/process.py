"""Runs a server as a process: carries its messages in and out, and ends it with all processes that it has started.

It works on POSIX systems. The SDK interprets the messages.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import Process, SubprocessStreamProtocol
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from agentloop.ext.mcp.config import McpConfig

Incoming: TypeAlias = SessionMessage | Exception
Streams: TypeAlias = tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]

MARK = "AGENTLOOP_MCP_SERVER"
"""An environment variable that a server's children inherit. It finds those that have left the server's process group.

It also holds the marks of all parent servers, so that a server ends the children of the servers that it has started
too. On Linux, `keeper` ends those as well that leave the group and clear their environment.
"""

_INHERITED = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
_QUEUED = 1_000  # messages to a server that does not read; sending a cancellation must not wait for the server
_MOST_ASKED = 5_000  # requests from a server; each is a task of the SDK until the server has read the answer
_COMPLAINTS = 2_000
_CHUNK = 65_536
_GRACE_SECONDS = 1.0  # after its input was closed
_TERMINATE_SECONDS = 1.0  # after SIGTERM
_DRAIN_SECONDS = 1.0  # after SIGKILL, to read the rest of its output
_REAP_SECONDS = 2.0  # and then for the system to report its end
_ROUNDS = 3
_KEEPS = sys.platform == "linux"
_KEEPER = str(Path(__file__).with_name("keeper.py"))
_KEEPER_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}  # what the server gets is up to the configuration
_ANSWER = 10  # bytes: the number of an error, or 0


class Complaints:
    """The end of what a server has written to its standard error."""

    def __init__(self) -> None:
        self._bytes = b""

    def add(self, data: bytes) -> None:
        """Add output, and keep the end of all output."""
        self._bytes = (self._bytes + data)[-_COMPLAINTS:]

    def __str__(self) -> str:
        return self._bytes.decode(errors="replace").strip()


@asynccontextmanager
async def run_process(config: McpConfig, complaints: Complaints) -> AsyncGenerator[Streams]:
    """Start a server, yield the streams of its messages, and end it with all processes that it has started.

    Raises:
        OSError: the server can't be started.
    """
    mark = uuid4().hex
    process, transport, line = await _start(config, mark)
    received, incoming = anyio.create_memory_object_stream[Incoming](0)
    outgoing, to_send = anyio.create_memory_object_stream[SessionMessage](_QUEUED)
    carriers: list[asyncio.Task[Any]] = [
        asyncio.create_task(each) for each in (_receive(process, received), _send(process, to_send))
    ]
    carriers.append(asyncio.create_task(_collect(process, complaints)))
    end = asyncio.create_task(process.wait())
    try:
        yield incoming, outgoing
        await _ask_to_end(process, end)
    finally:
        # There is no await before this, so that a cancellation can't prevent it.
        line.close()  # the keeper ends the server, and everything that it has started
        _kill(process, mark)
        for stream in (received, incoming, outgoing, to_send):
            stream.close()
        try:
            await asyncio.wait([*carriers, end], timeout=_DRAIN_SECONDS)
        finally:
            for carrier in (*carriers, end):
                carrier.cancel()
            transport.close()
            # This waits for a new task: if the event loop is being closed, it has already cancelled the earlier tasks.
            await asyncio.wait({asyncio.create_task(process.wait())}, timeout=_REAP_SECONDS)


async def _start(config: McpConfig, mark: str) -> tuple[Process, asyncio.SubprocessTransport, socket.socket]:
    """Start a server, on Linux as a child of a keeper, which is the process then, and ends when the socket is closed.

    This does what `asyncio.create_subprocess_exec` does, but returns the transport too, which has to be closed.
    """
    loop = asyncio.get_running_loop()
    environment = _make_environment(config) | {MARK: f"{os.environ.get(MARK, '')} {mark}".strip()}
    line, far_end = socket.socketpair()
    with far_end:
        keeper = (sys.executable, "-I", _KEEPER, str(far_end.fileno()))
        transport, protocol = await loop.subprocess_exec(
            lambda: SubprocessStreamProtocol(limit=config.max_message, loop=loop),
            *(keeper if _KEEPS else config.command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=None if _KEEPS else config.cwd or None,
            env=_KEEPER_ENVIRONMENT if _KEEPS else environment,
            pass_fds=[far_end.fileno()] if _KEEPS else (),
            start_new_session=True,
        )
    if _KEEPS:
        try:
            await _tell_keeper(line, [config.command, config.cwd, environment])
        except BaseException:
            line.close()
            transport.close()
            raise
    return Process(transport, protocol, loop), transport, line


async def _tell_keeper(line: socket.socket, spec: list[Any]) -> None:
    loop = asyncio.get_running_loop()
    line.setblocking(False)  # noqa: FBT003 - the standard library's own parameter
    await loop.sock_sendall(line, json.dumps(spec).encode() + b"\n")
    number = int(await loop.sock_recv(line, _ANSWER) or errno.ECHILD)
    if number:
        raise OSError(number, os.strerror(number))


def _make_environment(config: McpConfig) -> dict[str, str]:
    names = (*_INHERITED, *config.env)
    given = {name: value.get_secret_value() for name, value in config.variables.items()}
    return {name: os.environ[name] for name in names if name in os.environ} | given


async def _receive(process: Process, received: MemoryObjectSendStream[Incoming]) -> None:
    """Pass on the server's messages until it ends, sends a message that is too long, or sends too many requests."""
    assert process.stdout is not None  # noqa: S101 - run_process sets stdout=PIPE
    # BrokenResourceError: the receiver is closed. ValueError: the line is too long.
    with received, suppress(anyio.BrokenResourceError, ValueError):
        asked = 0
        while asked < _MOST_ASKED and (line := await process.stdout.readline()):
            message = _read(line)
            asked += isinstance(message, SessionMessage) and isinstance(message.message, types.JSONRPCRequest)
            await received.send(message)
    while await process.stdout.read(_CHUNK):  # otherwise the server would block on a full pipe and could not end
        pass


def _read(line: bytes) -> Incoming:
    try:
        return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


async def _send(process: Process, to_send: MemoryObjectReceiveStream[SessionMessage]) -> None:
    assert process.stdin is not None  # noqa: S101 - run_process sets stdin=PIPE
    with to_send, suppress(ConnectionError):  # the server has ended, which `_receive` notices too
        async for each in to_send:
            process.stdin.write(each.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await process.stdin.drain()


async def _collect(process: Process, complaints: Complaints) -> None:
    assert process.stderr is not None  # noqa: S101 - run_process sets stderr=PIPE
    while data := await process.stderr.read(_CHUNK):
        complaints.add(data)


async def _ask_to_end(process: Process, end: asyncio.Future[int]) -> None:
    """Close the server's input, at which it should end; send it SIGTERM if it does not."""
    assert process.stdin is not None  # noqa: S101 - run_process sets stdin=PIPE
    process.stdin.close()
    await asyncio.wait({end}, timeout=_GRACE_SECONDS)
    if not end.done():
        _signal(process.pid, signal.SIGTERM)
        await asyncio.wait({end}, timeout=_TERMINATE_SECONDS)


def _kill(process: Process, mark: str) -> None:
    if not _KEEPS:  # a keeper would end with its group, and leave what it has adopted; it ends the server itself
        _signal(process.pid, signal.SIGKILL)
    for _ in range(_ROUNDS):  # a process that is forked during one round is found in the next
        for pid in _find_marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _find_marked(mark: str) -> list[int]:
    """Return the ids of the running processes with the mark in their environment; on Linux only."""
    folders = Path("/proc").glob("[0-9]*")
    return [int(folder.name) for folder in folders if mark.encode() in _read_environment(folder)]


def _read_environment(folder: Path) -> bytes:
    try:
        return (folder / "environ").read_bytes()
    except OSError:  # the process belongs to another user, or has ended
        return b""

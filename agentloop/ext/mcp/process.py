"""A server as a process: its lines in and out, and its end, which takes everything along that it has started.

POSIX. What the lines mean is the SDK's business.
"""

from __future__ import annotations

import asyncio
import os
import signal
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
"""A variable that a server's children inherit, by which they are found again when they have left its group.

It holds the marks of all servers above, so that one that serves others takes theirs along. A program that leaves the
group and clears its environment as well is not found.
"""

_INHERITED = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
_QUEUED = 1_000  # messages to a server that does not read; the courtesy of a cancellation must not wait for it
_MOST_ASKED = 5_000  # requests of a server, each of which is a task of the SDK until it has taken the answer
_COMPLAINTS = 2_000
_CHUNK = 65_536
_GRACE_SECONDS = 1.0  # after its input has ended
_FAREWELL_SECONDS = 1.0  # after it was told to end
_LAST_WORDS_SECONDS = 1.0  # after it was killed, for what it has said
_REAP_SECONDS = 2.0  # and for the system to be done with it
_ROUNDS = 3


class Complaints:
    """The end of what a server has written to its standard error."""

    def __init__(self) -> None:
        self._bytes = b""

    def add(self, data: bytes) -> None:
        """Take more of it."""
        self._bytes = (self._bytes + data)[-_COMPLAINTS:]

    def __str__(self) -> str:
        return self._bytes.decode(errors="replace").strip()


@asynccontextmanager
async def run_process(config: McpConfig, complaints: Complaints) -> AsyncGenerator[Streams]:
    """Start a server, yield its messages in and out, and end it with all that it has started.

    Raises:
        OSError: it can't be started.
    """
    mark = uuid4().hex
    loop = asyncio.get_running_loop()
    # As `asyncio.create_subprocess_exec` does it, which keeps the transport to itself.
    transport, protocol = await loop.subprocess_exec(
        lambda: SubprocessStreamProtocol(limit=config.max_message, loop=loop),
        *config.command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=config.cwd or None,
        env=_make_environment(config) | {MARK: f"{os.environ.get(MARK, '')} {mark}".strip()},
        start_new_session=True,
    )
    process = Process(transport, protocol, loop)
    heard, incoming = anyio.create_memory_object_stream[Incoming](0)
    outgoing, said = anyio.create_memory_object_stream[SessionMessage](_QUEUED)
    carriers: list[asyncio.Task[Any]] = [
        asyncio.create_task(each) for each in (_hear(process, heard), _say(process, said))
    ]
    carriers.append(asyncio.create_task(_collect(process, complaints)))
    end = asyncio.create_task(process.wait())
    try:
        yield incoming, outgoing
        await _ask_to_end(process, end)
    finally:
        # Without a pause, so that no cancellation can come between.
        _kill(process, mark)
        for stream in (heard, incoming, outgoing, said):
            stream.close()
        try:
            await asyncio.wait([*carriers, end], timeout=_LAST_WORDS_SECONDS)
        finally:
            for carrier in (*carriers, end):
                carrier.cancel()
            transport.close()
            # In a new task: where the event loop ends, the others are cancelled before this one gets here.
            await asyncio.wait({asyncio.create_task(process.wait())}, timeout=_REAP_SECONDS)


def _make_environment(config: McpConfig) -> dict[str, str]:
    names = (*_INHERITED, *config.env)
    given = {name: value.get_secret_value() for name, value in config.variables.items()}
    return {name: os.environ[name] for name in names if name in os.environ} | given


async def _hear(process: Process, heard: MemoryObjectSendStream[Incoming]) -> None:
    """Pass on what the server says until it ends, or says more at once, or asks more, than it may."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    with heard, suppress(anyio.BrokenResourceError, ValueError):  # nobody listens any more; a line that is too long
        asked = 0
        while asked < _MOST_ASKED and (line := await process.stdout.readline()):
            message = _read(line)
            asked += isinstance(message, SessionMessage) and isinstance(message.message, types.JSONRPCRequest)
            await heard.send(message)
    while await process.stdout.read(_CHUNK):  # else it would wait for a reader, and never see that it is to end
        pass


def _read(line: bytes) -> Incoming:
    try:
        return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


async def _say(process: Process, said: MemoryObjectReceiveStream[SessionMessage]) -> None:
    assert process.stdin is not None  # noqa: S101 - it was asked for
    with said, suppress(ConnectionError):  # it has ended, which `_hear` notices too
        async for each in said:
            process.stdin.write(each.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await process.stdin.drain()


async def _collect(process: Process, complaints: Complaints) -> None:
    assert process.stderr is not None  # noqa: S101 - it was asked for
    while data := await process.stderr.read(_CHUNK):
        complaints.add(data)


async def _ask_to_end(process: Process, end: asyncio.Future[int]) -> None:
    """Close its input, which a server takes as the end; signal it where it does not."""
    assert process.stdin is not None  # noqa: S101 - it was asked for
    process.stdin.close()
    await asyncio.wait({end}, timeout=_GRACE_SECONDS)
    if not end.done():
        _signal(process.pid, signal.SIGTERM)
        await asyncio.wait({end}, timeout=_FAREWELL_SECONDS)


def _kill(process: Process, mark: str) -> None:
    _signal(process.pid, signal.SIGKILL)
    for _ in range(_ROUNDS):  # what forks meanwhile is found in the next one
        for pid in _find_marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _find_marked(mark: str) -> list[int]:
    """Return the living processes whose environment bears the mark; only Linux tells of it."""
    folders = Path("/proc").glob("[0-9]*")
    return [int(folder.name) for folder in folders if mark.encode() in _read_environment(folder)]


def _read_environment(folder: Path) -> bytes:
    try:
        return (folder / "environ").read_bytes()
    except OSError:  # another user's, or gone
        return b""

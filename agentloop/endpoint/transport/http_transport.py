"""Defines the Transport protocol, and HttpTransport, which sends requests to an endpoint over HTTP.

A request is sent once and nothing is decoded. Retries, rate limits and recording wrap a transport from outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from agentloop.endpoint.transport.secrets import hide_secrets
from agentloop.errors import AgentloopError, ConfigurationError
from agentloop.forking import begin_anew_after_fork
from agentloop.wire.profile import Endpoint

if TYPE_CHECKING:
    from agentloop.endpoint.transport.connection import Connection


LONGEST_WARNING = 500
_WARNED: set[tuple[str, str]] = set()  # by base URL


@runtime_checkable
class Transport(Protocol):
    """Carries the body of a request to an endpoint and the body of the reply back."""

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint."""
        ...

    async def send(self, path: str, body: bytes) -> bytes:
        """Post the body and return the whole reply.

        Args:
            path: The path below the base URL, such as `/responses`.
            body: The body as JSON.

        Raises:
            EndpointError: there was no reply with a 2xx status.
        """
        ...

    def stream(self, path: str, body: bytes) -> AsyncGenerator[bytes]:
        """Post the body and yield the reply as it arrives, cut at any point; close the generator with `aclose`.

        Raises:
            EndpointError: there was no reply with a 2xx status, or it was cut off.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections; the next request opens new ones."""
        ...


@runtime_checkable
class WarningSource(Protocol):
    """A protocol that a transport may also implement: it passes on the endpoint's warnings."""

    def take_warnings(self) -> list[str]:
        """Return the warnings since the last call, each only once per process."""
        ...


class HttpTransport:
    """A transport over HTTP, with a pool of connections for each event loop that uses it.

    Raises:
        ConfigurationError: the key or a header holds a character that no HTTP header may have.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        for name, value in {"api_key": endpoint.api_key or "", **endpoint.headers}.items():
            if not (value.isascii() and value.isprintable()):  # the value itself may be a secret
                raise ConfigurationError(
                    f"{name} holds a character that an HTTP header can't carry",
                    hint="often it is the line break at the end of a file: strip() it",
                )
        self._endpoint = endpoint
        self._connections: dict[asyncio.AbstractEventLoop, asyncio.Task[Connection]] = {}
        self._inherited: list[object] = []
        self._warnings: list[str] = []
        begin_anew_after_fork(self)

    def begin_anew(self) -> None:
        """Forget the connections of a parent process, which go on there, and open new ones at the next request."""
        self._inherited.append(self._connections)  # as garbage they would be closed
        self._connections = {}

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint."""
        return self._endpoint

    async def send(self, path: str, body: bytes) -> bytes:
        """Post the body and return the whole reply."""
        connection = await self._connection()
        return await connection.send(path, body)

    async def stream(self, path: str, body: bytes) -> AsyncGenerator[bytes]:
        """Post the body and yield the reply as it arrives."""
        connection = await self._connection()
        async with aclosing(connection.stream(path, body)) as chunks:
            async for chunk in chunks:
                yield chunk

    def take_warnings(self) -> list[str]:
        """Return the warnings since the last call, each only once per process."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def _warn(self, text: str) -> None:
        text = hide_secrets(text, self._endpoint)[:LONGEST_WARNING]
        if (self._endpoint.base_url, text) not in _WARNED:
            _WARNED.add((self._endpoint.base_url, text))
            self._warnings.append(f"the endpoint warns: {text}")

    async def aclose(self) -> None:
        """Close the connections of all event loops that are still running."""
        while self._connections:
            loop, opening = self._connections.popitem()
            if loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_close(opening), loop))

    async def _connection(self) -> Connection:
        loop = asyncio.get_running_loop()
        opening = self._connections.get(loop)
        if opening is None or opening.cancelled():
            self._forget_ended_loops()
            opening = self._connections[loop] = loop.create_task(_open(self._endpoint, self._warn))
        # Several requests may wait for this task, so a cancelled request must not cancel it.
        return await asyncio.shield(opening)

    def _forget_ended_loops(self) -> None:
        # A loop closes its connections when it ends. Other threads may add connections meanwhile, hence the copy.
        for loop in tuple(self._connections):
            if loop.is_closed():
                self._connections.pop(loop, None)


async def _open(endpoint: Endpoint, warn: Callable[[str], None]) -> Connection:
    # Importing the SDK and loading the certificates takes about a second of CPU. In a thread that second is shared
    # with the event loop, so that timers, tools and other runs go on; import locks make this safe.
    connection = await asyncio.to_thread(_connect, endpoint, warn)
    await connection.open()
    return connection


def _connect(endpoint: Endpoint, warn: Callable[[str], None]) -> Connection:
    from agentloop.endpoint.transport.connection import Connection  # noqa: PLC0415 - 0.9 s of CPU, due on the first request only

    return Connection(endpoint, warn)


async def _close(opening: asyncio.Task[Connection]) -> None:
    with suppress(AgentloopError):  # a connection that could not be opened has nothing to close
        await (await opening).aclose()

"""Defines the Transport protocol, and HttpTransport, which sends requests to an endpoint over HTTP.

A request is sent once and nothing is decoded. Retries, rate limits and recording wrap a transport from outside.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from agentloop.endpoint.interception import connect_through
from agentloop.endpoint.transport.pool import Pool, share_pool
from agentloop.errors import ConfigurationError
from agentloop.wire.profile import Endpoint

if TYPE_CHECKING:
    from agentloop.endpoint.transport.connection import Connection


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
    """A transport over HTTP. Transports to the same address, with the same key and settings, share their connections.

    Args:
        endpoint: The endpoint; if its server is to be started, what is known of it before.
        start: Starts the server and returns its endpoint. It is called before the first request.

    Raises:
        ConfigurationError: the key or a header holds a character that no HTTP header may have.
    """

    def __init__(self, endpoint: Endpoint, start: Callable[[], Awaitable[Endpoint]] | None = None) -> None:
        for name, value in {"api_key": endpoint.api_key or "", **endpoint.headers}.items():
            if not (value.isascii() and value.isprintable()):  # the value itself may be a secret
                raise ConfigurationError(
                    f"{name} holds a character that an HTTP header can't carry",
                    hint="often it is the line break at the end of a file: strip() it",
                )
        self._endpoint = endpoint
        self._start = start
        self._pool = None if start else share_pool(endpoint)

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint."""
        return self._endpoint

    async def send(self, path: str, body: bytes) -> bytes:
        """Post the body and return the whole reply."""
        carrier = await connect_through(self._endpoint, self._connect)
        return await carrier.send(path, body)

    async def stream(self, path: str, body: bytes) -> AsyncGenerator[bytes]:
        """Post the body and yield the reply as it arrives."""
        carrier = await connect_through(self._endpoint, self._connect)
        async with aclosing(carrier.stream(path, body)) as chunks:
            async for chunk in chunks:
                yield chunk

    def take_warnings(self) -> list[str]:
        """Return the warnings since the last call, each only once per process."""
        return self._pool.take_warnings() if self._pool else []

    async def aclose(self) -> None:
        """Close the connections of all event loops that are still running, unless another transport uses them too."""
        if self._pool:
            await self._pool.leave(self)

    async def find_pool(self) -> Pool:
        """Return the pool of the connections; start the server first if it has to be started."""
        if self._pool is None:
            assert self._start is not None  # noqa: S101 - otherwise there is a pool
            self._endpoint = await self._start()
            self._pool = share_pool(self._endpoint)
        return self._pool

    async def _connect(self) -> Connection:
        pool = await self.find_pool()
        pool.users.add(self)
        return await pool.connect()

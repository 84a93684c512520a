"""Decides what stands between transports and the network: in a test, what `agentloop.testing` has put here.

A guard may forbid a request. A recorder answers requests in place of the network, or records what the network answers;
what it sends itself no guard sees. This module imports nothing, because the pytest plugin imports it in every session.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agentloop.wire.profile import Endpoint


class Carrier(Protocol):
    """Sends requests to one endpoint: its connections, or what stands in for them."""

    async def send(self, path: str, body: bytes) -> bytes:
        """Do as `Transport.send` does."""
        ...

    def stream(self, path: str, body: bytes) -> AsyncGenerator[bytes]:
        """Do as `Transport.stream` does."""
        ...


class Recorder(Protocol):
    """Stands in for the network, and may use it."""

    @property
    def is_replaying(self) -> bool:
        """Whether it answers by itself, so that no server is there that one could wait for."""
        ...

    def intercept(self, endpoint: Endpoint, connect: Callable[[], Awaitable[Carrier]]) -> Carrier:
        """Return what carries a request to an endpoint; `connect` returns the connections."""
        ...


GUARDS: list[Callable[[Endpoint], None]] = []
"""Each is called before a request to an endpoint, and raises an error if it is forbidden."""

RECORDERS: list[Recorder] = []
"""The last one gets the requests."""


async def connect_through(endpoint: Endpoint, connect: Callable[[], Awaitable[Carrier]]) -> Carrier:
    """Return what carries a request to an endpoint."""
    if RECORDERS:
        return RECORDERS[-1].intercept(endpoint, connect)
    for guard in GUARDS:
        guard(endpoint)
    return await connect()


def is_intercepting() -> bool:
    """Return whether a request may not reach its endpoint."""
    return bool(RECORDERS or GUARDS)


def is_replaying() -> bool:
    """Return whether requests are answered without a server."""
    return bool(RECORDERS) and RECORDERS[-1].is_replaying

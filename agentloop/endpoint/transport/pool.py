"""Pools of connections, which all transports to the same address share, one for each event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakSet, WeakValueDictionary

from agentloop.endpoint.transport.secrets import hide_secrets
from agentloop.errors import AgentloopError
from agentloop.forking import begin_anew_after_fork
from agentloop.wire.profile import Endpoint

if TYPE_CHECKING:
    from agentloop.endpoint.transport.connection import Connection

LONGEST_WARNING = 500
_WARNED: set[tuple[str, str]] = set()  # by base URL
_MOST_WARNED = 1_000


class Pool:
    """The connections to one address. `share_pool` returns it.

    Attributes:
        users: Those who have used it and have not left it. The last one to leave closes the connections.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._connections: dict[asyncio.AbstractEventLoop, asyncio.Task[Connection]] = {}
        self._inherited: list[object] = []
        self._warnings: list[str] = []
        self.users: WeakSet[object] = WeakSet()
        begin_anew_after_fork(self)

    def begin_anew(self) -> None:
        """Forget the connections of a parent process, which go on there, and open new ones at the next request."""
        self._inherited.append(self._connections)  # as garbage they would be closed
        self._connections = {}

    async def connect(self) -> Connection:
        """Return the connections of the running event loop; open them if it has none."""
        loop = asyncio.get_running_loop()
        opening = self._connections.get(loop)
        if opening is None or opening.cancelled():
            self._forget_ended_loops()
            opening = self._connections[loop] = loop.create_task(_open(self._endpoint, self._warn))
        # Several requests may wait for this task, so a cancelled request must not cancel it.
        return await asyncio.shield(opening)

    async def leave(self, user: object) -> None:
        """Close the connections of all event loops that are still running, if nobody else uses them."""
        self.users.discard(user)
        while self._connections and not self.users:
            loop, opening = self._connections.popitem()
            if loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_close(opening), loop))

    def take_warnings(self) -> list[str]:
        """Return the endpoint's warnings since the last call, each only once per process."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def _warn(self, text: str) -> None:
        text = hide_secrets(text, self._endpoint)[:LONGEST_WARNING]
        if (self._endpoint.base_url, text) not in _WARNED:
            if len(_WARNED) >= _MOST_WARNED:  # a server may send another text each time
                _WARNED.clear()
            _WARNED.add((self._endpoint.base_url, text))
            self._warnings.append(f"the endpoint warns: {text}")

    def _forget_ended_loops(self) -> None:
        # A loop closes its connections when it ends. Other threads may add connections meanwhile, hence the copy.
        for loop in tuple(self._connections):
            if loop.is_closed():
                self._connections.pop(loop, None)


_POOLS: WeakValueDictionary[Hashable, Pool] = WeakValueDictionary()
_LOCK = Lock()


def share_pool(endpoint: Endpoint) -> Pool:
    """Return the pool for an endpoint: the one that others have for the same address, key and HTTP settings."""
    key = (
        endpoint.base_url,
        endpoint.api_key,
        tuple(endpoint.headers.items()),
        endpoint.timeout_seconds,
        endpoint.idle_timeout_seconds,
        endpoint.http,
        endpoint.proxy,
    )
    with _LOCK:
        pool = _POOLS.get(key)
        if pool is None:
            pool = _POOLS[key] = Pool(endpoint)
    return pool


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

"""Defines VettedNetwork, which connects to a host only if all its addresses are allowed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import cast

import httpcore2

from agentloop.endpoint.fetch.addresses import Address, Resolve
from agentloop.errors import FetchError

CONNECT_SECONDS = 5.0


class VettedNetwork(httpcore2.AsyncNetworkBackend):
    """Looks up a host, checks its addresses and connects to one of them, without a second look-up in between.

    Args:
        resolve: Returns the addresses of a host.
        allow: Returns whether an address may be connected to.
        private: Hosts, each with its port, whose addresses are not checked.
    """

    def __init__(
        self, resolve: Resolve, allow: Callable[[Address], bool], private: Collection[tuple[str, int]] = ()
    ) -> None:
        self._resolve = resolve
        self._allow = allow
        self._private = private
        # Type checkers see a union with the class that httpcore2 uses if anyio is missing. openai requires anyio.
        self._network = cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - httpcore2's signature; `Fetcher.seconds` counts
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address of the host that answers.

        Raises:
            FetchError: one of the addresses is not allowed.
        """
        addresses = dict.fromkeys(await self._resolve(host, port))
        if (host, port) not in self._private:
            for address in addresses:
                if not self._allow(address):
                    raise FetchError(f"{host} is at {address}, which is not on the public network")
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    str(address), port, CONNECT_SECONDS, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

"""VettedNetwork: connects to what a host means at that moment, if all of it may be connected to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import cast

import httpcore2

from agentloop.endpoint.fetch.addresses import Address, Resolve
from agentloop.errors import FetchError

CONNECT_SECONDS = 5.0


class VettedNetwork(httpcore2.AsyncNetworkBackend):
    """Looks a host up, vets its addresses and connects to one of them, in one go.

    Args:
        resolve: Gives the addresses of a host.
        allow: Whether an address may be connected to.
        private: Hosts, each with its port, whose addresses are not vetted.
    """

    def __init__(
        self, resolve: Resolve, allow: Callable[[Address], bool], private: Collection[tuple[str, int]] = ()
    ) -> None:
        self._resolve = resolve
        self._allow = allow
        self._private = private
        # For type checkers it may be the stand-in for a missing anyio, which openai requires.
        self._network = cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - httpcore2's signature; `Fetcher.seconds` counts
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address of the host that answers."""
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

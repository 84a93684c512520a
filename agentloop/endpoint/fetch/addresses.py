"""Addresses: which a host has, and which of them are anybody's. Nothing is connected to here."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from agentloop.errors import FetchError

Address: TypeAlias = IPv4Address | IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]

_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
# Special by IANA's registries though `is_global` of some Python takes them for public, the cloud metadata of Oracle
# among them; and the metadata of Azure, which has an address like any other.
_SPECIAL = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "168.63.129.16/32")))


def is_public(address: Address) -> bool:
    """Tell whether an address is anybody's, and not of this machine, its network or its cloud."""
    if isinstance(address, IPv6Address):
        within = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            within = IPv4Address(int(address) & 0xFFFF_FFFF)
        if within is not None:
            return is_public(within)
        if address not in _UNICAST:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _SPECIAL)


async def look_up(host: str, port: int) -> Sequence[Address]:
    """Return the addresses of a host, in whatever way it is spelled.

    Raises:
        FetchError: it has none.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError(f"the host {host} can't be found: {error}") from error
    return [ip_address(entry[4][0]) for entry in found]

"""Looks up the addresses of a host, and tells which addresses are public. It connects to nothing."""

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
# The first three are special in IANA's registries, but some Python versions report them as `is_global`; they include
# the cloud metadata service of Oracle. The last is the metadata service of Azure, which has an ordinary address.
_SPECIAL = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "168.63.129.16/32")))


def is_public(address: Address) -> bool:
    """Return whether an address is public, and not one of this machine, its network or its cloud provider."""
    if isinstance(address, IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            embedded = IPv4Address(int(address) & 0xFFFF_FFFF)
        if embedded is not None:
            return is_public(embedded)
        if address not in _UNICAST:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _SPECIAL)


async def look_up(host: str, port: int) -> Sequence[Address]:
    """Return the addresses of a host, which may be a name or an address in any notation.

    Raises:
        FetchError: the host has no address.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError(f"the host {host} can't be found: {error}") from error
    return [ip_address(entry[4][0]) for entry in found]

"""Tells whether a request may go through a proxy of the environment. It connects to nothing and looks up no names."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


def is_local(url: str) -> bool:
    """Return whether the host of a URL is this machine: `localhost`, or a loopback address in any notation."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        try:
            address = IPv4Address(socket.inet_aton(host))  # 127.1, 0x7f000001: as the system reads them
        except (OSError, UnicodeError):
            return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    # A connection to the unspecified address, 0.0.0.0, leads to this machine.
    return mapped.is_loopback or mapped.is_unspecified


def is_proxied(url: str) -> bool:
    """Return whether the environment names a proxy for a URL."""
    parts = urlsplit(url)
    proxies = getproxies()
    named = proxies.get(parts.scheme) or proxies.get("all")
    return bool(named) and not is_local(url) and not proxy_bypass(parts.hostname or "")

"""A guarded GET of an address that a user, a page or a model named: the public network only, and not too much of it.

What is fetched, and what for, is not known here. It speaks httpcore2 itself, which has no redirects, cookies, proxies,
credentials or decompression of its own to be switched off. Imported by the first fetch, never before.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias, cast

import httpcore2
import httpx2

from agentloop.errors import FetchError

CONNECT_SECONDS = 5.0
Address: TypeAlias = IPv4Address | IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OK = 200
_LAST_PORT = 65_535
_SHOWN_CHARACTERS = 200
_FAILURES = (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, OSError)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came back.

    Attributes:
        url: Where it came from in the end.
        content: The body.
        content_type: What the server says it is, or "".
    """

    url: str
    content: bytes
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Fetches over http and https, from public addresses only.

    An address is looked up, vetted and connected to in one go: a name that means something else a moment later gains
    nothing. Redirects are followed one by one, and each is vetted like the first address.

    Attributes:
        max_bytes: The largest body that is taken.
        accept: The Accept header.
        seconds: For everything, redirects included.
        redirects: How many are followed.
        resolve: Gives the addresses of a host.
        allow: Whether an address may be connected to.
    """

    max_bytes: int
    accept: str = "*/*"
    seconds: float = 30.0
    redirects: int = 5
    resolve: Resolve = look_up
    allow: Callable[[Address], bool] = is_public

    async def get(self, url: str) -> Fetched:
        """Return what is at a URL.

        Raises:
            FetchError: it can't be had, it is not to be had, or it is too large.
        """
        at = _parse(url)
        network = _VettedNetwork(self.resolve, self.allow)
        try:
            async with asyncio.timeout(self.seconds), httpcore2.AsyncConnectionPool(network_backend=network) as pool:
                for _ in range(self.redirects + 1):
                    came = await self._get_once(pool, at)
                    if isinstance(came, Fetched):
                        return came
                    at = _follow(at, came)
        except TimeoutError:
            raise FetchError(f"{_shown(at)} took longer than {self.seconds:g} s") from None
        except _FAILURES as error:
            why = str(error) or type(error).__name__
            raise FetchError(f"{_shown(at)} can't be reached: {why}") from error
        raise FetchError(f"{_shown(at)} is a redirect too many: {self.redirects} were followed")

    async def _get_once(self, pool: httpcore2.AsyncConnectionPool, at: httpx2.URL) -> Fetched | str:
        """Return what is there, or where a redirect leads."""
        target = httpcore2.URL(scheme=at.raw_scheme, host=at.raw_host, port=at.port, target=at.raw_path)
        sent = [
            (b"Host", at.netloc),
            (b"Accept", self.accept.encode()),
            # What is decompressed could be a thousand times as large as what was sent.
            (b"Accept-Encoding", b"identity"),
            (b"User-Agent", b"agentloop"),
        ]
        async with pool.stream("GET", target, headers=sent) as response:
            headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
            location = headers.get(b"location")
            if response.status in _REDIRECTS and location:
                return location
            if response.status != _OK:
                raise FetchError(f"{_shown(at)} answered with status {response.status}")
            if headers.get(b"content-encoding", "identity").lower() != "identity":
                raise FetchError(f"{_shown(at)} sent a compressed body though none was asked for")
            content = bytearray()
            self._check_size(at, int(headers.get(b"content-length", "0")))
            async for chunk in response.aiter_stream():
                content += chunk
                self._check_size(at, len(content))
            return Fetched(url=str(at), content=bytes(content), content_type=headers.get(b"content-type", ""))

    def _check_size(self, at: httpx2.URL, size: int) -> None:
        if size > self.max_bytes:
            raise FetchError(f"{_shown(at)} is larger than {self.max_bytes:,} bytes")


class _VettedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to what a host means at that moment, if all of it may be connected to."""

    def __init__(self, resolve: Resolve, allow: Callable[[Address], bool]) -> None:
        self._resolve = resolve
        self._allow = allow
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


def _parse(url: str) -> httpx2.URL:
    try:
        return _check(httpx2.URL(url))
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise FetchError(f"{_without_secrets(url)!r} is no URL: {error}") from error


def _follow(at: httpx2.URL, location: str) -> httpx2.URL:
    try:
        to = _check(at.join(location))
    except httpx2.InvalidURL as error:
        raise FetchError(f"{_shown(at)} redirects to {_without_secrets(location)!r}, which is no URL") from error
    if (at.scheme, to.scheme) == ("https", "http"):
        raise FetchError(f"{_shown(at)} redirects from https to http")
    return to


def _check(url: httpx2.URL) -> httpx2.URL:
    if url.scheme not in {"http", "https"} or not url.host or (url.port or 0) > _LAST_PORT:
        raise FetchError(f"{_shown(url)} is not an http or https URL")
    if url.userinfo:
        raise FetchError(f"the URL of {url.host} holds a user's name or password, which is not sent")
    return url


def _shown(url: httpx2.URL) -> str:
    """Return a URL without its query, which may hold a key."""
    return str(url.copy_with(query=None, fragment=None))


def _without_secrets(text: str) -> str:
    """Return as much as may be shown of what is no URL."""
    return text.partition("?")[0].rpartition("@")[2][:_SHOWN_CHARACTERS]

"""Defines Fetcher, which checks every redirect of a request and limits the size of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType

import httpcore2
import httpx2

from agentloop.endpoint.fetch.addresses import Address, Resolve, is_public, look_up
from agentloop.endpoint.fetch.body import CODINGS, Body
from agentloop.endpoint.fetch.network import VettedNetwork
from agentloop.endpoint.fetch.urls import SHOWN_CHARACTERS, follow, origin, parse, show
from agentloop.endpoint.redirects import find_objection
from agentloop.errors import FetchError

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FOLLOWED = frozenset({"GET", "HEAD"})
_OK = 200
_SHOWN_URL = 2_000
_FAILURES = (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, OSError)
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The answer to a request.

    Attributes:
        url: The URL after all redirects.
        content: The body.
        content_type: The Content-Type header, or "".
        status: The HTTP status.
        headers: All headers, with names in lower case.
    """

    url: str
    content: bytes
    content_type: str
    status: int = _OK
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True, slots=True)
class _Request:
    """A request, which stays the same over redirects; its headers are sent to the first origin only."""

    method: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    content: bytes = field(default=b"", repr=False)
    only_ok: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Fetches over http and https, from public addresses only.

    A host is looked up, and the same addresses are checked and connected to, so a name that resolves differently a
    moment later gains nothing. Redirects are followed one by one, and each is checked like the first URL. In a tool's
    call, the rules of the run decide which are followed.

    Attributes:
        max_bytes: The size limit of a body, before and after decompression.
        accept: The Accept header.
        content_types: Patterns of content types that `get` accepts, such as `text/*`; empty for any type.
        seconds: The time limit for the whole request, redirects included.
        redirects: The number of redirects that are followed.
        resolve: Returns the addresses of a host.
        allow: Returns whether an address may be connected to.
        private: Hosts, each with its port, whose addresses are not checked: those of the user's own network.
        vet: Called with each URL before it is requested, redirects included; raises FetchError to refuse it.
    """

    max_bytes: int
    accept: str = "*/*"
    content_types: tuple[str, ...] = ()
    seconds: float = 30.0
    redirects: int = 5
    resolve: Resolve = look_up
    allow: Callable[[Address], bool] = is_public
    private: frozenset[tuple[str, int]] = frozenset()
    vet: Callable[[httpx2.URL], None] | None = None

    @staticmethod
    def read_url(url: str) -> str:
        """Return the URL that is requested for a text, with its host as rules write it.

        Raises:
            FetchError: the text is not an http or https URL, or it holds a user's name or password.
        """
        return str(parse(url))

    async def get(self, url: str) -> Fetched:
        """Return the content of a URL.

        Raises:
            FetchError: the URL can't be reached, is not allowed, has a wrong status or type, or is too large.
        """
        return await self._fetch(_Request("GET", only_ok=True), url)

    async def send(self, method: str, url: str, *, headers: Mapping[str, str] = _NONE, content: bytes = b"") -> Fetched:
        """Return the answer to a request, whatever its status; redirects are followed only for GET and HEAD.

        Args:
            method: The HTTP method in upper case.
            url: The URL.
            headers: Further headers. After a redirect they are not sent to another origin.
            content: The body.

        Raises:
            FetchError: the URL can't be reached or is not allowed, or the answer is too large.
        """
        return await self._fetch(_Request(method, headers, content), url)

    async def _fetch(self, request: _Request, url: str) -> Fetched:
        at = first = parse(url)
        network = VettedNetwork(self.resolve, self.allow, self.private)
        try:
            async with asyncio.timeout(self.seconds), httpcore2.AsyncConnectionPool(network_backend=network) as pool:
                for _ in range(self.redirects + 1):
                    if self.vet is not None:
                        self.vet(at)
                    further = request.headers if origin(at) == origin(first) else _NONE
                    answer = await self._ask(pool, at, request, further)
                    if isinstance(answer, Fetched):
                        return answer
                    at = self._follow(first, at, answer)
        except TimeoutError:
            raise FetchError(f"{show(at)} took longer than {self.seconds:g} s") from None
        except _FAILURES as error:
            why = str(error) or type(error).__name__
            raise FetchError(f"{show(at)} can't be reached: {why}") from error
        raise FetchError(f"{show(at)} is one redirect too many: {self.redirects} were followed")

    def _follow(self, first: httpx2.URL, at: httpx2.URL, location: str) -> httpx2.URL:
        """Return the target of a redirect.

        Raises:
            FetchError: it is not a URL, or the rules of the run do not allow to follow it.
        """
        target = follow(at, location)
        if objection := find_objection(str(first), str(target)):
            raise FetchError(f"{show(at)} redirects to {str(target)[:_SHOWN_URL]}, which was not followed: {objection}")
        return target

    async def _ask(
        self, pool: httpcore2.AsyncConnectionPool, at: httpx2.URL, request: _Request, further: Mapping[str, str]
    ) -> Fetched | str:
        """Return the answer, or the location of a redirect."""
        target = httpcore2.URL(scheme=at.raw_scheme, host=at.raw_host, port=at.port, target=at.raw_path)
        own = {"accept": self.accept, "accept-encoding": CODINGS, "user-agent": "agentloop"}
        host = {"host": at.netloc.decode("ascii")}
        wanted = host | own | {name.lower(): value for name, value in further.items()} | host
        sent = [(name.title().encode("ascii"), value.encode("latin-1")) for name, value in wanted.items()]
        content = None if request.method in _FOLLOWED else request.content
        async with pool.stream(request.method, target, headers=sent, content=content) as response:
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            location = headers.get("location")
            if response.status in _REDIRECTS and location and request.method in _FOLLOWED:
                return location
            if request.only_ok:
                self._check(at, response.status, headers.get("content-type", ""))
            body = Body(headers.get("content-encoding", ""), self.max_bytes, show(at))
            if request.method != "HEAD":
                body.announce(int(headers.get("content-length", "0")))
                async for chunk in response.aiter_stream():
                    body.take(chunk)
            return Fetched(
                url=str(at),
                content=body.whole(),
                content_type=headers.get("content-type", ""),
                status=response.status,
                headers=headers,
            )

    def _check(self, at: httpx2.URL, status: int, content_type: str) -> None:
        """Raise FetchError if the status is not 200, or the content type is not accepted."""
        if status != _OK:
            raise FetchError(f"{show(at)} answered with status {status}")
        kind = content_type.partition(";")[0].strip().lower()
        if kind and self.content_types and not any(fnmatchcase(kind, pattern) for pattern in self.content_types):
            raise FetchError(f"{show(at)} is {kind[:SHOWN_CHARACTERS]}, which is not accepted")

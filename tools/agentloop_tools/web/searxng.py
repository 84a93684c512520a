"""Searches with a SearXNG server of the user, which may be on a private network."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from agentloop import ConfigurationError, FetchError, ToolError
from agentloop_tools.web.search import Found

if TYPE_CHECKING:
    import httpx2

    from agentloop import Fetcher

_PORTS = {"http": 80, "https": 443}
_FORBIDDEN = 403


@dataclass(frozen=True, slots=True, kw_only=True)
class Searxng:
    """Searches with a SearXNG server. Its settings must allow answers in JSON.

    Attributes:
        url: The server's URL.
        max_bytes: The size of the largest answer that is accepted.
        seconds: How long a search may take.
        resolve: Returns the addresses of its host, or None for the system's resolver.
    """

    url: str
    max_bytes: int = 2_000_000
    seconds: float = 20.0
    resolve: Callable[[str, int], Awaitable[Sequence[Any]]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in _PORTS or not self.hosts[0]:
            raise ConfigurationError("search_url is not an http or https URL", hint="write http://127.0.0.1:8888")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The server's host."""
        return (urlsplit(self.url).hostname or "",)

    async def search(self, query: str, count: int) -> Sequence[Found]:  # noqa: ARG002 - SearXNG returns a page of results
        """Return the pages that it found.

        Raises:
            ToolError: it did not answer, or not in JSON.
        """
        parameters = urlencode({"q": query, "format": "json"})
        try:
            answer = await self._fetcher().send("GET", f"{self.url.rstrip('/')}/search?{parameters}")
        except FetchError as error:
            raise ToolError(f"the search does not work: {error.message}") from error
        if answer.status == _FORBIDDEN:
            raise ToolError("the search does not work: the SearXNG server refuses answers in JSON (search.formats)")
        try:
            entries: list[dict[str, Any]] = json.loads(answer.content)["results"]
            return [Found(*(str(entry.get(name) or "") for name in ("title", "url", "content"))) for entry in entries]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ToolError(f"the search does not work: status {answer.status} and no results in JSON") from error

    def _fetcher(self) -> Fetcher:
        import httpx2  # noqa: PLC0415 - with the fetcher it takes 0.15 s, so only the first search imports it

        from agentloop import Fetcher  # noqa: PLC0415 - as above

        own = httpx2.URL(self.url)

        def vet(url: httpx2.URL) -> None:
            if (url.scheme, url.host, url.port) != (own.scheme, own.host, own.port):
                raise FetchError(f"it redirects to {url.host}")

        private = frozenset({(own.raw_host.decode("ascii"), own.port or _PORTS[own.scheme])})
        fetcher = Fetcher(
            max_bytes=self.max_bytes, seconds=self.seconds, accept="application/json", private=private, vet=vet
        )
        return fetcher if self.resolve is None else replace(fetcher, resolve=self.resolve)

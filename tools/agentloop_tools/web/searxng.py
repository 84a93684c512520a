"""Search by a SearXNG of one's own, which may be on a private network."""

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
    """Asks a SearXNG, whose settings must allow answers in JSON.

    Attributes:
        url: Where it is.
        max_bytes: The largest answer that is taken.
        seconds: How long a search may take.
        resolve: Gives the addresses of its host; those of this machine's own, where there is none.
    """

    url: str
    max_bytes: int = 2_000_000
    seconds: float = 20.0
    resolve: Callable[[str, int], Awaitable[Sequence[Any]]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in _PORTS or not self.hosts[0]:
            raise ConfigurationError("search_url is no http or https URL", hint="such as http://127.0.0.1:8888")

    @property
    def hosts(self) -> tuple[str, ...]:
        """Its host."""
        return (urlsplit(self.url).hostname or "",)

    async def search(self, query: str, count: int) -> Sequence[Found]:  # noqa: ARG002 - it sends a page of them
        """Return what it found.

        Raises:
            ToolError: it did not answer, or not in JSON.
        """
        asked = urlencode({"q": query, "format": "json"})
        try:
            answer = await self._fetcher().send("GET", f"{self.url.rstrip('/')}/search?{asked}")
        except FetchError as error:
            raise ToolError(f"the search does not work: {error.message}") from error
        if answer.status == _FORBIDDEN:
            raise ToolError("the search does not work: the SearXNG refuses answers in JSON (search.formats)")
        try:
            entries: list[dict[str, Any]] = json.loads(answer.content)["results"]
            return [Found(*(str(entry.get(name) or "") for name in ("title", "url", "content"))) for entry in entries]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ToolError(f"the search does not work: status {answer.status} and no results in JSON") from error

    def _fetcher(self) -> Fetcher:
        import httpx2  # noqa: PLC0415 - 0.15 s, with the fetcher, that the first search pays

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

"""Searches with ddgs, which queries public search engines and needs no key.

ddgs has its own HTTP client, which identifies itself as a browser because those engines require it. So the checks of
the fetcher do not apply to it. It is safe because no part of an address comes from the model, the engines are those in
a table, and each request has a time limit. It runs in a thread, which ends within that limit after a cancellation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from agentloop import ConfigurationError, ToolError, describe_install
from agentloop_tools.web.search import Found
from agentloop_tools.web.thread_call import call_in_thread

ENGINES: Mapping[str, str] = MappingProxyType(
    {
        "duckduckgo": "html.duckduckgo.com",
        "brave": "search.brave.com",
        "mojeek": "www.mojeek.com",
        "startpage": "www.startpage.com",
        "yahoo": "search.yahoo.com",
        "wikipedia": "en.wikipedia.org",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ddgs:
    """Searches with ddgs.

    Attributes:
        engines: The engines to query, of those in ENGINES.
        seconds: How long a search may take.
    """

    engines: tuple[str, ...] = tuple(ENGINES)
    seconds: float = 20.0

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of the engines."""
        return tuple(ENGINES[name] for name in self.engines)

    async def search(self, query: str, count: int) -> Sequence[Found]:
        """Return the pages that the engines found.

        Raises:
            ToolError: no engine answered.
        """
        try:
            entries = await call_in_thread(lambda: self._query(query, count), self.seconds)
        except TimeoutError:
            raise ToolError(f"the search took longer than {self.seconds:g} s") from None
        return [Found(*(str(entry.get(name) or "") for name in ("title", "href", "body"))) for entry in entries]

    def _query(self, query: str, count: int) -> Sequence[Mapping[str, Any]]:
        try:
            from ddgs.ddgs import DDGS  # noqa: PLC0415 - an extra, imported by the first search
            from ddgs.exceptions import DDGSException  # noqa: PLC0415 - as above
        except ImportError as error:
            raise ConfigurationError(
                "search needs the package ddgs", hint=f"{describe_install('web')}, or set search_url"
            ) from error
        request_seconds = max(1, math.ceil(self.seconds / 2))
        try:
            found = DDGS(timeout=request_seconds).text(query, max_results=count, backend=",".join(self.engines))
        except DDGSException as error:
            if "No results" in str(error):
                return []
            raise ToolError(f"no search engine answered ({type(error).__name__})") from error
        return cast("Sequence[Mapping[str, Any]]", found)

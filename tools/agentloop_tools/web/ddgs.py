"""Search by ddgs, which asks public search engines and needs no key.

It brings its own HTTP client, which passes for a browser, as those engines want. So the fetcher's guard is not in its
way: what guards it is that no part of an address comes from the model, that the engines are those of a table, and that
each request has a time limit. It runs in a thread, which after a cancel ends by itself within that limit.
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
        engines: Which engines it asks, of ENGINES.
        seconds: How long a search may take.
    """

    engines: tuple[str, ...] = tuple(ENGINES)
    seconds: float = 20.0

    @property
    def hosts(self) -> tuple[str, ...]:
        """The engines' hosts."""
        return tuple(ENGINES[name] for name in self.engines)

    async def search(self, query: str, count: int) -> Sequence[Found]:
        """Return what the engines found.

        Raises:
            ToolError: none of them answered.
        """
        try:
            entries = await call_in_thread(lambda: self._ask(query, count), self.seconds)
        except TimeoutError:
            raise ToolError(f"the search took longer than {self.seconds:g} s") from None
        return [Found(*(str(entry.get(name) or "") for name in ("title", "href", "body"))) for entry in entries]

    def _ask(self, query: str, count: int) -> Sequence[Mapping[str, Any]]:
        try:
            from ddgs.ddgs import DDGS  # noqa: PLC0415 - an extra, imported by the first search
            from ddgs.exceptions import DDGSException  # noqa: PLC0415 - as above
        except ImportError as error:
            raise ConfigurationError(
                "search needs the package ddgs", hint=f"{describe_install('web')}, or name a search_url"
            ) from error
        each = max(1, math.ceil(self.seconds / 2))
        try:
            found = DDGS(timeout=each).text(query, max_results=count, backend=",".join(self.engines))
        except DDGSException as error:
            if "No results" in str(error):
                return []
            raise ToolError(f"no search engine answered ({type(error).__name__})") from error
        return cast("Sequence[Mapping[str, Any]]", found)

"""Web: the pack, and its tools in one run."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from agentloop import (
    ArgumentReading,
    ConfigurationError,
    Effects,
    FetchError,
    Tool,
    ToolError,
    ToolPack,
    bound_tools,
    describe_install,
    tool,
)
from agentloop_tools.network.url_forms import read_url, read_url_pattern
from agentloop_tools.web.config import WebConfig
from agentloop_tools.web.ddgs import Ddgs
from agentloop_tools.web.host_rules import HostRules
from agentloop_tools.web.page import CONTENT_TYPES, Page, read_page
from agentloop_tools.web.search import SearchBackend, tidy
from agentloop_tools.web.searxng import Searxng

if TYPE_CHECKING:
    from agentloop import Fetcher

Resolve = Callable[[str, int], Awaitable[Sequence[Any]]]

_ACCEPT = "text/html, application/xhtml+xml, text/markdown, text/plain;q=0.9, application/json;q=0.9, */*;q=0.5"
_KEPT_PAGES = 4
_QUERY_CHARACTERS = 400
_READING_SECONDS = 25.0
_HEAD_CHARACTERS = 3_000
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")


class Web(ToolPack[WebConfig]):
    """Fetches web pages as Markdown, and searches the web.

    Args:
        config: The allowed hosts, the limits and the search backend.
        backend: A search backend that is used in place of the configured one.
        resolve: Returns the addresses of a host, in place of the system's resolver.
    """

    name = "web"
    version = "1.0"
    imports = ("ddgs.ddgs", "httpx2", "idna", "trafilatura")
    extra = "web"

    def __init__(
        self, config: WebConfig | None = None, *, backend: SearchBackend | None = None, resolve: Resolve | None = None
    ) -> None:
        super().__init__(config)
        self._backend = backend
        self._resolve = resolve

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Iterable[Tool]]:
        """Yield the tools of a run. The latest pages are kept, so that reading on in a page does not fetch it again."""
        if importlib.util.find_spec("trafilatura") is None:
            raise ConfigurationError("the pack 'web' needs the package trafilatura", hint=describe_install("web"))
        config = self.config
        backend = self._backend or self._choose_backend()
        host_rules = HostRules.of(config.allow, config.deny, config.ports)
        fetching = Effects(network=True, open_world=True, hosts=host_rules.known, host_argument="url")
        readings = {"url": ArgumentReading(lambda given: read_url(given["url"]), read_url_pattern, is_address=True)}
        opened = bound_tools(Reading(config, host_rules, self._resolve))
        tools = [replace(each, effects=fetching, readings=readings) for each in opened]
        if backend is not None:
            searching = Effects(network=True, open_world=True, hosts=backend.hosts)
            tools += [replace(each, effects=searching) for each in bound_tools(Searching(backend, config.results))]
        seconds, characters = config.seconds + _READING_SECONDS, config.page_characters + _HEAD_CHARACTERS
        yield [replace(each, timeout=seconds, max_output=characters) for each in tools]

    def _choose_backend(self) -> SearchBackend | None:
        config = self.config
        name = config.backend or ("searxng" if config.search_url else "ddgs")
        if name == "off":
            return None
        if name == "ddgs":
            return Ddgs(engines=config.engines, seconds=config.seconds)
        return Searxng(url=config.search_url, max_bytes=config.max_bytes, seconds=config.seconds, resolve=self._resolve)


class Reading:
    """Fetches pages for one run.

    Args:
        config: The limits on size and time.
        host_rules: The hosts that may be fetched from.
        resolve: Returns the addresses of a host, or None for the system's resolver.
    """

    def __init__(self, config: WebConfig, host_rules: HostRules, resolve: Resolve | None) -> None:
        self._config = config
        self._host_rules = host_rules
        self._resolve = resolve
        self._pages: dict[str, Page] = {}

    @tool(effects=Effects(network=True, open_world=True, host_argument="url"))
    async def fetch(self, url: str, start: int = 0) -> str:
        """Fetch a page of the public web and return it as Markdown; JSON and other text come as they are.

        Args:
            url: A whole http or https URL.
            start: The character to begin at, to go on in a long page.
        """
        page = self._pages.get(url) if start > 0 else None
        if page is None:
            page = await self._read(url)
        total, end = len(page.text), self._end(page.text, start)
        if start < 0 or (start >= total and start):
            raise ToolError(f"start={start} is not within the page, which has {total:,} characters")
        title = f"# {page.title[:_QUERY_CHARACTERS]}\n" if page.title else ""
        head = f"{title}{page.url[:2_000]} (characters {start:,} to {end:,} of {total:,})\n\n"
        if not total:
            return f"{head}The page has no text; it may be made by a script in the browser."
        more = f"\n\n[It goes on: fetch the same url with start={end}]" if end < total else ""
        return f"{head}{page.text[start:end]}{more}"

    async def _read(self, url: str) -> Page:
        try:
            fetched = await self._fetcher.get(url)
        except FetchError as error:
            raise ToolError(error.message) from error
        page = await read_page(fetched)
        self._pages.pop(url, None)
        self._pages[url] = page
        while len(self._pages) > _KEPT_PAGES:
            del self._pages[next(iter(self._pages))]
        return page

    def _end(self, text: str, start: int) -> int:
        """Return where a part of the text ends: at a line end, if there is one in the last third of the part."""
        most = self._config.page_characters
        end = start + most
        if end >= len(text):
            return len(text)
        line_end = text.rfind("\n", end - most // 3, end)
        return end if line_end < 0 else line_end + 1

    @cached_property
    def _fetcher(self) -> Fetcher:
        from agentloop import Fetcher  # noqa: PLC0415 - it takes 0.15 s, so only the first fetch imports it

        fetcher = Fetcher(
            max_bytes=self._config.max_bytes,
            seconds=self._config.seconds,
            accept=_ACCEPT,
            content_types=CONTENT_TYPES,
            private=self._host_rules.private,
            vet=self._host_rules.vet,
        )
        return fetcher if self._resolve is None else replace(fetcher, resolve=self._resolve)


class Searching:
    """Searches for one run.

    Args:
        backend: The search backend.
        count: How many results are returned.
    """

    def __init__(self, backend: SearchBackend, count: int) -> None:
        self._backend = backend
        self._count = count

    @tool(effects=Effects(network=True, open_world=True))
    async def search(self, query: str) -> list[dict[str, str]]:
        """Search the web and return titles, URLs and snippets of the best results; read a page with fetch.

        Args:
            query: What to search for.
        """
        cleaned = _CONTROLS.sub(" ", query).strip()[:_QUERY_CHARACTERS]
        if not cleaned:
            raise ToolError("there is nothing to search for: give a query")
        found = tidy(await self._backend.search(cleaned, self._count), self._count)
        if not found:
            raise ToolError("nothing was found; try other words")
        return [asdict(each) for each in found]

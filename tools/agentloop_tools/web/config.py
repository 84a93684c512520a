"""WebConfig: which hosts may be fetched from, the limits, and the search backend."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from agentloop import PackConfig
from agentloop_tools.web.ddgs import ENGINES


def _split(value: Any) -> Any:
    """Split a text into words, because a command line has no lists."""
    return tuple(re.findall(r"[^\s,;]+", value)) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_split)]
Ports = Annotated[tuple[Annotated[int, Field(ge=1, le=65_535)], ...], BeforeValidator(_split)]


class WebConfig(PackConfig):
    """The configuration of the web pack."""

    allow: Words = Field(
        (),
        description="hosts that may be fetched from, such as `docs.example.org` or `*.example.org`; empty allows any "
        "public host. A host with its port, such as `wiki.corp:8080`, may be on a private network",
    )
    deny: Words = Field((), description="hosts that may not be fetched from, with all their subdomains")
    ports: Ports = Field((80, 443), description="the ports of hosts that are allowed without a port")
    max_bytes: int = Field(
        2_000_000, ge=1_000, le=20_000_000, description="the size of the largest page, compressed or not"
    )
    seconds: float = Field(20.0, gt=0, le=120, description="how long a fetch or a search may take")
    page_characters: int = Field(15_000, ge=500, le=200_000, description="how much of a page one call returns")
    backend: Literal["ddgs", "searxng", "off"] | None = Field(
        None,
        description="the search backend: `searxng`, `ddgs`, or `off` for no search; "
        "by default `searxng` if search_url is set, else `ddgs`",
    )
    search_url: str = Field("", repr=False, description="the URL of a SearXNG server, such as http://127.0.0.1:8888")
    engines: Words = Field(tuple(ENGINES), description="the search engines that ddgs queries")
    results: int = Field(8, ge=1, le=20, description="how many results a search returns")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.backend == "searxng" and not self.search_url:
            raise ValueError("searxng needs a search_url")
        if unknown := [name for name in self.engines if name not in ENGINES]:
            raise ValueError(f"ddgs does not query {', '.join(unknown)}; it queries {', '.join(ENGINES)}")
        return self

"""WebConfig: what may be fetched, how much of it, and who is asked when something is searched for."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from agentloop import PackConfig
from agentloop_tools.web.ddgs import ENGINES


def _split(value: Any) -> Any:
    """Return the words of a text, as on a command line, which has no lists."""
    return tuple(re.findall(r"[^\s,;]+", value)) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_split)]
Ports = Annotated[tuple[Annotated[int, Field(ge=1, le=65_535)], ...], BeforeValidator(_split)]


class WebConfig(PackConfig):
    """The configuration of the web pack."""

    allow: Words = Field(
        (),
        description="hosts that may be fetched, `docs.example.org` or `*.example.org`; empty for any public one. "
        "One with its port, `wiki.corp:8080`, may be on a private network",
    )
    deny: Words = Field((), description="hosts that may not be fetched, nor any host under them")
    ports: Ports = Field((80, 443), description="ports of hosts that are allowed without one")
    max_bytes: int = Field(2_000_000, ge=1_000, le=20_000_000, description="the largest page, packed or unpacked")
    seconds: float = Field(20.0, gt=0, le=120, description="how long a fetch or a search may take")
    page_characters: int = Field(15_000, ge=500, le=200_000, description="how much of a page one call returns")
    backend: Literal["ddgs", "searxng", "off"] | None = Field(
        None, description="who searches: `searxng` where there is a search_url, otherwise `ddgs`; `off` for nobody"
    )
    search_url: str = Field("", description="where a SearXNG is, such as http://127.0.0.1:8888")
    engines: Words = Field(tuple(ENGINES), description="the search engines that ddgs asks")
    results: int = Field(8, ge=1, le=20, description="how many results a search returns")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.backend == "searxng" and not self.search_url:
            raise ValueError("searxng needs a search_url")
        if unknown := [name for name in self.engines if name not in ENGINES]:
            raise ValueError(f"ddgs is not known to ask {', '.join(unknown)}; it asks {', '.join(ENGINES)}")
        return self

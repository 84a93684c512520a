"""Page: a fetched page as text that a model can read. HTML becomes Markdown."""

from __future__ import annotations

import re
from configparser import ConfigParser
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from agentloop import ToolError
from agentloop_tools.network.charset import decode
from agentloop_tools.web.thread_call import call_in_thread

if TYPE_CHECKING:
    from agentloop import Fetched

CONTENT_TYPES = (
    *("text/*", "application/json", "application/*+json", "application/xml", "application/*+xml"),
    *("application/yaml", "application/x-yaml", "application/toml", "application/javascript", "application/x-ndjson"),
)
_HTML = frozenset({"text/html", "application/xhtml+xml"})
# The time for reading grows with the number of characters. For this many it is 7 s at worst.
MOST_HTML_CHARACTERS = 1_000_000
_SECONDS = 10.0
# An extracted article this short may be only a part of the page. If the page has far more text, all of it is used.
_SHORT_CHARACTERS = 250
_FAR_MORE = 4
_MOST_LINKS = 100
_LINK_CHARACTERS = 120

_BEGINS_LIKE_HTML = re.compile(r"\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_DECLARED_WITHIN = 2_048


@dataclass(frozen=True, slots=True)
class Page:
    """A page as text.

    Attributes:
        url: Its URL after all redirects.
        title: Its title, or "".
        text: Markdown if the page is HTML, else its text as it is.
    """

    url: str
    title: str
    text: str


async def read_page(fetched: Fetched) -> Page:
    """Return a fetched page as text.

    Raises:
        ToolError: it is not text, or reading it takes too long.
    """
    kind = fetched.content_type.partition(";")[0].strip().lower()
    text = decode(fetched.content, fetched.content_type)
    if "\0" in text[:1_000]:
        raise ToolError(f"{fetched.url} is not text")
    if kind not in _HTML and (kind or not _BEGINS_LIKE_HTML.match(text[:_DECLARED_WITHIN])):
        return Page(fetched.url, "", text)
    cut = text[:MOST_HTML_CHARACTERS]
    page = await _read_html(cut, fetched.url)
    if len(cut) < len(text):
        note = f"[The page is longer: {len(text) - len(cut):,} characters of its HTML were left out.]"
        return Page(page.url, page.title, f"{page.text}\n\n{note}")
    return page


async def _read_html(html: str, url: str) -> Page:
    for read in (_read_article, _read_all_text):
        try:
            return await call_in_thread(partial(read, html, url), _SECONDS)
        except TimeoutError:
            continue
    raise ToolError(f"{url} takes too long to read")


def _read_article(html: str, url: str) -> Page:
    import trafilatura  # noqa: PLC0415 - it takes 0.4 s, so only the first page imports it

    tree: Any = trafilatura.load_html(html)
    if tree is None:
        return Page(url, "", "")
    title = " ".join((tree.findtext(".//title") or "").split())
    article = trafilatura.extract(
        html,
        url=url,
        output_format="markdown",
        include_links=True,
        include_comments=False,
        favor_recall=True,
        fast=True,
        config=_settings(),
    )
    text = (article or "").strip()
    if len(text) < _SHORT_CHARACTERS:
        plain: str = trafilatura.html2txt(tree).strip()
        text = plain if len(plain) > _FAR_MORE * len(text) else text
    if "](" not in text and (links := _list_links(tree, url)):
        text = f"{text}\n\nLinks on this page:\n{links}".strip()
    return Page(url, title, text)


@cache
def _settings() -> ConfigParser:
    from trafilatura.settings import use_config  # noqa: PLC0415 - trafilatura is imported when it is first needed

    settings = use_config()
    settings.set("DEFAULT", "MIN_EXTRACTED_SIZE", "0")  # trafilatura does not write Markdown for less text than this
    return settings


def _read_all_text(html: str, url: str) -> Page:
    import trafilatura  # noqa: PLC0415 - as above

    return Page(url, "", trafilatura.html2txt(html))


def _list_links(tree: Any, url: str) -> str:
    """Return a page's links, which are not in its text."""
    links: dict[str, str] = {}
    for anchor in tree.iter("a"):
        try:
            to = urljoin(url, anchor.get("href", "").strip())
        except ValueError:
            continue
        if to.startswith(("http://", "https://")) and to.partition("#")[0] != url:
            links.setdefault(to, " ".join("".join(anchor.itertext()).split())[:_LINK_CHARACTERS])
        if len(links) == _MOST_LINKS:
            break
    return "\n".join(f"- [{text}]({to})" for to, text in links.items())

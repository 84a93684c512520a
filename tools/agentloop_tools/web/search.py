"""SearchBackend: the interface of the search backends. Also cleans up their results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

_URL = re.compile(r"https?://[^\s\x00-\x1f\x7f<>\"]{1,2000}")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]+")
_TITLE_CHARACTERS = 200
_SNIPPET_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Found:
    """A page that a search found.

    Attributes:
        title: The page's title.
        url: The page's URL.
        snippet: A short piece of its text.
    """

    title: str
    url: str
    snippet: str


class SearchBackend(Protocol):
    """Searches the web."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that a search connects to."""
        ...

    async def search(self, query: str, count: int) -> Sequence[Found]:
        """Return the pages that were found, the best first.

        Raises:
            ToolError: the search failed. Its text is for the model.
        """
        ...


def tidy(found: Iterable[Found], count: int) -> list[Found]:
    """Return the first results that have a valid URL, each URL once, with titles and snippets as short single lines."""
    kept: dict[str, Found] = {}
    for each in found:
        if len(kept) == count:
            break
        if _URL.fullmatch(each.url):
            title, snippet = _line(each.title, _TITLE_CHARACTERS), _line(each.snippet, _SNIPPET_CHARACTERS)
            kept.setdefault(each.url, Found(title, each.url, snippet))
    return list(kept.values())


def _line(text: str, most: int) -> str:
    line = _BLANK.sub(" ", text[: 4 * most]).strip()
    return line if len(line) <= most else f"{line[: most - 1]}…"

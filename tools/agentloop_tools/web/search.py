"""SearchBackend: whoever is asked when something is searched for; and results made tidy, whoever they are from."""

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
        title: What it is called.
        url: Where it is.
        snippet: A few words of it.
    """

    title: str
    url: str
    snippet: str


class SearchBackend(Protocol):
    """Whoever searches the web."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts, known before anything is searched for."""
        ...

    async def search(self, query: str, count: int) -> Sequence[Found]:
        """Return what was found, the best first.

        Raises:
            ToolError: the search did not work; its text is for the model.
        """
        ...


def tidy(found: Iterable[Found], count: int) -> list[Found]:
    """Return the first results that lead somewhere, each place once, in one line and none of them long."""
    places: dict[str, Found] = {}
    for each in found:
        if len(places) == count:
            break
        if _URL.fullmatch(each.url):
            title, snippet = _line(each.title, _TITLE_CHARACTERS), _line(each.snippet, _SNIPPET_CHARACTERS)
            places.setdefault(each.url, Found(title, each.url, snippet))
    return list(places.values())


def _line(text: str, most: int) -> str:
    line = _BLANK.sub(" ", text[: 4 * most]).strip()
    return line if len(line) <= most else f"{line[: most - 1]}…"

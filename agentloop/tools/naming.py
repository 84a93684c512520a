"""Which tool a model means by a name that is not quite right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

# Where a name ends and something else begins: a token of the chat template, a tag, a call.
_MARK = re.compile(r"<|/>|[(\"'\s]")


def resolve_name(name: str, offered: Collection[str]) -> str | None:
    """Return the tool that a model means, or None when it is not clear.

    Models dress names up: `functions.add`, `Add`, `add<|channel|>commentary`, `add" />`.
    """
    if name in offered:
        return name
    bare = _undress(name)
    matches = [candidate for candidate in offered if _undress(candidate) == bare]
    return matches[0] if len(matches) == 1 else None


def near_names(name: str, offered: Collection[str]) -> list[str]:
    """Return the names on offer that look like this one, the nearest first."""
    bare = {_undress(candidate): candidate for candidate in offered}
    return [bare[match] for match in difflib.get_close_matches(_undress(name), bare, cutoff=0.5)]


def _undress(name: str) -> str:
    """Return the name without namespaces, marks of the chat template, quotes and case."""
    before = _MARK.split(name.strip(" \t\r\n\"'`"), maxsplit=1)[0]
    return re.split(r"[.:/]", before.strip(" \"'`"))[-1].strip().replace("-", "_").lower()

"""Finds the tool that a model means if the name is slightly wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

# The first characters that can't belong to a name: the start of a chat template's token, a tag or a call.
_MARK = re.compile(r"<|/>|[(\"'\s]")


def resolve_name(name: str, offered: Collection[str]) -> str | None:
    """Return the name of the tool that a model means, or None if it is not clear.

    Models add text to names: `functions.add`, `Add`, `add<|channel|>commentary`, `add" />`.
    """
    if name in offered:
        return name
    bare = _simplify(name)
    matches = [candidate for candidate in offered if _simplify(candidate) == bare]
    return matches[0] if len(matches) == 1 else None


def near_names(name: str, offered: Collection[str]) -> list[str]:
    """Return the offered names that are similar to the name, the most similar first."""
    bare = {_simplify(candidate): candidate for candidate in offered}
    return [bare[match] for match in difflib.get_close_matches(_simplify(name), bare, cutoff=0.5)]


def _simplify(name: str) -> str:
    """Return the name in lower case, without namespaces, tokens of the chat template and quotes."""
    before = _MARK.split(name.strip(" \t\r\n\"'`"), maxsplit=1)[0]
    return re.split(r"[.:/]", before.strip(" \"'`"))[-1].strip().replace("-", "_").lower()

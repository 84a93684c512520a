"""Describes how a request differs from a recorded one."""

from __future__ import annotations

import json
from difflib import unified_diff
from itertools import islice
from typing import cast

from agentloop.testing.cassette_file import Interaction

_MOST_LINES, _LONGEST_LINE = 100, 200


def describe_difference(recorded: Interaction | None, sent: Interaction) -> str:
    """Return the difference between two requests, line by line, or say that there is no recorded one."""
    shown = _show(sent)
    if recorded is None:
        return "\n".join(["all its requests have been sent already, and this is one more:", *shown[:_MOST_LINES]])
    difference = unified_diff(_show(recorded), shown, "recorded", "sent", lineterm="")
    return "\n".join(islice(difference, _MOST_LINES))


def _show(request: Interaction) -> list[str]:
    text = json.dumps(_open_texts(request.body), ensure_ascii=False, indent=2)
    return [f"POST {request.path}", *(part for line in text.split("\n") for part in _wrap(line))]


def _wrap(line: str) -> list[str]:
    # A long line becomes several, so that a change within it can be seen.
    return [line[at : at + _LONGEST_LINE] for at in range(0, len(line), _LONGEST_LINE)]


def _open_texts(value: object) -> object:
    """Return a JSON value with a list of lines for each text of several lines."""
    match value:
        case str():
            return lines if len(lines := value.splitlines()) > 1 else value
        case list():
            return [_open_texts(each) for each in cast("list[object]", value)]
        case dict():
            return {name: _open_texts(member) for name, member in cast("dict[str, object]", value).items()}
        case _:
            return value

"""Reads the headers of the harmony format, in which gpt-oss writes channels and calls."""

from __future__ import annotations

import re
from typing import Final

from agentloop.wire.leaks.cursor import Cursor, MismatchError

OPENINGS: Final = ("<|start|>assistant", "<|channel|>")
"""The marks that open a header."""
CUT_OPENINGS: Final = (
    "assistant<|channel|>",
    "analysis<|message|>",
    "commentary<|message|>",
    "final<|message|>",
    "to=",
    "assistant to=",
    "analysis to=",
    "commentary to=",
)
"""How a reply begins if the server cut off the beginning of its first header."""
ENDS: Final = ("<|end|>", "<|return|>", *OPENINGS)
"""The marks that end a channel."""

_MESSAGE = "<|message|>"
_LONGEST = 200
_PART = re.compile(r"<\|(?:start|channel|constrain)\|>|[^\s<]+")
_HEADER = re.compile(
    r"(?:<\|start\|> )?(?:assistant )?(?:to=(?P<first>[\w.:/-]+) )?(?:<\|channel\|> )?(?:(?P<channel>\w+) )?"
    r"(?:to=(?P<second>[\w.:/-]+) )?(?:<\|constrain\|> )?(?:\w+ )?"
)


def read_header(cursor: Cursor) -> tuple[str, str | None]:
    """Move past a header, and return its channel and its recipient.

    Returns:
        The channel, "" if the header names none, and the recipient, None if the header names none.

    Raises:
        UnfinishedError: the header is not complete yet.
        MismatchError: the text is not such a header.
    """
    header = cursor.until(_MESSAGE, _LONGEST)
    # One blank after each part, so that the pattern has nothing to choose from.
    parts = "".join(f"{part} " for part in _PART.findall(header))
    found = _HEADER.fullmatch(parts)
    if found is None or len("".join(parts.split())) < len("".join(header.split())):
        raise MismatchError
    return found["channel"] or "", found["first"] or found["second"]

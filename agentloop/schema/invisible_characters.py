"""Removes characters from descriptions that a model reads but a person can't see, or shows them as escapes in results.

Such characters can hide instructions from a person who looks at a tool or a page, or control a terminal. Characters
that scripts and emoji need are kept: a joiner between two non-ASCII characters, one selector of emoji after a symbol.
A model reads these texts; what a person sees goes through `showable`, which keeps none of them.
"""

from __future__ import annotations

import json
import re

_JOINERS = r"(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f\u200b-\u200f])"
_OTHERS = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    r"\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Text or emoji, once after a character that has both forms: a row of selectors hides data.
_SELECTORS = (
    r"(?<![0-9#*\u00a9-\ufdff\U00010000-\U000dffff])[\ufe0e\ufe0f]"
    rf"|(?<=[\u200c\u200d])[\ufe0e\ufe0f]|(?<={_OTHERS})[\ufe0e\ufe0f]"
)
_INVISIBLE = re.compile(f"{_OTHERS}|{_JOINERS}|{_SELECTORS}")


def strip_invisible(text: str) -> str:
    """Return the text without invisible and control characters; line ends and tabs are kept."""
    return _INVISIBLE.sub("", text)


def show_invisible(text: str) -> str:
    r"""Return the text with invisible and control characters as JSON escapes: `\u200b`."""
    return _INVISIBLE.sub(lambda found: json.dumps(found[0])[1:-1], text)

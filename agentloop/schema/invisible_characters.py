"""Removes characters from descriptions that a model reads but a person can't see, or shows them as escapes in results.

Such characters can hide instructions from a person who looks at a tool or a page, or control a terminal. Characters
that scripts and emoji need are kept: a joiner between two non-ASCII characters, one variation selector after a
character.
"""

from __future__ import annotations

import json
import re

_JOINERS = r"(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f\u200b-\u200f])"
_SELECTORS = r"(?<=[\ufe00-\ufe0f])[\ufe00-\ufe0f]"
_OTHERS = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f"
    r"\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_INVISIBLE = re.compile(f"{_OTHERS}|{_JOINERS}|{_SELECTORS}")


def strip_invisible(text: str) -> str:
    """Return the text without invisible and control characters; line ends and tabs are kept."""
    return _INVISIBLE.sub("", text)


def show_invisible(text: str) -> str:
    r"""Return the text with invisible and control characters as JSON escapes: `\u200b`."""
    return _INVISIBLE.sub(lambda found: json.dumps(found[0])[1:-1], text)

"""A regular expression for what most processes never meet, such as the words of a refusal."""

from __future__ import annotations

import re
from functools import cached_property


class RarePattern:
    """A regular expression that is compiled when it is first used, because an import would wait for hundreds of them.

    Args:
        text: The regular expression. Case does not matter.
        flags: Further flags of `re`.
    """

    def __init__(self, text: str, flags: re.RegexFlag = re.NOFLAG) -> None:
        self.text = text
        self.flags = flags | re.IGNORECASE

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The compiled pattern."""
        return re.compile(self.text, self.flags)

    def search(self, text: str) -> re.Match[str] | None:
        """Return the first match."""
        return self.compiled.search(text)

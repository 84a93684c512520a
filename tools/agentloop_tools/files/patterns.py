"""What grep looks for: RE2's regular expressions, which no pattern can make slow, or plain text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from agentloop import ToolError, describe_install

if TYPE_CHECKING:
    from types import ModuleType

# From bytes and where to begin to where the next match begins and ends, or None.
Find: TypeAlias = Callable[[bytes, int], tuple[int, int] | None]

_LONGEST = 1_000
_MOST_MEMORY = 8 << 20
_SMALL = 1_000
_EACH_LINE = "(?m)"  # ^ and $ are those of a line
_SPECIAL = frozenset(r"\.^$*+?{}[]|()")


@dataclass(frozen=True, slots=True)
class Needle:
    """What grep looks for.

    Attributes:
        find: Finds it.
        note: What the model should know about how it was understood, or "".
        piece: How many bytes to search at once, so that time can be looked at in between.
    """

    find: Find
    note: str = ""
    piece: int = 1 << 16


def read_pattern(text: str) -> Needle:
    """Return what a model's pattern means: a regular expression if it is one, else plain text.

    Raises:
        ToolError: it is empty, or too long.
    """
    if not text or len(text) > _LONGEST or "\n" in text:
        raise ToolError(f"a pattern is one line of 1 to {_LONGEST} characters")
    try:
        plain = text.encode()
    except UnicodeEncodeError:
        raise ToolError("a pattern can't hold half a character") from None
    if _SPECIAL.isdisjoint(text):
        return Needle(_find_plain(plain))
    engine = _load_engine()
    if engine is None:
        way = describe_install("files")
        return Needle(_find_plain(plain), f"searched as plain text; for regular expressions the user needs: {way}")
    try:
        return _read_regular(engine, text)
    except engine.error as error:
        why = error.args[0].decode(errors="replace").replace(_EACH_LINE, "", 1)
        return Needle(_find_plain(plain), f"searched as plain text, for it is no regular expression of RE2: {why}")


def _load_engine() -> ModuleType | None:
    try:
        import re2  # type: ignore[import-untyped]  # noqa: PLC0415 - it has no types; 10 ms, for a search by pattern
    except ImportError:
        return None
    return cast("ModuleType", re2)


def _read_regular(engine: Any, text: str) -> Needle:
    options = engine.Options()
    options.max_mem = _MOST_MEMORY
    options.never_nl = True  # a match stays within a line
    options.log_errors = False
    expression = engine.compile(_EACH_LINE + text, options)
    search = expression.search

    def find(data: bytes, start: int) -> tuple[int, int] | None:
        found = search(data, start)
        return None if found is None else found.span()

    # RE2 takes time in proportion to the text times the pattern, which counts in it can make a thousand times longer.
    return Needle(find) if expression.programsize <= _SMALL else Needle(find, piece=1 << 12)


def _find_plain(plain: bytes) -> Find:
    def find(data: bytes, start: int) -> tuple[int, int] | None:
        found = data.find(plain, start)
        return None if found < 0 else (found, found + len(plain))

    return find

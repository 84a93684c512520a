"""Reads the pattern of a grep: a regular expression of RE2, whose time is always linear, or plain text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from agentloop import ToolError, describe_install

if TYPE_CHECKING:
    from types import ModuleType

# Takes the bytes and the start, and returns the start and end of the next match, or None.
Find: TypeAlias = Callable[[bytes, int], tuple[int, int] | None]

_LONGEST = 1_000
_MOST_MEMORY = 8 << 20
_SMALL = 1_000
_EACH_LINE = "(?m)"  # ^ and $ match at each line
_SPECIAL = frozenset(r"\.^$*+?{}[]|()")


@dataclass(frozen=True, slots=True)
class Needle:
    """What grep searches for.

    Attributes:
        find: Finds the next match.
        note: A note for the model on how the pattern was read, or "".
        piece: How many bytes to search at once. Between two pieces the time limit is checked.
    """

    find: Find
    note: str = ""
    piece: int = 1 << 16


def read_pattern(text: str) -> Needle:
    """Read a model's pattern as a regular expression, or as plain text if it is not one.

    Raises:
        ToolError: it is empty, or too long.
    """
    if not text or len(text) > _LONGEST or "\n" in text:
        raise ToolError(f"a pattern is one line of 1 to {_LONGEST} characters")
    try:
        plain = text.encode()
    except UnicodeEncodeError:
        raise ToolError("a pattern can't hold a lone surrogate character") from None
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
        return Needle(_find_plain(plain), f"searched as plain text, as it is not a regular expression of RE2: {why}")


def _load_engine() -> ModuleType | None:
    try:
        import re2  # type: ignore[import-untyped]  # noqa: PLC0415 - it has no type hints; it takes 10 ms
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

    # RE2's time is proportional to the text times the compiled pattern, which counts such as {1000} can make very long.
    return Needle(find) if expression.programsize <= _SMALL else Needle(find, piece=1 << 12)


def _find_plain(plain: bytes) -> Find:
    def find(data: bytes, start: int) -> tuple[int, int] | None:
        found = data.find(plain, start)
        return None if found < 0 else (found, found + len(plain))

    return find

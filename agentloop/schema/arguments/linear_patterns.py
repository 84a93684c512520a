"""Searches texts with the patterns of JSON schemas, in a time that no pattern and no text can make long.

The engine of `re` tries one way through a pattern after the other, and a short pattern may have more ways than can be
tried. pydantic's engine takes linear time, but it knows no assertions such as `(?=...)`. Patterns with these are
matched here: all ways are followed at once, as the set of places that they have reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from pydantic_core import SchemaError, SchemaValidator, core_schema

# The parser of `re`. It is not a part of the library's interface, but has been the same since Python 3.5.
_parser: Final[Any] = import_module("re._parser")
_compiler: Final[Any] = import_module("re._compiler")
_REPEATS: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT"})
_ASSERTIONS: Final = frozenset({"ASSERT", "ASSERT_NOT"})
_SINGLE: Final = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN", "AT"})
MOST_STEPS = 100_000  # from one place to the next; assertions may take the square of the length of the text

Find = Callable[[str], bool]


def find_pattern(pattern: str, text: str) -> bool:
    """Tell whether a pattern matches anywhere in a text. A text that would take too long does not match.

    Raises:
        ValueError: the pattern can't be matched in bounded time.
    """
    return compile_pattern(pattern)(text)


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Find:
    """Return a function that tells whether a pattern matches anywhere in a text.

    Raises:
        ValueError: it is no pattern, or refers back to what a group has matched.
    """
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")).isinstance_python
    except SchemaError:
        pass
    try:
        tree = _parser.parse(pattern)
    except (_parser.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    _check(tree, pattern)
    return lambda text: _Places(tree, text).are_found()


def _check(tree: Iterable[tuple[Any, Any]], pattern: str) -> None:
    for kind, value in tree:
        has_flags = str(kind) == "SUBPATTERN" and any(value[1:3])
        if has_flags or str(kind) not in {*_REPEATS, *_ASSERTIONS, *_SINGLE, "BRANCH", "SUBPATTERN"}:
            raise ValueError(f"{pattern!r} can't be matched in bounded time: leave out back references and the like")
        for inner in _inside(str(kind), value):
            _check(inner, pattern)


def _inside(kind: str, value: Any) -> list[Any]:
    if kind == "BRANCH":
        return list(value[1])
    if kind in _SINGLE:
        return []
    return [value[-1]]


class _TooManyStepsError(Exception): ...


class _Places:
    """The places of one text that a pattern can reach."""

    def __init__(self, tree: Any, text: str) -> None:
        self._tree = tree
        self._text = text
        self._compiled: dict[int, Any] = {}
        self._held: dict[tuple[int, int], bool] = {}
        self._steps = 0

    def are_found(self) -> bool:
        """Tell whether there is a match, wherever it starts."""
        try:
            return bool(self._pass(self._tree, set(range(len(self._text) + 1))))
        except (_TooManyStepsError, RecursionError):
            return False

    def _pass(self, tree: Any, places: set[int]) -> set[int]:
        """Return the places after a sequence, from places before it."""
        for part in tree:
            self._steps += len(places)
            if self._steps > MOST_STEPS:
                raise _TooManyStepsError
            places = self._step(part, places) if places else places
        return places

    def _step(self, part: tuple[Any, Any], places: set[int]) -> set[int]:
        kind, value = str(part[0]), part[1]
        if kind == "BRANCH":
            return {place for branch in value[1] for place in self._pass(branch, places)}
        if kind == "SUBPATTERN":
            return self._pass(value[-1], places)
        if kind in _REPEATS:
            return self._repeat(value, places)
        if kind in _ASSERTIONS:
            return {place for place in places if self._holds(value, place) == (kind == "ASSERT")}
        one = self._compiled.get(id(part))
        if one is None:
            one = self._compiled[id(part)] = self._compile(part)
        return {found.end() for place in places if (found := one.match(self._text, place))}

    def _compile(self, part: tuple[Any, Any]) -> Any:
        return _compiler.compile(_parser.SubPattern(self._tree.state, [part]))

    def _repeat(self, value: Any, places: set[int]) -> set[int]:
        least, most, inner = value
        for _ in range(least):
            before, places = places, self._pass(inner, places)
            if places == before:  # nothing, or a part that may be empty
                break
        reached, count = set(places), least
        while places and count < most:
            places = self._pass(inner, places) - reached
            reached |= places
            count += 1
        return reached

    def _holds(self, value: tuple[int, Any], place: int) -> bool:
        key = id(value), place
        if key not in self._held:
            direction, inner = value
            if direction > 0:
                self._held[key] = bool(self._pass(inner, {place}))
            else:
                start = place - inner.getwidth()[0]
                self._held[key] = start >= 0 and place in self._pass(inner, {start})
        return self._held[key]

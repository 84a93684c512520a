"""Describes what a function has raised, whatever it is: its text may be missing, endless, or raise itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

from agentloop.errors import ToolError, describe, read_text

MOST_LEAVES = 10


def describe_error(error: BaseException) -> str:
    """Return the type and the words of an exception; of a group, those of its leaves."""
    leaves = list(islice(find_leaves(error), MOST_LEAVES + 1))
    texts = [_describe(leaf) for leaf in leaves[:MOST_LEAVES]]
    return "; ".join([*texts, "and more"] if len(leaves) > MOST_LEAVES else texts)


def find_leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in a group and in its groups, in their order; any other exception yields itself."""
    rest = [error]
    while rest:
        each = rest.pop()
        if isinstance(each, BaseExceptionGroup):
            rest.extend(reversed(_read_exceptions(cast("BaseExceptionGroup[BaseException]", each))))
        else:
            yield each


def _read_exceptions(group: BaseExceptionGroup[BaseException]) -> tuple[BaseException, ...]:
    # As Python keeps them: a class may have a property of its own with this name, which may hold the group itself.
    kept: tuple[BaseException, ...] = cast("Any", BaseExceptionGroup).exceptions.__get__(group)
    return kept


def is_told(error: BaseException) -> bool:
    """Tell whether an exception is a ToolError, or a group of nothing else: its text is meant for the model."""
    return all(isinstance(leaf, ToolError) for leaf in find_leaves(error))


def _describe(error: BaseException) -> str:
    return (read_text(error) if isinstance(error, ToolError) else "") or describe(error)

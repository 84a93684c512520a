"""Picks a part of a JSON value by a path of names, positions and `*`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from agentloop import ToolError

_MOST_NAMES = 30


def pick(value: Any, path: str) -> Any:
    """Return the part at a path such as `items.0.name`. `*` means each entry of a list.

    Raises:
        ToolError: there is no such part. The text says what there is.
    """
    step, _, rest = path.partition(".")
    if not step:
        return value
    if isinstance(value, dict) and step in value:
        return pick(cast("dict[str, Any]", value)[step], rest)
    if isinstance(value, list):
        entries = cast("Sequence[Any]", value)
        if step == "*":
            return [pick(entry, rest) for entry in entries]
        if step in map(str, range(len(entries))):
            return pick(entries[int(step)], rest)
    raise ToolError(f"there is no {step!r}: {_describe(value)}")


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return f"the object has {', '.join(list(cast('dict[str, Any]', value))[:_MOST_NAMES]) or 'no fields'}"
    if isinstance(value, list):
        entries = cast("Sequence[Any]", value)
        return f"the list has {len(entries)} entries, from 0; * is each of them"
    return f"the value is {type(value).__name__}"

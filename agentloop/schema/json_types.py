"""Tells the JSON types of values, for type checkers and for JSON Schema."""

from __future__ import annotations

from math import isfinite
from typing import Any, TypeGuard

from agentloop.items import JsonObject

# In Python, `bool` is a subclass of `int`, so the exact type of a value is looked up.
_NAMES: dict[Any, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    list: "array",
    dict: "object",
}


def is_object(value: Any) -> TypeGuard[JsonObject]:
    """Tell whether a value is a JSON object."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    """Tell whether a value is a JSON array."""
    return isinstance(value, list)


def name_type(value: Any) -> str:
    """Return the name of a value's type in JSON Schema, or "" if JSON has no such type."""
    return _NAMES.get(type(value), "")


def find_infinite(value: Any, path: tuple[int | str, ...] = ()) -> tuple[int | str, ...] | None:
    """Return the path to the first NaN or infinity in a JSON value, or None; JSON has no such numbers."""
    if isinstance(value, float):
        return None if isfinite(value) else path
    entries = value.items() if is_object(value) else enumerate(value) if is_array(value) else ()
    return next((found for step, inner in entries if (found := find_infinite(inner, (*path, step))) is not None), None)

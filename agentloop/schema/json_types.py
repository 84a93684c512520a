"""The types of JSON, as type checkers and as models know them."""

from __future__ import annotations

from typing import Any, TypeGuard

from agentloop.items import JsonObject

# `bool` is an `int` to Python, so a value's own type is looked up and nothing else.
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
    """Tell whether a value is an object of JSON."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    """Tell whether a value is an array of JSON."""
    return isinstance(value, list)


def name_type(value: Any) -> str:
    """Return what JSON Schema calls the type of a value, or "" for what JSON does not have."""
    return _NAMES.get(type(value), "")

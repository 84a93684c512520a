"""Turns values of the wire form into the values that a function takes, and checks them on the way.

pydantic calls these functions for each value. They report faults of a value as ValueError.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from typing import Any

from pydantic_core import PydanticOmit, PydanticUseDefault

from agentloop.schema.json_types import find_infinite

_URL_SAFE = str.maketrans("-_", "+/")


def check_number(value: Any) -> Any:
    """Return the value if it is not true or false, which are numbers in Python only."""
    if isinstance(value, bool):
        raise ValueError("expected a number")  # noqa: TRY004 - pydantic reports a ValueError as a fault of the value
    return value


def check_finite(value: Any) -> Any:
    """Return a value of any type if it holds neither NaN nor infinity, which JSON can't express."""
    if find_infinite(value) is not None:
        raise ValueError("expected finite numbers")
    return value


def omit_null(value: Any) -> Any:
    """Return the value; leave the parameter out if it is null."""
    if value is None:
        raise PydanticOmit
    return value


def use_default(value: Any) -> Any:
    """Return the value, or the default of the field for null."""
    if value is None:
        raise PydanticUseDefault
    return value


def join_items(values: dict[str, Any]) -> tuple[Any, ...]:
    """Return the tuple that an object of `item1`, `item2` and so on stands for."""
    # A validated object has its keys in the order of the fields, not in the order in which they were written.
    return tuple(values.values())


def join_pairs(build: Callable[[Any], Any], pairs: list[dict[str, Any]]) -> Any:
    """Return the dict that a list of key-value pairs stands for."""
    joined = {pair["key"]: pair["value"] for pair in pairs}
    if len(joined) < len(pairs):
        raise ValueError("a key is given twice")
    return build(joined)


def decode_base64(text: str) -> bytes:
    """Return the bytes of a text in either alphabet of base64."""
    try:
        return b64decode(text.translate(_URL_SAFE), validate=True)  # pydantic writes results in the URL-safe alphabet
    except (Base64Error, ValueError):
        raise ValueError("not valid base64") from None

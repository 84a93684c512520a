"""Writes the arguments that a tool will receive as JSON values, for rules and for people.

pydantic's own JSON form is for others: it leaves out fields, renames them and hides secrets, as their types say. Here
each field of an object stands under the name by which the tool reads it, with its value.
"""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from pydantic_core import to_jsonable_python

from agentloop.items import JsonObject

MASK: Final = "\u2022\u2022\u2022"
_SCALARS: Final[frozenset[Any]] = frozenset({str, int, float, bool, type(None)})
_SEQUENCES: Final = (list, tuple, deque)
_SETS: Final = (set, frozenset)
_MOST_LEVELS: Final = 100


class SecretText(str):
    """The text of a secret. Rules compare it; people see its length."""

    __slots__ = ()


def write_received(values: Mapping[str, Any]) -> JsonObject:
    """Return a tool's arguments as JSON values. A secret is a SecretText.

    Raises:
        ValueError: they are nested too deeply, or they hold bytes that are not UTF-8.
    """
    return {name: _write(value, 0) for name, value in values.items()}


def mask_secrets(value: Any) -> Any:
    """Return JSON values with a mask in the place of each secret, which says how long it is."""
    if isinstance(value, SecretText):
        return f"{MASK} ({len(value):,} characters)"
    if isinstance(value, list):
        return [mask_secrets(each) for each in cast("Iterable[Any]", value)]
    if isinstance(value, dict):
        return {mask_secrets(name): mask_secrets(each) for name, each in cast("JsonObject", value).items()}
    return value


def _write(value: Any, level: int) -> Any:
    if type(value) in _SCALARS:
        return value
    if level > _MOST_LEVELS:
        raise ValueError("they are nested too deeply")
    if isinstance(value, _SEQUENCES):
        return [_write(each, level + 1) for each in cast("Iterable[Any]", value)]
    if isinstance(value, _SETS):  # in an order that is the same in every process, as a decision is for this text
        return sorted((_write(each, level + 1) for each in cast("Iterable[Any]", value)), key=json.dumps)
    if isinstance(value, Mapping):
        return {_write_name(name): _write(each, level + 1) for name, each in cast("Any", value).items()}
    if (reveal := getattr(value, "get_secret_value", None)) is not None:
        return _write_secret(reveal())
    fields = _find_fields(value)
    if fields is None:
        return to_jsonable_python(value, fallback=lambda unknown: _write_unknown(unknown, level))
    if getattr(value, "__pydantic_root_model__", False):
        return _write(fields["root"], level + 1)
    return {name: _write(each, level + 1) for name, each in fields.items()}


def _find_fields(value: Any) -> JsonObject | None:
    """Return the fields of a model of pydantic or of a dataclass, or None for any other value."""
    kind = cast("Any", type(value))
    declared: Iterable[str] | None = getattr(kind, "__pydantic_fields__", None)
    if declared is not None:
        return {name: getattr(value, name) for name in declared} | (getattr(value, "__pydantic_extra__", None) or {})
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    return None


def _write_name(name: Any) -> str:
    if type(name) is str:
        return name
    if (reveal := getattr(name, "get_secret_value", None)) is not None:
        return _write_secret(reveal())
    written: JsonObject = to_jsonable_python({name: None}, serialize_unknown=True)
    return next(iter(written))


def _write_secret(secret: Any) -> SecretText:
    return SecretText(secret.decode(errors="replace") if isinstance(secret, bytes) else secret)


def _write_unknown(value: Any, level: int) -> Any:
    """Return the attributes of an object that pydantic can't write, or its text if it has none."""
    attributes: JsonObject = getattr(value, "__dict__", {})
    return {name: _write(each, level + 1) for name, each in attributes.items()} if attributes else str(value)

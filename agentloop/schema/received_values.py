"""Writes the arguments that a tool will receive as JSON values, for rules and for people.

pydantic's own JSON form is for others: it leaves out fields, renames them and hides secrets, as their types say. Here
each field of an object stands under the name by which the tool reads it, with its value. What would get the name of
another entry gets a longer one, so that nothing is left out.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
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
        ValueError: they are nested too deeply, they hold bytes that are not UTF-8, or an object does not keep what it
            was made from.
    """
    return {name: _write(value, 0) for name, value in values.items()}


def mask_secrets(value: Any) -> Any:
    """Return JSON values with a mask in the place of each secret, which says how long it is."""
    if isinstance(value, SecretText):
        return f"{MASK} ({len(value):,} characters)"
    if isinstance(value, list):
        return [mask_secrets(each) for each in cast("Iterable[Any]", value)]
    if isinstance(value, dict):
        return _name_all([(mask_secrets(name), mask_secrets(each)) for name, each in cast("JsonObject", value).items()])
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
        return _name_all([(_write_name(name), _write(each, level + 1)) for name, each in cast("Any", value).items()])
    if (reveal := getattr(value, "get_secret_value", None)) is not None:
        return _write_secret(reveal())
    fields = _find_fields(value)
    if fields is None:
        return to_jsonable_python(value, fallback=lambda unknown: _write_unknown(unknown, level))
    if getattr(value, "__pydantic_root_model__", False):
        return _write(fields["root"], level + 1)
    return {name: _write(each, level + 1) for name, each in fields.items()}


def _name_all(entries: Sequence[tuple[str, Any]]) -> JsonObject:
    """Return all entries by their names. One with the name of an earlier entry gets a longer name."""
    named: JsonObject = dict(entries)
    if len(named) == len(entries):
        return named
    named, repeats = {}, Counter[str]()
    for name, each in entries:
        unique = name
        while unique in named:
            repeats[name] += 1
            unique = type(name)(f"{name} ({repeats[name] + 1})")
        named[unique] = each
    return named


def _find_fields(value: Any) -> JsonObject | None:
    """Return the fields of a model of pydantic or of a dataclass, or None for any other value."""
    kind = cast("Any", type(value))
    parts: Mapping[str, dataclasses.Field[Any]] = getattr(kind, "__dataclass_fields__", {})
    kept = [each.name for each in dataclasses.fields(kind)] if parts else []
    if len(kept) < len(parts):
        _check_kept(kind, parts.keys() - kept)
    declared: Iterable[str] | None = getattr(kind, "__pydantic_fields__", None)
    if declared is not None:
        # An extra field may have the name of a declared field that has an alias.
        extra: JsonObject = getattr(value, "__pydantic_extra__", None) or {}
        return _name_all([*((name, getattr(value, name)) for name in declared), *extra.items()])
    return {name: getattr(value, name) for name in kept} if parts else None


def _check_kept(kind: Any, others: Iterable[str]) -> None:
    """Check that what a dataclass declares besides its fields belongs to the class, and is no `InitVar`."""
    for name in others:
        if "ClassVar" not in str(kind.__dataclass_fields__[name].type):
            raise ValueError(f"a {kind.__name__} does not keep its {name!r}")


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
    slots = (getattr(kind, "__slots__", ()) for kind in type(value).__mro__)
    names = (name for each in slots for name in ((each,) if isinstance(each, str) else each))
    attributes = {name: getattr(value, name) for name in names if hasattr(value, name)} | getattr(value, "__dict__", {})
    return {name: _write(each, level + 1) for name, each in attributes.items()} if attributes else str(value)

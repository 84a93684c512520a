"""Replaces `typing.TypedDict`: before Python 3.12, pydantic accepts only the one of `typing_extensions`."""

from __future__ import annotations

from types import UnionType
from typing import Any, Literal, NotRequired, Required, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

import typing_extensions

_MARKS = (NotRequired, Required)


def modernize(annotation: Any, made: dict[Any, Any] | None = None) -> Any:
    """Return the annotation with every `typing.TypedDict` in it replaced by one of `typing_extensions`.

    Args:
        annotation: Any type.
        made: The replacements made so far, so that a recursive type does not loop.
    """
    made = {} if made is None else made
    if is_typeddict(annotation) and type(annotation).__module__ == "typing":
        return made.get(annotation) or _remake(annotation, made)
    if is_alias(annotation):
        return made[annotation] if annotation in made else _remake_alias(annotation, made)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {None, Literal}:
        return annotation
    changed = tuple(modernize(argument, made) for argument in arguments)
    if all(new is old for new, old in zip(changed, arguments, strict=True)):
        return annotation
    return (Union if origin is UnionType else origin)[changed]


def is_alias(annotation: Any) -> bool:
    """Tell whether an annotation is a named type: `type Name = ...`, or a TypeAliasType of typing_extensions."""
    return type(annotation).__name__ == "TypeAliasType"


def _remake_alias(old: Any, made: dict[Any, Any]) -> Any:
    made[old] = old  # for the names in its own value
    value = modernize(old.__value__, made)
    if value is not old.__value__:
        made[old] = cast("Any", typing_extensions.TypeAliasType)(old.__name__, value)
    return made[old]


def _remake(old: Any, made: dict[Any, Any]) -> Any:
    fields: dict[str, Any] = {}
    # It is put into `made` before its fields are read, because a field may refer to it.
    new = made[old] = cast("Any", typing_extensions.TypedDict)(old.__name__, fields)
    for name, hint in get_type_hints(old, include_extras=True).items():
        mark = get_origin(hint)
        if mark in _MARKS:
            fields[name] = mark[modernize(get_args(hint)[0], made)]
        else:
            fields[name] = (Required if name in old.__required_keys__ else NotRequired)[modernize(hint, made)]
    remade = cast("Any", typing_extensions.TypedDict)(old.__name__, fields)
    # The fields are evaluated when a type is made, so they are copied from a second type into the first one, which
    # other types may refer to already.
    for attribute in ("__annotations__", "__required_keys__", "__optional_keys__"):
        setattr(new, attribute, getattr(remade, attribute))
    new.__doc__, new.__module__ = old.__doc__, old.__module__
    return new

"""`typing.TypedDict` as pydantic wants it: before Python 3.12 it takes only that of `typing_extensions`."""

from __future__ import annotations

from types import UnionType
from typing import Any, Literal, NotRequired, Required, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

import typing_extensions

_MARKS = (NotRequired, Required)


def modernize(annotation: Any, made: dict[Any, Any] | None = None) -> Any:
    """Return the annotation with every `typing.TypedDict` in it made anew.

    Args:
        annotation: Any type.
        made: Those that were made already, so that a recursive one ends.
    """
    made = {} if made is None else made
    if is_typeddict(annotation) and type(annotation).__module__ == "typing":
        return made.get(annotation) or _remake(annotation, made)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {None, Literal}:
        return annotation
    changed = tuple(modernize(argument, made) for argument in arguments)
    if all(new is old for new, old in zip(changed, arguments, strict=True)):
        return annotation
    return (Union if origin is UnionType else origin)[changed]


def _remake(old: Any, made: dict[Any, Any]) -> Any:
    fields: dict[str, Any] = {}
    # It is known before its fields are read, because a field may name it again.
    new = made[old] = cast("Any", typing_extensions.TypedDict)(old.__name__, fields)
    for name, hint in get_type_hints(old, include_extras=True).items():
        mark = get_origin(hint)
        if mark in _MARKS:
            fields[name] = mark[modernize(get_args(hint)[0], made)]
        else:
            fields[name] = (Required if name in old.__required_keys__ else NotRequired)[modernize(hint, made)]
    remade = cast("Any", typing_extensions.TypedDict)(old.__name__, fields)
    # The fields are evaluated when the type is made, so what came out is put into what was handed out.
    for attribute in ("__annotations__", "__required_keys__", "__optional_keys__"):
        setattr(new, attribute, getattr(remade, attribute))
    new.__doc__, new.__module__ = old.__doc__, old.__module__
    return new

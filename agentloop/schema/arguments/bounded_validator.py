"""Makes validators of jsonschema whose work is bounded, whatever schema and arguments they are given.

jsonschema compares the items of an array pair by pair, tries every choice of a union at every level, and searches with
patterns that may take for ever. Here each part of the work is counted, items are compared as canonical texts, and
patterns are matched by an engine whose time is linear.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import cache, partial
from importlib import import_module
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final, cast

from jsonschema import FormatChecker, SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from agentloop.items import JsonObject
from agentloop.schema.arguments.linear_patterns import compile_pattern, find_pattern
from agentloop.schema.arguments.parsing import uncheckable
from agentloop.schema.json_types import is_array, is_object

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_library: Final[Any] = import_module("jsonschema.validators")  # its types are partly unknown
_LISTS_OF_NAMES = ("required", "type")
_VALUES = ("const", "enum", "default", "examples")  # keywords whose values are not schemas
_LEFT: ContextVar[list[int]] = ContextVar("left")


class BoundedValidator:
    """Finds the errors in values of a JSON schema.

    Attributes:
        parts: The number of objects in the schema.
        has_references: Whether a part of the schema refers to another one, so that it may hold itself.

    Raises:
        SchemaError: it is not a JSON schema, or values can't be checked against it in bounded time.
    """

    def __init__(self, schema: JsonObject) -> None:
        kind: Any = _library.validator_for(schema, default=_library.Draft202012Validator)
        parts = tuple(_list_parts(schema))
        _check_names(parts)
        _check_patterns(parts)
        kind.check_schema(schema)
        self.parts = len(parts)
        self.has_references = any("$ref" in part for part in parts)
        # An empty registry, so that no reference is ever fetched from the network.
        registry: Any = cast("Any", Registry)()
        bounded = _bound(kind)
        # A schema that names its version would be checked by the library's own validator wherever it is referred to.
        self._validator: Validator = bounded(
            _drop_version(schema), registry=registry, format_checker=bounded.FORMAT_CHECKER
        )

    def find_errors(self, values: JsonObject, steps: int) -> list[ValidationError]:
        """Return the errors, in the order of their places.

        Args:
            values: The values.
            steps: How many schemas may be applied to how many values, in all.

        Raises:
            ArgumentsError: the check would take more steps, or can't be made.
        """
        token = _LEFT.set([steps])
        try:
            errors = list(self._validator.iter_errors(values))
        except _TooManyStepsError:
            raise uncheckable("they are nested too deeply for this schema") from None
        except (Unresolvable, RecursionError) as error:
            raise uncheckable(error) from error
        finally:
            _LEFT.reset(token)
        return sorted(errors, key=lambda error: error.json_path) if errors else errors


class _TooManyStepsError(Exception): ...


def _check_names(parts: Iterable[JsonObject]) -> None:
    """Check the lists of names, because the check of the schema would compare other entries pair by pair."""
    for part in parts:
        for keyword in _LISTS_OF_NAMES:
            names = part.get(keyword)
            if is_array(names) and not all(isinstance(name, str) for name in names):
                raise SchemaError(f"{keyword} must be a list of names")


def _list_parts(schema: Any) -> Iterator[JsonObject]:
    """Yield the objects in a schema, itself too, but for those that are values."""
    if is_object(schema):
        yield schema
        for key, value in schema.items():
            yield from _list_parts(value) if key not in _VALUES else ()
    elif is_array(schema):
        for each in schema:
            yield from _list_parts(each)


def _check_patterns(parts: Iterable[JsonObject]) -> None:
    named = {name for part in parts if is_object(part.get("patternProperties")) for name in part["patternProperties"]}
    try:
        for pattern in named.union(part["pattern"] for part in parts if isinstance(part.get("pattern"), str)):
            compile_pattern(pattern)
    except ValueError as error:
        raise SchemaError(str(error)) from None
    if named and any("unevaluatedProperties" in part for part in parts):
        raise SchemaError("unevaluatedProperties can't be checked in bounded time together with patternProperties")


def _drop_version(schema: Any) -> Any:
    if is_array(schema):
        return [_drop_version(each) for each in schema]
    if not is_object(schema):
        return schema
    return {
        key: value if key in _VALUES else _drop_version(value)
        for key, value in schema.items()
        if key != "$schema" or not isinstance(value, str)
    }


@cache
def _bound(kind: Any) -> Any:
    """Return a class of validators that does what another one does, in bounded time."""
    list_keywords: Callable[[Any], Iterable[tuple[str, Any]]] = getattr(
        kind, "_APPLICABLE_VALIDATORS", methodcaller("items")
    )

    def count(schema: Any) -> Iterable[tuple[str, Any]]:
        left = _LEFT.get(None)
        if left is not None:  # else the validator is only being made
            left[0] -= 1
            if left[0] < 0:
                raise _TooManyStepsError
        return list_keywords(schema)

    formats = FormatChecker(())
    # Whether a text is a regular expression is found out by compiling it, which can take long.
    formats.checkers = {name: check for name, check in kind.FORMAT_CHECKER.checkers.items() if name != "regex"}
    keywords: dict[str, Any] = {
        "uniqueItems": _check_unique,
        "pattern": _check_pattern,
        "patternProperties": _check_named,
        "additionalProperties": partial(_check_rest, kind.VALIDATORS["additionalProperties"]),
    }
    return _library.create(
        meta_schema=kind.META_SCHEMA,
        validators={**kind.VALIDATORS, **keywords},
        type_checker=kind.TYPE_CHECKER,
        format_checker=formats,
        id_of=kind.ID_OF,
        applicable_validators=count,
    )


def _check_unique(validator: Any, wanted: Any, instance: Any, _: Any) -> Iterator[ValidationError]:
    if wanted and validator.is_type(instance, "array") and not _are_unique(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")


def _are_unique(items: list[Any]) -> bool:
    even: list[Any] = json.loads(json.dumps(items), parse_float=_read_float)
    return len({json.dumps(each, sort_keys=True) for each in even}) == len(even)


def _read_float(literal: str) -> float:
    number = float(literal)
    return int(number) if number.is_integer() else number  # in JSON Schema, 1.0 is the same as 1


def _check_pattern(validator: Any, pattern: str, instance: Any, _: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not find_pattern(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _check_named(validator: Any, patterns: JsonObject, instance: Any, _: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for pattern, schema in patterns.items():
            for name, value in instance.items():
                if find_pattern(pattern, name):
                    yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _check_rest(check: Any, validator: Any, allowed: Any, instance: Any, schema: JsonObject) -> Any:
    """Check the other properties as the library does, which would match the patterns with `re`."""
    patterns = schema.get("patternProperties")
    if patterns and validator.is_type(instance, "object"):
        matched = [name for name in instance if any(find_pattern(pattern, name) for pattern in patterns)]
        known = {**schema.get("properties", {}), **dict.fromkeys(matched, True)}
        schema = {key: value for key, value in schema.items() if key != "patternProperties"} | {"properties": known}
    return check(validator, allowed, instance, schema)

"""Defines OutputSchema: the schema of an agent's answer, and the code that reads an answer from a model's text.

`wire` writes the schema into requests; `loop` decides whether to ask for an answer again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from inspect import isroutine
from typing import Any

from agentloop.errors import ConfigurationError
from agentloop.items import JsonObject
from agentloop.schema.arguments.argument_errors import explain
from agentloop.schema.arguments.checked_arguments import CheckedArguments
from agentloop.schema.arguments.parsing import ArgumentsError, check_size, echo, read_json
from agentloop.schema.arguments.typed_arguments import TypedArguments
from agentloop.schema.json_types import is_object
from agentloop.schema.parameters.keywords import move_references
from agentloop.schema.parameters.signature import Parameter, Signature, describe_error
from agentloop.schema.parameters.strict import find_faults, prune

_VALUE = "value"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_NAME_CHARACTERS = 64
_SCHEMA_CHARACTERS = 4_000


class OutputSchema:
    """The type of an answer.

    The root of a schema must be an object. Any other type is wrapped in an object with the property `value`, in
    requests and replies only.

    Args:
        wanted: A type, or a JSON schema as a dict.

    Attributes:
        schema: The JSON schema of an object.
        form: The schema as requests have it: with `name`, `strict` and `schema`.

    Raises:
        ConfigurationError: the type can't be written as JSON, or the schema is not valid.
    """

    def __init__(self, wanted: object) -> None:
        self._kind = _RawKind(wanted) if is_object(wanted) else _TypedKind(wanted)
        self.schema: JsonObject = self._kind.schema
        self.form: JsonObject = {
            "name": _name(self.schema.get("title") if is_object(wanted) else getattr(wanted, "__name__", None)),
            # The strict subset allows definitions only at the root.
            "strict": not find_faults(self.schema) and "$defs" not in self.schema["properties"].get(_VALUE, {}),
            "schema": self.schema,
        }

    def read(self, text: str) -> tuple[Any, tuple[str, ...]]:
        """Return the value in a model's answer, and descriptions of the repairs.

        Raises:
            ArgumentsError: the answer has no valid value; the error's text tells the model why, and gives the schema.
        """
        try:
            check_size(text)
            return self._read(text)
        except (ArgumentsError, RecursionError) as error:
            reason = error.reason if isinstance(error, ArgumentsError) else "it is nested too deeply"
            schema = echo(json.dumps(self.schema, ensure_ascii=False), _SCHEMA_CHARACTERS)
            text = f"Your answer does not fit: {reason}\nAnswer again with one JSON object of this schema, and "
            raise ArgumentsError(f"{text}nothing else: {schema}", reason) from None

    def check(self, text: str) -> str | None:
        """Return the error text for the model, or None if the answer is valid."""
        try:
            self.read(text)
        except ArgumentsError as error:
            return error.text
        return None

    def _read(self, text: str) -> tuple[Any, tuple[str, ...]]:
        if not text.strip():
            raise ArgumentsError("", "it is empty")
        repairs: list[str] = []
        try:
            data = read_json(text, repairs)
        except ArgumentsError as unreadable:
            return self._read_inside(text, unreadable)
        return self._validate(data, repairs)

    def _read_inside(self, text: str, unreadable: ArgumentsError) -> tuple[Any, tuple[str, ...]]:
        """Return the value of JSON that is surrounded by other text, or of a plain text that is the value itself."""
        found = list(_find_inside(text))
        if self._kind.is_wrapped:
            found = [data for data in found if is_object(data) and _VALUE in data] + [text.strip()] + found
        first_error: ArgumentsError | None = None
        for data in found:
            is_bare = data == text.strip()
            try:
                return self._validate(data, [] if is_bare else ["took the answer out of the text around it"])
            except ArgumentsError as error:
                first_error = first_error or (None if is_bare else error)
        raise first_error or unreadable

    def _validate(self, data: Any, repairs: list[str]) -> tuple[Any, tuple[str, ...]]:
        if isinstance(data, str) and (decoded := self._decode_again(data)):
            repairs.append("decoded JSON that was encoded twice")
            data = decoded
        if self._kind.is_wrapped and not (is_object(data) and _VALUE in data):
            repairs.append(f"used the answer as its `{_VALUE}`")
            data = {_VALUE: data}
        value, more_repairs = self._kind.validate(data)
        return value, (*repairs, *more_repairs)

    def _decode_again(self, text: str) -> JsonObject | None:
        try:
            data = read_json(text, [])
        except ArgumentsError:
            return None
        return data if is_object(data) and (_VALUE in data or not self._kind.is_wrapped) else None


class _TypedKind:
    """An answer of a Python type; it is read as the argument of a function with a single parameter."""

    def __init__(self, wanted: Any) -> None:
        signature = Signature((Parameter(_VALUE, wanted),))
        self._arguments = TypedArguments(signature, {}, strict=True)
        if self._arguments.faults:
            _check_type(wanted)
            self._arguments = TypedArguments(signature, {}, strict=False)
        for fault in self._arguments.faults:
            raise _unusable(wanted, fault.removeprefix(f"parameter `{_VALUE}` "))
        unwrapped = _unwrap(self._arguments.schema)
        self.is_wrapped = unwrapped is None
        self.schema = self._arguments.schema if unwrapped is None else unwrapped

    def validate(self, data: Any) -> tuple[Any, tuple[str, ...]]:
        values, repairs = self._arguments.validate(data if self.is_wrapped else {_VALUE: data}, self._explain)
        return values[_VALUE], repairs

    def _explain(self, data: JsonObject, errors: Sequence[Any]) -> ArgumentsError:
        if self.is_wrapped:
            return explain(data, errors, self.schema)
        return explain(data[_VALUE], [{**error, "loc": error["loc"][1:]} for error in errors], self.schema)


class _RawKind:
    """An answer that a JSON schema describes."""

    def __init__(self, wanted: JsonObject) -> None:
        try:
            wanted = json.loads(json.dumps(wanted, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise _unusable("the schema", f"it is not JSON: {error}") from None
        self.is_wrapped = wanted.get("type") != "object"
        self.schema: JsonObject = {"properties": {}, **wanted}
        if self.is_wrapped:
            value = move_references(wanted, f"#/properties/{_VALUE}")
            version = {key: value.pop(key) for key in ("$schema",) if key in value}
            self.schema = {
                **version,
                "type": "object",
                "properties": {_VALUE: value},
                "required": [_VALUE],
                "additionalProperties": False,
            }
        self._arguments = CheckedArguments(self.schema, strict=False)
        for fault in self._arguments.faults or _find_dangling(self.schema):
            raise _unusable("the schema", fault)

    def validate(self, data: Any) -> tuple[Any, tuple[str, ...]]:
        if not is_object(data):
            raise ArgumentsError("", "it must be one JSON object")
        values = self._arguments.validate(data)
        return (values[_VALUE] if self.is_wrapped else values), ()


def _find_dangling(schema: JsonObject) -> Iterator[str]:
    """Yield a fault for every reference without a target; with one, no answer could be checked."""
    from referencing import Registry, Resource  # noqa: PLC0415 - loaded already, with the validator
    from referencing.exceptions import Unresolvable  # noqa: PLC0415 - as above
    from referencing.jsonschema import DRAFT202012  # noqa: PLC0415 - as above

    root = Resource[Any].from_contents(schema, default_specification=DRAFT202012)
    waiting = [(root, Registry[Any]().resolver_with_root(root))]
    for resource, resolver in waiting:
        inside = list(resource.subresources())
        waiting += [(inner, resolver.in_subresource(inner)) for inner in inside]
        reference = resource.contents.get("$ref") if is_object(resource.contents) else None
        try:
            if reference is not None:
                resolver.lookup(reference)
        except Unresolvable:
            yield f"it refers to {reference}, which is not in it"


def _unwrap(schema: JsonObject) -> JsonObject | None:
    """Return the schema of `value` without the object around it, or None if `value` is not an object."""
    definitions: JsonObject = schema.get("$defs", {})
    value: JsonObject = schema["properties"][_VALUE]
    while "$ref" in value:
        value = definitions[value["$ref"].removeprefix("#/$defs/")]
    return prune({**value, "$defs": definitions}) if value.get("type") == "object" else None


def _find_inside(text: str) -> Iterator[Any]:
    for first, last in ("{}", "[]"):
        start, end = text.find(first), text.rfind(last)
        if 0 <= start < end:
            try:
                yield read_json(text[start : end + 1], [])
            except ArgumentsError:
                continue


def _check_type(wanted: Any) -> None:
    """Raise an error for a type that JSON can't express; a type that is only not strict is allowed."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - takes 0.1 s

    from agentloop.schema.parameters.typed_dicts import modernize  # noqa: PLC0415 - as above

    if isroutine(wanted):  # pydantic would call it
        raise _unusable(wanted, "it is a function")
    try:
        TypeAdapter[Any](modernize(wanted)).json_schema()
    except Exception as error:  # noqa: BLE001 - a class may raise anything when pydantic asks it for its schema
        raise _unusable(wanted, describe_error(error).partition(". ")[0]) from None


def _unusable(wanted: object, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"output can't be {wanted if isinstance(wanted, str) else repr(wanted)}: {reason}",
        hint="give a pydantic model, dataclass, TypedDict, union, list, plain type, or a JSON schema as a dict",
    )


def _name(given: object) -> str:
    return _NOT_IN_NAMES.sub("_", str(given or "")).strip("_")[:_NAME_CHARACTERS] or "output"

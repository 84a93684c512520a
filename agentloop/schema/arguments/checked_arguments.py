"""Reads the arguments of a tool that has a JSON schema in place of Python types."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentloop.items import JsonObject
from agentloop.schema.arguments.argument_errors import Location, make_error, write_path
from agentloop.schema.arguments.parsing import ArgumentsError, parse_arguments, uncheckable
from agentloop.schema.json_types import find_infinite
from agentloop.schema.parameters.strict import find_faults

if TYPE_CHECKING:
    from jsonschema import ValidationError

_ERRORS_TOLD = 5
_HEAD, _TAIL = 300, 200  # characters of an error that quotes a long value
_LEAST_STEPS = 10_000  # of a check; a step takes about 10 µs
_MOST_WORK = 100_000_000  # characters times parts of the schema, because each failing part quotes its value
_LITTLE_WORK = 50_000  # takes about a millisecond


class CheckedArguments:
    """The arguments of a tool that a JSON schema describes.

    Attributes:
        schema: The schema as it was given.
        faults: The faults of the schema, one sentence per fault.
    """

    def __init__(self, schema: JsonObject, *, strict: bool) -> None:
        # This import takes 0.2 s, and only tools with a JSON schema need it.
        from jsonschema import SchemaError  # noqa: PLC0415 - as said above

        from agentloop.schema.arguments.bounded_validator import BoundedValidator  # noqa: PLC0415 - as said above

        self.schema = schema
        self.faults: tuple[str, ...]
        try:
            self._validator = BoundedValidator(schema)
        except SchemaError as error:
            self.faults = (f"it is not a JSON schema: at {error.json_path}: {error.message}",)
            return
        self.faults = tuple(find_faults(schema)) if strict else tuple(_find_faults(schema))

    def read(self, text: str) -> tuple[JsonObject, tuple[str, ...]]:
        """Return the values in a model's text, and descriptions of the repairs.

        Raises:
            ArgumentsError: the text is not a JSON object, or does not match the schema.
        """
        data, repairs = parse_arguments(text)
        return self.validate(data), repairs

    def takes_long(self, text: str) -> bool:
        """Tell whether reading a text may take longer than an event loop should wait."""
        return self._validator.has_references or len(text) * self._validator.parts > _LITTLE_WORK

    def validate(self, data: JsonObject) -> JsonObject:
        """Return the values of parsed arguments.

        A null for an optional property whose schema does not allow null counts as left out.

        Raises:
            ArgumentsError: the arguments do not match the schema.
        """
        try:
            text = json.dumps(data)
            plain: JsonObject = json.loads(text)  # turns each WrittenFloat into a plain float
            infinite = find_infinite(plain)
        except RecursionError as error:
            raise uncheckable(error) from error
        if infinite is not None:
            raise make_error([f"- {_name(infinite)}: expected a finite number"], infinite[:1], self.schema)
        if len(text) * self._validator.parts > _MOST_WORK:
            raise uncheckable("they are too long for this schema")
        steps = _LEAST_STEPS + len(text)
        errors = self._validator.find_errors(plain, steps)
        nulls = {error.path[0] for error in errors if len(error.path) == 1 and error.instance is None}
        if dropped := nulls - set(self.schema.get("required", ())):
            plain = {name: value for name, value in plain.items() if name not in dropped}
            errors = self._validator.find_errors(plain, steps)
        if errors:
            raise self._explain(errors)
        return plain

    def _explain(self, errors: Sequence[ValidationError]) -> ArgumentsError:
        lines = [f"- {_name(tuple(error.path))}: {_shorten(error.message)}" for error in errors[:_ERRORS_TOLD]]
        return make_error(lines, {error.path[0]: None for error in errors if error.path}, self.schema)


def _shorten(message: str) -> str:
    return message if len(message) <= _HEAD + _TAIL else f"{message[:_HEAD]} ... {message[-_TAIL:]}"


def _name(location: Location) -> str:
    return f"`{write_path(location)}`" if location else "the whole"


def _find_faults(schema: JsonObject) -> list[str]:
    return [] if schema.get("type") == "object" else ['the schema must be of an object: give it `"type": "object"`']

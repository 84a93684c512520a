"""Reads the arguments of a tool that has a JSON schema in place of Python types."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from agentloop.items import JsonObject
from agentloop.schema.arguments.argument_errors import Location, make_error, write_path
from agentloop.schema.arguments.parsing import ArgumentsError, parse_arguments
from agentloop.schema.json_types import find_infinite
from agentloop.schema.parameters.strict import find_faults

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_ERRORS_TOLD = 5


class CheckedArguments:
    """The arguments of a tool that a JSON schema describes.

    Attributes:
        schema: The schema as it was given.
        faults: The faults of the schema, one sentence per fault.
    """

    def __init__(self, schema: JsonObject, *, strict: bool) -> None:
        # This import takes 0.2 s, and only tools with a JSON schema need it.
        from jsonschema import SchemaError  # noqa: PLC0415 - as said above
        from jsonschema.validators import Draft202012Validator, validator_for  # noqa: PLC0415 - as said above
        from referencing import Registry  # noqa: PLC0415 - as said above

        self.schema = schema
        self.faults: tuple[str, ...]
        kind: Any = validator_for(schema, default=Draft202012Validator)
        try:
            kind.check_schema(schema)
        except SchemaError as error:
            self.faults = (f"it is not a JSON schema: at {error.json_path}: {error.message}",)
            return
        # An empty registry, so that no reference is ever fetched from the network.
        registry: Any = cast("Any", Registry)()
        self._validator: Validator = kind(schema, registry=registry, format_checker=kind.FORMAT_CHECKER)
        self.faults = tuple(find_faults(schema)) if strict else tuple(_find_faults(schema))

    def read(self, text: str) -> tuple[JsonObject, tuple[str, ...]]:
        """Return the values in a model's text, and descriptions of the repairs.

        Raises:
            ArgumentsError: the text is not a JSON object, or does not match the schema.
        """
        data, repairs = parse_arguments(text)
        return self.validate(data), repairs

    def validate(self, data: JsonObject) -> JsonObject:
        """Return the values of parsed arguments.

        A null for an optional property whose schema does not allow null counts as left out.

        Raises:
            ArgumentsError: the arguments do not match the schema.
        """
        from referencing.exceptions import Unresolvable  # noqa: PLC0415 - loaded already, with the validator

        try:
            errors = sorted(self._validator.iter_errors(data), key=lambda error: error.json_path)
            nulls = {error.path[0] for error in errors if len(error.path) == 1 and error.instance is None}
            if dropped := nulls - set(self.schema.get("required", ())):
                data = {name: value for name, value in data.items() if name not in dropped}
                errors = sorted(self._validator.iter_errors(data), key=lambda error: error.json_path)
            plain: JsonObject = json.loads(json.dumps(data))  # turns each WrittenFloat into a plain float
            infinite = find_infinite(plain)
        except (Unresolvable, RecursionError) as error:
            raise ArgumentsError(f"The arguments can't be checked: {error}", f"it can't be checked: {error}") from error
        if infinite is not None:
            raise make_error([f"- {_name(infinite)}: expected a finite number"], infinite[:1], self.schema)
        if errors:
            lines = [f"- {_name(tuple(error.path))}: {error.message}" for error in errors[:_ERRORS_TOLD]]
            raise make_error(lines, {error.path[0]: None for error in errors if error.path}, self.schema)
        return plain


def _name(location: Location) -> str:
    return f"`{write_path(location)}`" if location else "the whole"


def _find_faults(schema: JsonObject) -> list[str]:
    return [] if schema.get("type") == "object" else ['the schema must be of an object: give it `"type": "object"`']

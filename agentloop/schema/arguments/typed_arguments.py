"""Makes the schema of a Python function's arguments, and reads the arguments from a model's text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic_core import ValidationError

from agentloop.errors import describe
from agentloop.items import JsonObject
from agentloop.schema.arguments.argument_errors import explain, repair
from agentloop.schema.arguments.choices import MOST_CHOICES, ChoiceCounter
from agentloop.schema.arguments.parsing import ArgumentsError, check_size, parse_arguments, uncheckable
from agentloop.schema.parameters.keywords import allow_null, rewrite
from agentloop.schema.parameters.plain import describe_plain
from agentloop.schema.parameters.signature import Parameter, Signature
from agentloop.schema.parameters.strict import find_faults, tighten

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

    from agentloop.schema.parameters.typed import WireForm

_LONG = 20_000  # characters; pydantic reads them in about a millisecond
_MOST_ERRORS = 1_000
_MOST_REPAIRS = 10

Explain: TypeAlias = Callable[[JsonObject, Sequence[Any]], ArgumentsError]


class TypedArguments:
    """The arguments of a function with typed parameters.

    Attributes:
        schema: The JSON schema of the object that holds the arguments.
        faults: Why the schema can't be used, one sentence per fault; empty if it can.
    """

    def __init__(self, signature: Signature, descriptions: dict[str, str], *, strict: bool) -> None:
        self._signature = signature
        self._strict = strict
        self._form: WireForm | None = None
        self._validator: SchemaValidator | None = None
        self._counter: ChoiceCounter | None = None
        properties = _describe_plain(signature.parameters) if strict else None
        if properties is None:
            self.schema, self.faults = self._describe_typed(descriptions)
        else:
            self.schema = _close(_add_descriptions(properties, signature.parameters, descriptions))
            self.faults = tuple(find_faults(self.schema))

    def _describe_typed(self, descriptions: dict[str, str]) -> tuple[JsonObject, tuple[str, ...]]:
        form = self._form = self._read_types()
        if form.faults:
            return {}, form.faults
        schema = form.schema
        properties: JsonObject = schema["properties"]
        if aliased := [parameter.name for parameter in self._signature.parameters if parameter.name not in properties]:
            return {}, tuple(f"parameter `{name}` has an alias: leave it out, the name is its own" for name in aliased)
        schema["properties"] = _add_descriptions(properties, self._signature.parameters, descriptions)
        if self._strict:
            schema = tighten(schema)
            return schema, tuple(find_faults(schema))
        return rewrite(schema, _drop_title), ()

    def _read_types(self) -> WireForm:
        # This imports pydantic's schema generation, which takes 0.15 s; with plain types that is at the first call.
        from agentloop.schema.parameters.typed import read_types  # noqa: PLC0415 - as said above

        return read_types(self._signature.parameters, strict=self._strict, is_open=self._signature.open)

    def read(self, text: str) -> tuple[JsonObject, tuple[str, ...]]:
        """Return the values in a model's text by parameter name, and descriptions of the repairs.

        A parameter is left out if it was not given, or if it is null and its type does not allow None.

        Raises:
            ArgumentsError: the text is not a JSON object, or its values are not valid.
        """
        check_size(text)
        try:
            return self._run(text), ()
        except ValidationError:
            data, repairs = parse_arguments(text)
            try:
                values, more_repairs = self.validate(data, partial(explain, schema=self.schema))
            except RecursionError:  # Python reads deeper JSON than it can write
                reason = "nested too deeply"
                raise ArgumentsError(f"The arguments are {reason}, so the tool did not run.", reason) from None
            return values, repairs + more_repairs

    def validate(self, data: JsonObject, explain: Explain) -> tuple[JsonObject, tuple[str, ...]]:
        """Return the values of parsed arguments, and descriptions of the repairs.

        Args:
            data: The arguments; repairs change them in place.
            explain: Makes the error for the model from pydantic's errors.

        Raises:
            ArgumentsError: the arguments are not valid.
        """
        repairs = tuple[str, ...]()
        first_error: ArgumentsError | None = None
        rounds = 0
        while True:
            try:
                return self._run(json.dumps(data)), repairs
            except ValidationError as error:
                if error.error_count() > _MOST_ERRORS:
                    raise first_error or uncheckable(f"they have {error.error_count():,} errors") from None
                errors = error.errors(include_url=False, include_context=False)
            # The model is told about the errors in its own arguments, not in the repaired ones.
            first_error = first_error or explain(data, errors)
            new_repairs = repair(data, errors)
            rounds += 1
            if not new_repairs or rounds > _MOST_REPAIRS:
                raise first_error
            repairs += tuple(new_repairs)

    def takes_long(self, text: str) -> bool:
        """Tell whether reading a text may take longer than an event loop should wait."""
        return len(text) > _LONG

    def _run(self, text: str) -> JsonObject:
        validator = self._validator or self._compile()
        if self._counter is not None:
            self._count_choices(text, self._counter)
        return _run_validator(validator, text)

    def _count_choices(self, text: str, counter: ChoiceCounter) -> None:
        """Check that a text leaves pydantic few enough choices.

        Raises:
            ArgumentsError: there are too many.
        """
        try:
            if counter.count(json.loads(text)) <= MOST_CHOICES:
                return
        except ValueError:
            return  # pydantic says why it is not JSON
        except RecursionError:
            pass
        raise uncheckable("they are nested too deeply for these types")

    def _compile(self) -> SchemaValidator:
        form = self._form or self._read_types()
        counter = ChoiceCounter(form.core)
        self._counter = counter if counter.is_needed else None
        self._validator = form.compile()
        return self._validator


def _run_validator(validator: SchemaValidator, text: str) -> JsonObject:
    try:
        values: JsonObject = validator.validate_json(text)
    except ValidationError:
        raise
    # A class of the user may raise anything in its constructor.
    except Exception as error:
        reason = describe(error)
        raise ArgumentsError(f"The arguments do not fit the tool, so it did not run: {reason}", reason) from error
    return values


def _describe_plain(parameters: tuple[Parameter, ...]) -> JsonObject | None:
    """Return the schemas of the parameters, or None if one of them needs pydantic."""
    properties: JsonObject = {}
    for parameter in parameters:
        schema = describe_plain(parameter.annotation)
        if schema is None:
            return None
        if parameter.optional:
            nullable = allow_null(schema)
            if nullable is schema and parameter.default is not None:
                return None
            schema = nullable
        properties[parameter.name] = schema
    return properties


def _add_descriptions(
    properties: JsonObject, parameters: tuple[Parameter, ...], descriptions: dict[str, str]
) -> JsonObject:
    described: JsonObject = {}
    for parameter in parameters:
        schema = properties[parameter.name]
        text = parameter.description or descriptions.get(parameter.name, "")
        described[parameter.name] = {"description": text, **schema} if text else schema
    return described


def _close(properties: JsonObject) -> JsonObject:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _drop_title(schema: JsonObject) -> JsonObject:
    return {keyword: value for keyword, value in schema.items() if keyword != "title"}


def order_arguments(signature: Signature, values: JsonObject) -> tuple[tuple[Any, ...], JsonObject]:
    """Return the values for a call: those that are passed by position, and the rest by name."""
    positional = tuple(
        values.pop(parameter.name, parameter.default) for parameter in signature.parameters if parameter.by_position
    )
    return positional, values

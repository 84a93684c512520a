"""The arguments of a Python function: the schema that tells them to a model, and reading what it wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic_core import ValidationError

from agentloop.items import JsonObject
from agentloop.schema.arguments.argument_errors import explain, repair
from agentloop.schema.arguments.parsing import ArgumentsError, parse_arguments
from agentloop.schema.parameters.keywords import allow_null, rewrite
from agentloop.schema.parameters.plain import describe_plain
from agentloop.schema.parameters.signature import Parameter, Signature
from agentloop.schema.parameters.strict import find_faults, tighten

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

    from agentloop.schema.parameters.typed import WireForm

Explain: TypeAlias = Callable[[JsonObject, Sequence[Any]], ArgumentsError]


class TypedArguments:
    """The arguments of a function, by its types.

    Attributes:
        schema: The JSON schema of the object that holds them.
        faults: Why it is of no use, one sentence a fault; empty where it is of use.
    """

    def __init__(self, signature: Signature, descriptions: dict[str, str], *, strict: bool) -> None:
        self._signature = signature
        self._strict = strict
        self._form: WireForm | None = None
        self._validator: SchemaValidator | None = None
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
        schema = form.describe()
        properties: JsonObject = schema["properties"]
        if aliased := [parameter.name for parameter in self._signature.parameters if parameter.name not in properties]:
            return {}, tuple(f"parameter `{name}` has an alias: leave it out, the name is its own" for name in aliased)
        schema["properties"] = _add_descriptions(properties, self._signature.parameters, descriptions)
        if self._strict:
            schema = tighten(schema)
            return schema, tuple(find_faults(schema))
        return rewrite(schema, _drop_title), ()

    def _read_types(self) -> WireForm:
        # 0.15 s for pydantic's schema generation, which a program with plain types pays at its first call only.
        from agentloop.schema.parameters.typed import read_types  # noqa: PLC0415 - as said above

        return read_types(self._signature.parameters, strict=self._strict, is_open=self._signature.open)

    def read(self, text: str) -> tuple[JsonObject, tuple[str, ...]]:
        """Return the values in a model's text by parameter name, and in words what had to be mended.

        A parameter that was not given, or is null without taking None, is not among them.

        Raises:
            ArgumentsError: the text is no JSON object, or does not fit.
        """
        try:
            return _validate(self._compile(), text), ()
        except ValidationError:
            data, repairs = parse_arguments(text)
            try:
                values, mended = self.fit(data, partial(explain, schema=self.schema))
            except RecursionError:  # there are depths that Python can read and not write
                reason = "nested too deeply"
                raise ArgumentsError(f"The arguments are {reason}, so the tool did not run.", reason) from None
            return values, repairs + mended

    def fit(self, data: JsonObject, explain: Explain) -> tuple[JsonObject, tuple[str, ...]]:
        """Return the values in arguments that are JSON already, and in words what had to be mended.

        Args:
            data: The arguments; they are changed where they are mended.
            explain: Makes the error that tells the model of what pydantic found wrong.

        Raises:
            ArgumentsError: they do not fit.
        """
        validator, repairs = self._compile(), tuple[str, ...]()
        told: ArgumentsError | None = None
        # It ends, because a value that was mended has the type that was wanted; what is left is mended no more.
        while True:
            try:
                return _validate(validator, json.dumps(data)), repairs
            except ValidationError as error:
                errors = error.errors(include_url=False, include_context=False)
            # What is wrong is told of what the model wrote, not of our attempts to repair it.
            told = told or explain(data, errors)
            mended = repair(data, errors)
            if not mended:
                raise told
            repairs += tuple(mended)

    def _compile(self) -> SchemaValidator:
        if self._validator is None:
            self._validator = (self._form or self._read_types()).compile()
        return self._validator


def _validate(validator: SchemaValidator, text: str) -> JsonObject:
    try:
        values: JsonObject = validator.validate_json(text)
    except ValidationError:
        raise
    # A class of the user's may raise anything while it is built.
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise ArgumentsError(f"The arguments do not fit the tool, so it did not run: {said}", said) from error
    return values


def _describe_plain(parameters: tuple[Parameter, ...]) -> JsonObject | None:
    """Return the schemas of the parameters, or None where they need pydantic's eye."""
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
    """Return the values as a call takes them: those that go by position, and the rest by name."""
    positional = tuple(
        values.pop(parameter.name, parameter.default) for parameter in signature.parameters if parameter.by_position
    )
    return positional, values

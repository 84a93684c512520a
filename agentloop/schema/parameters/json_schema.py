"""Generates a JSON schema from pydantic's core schema, without the parts that a strict schema can't have."""

from __future__ import annotations

import json
from typing import Any, cast

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, NoDefault
from pydantic_core import PydanticOmit, core_schema

from agentloop.items import JsonObject


def generate_schema(core: dict[str, Any]) -> JsonObject:
    """Return the JSON schema of a core schema."""
    return _Generator(by_alias=True).generate(cast("core_schema.CoreSchema", core))


class _Generator(GenerateJsonSchema):
    """pydantic's generator without the parts that a strict schema can't have."""

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        del schema
        return NoDefault

    def get_decimal_pattern(self, schema: core_schema.DecimalSchema) -> str | None:
        # pydantic's own pattern has a lookahead, which grammars for constrained output don't support.
        del schema
        return r"^-?[0-9]+(\.[0-9]+)?$"

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        return _drop_repeated_values(super().enum_schema(schema))

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        return _drop_repeated_values(super().literal_schema(schema))

    def dataclass_field_schema(self, schema: core_schema.DataclassField) -> JsonSchemaValue:
        if not schema.get("init", True):
            raise PydanticOmit
        return super().dataclass_field_schema(schema)

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        # The strict check finds a schema without a type, and reports it with its path.
        del schema, error_info
        return {}

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Do nothing: what pydantic warns about here is a fault anyway, or has no effect."""


def _drop_repeated_values(schema: JsonSchemaValue) -> JsonSchemaValue:
    """Return the schema of an enumeration with every value once; members with different names may have one value."""
    if "enum" not in schema:
        return schema
    unique = list({json.dumps(value): value for value in schema["enum"]}.values())
    return {**schema, "enum": unique}

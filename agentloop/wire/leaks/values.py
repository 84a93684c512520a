"""Gives a value that was written as plain text the type that the tool's schema says it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

from agentloop.items import JsonObject
from agentloop.wire.leaks.cursor import Cursor, MismatchError, UnfinishedError, parse_json
from agentloop.wire.leaks.literals import PYTHON, read_literal
from agentloop.wire.payload import mapping, mappings, string

_CONSTANTS: Final = {"True": ("boolean", True), "False": ("boolean", False), "None": ("null", None)}
_TEXTS = ("true", "string")
_REFERENCES = 5


def read_value(text: str, schema: JsonObject, parameters: JsonObject, kind: str | None = None) -> Any:
    """Return the value that a text stands for: the text itself, or what it says as JSON or as a literal of Python.

    Args:
        text: The text as the model wrote it.
        schema: The schema of the value.
        parameters: The schema of all parameters, to which references refer.
        kind: What the model says about the type: `string`, `number` and so on, or whether it is a string (`true`,
            `false`). It counts where the schema leaves it open. None if it says nothing.
    """
    types = set(_find_types(schema, parameters, _REFERENCES))
    is_said_text = kind in _TEXTS
    if "null" in types and text in {"null", "None"} and not is_said_text:
        return None
    is_text = "string" in types if kind is None or is_said_text else not types - {"null", "string"}
    if (types and is_text) or (is_said_text and not types):
        return text
    constant_type, constant = _CONSTANTS.get(text, ("", None))
    return constant if constant_type in types else _read_data(text)


def _read_data(text: str) -> Any:
    for read in (parse_json, _parse_literal):
        try:
            return read(text)
        except (MismatchError, UnfinishedError):
            continue
    return text


def _parse_literal(text: str) -> Any:
    if not text.lstrip().startswith(("[", "{")):
        raise MismatchError
    cursor = Cursor(text)
    value = read_literal(cursor, PYTHON)
    cursor.skip_blanks()
    if not cursor.is_at_end:
        raise MismatchError
    return value


def _find_types(schema: JsonObject, parameters: JsonObject, references: int) -> Iterator[str]:
    """Yield the JSON types that a schema allows, as far as it names them."""
    if not references:
        return  # a schema may refer to itself
    reference = string(schema.get("$ref")).rpartition("/")[2]
    kinds = schema.get("type")
    yield from [kinds] if isinstance(kinds, str) else cast("list[str]", kinds or [])
    for option in (
        mapping(mapping(parameters.get("$defs")).get(reference)),
        *mappings(schema.get("anyOf")),
        *mappings(schema.get("oneOf")),
        *mappings(schema.get("allOf")),
    ):
        yield from _find_types(option, parameters, references - 1)

"""JSON-schema keywords: walking over a schema, and telling in words what a server won't take as a keyword.

What makes a schema strict is decided in `strict`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentloop.items import JsonObject
from agentloop.schema.json_types import is_array, is_object

# A constraint that a server does not take is told to the model in these words.
PHRASES = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "pattern": "must match the pattern {}",
    "format": "in the format {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "uniqueItems": "no item twice",
    "contentMediaType": "holding {}",
    "contentEncoding": "encoded as {}",
}

_MAPS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLES = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "contentSchema")


def rewrite(schema: JsonObject, change: Callable[[JsonObject], JsonObject]) -> JsonObject:
    """Return a copy of the schema in which `change` was applied to every schema, the innermost first."""

    def go_into(inner: Any) -> Any:
        return rewrite(inner, change) if is_object(inner) else inner

    copy = dict(schema)
    for keyword, value in schema.items():
        if keyword in _MAPS and is_object(value):
            copy[keyword] = {name: go_into(inner) for name, inner in value.items()}
        elif keyword in _LISTS and is_array(value):
            copy[keyword] = [go_into(inner) for inner in value]
        elif keyword in _SINGLES:
            copy[keyword] = go_into(value)
    return change(copy)


def move_references(schema: Any, place: str) -> Any:
    """Return a schema whose references, made from its own root, hold when it stands at another place.

    What has an `$id` is a root itself wherever it stands.
    """
    if is_array(schema):
        return [move_references(entry, place) for entry in schema]
    if not is_object(schema) or isinstance(schema.get("$id"), str):
        return schema
    moved = {key: move_references(value, place) for key, value in schema.items()}
    reference = moved.get("$ref")
    if isinstance(reference, str) and (reference == "#" or reference.startswith("#/")):
        moved["$ref"] = place + reference[1:]
    return moved


def restrict(schema: JsonObject, keywords: frozenset[str]) -> JsonObject:
    """Return the schema with every constraint that is not among `keywords` told in the description instead."""
    return rewrite(schema, lambda part: describe_constraints(part, frozenset(PHRASES) - keywords))


def describe_constraints(schema: JsonObject, unwanted: frozenset[str]) -> JsonObject:
    """Return one schema, without its inner ones, whose unwanted constraints are told in its description."""
    moved = [keyword for keyword in PHRASES if keyword in unwanted and keyword in schema]
    if not moved:
        return schema
    kept = {keyword: value for keyword, value in schema.items() if keyword not in moved}
    told = "; ".join(PHRASES[keyword].format(schema[keyword]) for keyword in moved)
    text = kept.get("description", "")
    return {**kept, "description": f"{text} ({told})" if text else told[0].upper() + told[1:]}


def allow_null(schema: JsonObject) -> JsonObject:
    """Return a schema that takes null as well."""
    if accepts_null(schema):
        return schema
    null = {"type": "null"}
    if set(schema) <= {"anyOf", "description"} and "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], null]}
    inner = {keyword: value for keyword, value in schema.items() if keyword != "description"}
    outer = {"description": schema["description"]} if "description" in schema else {}
    return {**outer, "anyOf": [inner, null]}


def accepts_null(schema: JsonObject) -> bool:
    """Tell whether a schema without references at its top takes null."""
    return (
        schema.get("type") == "null"
        or None in schema.get("enum", ())
        or any(accepts_null(choice) for choice in schema.get("anyOf", ()))
    )

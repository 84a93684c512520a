"""Walks over a JSON schema, and moves keywords that a server does not accept into descriptions.

The rules for strict schemas are in `strict`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from agentloop.items import JsonObject
from agentloop.schema.json_types import is_array, is_object

# The words that tell the model about a constraint that a server does not accept.
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

# Words for other keywords that a schema can do without, as JSON; "" for one that needs no words.
_OTHERS = {
    "additionalProperties": "",
    "default": "default {}",
    "examples": "for example {}",
    "maxProperties": "at most {} properties",
    "minProperties": "at least {} properties",
    "patternProperties": "properties by the patterns of their names: {}",
    "propertyNames": "names of properties by the schema {}",
    "title": "",
    "unevaluatedProperties": "",
}
_CLOSED = "no other properties"
# Keywords that another keyword can stand for. The schema may then accept more.
_REPLACED: dict[str, Callable[[Any], JsonObject]] = {
    "const": lambda value: {"enum": [value]},
    "oneOf": lambda value: {"anyOf": value},
}

# Of the constraints, those that OpenAI's strict schemas may have.
STRICT_CONSTRAINTS = frozenset(
    {
        *("pattern", "format", "multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("minItems", "maxItems"),
    }
)
DISPENSABLE = STRICT_CONSTRAINTS.union(_OTHERS, _REPLACED)
"""The keywords that most servers accept, and that a schema can do without."""

_MAPS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLES = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "contentSchema")


def rewrite(schema: JsonObject, change: Callable[[JsonObject], JsonObject]) -> JsonObject:
    """Return a copy of the schema with `change` applied to it and to every schema inside, the innermost first."""

    def rewrite_inner(inner: Any) -> Any:
        return rewrite(inner, change) if is_object(inner) else inner

    copy = dict(schema)
    for keyword, value in schema.items():
        if keyword in _MAPS and is_object(value):
            copy[keyword] = {name: rewrite_inner(inner) for name, inner in value.items()}
        elif keyword in _LISTS and is_array(value):
            copy[keyword] = [rewrite_inner(inner) for inner in value]
        elif keyword in _SINGLES:
            copy[keyword] = rewrite_inner(value)
    return change(copy)


def move_references(schema: Any, place: str) -> Any:
    """Return a schema with its references changed, so that it can be a part of another schema.

    A part with an `$id` is not changed, because its references start at itself.

    Args:
        schema: A schema whose references start at its own root.
        place: The path to the schema in the other one, such as `#/properties/value`.
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
    """Return the schema with every constraint that is not in `keywords` moved into the description."""
    constraints = frozenset(PHRASES) - keywords
    others = (_OTHERS.keys() | _REPLACED.keys()) - keywords

    def change(part: JsonObject) -> JsonObject:
        return describe_constraints(_do_without(part, others) if others else part, constraints)

    return rewrite(schema, change)


def list_keywords(schema: JsonObject) -> set[str]:
    """Return the keywords that are in a schema or in a schema inside it."""
    found: set[str] = set()

    def collect(part: JsonObject) -> JsonObject:
        found.update(part)
        return part

    rewrite(schema, collect)
    return found


def _do_without(schema: JsonObject, unwanted: AbstractSet[str]) -> JsonObject:
    """Return a schema without keywords that a schema can do without; schemas inside it don't change."""
    moved = [keyword for keyword in schema if keyword in unwanted]
    if not moved:
        return schema
    kept = {keyword: value for keyword, value in schema.items() if keyword not in moved}
    phrases = list[str]()
    for keyword in moved:
        value = schema[keyword]
        if keyword in _REPLACED:
            kept = {**_REPLACED[keyword](value), **kept}
        elif keyword == "additionalProperties":
            phrases += [_CLOSED] if value is False else []
        elif _OTHERS[keyword]:
            phrases.append(_OTHERS[keyword].format(json.dumps(value)))
    return _add_words(kept, phrases)


def describe_constraints(schema: JsonObject, unwanted: frozenset[str]) -> JsonObject:
    """Return a schema with its unwanted constraints moved into its description; schemas inside it don't change."""
    moved = [keyword for keyword in PHRASES if keyword in unwanted and keyword in schema]
    if not moved:
        return schema
    kept = {keyword: value for keyword, value in schema.items() if keyword not in moved}
    return _add_words(kept, [PHRASES[keyword].format(schema[keyword]) for keyword in moved])


def _add_words(schema: JsonObject, phrases: Sequence[str]) -> JsonObject:
    words, text = "; ".join(phrases), schema.get("description", "")
    if not words:
        return schema
    return {**schema, "description": f"{text} ({words})" if text else words[0].upper() + words[1:]}


def allow_null(schema: JsonObject) -> JsonObject:
    """Return a schema that also accepts null."""
    if accepts_null(schema):
        return schema
    null = {"type": "null"}
    if set(schema) <= {"anyOf", "description"} and "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], null]}
    inner = {keyword: value for keyword, value in schema.items() if keyword != "description"}
    outer = {"description": schema["description"]} if "description" in schema else {}
    return {**outer, "anyOf": [inner, null]}


def accepts_null(schema: JsonObject) -> bool:
    """Tell whether a schema accepts null; a reference at its top is not followed."""
    return (
        schema.get("type") == "null"
        or None in schema.get("enum", ())
        or any(accepts_null(choice) for choice in schema.get("anyOf", ()))
    )

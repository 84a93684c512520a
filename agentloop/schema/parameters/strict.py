"""Converts a schema to OpenAI's strict subset of JSON Schema, and lists the parts that don't fit.

The rules and limits are those of OpenAI's guide to structured outputs as of February 2026. This module has no code
about Python types.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from agentloop.items import JsonObject
from agentloop.schema.json_types import is_array, is_object, name_type
from agentloop.schema.parameters.keywords import PHRASES, STRICT_CONSTRAINTS, describe_constraints, rewrite

_STRUCTURE = {
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "anyOf",
    "enum",
    "const",
    "$ref",
    "$defs",
}
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
_ALLOWED = _STRUCTURE | STRICT_CONSTRAINTS | {"description"}
_TOLD = frozenset(PHRASES) - STRICT_CONSTRAINTS
# A model does not need these to write a value.
_DROPPED = {"title", "default", "examples", "discriminator", "deprecated", "readOnly", "writeOnly", "contentSchema"}

MAX_PROPERTIES = 5_000
MAX_LEVELS = 10
MAX_CHARACTERS = 120_000
MAX_ENUM_VALUES = 1_000
MAX_LONG_ENUM_VALUES, MAX_LONG_ENUM_CHARACTERS = 250, 15_000


def tighten(schema: JsonObject) -> JsonObject:
    """Return the schema converted to the strict subset, as far as that does not change which values it accepts."""
    return prune(rewrite(schema, _tighten_one))


def prune(schema: JsonObject) -> JsonObject:
    """Return the schema without references that have siblings, and without unused definitions."""
    definitions: JsonObject = schema.get("$defs", {})
    pruned = _inline({keyword: value for keyword, value in schema.items() if keyword != "$defs"}, definitions, ())
    kept: JsonObject = {}
    waiting = list(_references(pruned))
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in kept:
            kept[name] = _inline(definitions[name], definitions, (name,))
            waiting.extend(_references(kept[name]))
    return {**pruned, "$defs": kept} if kept else pruned


def _tighten_one(schema: JsonObject) -> JsonObject:
    tight = {keyword: value for keyword, value in schema.items() if keyword not in _DROPPED}
    if "oneOf" in tight:
        tight["anyOf"] = tight.pop("oneOf")
    if "anyOf" in tight:
        tight["anyOf"] = _flatten(tight["anyOf"])
    if tight.get("type") == "object" or "properties" in tight:
        properties = tight.setdefault("properties", {})
        tight["required"] = list(properties)
        if not is_object(tight.get("additionalProperties")):
            tight["additionalProperties"] = False
    if "type" not in tight and ("enum" in tight or "const" in tight):
        tight = _add_types(tight)
    unwanted = _TOLD if tight.get("format") in _FORMATS else _TOLD | {"format"}
    return describe_constraints(tight, unwanted)


def _flatten(choices: list[JsonObject]) -> list[JsonObject]:
    """Return the choices with nested choices included, without duplicates, and with null last."""
    flat: list[JsonObject] = []
    for choice in choices:
        inner = choice["anyOf"] if set(choice) == {"anyOf"} else [choice]
        flat += [one for one in inner if one not in flat]
    return sorted(flat, key=lambda choice: choice.get("type") == "null")


def _add_types(schema: JsonObject) -> JsonObject:
    """Return the schema of an enumeration with the type of its values; for several types, with one choice per type."""
    values = schema.get("enum", [schema.get("const")])
    types = {name_type(value): None for value in values}
    if len(types) == 1:
        return {**schema, "type": next(iter(types))}
    choices: list[JsonObject] = [
        {"type": name, "enum": [value for value in values if name_type(value) == name]}
        if name != "null"
        else {"type": "null"}
        for name in types
    ]
    return {**{key: value for key, value in schema.items() if key != "enum"}, "anyOf": _flatten(choices)}


def expand(schema: JsonObject, definitions: JsonObject) -> JsonObject:
    """Return the schema with every reference replaced by its definition, except inside that definition itself."""

    def replace(part: JsonObject, inside: tuple[str, ...]) -> JsonObject:
        name = _name(part)
        if name is None or name in inside or name not in definitions:
            return part
        rest = {keyword: value for keyword, value in part.items() if keyword != "$ref"}
        return {**rewrite(definitions[name], lambda inner: replace(inner, (*inside, name))), **rest}

    return rewrite(schema, lambda part: replace(part, ()))


def _inline(schema: JsonObject, definitions: JsonObject, inside: tuple[str, ...]) -> JsonObject:
    """Return the schema without references that have siblings, which the strict subset forbids."""

    def replace(part: JsonObject) -> JsonObject:
        name = _name(part)
        if name is None or len(part) == 1 or name not in definitions:
            return part
        if name in inside:
            return {"$ref": part["$ref"]}
        rest = {keyword: value for keyword, value in part.items() if keyword != "$ref"}
        return {**_inline(definitions[name], definitions, (*inside, name)), **rest}

    return rewrite(schema, replace)


def _name(schema: JsonObject) -> str | None:
    reference = schema.get("$ref")
    return reference.removeprefix("#/$defs/") if isinstance(reference, str) else None


def _references(schema: JsonObject) -> list[str]:
    found: list[str] = []

    def note(part: JsonObject) -> JsonObject:
        if (name := _name(part)) is not None:
            found.append(name)
        return part

    rewrite(schema, note)
    return found


def find_faults(schema: JsonObject) -> list[str]:
    """Return why a tool's schema is not in the strict subset, one sentence per fault."""
    definitions: JsonObject = schema.get("$defs", {})
    faults = [fault for path, part in _walk(schema, definitions) for fault in _find_in(part, path)]
    if schema.get("type") != "object":
        faults.insert(0, "the parameters must be an object at the top")
    return faults + _measure(schema, definitions)


def _find_in(schema: JsonObject, path: str) -> Iterator[str]:
    where = f"parameter `{path}`" if path else "the schema"
    for keyword in sorted(set(schema) - _ALLOWED):
        yield f"{where} uses `{keyword}`, which strict schemas don't allow: leave it out"
    if "$ref" in schema and len(schema) > 1:
        yield f"{where} has a `$ref` beside other keywords: put the reference alone"
    if not schema.keys() & {"type", "anyOf", "$ref"}:
        yield f"{where} may hold anything: give it a type"
    if _may_be(schema, "array") and not is_object(schema.get("items")):
        yield f"{where} is a list of anything: give its items a type"
    if _may_be(schema, "object"):
        properties: JsonObject = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            yield f"{where} is an open object: name its properties and set `additionalProperties` to false"
        if missing := [name for name in properties if name not in schema.get("required", ())]:
            yield f"{where} does not require {', '.join(missing)}: require every property, and allow null in it"
    values: list[Any] = schema.get("enum", [])
    if len(values) > MAX_LONG_ENUM_VALUES and sum(len(str(value)) for value in values) > MAX_LONG_ENUM_CHARACTERS:
        yield f"{where} has an enumeration of more than {MAX_LONG_ENUM_CHARACTERS:,} characters: take a `str`"


def _may_be(schema: JsonObject, kind: str) -> bool:
    """Tell whether a schema names the type, alone or with others."""
    given = schema.get("type")
    return kind in given if is_array(given) else kind == given


def _walk(schema: JsonObject, definitions: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    yield from _walk_one(schema, "")
    for name, definition in definitions.items():
        yield from _walk_one(definition, name)


def _walk_one(schema: JsonObject, path: str) -> Iterator[tuple[str, JsonObject]]:
    yield path, schema
    for step, inner in _children(schema):
        yield from _walk_one(inner, f"{path}{step}" if path else step.lstrip("."))


def _children(schema: JsonObject) -> Iterable[tuple[str, JsonObject]]:
    """Return the schemas directly inside a schema, each with its step of the path."""
    inner = [(f".{name}", value) for name, value in schema.get("properties", {}).items()]
    inner += [("[]", schema.get("items")), (".*", schema.get("additionalProperties"))]
    inner += [("", choice) for choice in schema.get("anyOf", ())]
    return [(step, value) for step, value in inner if is_object(value)]


def _measure(schema: JsonObject, definitions: JsonObject) -> list[str]:
    """Return a fault for every limit on size that the schema exceeds."""
    parts = [part for _, part in _walk(schema, definitions)]
    names = [name for part in parts for name in part.get("properties", {})]
    values = [value for part in parts for value in part.get("enum", [])]
    constants = [part["const"] for part in parts if "const" in part]
    characters = sum(len(str(text)) for text in [*names, *definitions, *values, *constants])
    measured = (
        ("properties", len(names), MAX_PROPERTIES),
        ("levels of nesting", _depth(schema, definitions, frozenset()), MAX_LEVELS),
        ("characters in names and values", characters, MAX_CHARACTERS),
        ("enumerated values", len(values), MAX_ENUM_VALUES),
    )
    return [
        f"the schema has {count:,} {what}, but at most {limit:,} are allowed: split the tool or simplify its types"
        for what, count, limit in measured
        if count > limit
    ]


def _depth(schema: JsonObject, definitions: JsonObject, inside: frozenset[str]) -> int:
    """Return the depth of nested objects; a recursive definition counts once."""
    name = _name(schema)
    if name is not None:
        return (
            0 if name in inside or name not in definitions else _depth(definitions[name], definitions, inside | {name})
        )
    below = max((_depth(inner, definitions, inside) for _, inner in _children(schema)), default=0)
    return below + _may_be(schema, "object")

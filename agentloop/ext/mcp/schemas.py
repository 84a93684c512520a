"""Cleans the schema of a server's tool before a model sees it and before arguments are checked against it.

The schema is untrusted: its texts become part of a prompt, and this process would execute its patterns and references.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast

from agentloop.items import JsonObject
from agentloop.schema.invisible_characters import strip_invisible

_LONGEST = 50_000
_MOST_PARTS = 20_000
_WORDS = ("description", "title")
_KEYWORDS = ("$ref", "$defs")  # other keywords with a dollar redirect references or choose another dialect
_VALUES = ("const", "default", "enum", "example", "examples")  # keywords whose values are not schemas


def clean_schema(schema: JsonObject, longest: int) -> JsonObject:
    """Return a schema that is safe to show and to check; a schema that is too large becomes `{"type": "object"}`.

    Args:
        schema: What the server sent.
        longest: The number of characters that each description may have.
    """
    if len(json.dumps(schema)) > _LONGEST:
        return {"type": "object"}
    cleaned = cast("JsonObject", _clean(_strip(schema), longest))
    cleaned.pop("$schema", None)
    return cleaned if _count_parts(cleaned) <= _MOST_PARTS else {"type": "object"}


def shorten(text: str, longest: int) -> str:
    """Return the text without invisible characters, cut to the length."""
    text = strip_invisible(text)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _strip(value: Any) -> Any:
    """Return a value without invisible characters, in its texts and in its names, because a model reads both."""
    if isinstance(value, str):
        return strip_invisible(value)
    if isinstance(value, list):
        return [_strip(each) for each in cast("Iterable[Any]", value)]
    if isinstance(value, dict):
        return {strip_invisible(name): _strip(each) for name, each in cast("JsonObject", value).items()}
    return value


def _clean(schema: Any, longest: int) -> Any:
    """Return a schema with short texts, with patterns moved into descriptions, and without redirected references.

    This process would execute a pattern that the server wrote, and some patterns take hours for thirty letters.
    """
    if isinstance(schema, list):
        return [_clean(each, longest) for each in cast("Iterable[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    given = cast("JsonObject", schema)
    words = {key: given[key] for key in _WORDS if isinstance(given.get(key), str)}
    pattern = given.get("pattern")
    if isinstance(pattern, str):
        words["description"] = f"{words.get('description', '')} Pattern: {pattern}".strip()
    dropped = {*words, "pattern"} if isinstance(pattern, str) else set(words)
    if isinstance(given.get("patternProperties"), dict):
        dropped |= {"patternProperties", "additionalProperties"}
    cleaned: JsonObject = {key: shorten(text, longest) for key, text in words.items()}
    for key, value in given.items():
        # A name with a dollar is a keyword, unless its value is a dictionary, as that of a property is.
        redirects = key.startswith("$") and key not in _KEYWORDS and not isinstance(value, dict)
        if key not in dropped and not redirects:
            cleaned[key] = value if key in _VALUES and not isinstance(value, dict) else _clean(value, longest)
    return cleaned


def _count_parts(schema: JsonObject) -> int:
    """Return the number of parts with references followed; over the limit if a reference can't be resolved here."""
    counted: dict[str, int] = {}

    def follow(reference: object) -> int:
        target: Any = schema
        if not isinstance(reference, str) or not f"{reference}/".startswith("#/"):
            return _MOST_PARTS + 1
        if reference not in counted:
            counted[reference] = 0  # a cycle adds nothing: the depth of the arguments limits it
            for key in reference[1:].split("/")[1:]:
                target = cast("Any", target).get(key) if isinstance(target, dict) else None
            counted[reference] = _MOST_PARTS + 1 if target is None else count(target)
        return counted[reference]

    def count(part: object) -> int:
        if isinstance(part, list):
            return sum(map(count, cast("Iterable[object]", part)))
        if not isinstance(part, dict):
            return 0
        held = cast("JsonObject", part)
        return 1 + sum(map(count, held.values())) + (follow(held["$ref"]) if "$ref" in held else 0)

    return count(schema)

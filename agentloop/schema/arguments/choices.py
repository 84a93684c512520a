"""Counts in advance how many choices of unions pydantic would try for some arguments, because they may be too many.

Two choices that hold one another double the work with each level of the arguments: twenty levels would take hours, in
which nothing else runs, since pydantic holds the interpreter. The count takes each value with each part of the schema
once, so its own time is bounded by the size of both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, TypeAlias, cast

from agentloop.schema.json_types import is_array, is_object

Node: TypeAlias = dict[str, Any]

MOST_CHOICES = 10_000
_UNIONS = frozenset({"union", "tagged-union"})
_NO_SCHEMAS = frozenset({"metadata", "serialization", "default", "config", "expected", "members", "ref"})


class ChoiceCounter:
    """Counts the choices of unions for arguments of one schema.

    Args:
        core: pydantic's core schema of the object that holds the arguments.
    """

    def __init__(self, core: Node) -> None:
        self._core = core
        self._definitions: dict[str, Node] = {node["ref"]: node for node in core.get("definitions", ())}

    @property
    def is_needed(self) -> bool:
        """Whether a union stands within a type that holds itself. Without one the work is no more than linear."""
        uses = {ref: _find_references(node) for ref, node in self._definitions.items()}
        within = {ref: _follow(uses, found) for ref, found in uses.items()}
        circular = {ref for ref, found in within.items() if ref in found}
        return any(_holds_union(self._definitions[ref]) for ref in circular)

    def count(self, data: Any) -> int:
        """Return how many choices are tried for the arguments, at most.

        Raises:
            RecursionError: the arguments are nested too deeply.
        """
        return _Count(self._definitions).count(data, self._core["schema"] if self._definitions else self._core)


class _Count:
    """One count, with what is known of each value and schema so far."""

    def __init__(self, definitions: dict[str, Node]) -> None:
        self._definitions = definitions
        self._known: dict[tuple[int, int], int] = {}
        self._kept: list[Any] = []

    def count(self, value: Any, node: Node) -> int:
        """Return how many choices are tried for a value that is checked against a schema."""
        key = id(value), id(node)
        if key not in self._known:
            self._known[key] = 0  # a type that refers to itself without a value between
            self._known[key] = self._count_anew(value, node)
        return self._known[key]

    def _count_anew(self, value: Any, node: Node) -> int:
        match node["type"]:
            case "definition-ref":
                return self.count(value, self._definitions[node["schema_ref"]])
            case "union":
                return sum(1 + self.count(value, choice) for choice in _find_schemas(node["choices"]))
            case "tagged-union":
                return 1 + max((self.count(value, choice) for choice in _find_schemas(node["choices"])), default=0)
            case "json":
                return self._count_inside(value, node)
            case _:
                return sum(self.count(part, inner) for part, inner in _pair(value, node))

    def _count_inside(self, text: Any, node: Node) -> int:
        """Count for JSON that stands in a text."""
        try:
            data = json.loads(text)
        except (TypeError, ValueError):
            return 0
        self._kept.append(data)  # else the ids of its parts could belong to other values later
        return self.count(data, node["schema"]) if "schema" in node else 0


def _pair(value: Any, node: Node) -> Iterator[tuple[Any, Node]]:
    """Yield the parts of a value with the schemas that they are checked against."""
    match node["type"]:
        case "model-fields" | "typed-dict" | "dataclass-args":
            yield from _pair_fields(value, node)
        case "list" | "set" | "frozenset" | "deque":
            schemas = [node["items_schema"]] if "items_schema" in node else []
            yield from product(value if is_array(value) else (), schemas)
        case "tuple":
            yield from product(value if is_array(value) else (), node["items_schema"])
        case "dict" | "ordered-dict" | "counter":
            schemas = [node["values_schema"]] if "values_schema" in node else []
            yield from product(value.values() if is_object(value) else (), schemas)
        case _:
            yield from ((value, inner) for inner in _find_inner(node))


def _pair_fields(value: Any, node: Node) -> Iterator[tuple[Any, Node]]:
    if not is_object(value):
        return
    fields = node["fields"]
    named = fields.items() if is_object(fields) else ((field["name"], field) for field in fields)
    for name, field in named:
        alias = field.get("validation_alias", name)
        parts = [value[each] for each in {name, alias if isinstance(alias, str) else name} if each in value]
        # An alias that is a path may lead anywhere.
        for part in (*parts, *(value.values() if not isinstance(alias, str) else ())):
            yield part, field["schema"]
    if "extras_schema" in node:
        yield from ((part, node["extras_schema"]) for part in value.values())


def _find_inner(node: Node) -> Iterator[Node]:
    """Yield the schemas that stand directly in a schema."""
    return _find_schemas([value for key, value in node.items() if key not in _NO_SCHEMAS])


def _find_schemas(value: Any) -> Iterator[Node]:
    if is_object(value):
        kind = value.get("type")
        if isinstance(kind, str) and not kind.endswith("-field"):
            yield value
            return
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in cast("Sequence[Any]", value):
            yield from _find_schemas(part)


def _find_references(node: Node) -> set[str]:
    if node["type"] == "definition-ref":
        return {node["schema_ref"]}
    return {ref for inner in _find_inner(node) for ref in _find_references(inner)}


def _follow(uses: dict[str, set[str]], found: set[str]) -> set[str]:
    """Return these references, and those that their definitions hold, and so on."""
    while more := {ref for each in found for ref in uses.get(each, ())} - found:
        found = found | more
    return found


def _holds_union(node: Node) -> bool:
    return node["type"] in _UNIONS or any(map(_holds_union, _find_inner(node)))

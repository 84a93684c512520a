"""Changes types, as pydantic reads them, into their wire form: the form that the model sees and writes.

pydantic's core schema is changed once. The JSON schema for the model is generated from the changed schema, and so is
the validator for the model's arguments, so that the two can't disagree. This module is imported only when a tool needs
it, because pydantic's schema generation is slow to load.
"""

from __future__ import annotations

import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, TypeAlias, cast

from pydantic import ConfigDict, TypeAdapter
from pydantic.warnings import ArbitraryTypeWarning
from pydantic_core import SchemaValidator, core_schema
from typing_extensions import TypedDict

from agentloop.items import JsonObject
from agentloop.schema.parameters import conversions
from agentloop.schema.parameters.json_schema import generate_schema
from agentloop.schema.parameters.signature import Parameter, describe_error
from agentloop.schema.parameters.typed_dicts import modernize

Node: TypeAlias = dict[str, Any]

_DICTS: dict[str, Callable[[Any], Any]] = {"dict": dict, "ordered-dict": OrderedDict, "counter": Counter}
_ANYTHING: Node = {"type": "any"}
_INSTEAD = {
    "any": "may hold anything: give it a type, such as `str`",
    "callable": "is a function, which a model can't write: take a name and look it up",
    "is-instance": "is of {cls}, which JSON can't hold: take what it is made from",
    "is-subclass": "is a class, which a model can't write: take a name and look it up",
    "generator": "is an iterator: take a `list`",
    "frozendict": "is a frozendict, which can't be sent: take a `dict`",
    "complex": "is a complex number: take two floats",
    "call": "is built by a call that has no strict form: take a dataclass",
    "arguments": "is built by a call that has no strict form: take a dataclass",
}


@dataclass(frozen=True, slots=True)
class WireForm:
    """The wire form of parameters.

    Attributes:
        core: pydantic's core schema of the object that holds the arguments.
        faults: Why the parameters can't be used, one sentence per fault.
        schema: The JSON schema that pydantic generates, before it is made strict; empty if there are faults.
    """

    core: Node
    faults: tuple[str, ...]
    schema: JsonObject

    def compile(self) -> SchemaValidator:
        """Return the validator for the model's arguments."""
        # The validators that pydantic has built for the classes inside don't read the wire form.
        return SchemaValidator(cast("core_schema.CoreSchema", self.core), _use_prebuilt=False)


def read_types(parameters: tuple[Parameter, ...], *, strict: bool, is_open: bool = False) -> WireForm:
    """Return the wire form of parameters, with the faults of all of them.

    Args:
        parameters: The parameters that the model fills.
        strict: Whether the schema must be strict.
        is_open: Whether other names are accepted, with any value.
    """
    try:
        return _read(parameters, "allow" if is_open else "forbid", strict=strict)
    except Exception as error:  # noqa: BLE001 - a class may raise anything when pydantic asks it for its schema
        parts = [_find_faults(parameter, strict=strict) for parameter in parameters]
        faults = [fault for part in parts for fault in part]
        return WireForm(_ANYTHING, tuple(faults or [f"its types can't be read together: {describe_error(error)}"]), {})


def _find_faults(parameter: Parameter, *, strict: bool) -> tuple[str, ...]:
    try:
        return _read((parameter,), "forbid", strict=strict).faults
    except Exception as error:  # noqa: BLE001 - as above
        return (f"parameter `{parameter.name}` has a type that can't be read: {describe_error(error)}",)


def _read(parameters: tuple[Parameter, ...], extra: str, *, strict: bool) -> WireForm:
    core = _read_core(parameters)
    change = _Change(core, strict=strict)
    changed = change.apply(core, parameters, extra)
    if change.faults:
        return WireForm(changed, tuple(change.faults), {})
    return WireForm(changed, (), generate_schema(changed))


def _read_core(parameters: Iterable[Parameter]) -> Node:
    # A TypedDict that a call makes can have any key: `_x`, `model_config`, `self`.
    fields = {parameter.name: modernize(parameter.annotation) for parameter in parameters}
    holder: Any = cast("Any", TypedDict)("Arguments", fields)
    holder.__pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)
    with warnings.catch_warnings():
        # pydantic warns if an annotation is not a type, and reads it as Any; our fault for Any says more.
        warnings.simplefilter("ignore", ArbitraryTypeWarning)
        adapter = TypeAdapter[Any](holder)
        # If a class inside is not complete, this raises an error with the missing name.
        adapter.rebuild()
        return cast("Node", adapter.core_schema)


class _Change:
    """Changes one core schema into its wire form, and collects the faults that prevent it."""

    def __init__(self, core: Node, *, strict: bool) -> None:
        self.faults: list[str] = []
        self._strict = strict
        self._definitions: dict[str, Node] = {node["ref"]: node for node in core.get("definitions", ())}
        self._changes: dict[str, Callable[[Node, str], Node]] = {
            "literal": _name_members,
            "default": self._default,
            "typed-dict": self._fields,
            "model-fields": self._fields,
            "dataclass-args": self._dataclass_fields,
            "named-tuple": self._named_tuple,
            "model": self._model,
            "union": self._union,
            "tagged-union": self._tagged_union,
            "chain": self._chain,
            "json-or-python": self._json_side,
            "lax-or-strict": self._json_side,
            **dict.fromkeys(("list", "set", "frozenset", "deque", "generator"), self._items),
            **dict.fromkeys(("int", "float"), _number),
            "decimal": _finite,
            "json": self._json,
            "tuple": self._tuple if strict else self._tuple_items,
            **dict.fromkeys(_DICTS, self._dict if strict else self._dict_items),
        }
        if strict:
            self._changes |= {"bytes": self._bytes, **dict.fromkeys(_INSTEAD, self._refuse)}
        self._changes |= {"any": self._any, "is-instance": self._instance}

    def apply(self, core: Node, parameters: tuple[Parameter, ...], extra: str) -> Node:
        """Return the wire form of the object that holds the parameters."""
        holder: Node = core["schema"] if core["type"] == "definitions" else core
        fields = {parameter.name: self._parameter(holder, parameter) for parameter in parameters}
        changed: Node = {**holder, "fields": fields, "extra_behavior": extra}
        if extra == "allow":
            changed = _after(conversions.check_finite, changed)
        if core["type"] != "definitions":
            return changed
        definitions = [self._walk(node, _short(node)) for node in core["definitions"]]
        return {**core, "schema": changed, "definitions": definitions}

    def _parameter(self, holder: Node, parameter: Parameter) -> Node:
        field: Node = holder["fields"][parameter.name]
        changed = self._walk(field["schema"], parameter.name)
        if not parameter.optional:
            return {**field, "schema": changed}
        if not self._accepts_null(field["schema"]):
            changed = _after(conversions.omit_null, {"type": "nullable", "schema": changed})
        elif parameter.default is not None:
            self._ambiguous(parameter.name)
        return {**field, "schema": changed, "required": False}

    def _walk(self, node: Node, path: str) -> Node:
        """Return the wire form of a schema. A definition keeps its `ref` at the outside, where references look."""
        reference = {"ref": node["ref"]} if "ref" in node else {}
        bare = {key: value for key, value in node.items() if key != "ref"} if reference else node
        change = self._changes.get(node["type"])
        if change is not None:
            return {**change(bare, path), **reference}
        return {**node, "schema": self._walk(node["schema"], path)} if "schema" in node else node

    def _ambiguous(self, path: str) -> None:
        if self._strict:
            self.faults.append(
                f"parameter `{path}` allows None but has another default, so null is unclear: "
                "make it None, or don't allow None"
            )

    def _refuse(self, node: Node, path: str) -> Node:
        described = node.get("metadata", {})
        if "pydantic_js_functions" not in described and "pydantic_js_annotation_functions" not in described:
            name = getattr(node.get("cls"), "__name__", "a type")
            self.faults.append(f"parameter `{path}` {_INSTEAD[node['type']].format(cls=name)}")
        return node

    def _any(self, node: Node, path: str) -> Node:
        """Return a schema of any value whose numbers are finite."""
        return _after(conversions.check_finite, self._refuse(node, path) if self._strict else node)

    def _json(self, node: Node, path: str) -> Node:
        if "schema" in node:
            return {**node, "schema": self._walk(node["schema"], path)}
        return _after(conversions.check_finite, node)

    def _instance(self, node: Node, path: str) -> Node:
        kind = node["cls"]
        if isinstance(kind, type) and issubclass(kind, Enum) and not kind.__members__:
            self.faults.append(f"parameter `{path}` is of {kind.__name__}, an Enum without members: give it members")
            return node
        return self._refuse(node, path) if self._strict else node

    def _accepts_null(self, node: Node) -> bool:
        match node["type"]:
            case "none" | "nullable" | "any":
                return True
            case "literal":
                return None in cast("list[Any]", node["expected"])
            case "union":
                return any(self._accepts_null(choice) for choice in _choices(node))
            case "definition-ref":
                return self._accepts_null(self._definitions[node["schema_ref"]])
            case _:
                return "schema" in node and self._accepts_null(node["schema"])

    def _default(self, node: Node, path: str) -> Node:
        inner: Node = node["schema"]
        changed = {**node, "schema": self._walk(inner, path)}
        if inner["type"] == "literal" and inner["expected"] == [node.get("default")]:
            return changed
        if not self._accepts_null(inner):
            changed["schema"] = _after(conversions.use_default, {"type": "nullable", "schema": changed["schema"]})
        elif "default_factory" in node or node.get("default") is not None:
            self._ambiguous(path)
        return changed

    def _fields(self, node: Node, path: str) -> Node:
        total = node.get("total", True)
        fields: dict[str, Node] = {}
        for name, field in node["fields"].items():
            where = f"{path}.{name}"
            changed = {**field, "schema": self._walk(field["schema"], where)}
            if node["type"] == "typed-dict" and not field.get("required", total):
                if self._accepts_null(field["schema"]):
                    self._ambiguous(where)
                else:
                    changed["schema"] = _after(conversions.omit_null, {"type": "nullable", "schema": changed["schema"]})
            fields[name] = changed
        return self._close({**node, "fields": fields})

    def _close(self, node: Node) -> Node:
        if not self._strict:
            return node
        return {**{key: value for key, value in node.items() if key != "extras_schema"}, "extra_behavior": "forbid"}

    def _dataclass_fields(self, node: Node, path: str) -> Node:
        fields = [
            {**field, "schema": self._walk(field["schema"], f"{path}.{field['name']}")} for field in node["fields"]
        ]
        return self._close({**node, "fields": fields})

    def _named_tuple(self, node: Node, path: str) -> Node:
        fields = {
            field["name"]: {
                "type": "typed-dict-field",
                "schema": (schema := self._walk(field["schema"], f"{path}.{field['name']}")),
                "required": schema["type"] != "default",
            }
            for field in node["fields"]
        }
        return _after(lambda values: node["cls"](**values), _object(fields), node)

    def _model(self, node: Node, path: str) -> Node:
        if self._strict and node.get("custom_init"):
            self.faults.append(
                f"parameter `{path}` is of {node['cls'].__name__}, a model with its own `__init__`, which would "
                "get the arguments before they are converted: use a validator instead"
            )
        return {**node, "schema": self._walk(node["schema"], path)}

    def _union(self, node: Node, path: str) -> Node:
        return {**node, "choices": [self._walk(choice, path) for choice in _choices(node)]}

    def _tagged_union(self, node: Node, path: str) -> Node:
        choices = node["choices"].items()
        return {**node, "choices": {tag: self._walk(choice, path) for tag, choice in choices}}

    def _chain(self, node: Node, path: str) -> Node:
        first, *rest = node["steps"]
        return {**node, "steps": [self._walk(first, path), *rest]}

    def _json_side(self, node: Node, path: str) -> Node:
        """Return the side of the schema for JSON, because a model writes only JSON."""
        side: Node = node.get("json_schema") or node["lax_schema"]
        changed = self._walk(side, path)
        return {**changed, "metadata": {**changed.get("metadata", {}), **node.get("metadata", {})}}

    def _items(self, node: Node, path: str) -> Node:
        kind = "list" if node["type"] == "generator" else node["type"]  # a generator checks its items too late
        return {**node, "type": kind, "items_schema": self._walk(node.get("items_schema", _ANYTHING), f"{path}[]")}

    def _dict(self, node: Node, path: str) -> Node:
        """Return a list of key-value pairs for a dict, because a strict object can't have arbitrary names."""
        fields = {
            "key": _field(self._walk(node.get("keys_schema", {"type": "str"}), f"{path}.key")),
            "value": _field(self._walk(node.get("values_schema", _ANYTHING), f"{path}.value")),
        }
        pairs: Node = {"type": "list", "items_schema": _object(fields)}
        pairs.update({key: node[key] for key in ("min_length", "max_length") if key in node})
        return _after(partial(conversions.join_pairs, _DICTS[node["type"]]), pairs, node)

    def _tuple(self, node: Node, path: str) -> Node:
        """Return an object for a tuple of fixed length, because a strict array has one type for all items."""
        items: list[Node] = node["items_schema"]
        if node.get("variadic_item_index") is None:
            fields = {f"item{n}": _field(self._walk(item, f"{path}.item{n}")) for n, item in enumerate(items, 1)}
            return _after(conversions.join_items, _object(fields), node)
        return self._tuple_items(node, path)

    def _dict_items(self, node: Node, path: str) -> Node:
        keys = {"keys_schema": self._walk(node["keys_schema"], f"{path}.key")} if "keys_schema" in node else {}
        return {**node, **keys, "values_schema": self._walk(node.get("values_schema", _ANYTHING), f"{path}.value")}

    def _tuple_items(self, node: Node, path: str) -> Node:
        return {**node, "items_schema": [self._walk(item, f"{path}[]") for item in node["items_schema"]]}

    def _bytes(self, node: Node, _path: str) -> Node:
        metadata = {"pydantic_js_updates": {"contentEncoding": "base64"}}
        text = _after(conversions.decode_base64, {"type": "str", "metadata": metadata})
        return {"type": "chain", "steps": [text, node]}


def _short(node: Node) -> str:
    return cast("str", node["cls"].__name__ if "cls" in node else node["ref"].partition(":")[0].rpartition(".")[2])


def _name_members(node: Node, _path: str) -> Node:
    """Return a schema that reads enum members in a Literal from their values."""
    expected: list[Any] = node["expected"]
    members = {member.value: member for member in expected if isinstance(member, Enum)}
    if not members:
        return node
    values = [value.value if isinstance(value, Enum) else value for value in expected]
    return _after(lambda value: members.get(value, value), {"type": "literal", "expected": values}, node)


def _number(node: Node, _path: str) -> Node:
    """Return a schema that does not accept true as the number 1, nor NaN and infinity, which JSON can't express."""
    finite = node if node["type"] == "int" else _finite(node)
    return {
        "type": "function-before",
        "function": {"type": "no-info", "function": conversions.check_number},
        "schema": finite,
    }


def _finite(node: Node, _path: str = "") -> Node:
    return {**node, "allow_inf_nan": node.get("allow_inf_nan", False)}


def _choices(node: Node) -> list[Node]:
    return [choice[0] if isinstance(choice, tuple) else choice for choice in node["choices"]]


def _field(schema: Node) -> Node:
    return {"type": "typed-dict-field", "schema": schema, "required": True}


def _object(fields: Mapping[str, Node]) -> Node:
    return {"type": "typed-dict", "fields": dict(fields), "extra_behavior": "forbid"}


def _after(function: Callable[[Any], Any], inner: Node, original: Node | None = None) -> Node:
    """Return a schema that calls the function with the value of `inner`; it keeps the metadata of `original`."""
    kept = {key: value for key, value in (original or {}).items() if key == "metadata"}
    return {"type": "function-after", "function": {"type": "no-info", "function": function}, "schema": inner, **kept}

"""Changes types, as pydantic reads them, into their wire form: the form that the model sees and writes.

pydantic's core schema is changed once. The JSON schema for the model is generated from the changed schema, and so is
the validator for the model's arguments, so that the two can't disagree. This module is imported only when a tool needs
it, because pydantic's schema generation is slow to load.
"""

from __future__ import annotations

import warnings
from base64 import b64decode
from binascii import Error as Base64Error
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, TypeAlias, cast

from pydantic import ConfigDict, PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, NoDefault
from pydantic.warnings import ArbitraryTypeWarning
from pydantic_core import PydanticOmit, PydanticUseDefault, SchemaError, SchemaValidator, core_schema
from typing_extensions import TypedDict

from agentloop.items import JsonObject
from agentloop.schema.parameters.signature import Parameter
from agentloop.schema.parameters.typed_dicts import modernize

Node: TypeAlias = dict[str, Any]

_DICTS: dict[str, Callable[[Any], Any]] = {"dict": dict, "ordered-dict": OrderedDict, "counter": Counter}
_URL_SAFE = str.maketrans("-_", "+/")
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
        faults: Why the parameters can't be strict, one sentence per fault.
    """

    core: Node
    faults: tuple[str, ...]

    def describe(self) -> JsonObject:
        """Return the JSON schema that pydantic generates, before it is made strict."""
        return _Schema(by_alias=True).generate(cast("core_schema.CoreSchema", self.core))

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
        core = _read_core(parameters)
    except UNREADABLE:
        parts = [_read_alone(parameter, strict=strict) for parameter in parameters]
        return WireForm(_ANYTHING, tuple(fault for part in parts for fault in part.faults))
    change = _Change(core, strict=strict)
    changed = change.apply(core, parameters, "allow" if is_open else "forbid")
    return WireForm(changed, tuple(change.faults))


def _read_alone(parameter: Parameter, *, strict: bool) -> WireForm:
    try:
        core = _read_core((parameter,))
    except UNREADABLE as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        return WireForm(_ANYTHING, (f"parameter `{parameter.name}` has a type that can't be read: {reason}",))
    change = _Change(core, strict=strict)
    change.apply(core, (parameter,), "forbid")
    return WireForm(core, tuple(change.faults))


UNREADABLE = (PydanticUserError, PydanticUndefinedAnnotation, SchemaError, TypeError, NameError, AttributeError)


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


class _Schema(GenerateJsonSchema):
    """pydantic's generator without the parts that a strict schema can't have."""

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        del schema
        return NoDefault

    def get_decimal_pattern(self, schema: core_schema.DecimalSchema) -> str | None:
        # pydantic's own pattern has a lookahead, which grammars for constrained output don't support.
        del schema
        return r"^-?[0-9]+(\.[0-9]+)?$"

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
            **dict.fromkeys(("int", "float"), _refuse_truth),
        }
        if strict:
            self._changes |= {
                "tuple": self._tuple,
                "bytes": self._bytes,
                **dict.fromkeys(_DICTS, self._dict),
                **dict.fromkeys(_INSTEAD, self._refuse),
            }

    def apply(self, core: Node, parameters: tuple[Parameter, ...], extra: str) -> Node:
        """Return the wire form of the object that holds the parameters."""
        holder: Node = core["schema"] if core["type"] == "definitions" else core
        fields = {parameter.name: self._parameter(holder, parameter) for parameter in parameters}
        config = {**holder.get("config", {}), "allow_inf_nan": False}  # because JSON can't express them
        changed: Node = {**holder, "fields": fields, "extra_behavior": extra, "config": config}
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
            changed = _after(_omit_null, {"type": "nullable", "schema": changed})
        elif parameter.default is not None:
            self._ambiguous(parameter.name)
        return {**field, "schema": changed, "required": False}

    def _walk(self, node: Node, path: str) -> Node:
        change = self._changes.get(node["type"])
        if change is not None:
            return change(node, path)
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
            changed["schema"] = _after(_use_default, {"type": "nullable", "schema": changed["schema"]})
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
                    changed["schema"] = _after(_omit_null, {"type": "nullable", "schema": changed["schema"]})
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
        kept: Node = {"ref": node["ref"]} if "ref" in node else {}
        return {**changed, **kept, "metadata": {**changed.get("metadata", {}), **node.get("metadata", {})}}

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
        return _after(partial(_join_pairs, _DICTS[node["type"]]), pairs, node)

    def _tuple(self, node: Node, path: str) -> Node:
        """Return an object for a tuple of fixed length, because a strict array has one type for all items."""
        items: list[Node] = node["items_schema"]
        if node.get("variadic_item_index") is None:
            fields = {f"item{n}": _field(self._walk(item, f"{path}.item{n}")) for n, item in enumerate(items, 1)}
            return _after(_join_items, _object(fields), node)
        return {**node, "items_schema": [self._walk(item, f"{path}[]") for item in items]}

    def _bytes(self, node: Node, _path: str) -> Node:
        metadata = {"pydantic_js_updates": {"contentEncoding": "base64"}}
        text = _after(_decode_base64, {"type": "str", "metadata": metadata})
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


def _refuse_truth(node: Node, _path: str) -> Node:
    """Return a schema that does not accept true as the number 1."""
    return {"type": "function-before", "function": {"type": "no-info", "function": _check_number}, "schema": node}


def _check_number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number")  # noqa: TRY004 - pydantic reports a ValueError as a fault of the value
    return value


def _choices(node: Node) -> list[Node]:
    return [choice[0] if isinstance(choice, tuple) else choice for choice in node["choices"]]


def _field(schema: Node) -> Node:
    return {"type": "typed-dict-field", "schema": schema, "required": True}


def _object(fields: Mapping[str, Node]) -> Node:
    return {"type": "typed-dict", "fields": dict(fields), "extra_behavior": "forbid"}


def _after(function: Callable[[Any], Any], inner: Node, original: Node | None = None) -> Node:
    """Return a schema that calls the function with the value of `inner`; it keeps `ref` and metadata of `original`."""
    kept = {key: value for key, value in (original or {}).items() if key in {"ref", "metadata"}}
    return {"type": "function-after", "function": {"type": "no-info", "function": function}, "schema": inner, **kept}


def _omit_null(value: Any) -> Any:
    if value is None:
        raise PydanticOmit
    return value


def _use_default(value: Any) -> Any:
    if value is None:
        raise PydanticUseDefault
    return value


def _join_items(values: dict[str, Any]) -> tuple[Any, ...]:
    # A validated object has its keys in the order of the fields, not in the order in which they were written.
    return tuple(values.values())


def _join_pairs(build: Callable[[Any], Any], pairs: list[dict[str, Any]]) -> Any:
    joined = {pair["key"]: pair["value"] for pair in pairs}
    if len(joined) < len(pairs):
        raise ValueError("a key is given twice")
    return build(joined)


def _decode_base64(text: str) -> bytes:
    try:
        return b64decode(text.translate(_URL_SAFE), validate=True)  # pydantic writes results in the URL-safe alphabet
    except (Base64Error, ValueError):
        raise ValueError("not valid base64") from None

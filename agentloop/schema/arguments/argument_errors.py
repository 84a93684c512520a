"""Repairs invalid arguments if that loses no information, and tells the model about the other errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agentloop.items import JsonObject
from agentloop.schema.arguments.parsing import ArgumentsError, WrittenFloat, echo, parse_text
from agentloop.schema.json_types import is_array, is_object
from agentloop.schema.parameters.strict import expand

Location = tuple[int | str, ...]

_WANTS_ITEMS = {"list_type", "set_type", "frozen_set_type", "tuple_type"}
_WANTS_FIELDS = {"dict_type", "model_type", "dataclass_type", "model_attributes_type"}
_ERRORS_TOLD = 5
_SCHEMA_CHARACTERS = 1_000


def repair(data: JsonObject, errors: Sequence[Any]) -> list[str]:
    """Repair the arguments in place where that loses no information, and return descriptions of the repairs.

    Args:
        data: The arguments.
        errors: The errors that pydantic found in them.
    """
    repairs: list[str] = []
    for error in errors:
        *parent, last = error["loc"] or ("",)
        holder = follow(data, tuple(parent))[0]
        # If the location also names the choice of a union, it is not clear which choice the model meant.
        if not _holds(holder, last) or len(follow(data, error["loc"])[1]) != len(error["loc"]):
            continue
        repaired = _repair_one(error["type"], holder[last])
        if repaired is not None:
            holder[last], what = repaired
            repairs.append(f"`{write_path(error['loc'])}`: {what}")
    return repairs


def _repair_one(kind: str, value: Any) -> tuple[Any, str] | None:
    """Return the repaired value and a description of the repair, or None if there is no repair."""
    if kind == "string_type":
        if is_object(value) or is_array(value):
            return json.dumps(value, ensure_ascii=False), "wrote JSON as text"
        if isinstance(value, int | float) and not isinstance(value, bool):
            return (value.literal if isinstance(value, WrittenFloat) else str(value)), "wrote a number as text"
    if kind in _WANTS_ITEMS | _WANTS_FIELDS and isinstance(value, str) and value.strip():
        try:
            inner = parse_text(value)
        except ArgumentsError:
            return None
        if is_object(inner) or is_array(inner):
            return inner, "decoded JSON that was given as text"
    if kind in _WANTS_ITEMS and is_object(value):
        return [{"key": key, "value": inner} for key, inner in value.items()], "wrote an object as key-value pairs"
    if kind in _WANTS_FIELDS and is_array(value):
        return {f"item{n}": inner for n, inner in enumerate(value, 1)}, "wrote an array as an object"
    return None


def follow(data: Any, location: Location) -> tuple[Any, Location]:
    """Return the value at a location, and the steps of the location that exist in the data.

    Other steps are skipped: pydantic's locations also name the choices of a union, which are not part of the data.
    """
    steps: list[int | str] = []
    for step in location:
        if _holds(data, step):
            data = data[step]
            steps.append(step)
    return data, tuple(steps)


def _holds(data: Any, step: int | str) -> bool:
    if isinstance(step, int):
        return is_array(data) and step < len(data)
    return is_object(data) and step in data


def write_path(location: Location) -> str:
    """Return a location as it is written in Python, such as `orders[2].price`."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return path.removeprefix(".")


def explain(data: JsonObject, errors: Sequence[Any], schema: JsonObject) -> ArgumentsError:
    """Return the error that tells the model what is wrong with its arguments.

    Args:
        data: The arguments.
        errors: The errors that pydantic found in them.
        schema: The schema of the tool's parameters.
    """
    lines = [_explain_one(data, error, schema) for error in errors[:_ERRORS_TOLD]]
    if len(errors) > _ERRORS_TOLD:
        lines.append(f"- and {len(errors) - _ERRORS_TOLD} more")
    return make_error(lines, {error["loc"][0]: None for error in errors if error["loc"]}, schema)


def make_error(lines: Sequence[str], names: Sequence[Any] | dict[Any, None], schema: JsonObject) -> ArgumentsError:
    """Return an error with the lines and the schemas of the named parameters."""
    properties: JsonObject = schema.get("properties", {})
    known = [name for name in names if name in properties][:_ERRORS_TOLD]
    wanted = [
        f"`{name}` takes {_write(expand(properties[name], schema.get('$defs', {})), _SCHEMA_CHARACTERS)}"
        for name in known
    ]
    text = ["The arguments do not fit the tool, so it did not run. Correct them and call it again.", *lines, *wanted]
    return ArgumentsError("\n".join(text), "\n".join(lines))


def _explain_one(data: JsonObject, error: Any, schema: JsonObject) -> str:
    value, steps = follow(data, error["loc"])
    match error["type"]:
        case "missing":
            return f"- `{write_path((*steps, error['loc'][-1]))}` is required, but was not given"
        case "extra_forbidden" | "unexpected_keyword_argument":
            known = ", ".join(f"`{name}`" for name in schema.get("properties", {})) if len(steps) == 1 else ""
            return f"- `{write_path(steps)}` is not known" + (f"; known are {known}" if known else "")
        case _:
            message = error["msg"].removeprefix("Value error, ").replace("Input should be ", "expected ")
            return f"- {f'`{write_path(steps)}`' if steps else 'the whole'}: {message}; got {_write(value)}"


def _write(value: Any, max_characters: int = 300) -> str:
    return echo(json.dumps(value, ensure_ascii=False), max_characters)

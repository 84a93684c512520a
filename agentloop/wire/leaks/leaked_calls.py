"""The formats in which models write tool calls, read from text into which they leaked.

A call is read only if it is complete, its tool is on offer and its arguments are valid. Nothing is repaired or
guessed. `leak_filter` decides where in a text such calls count.

`read_calls` takes a text that may still grow. It raises `UnfinishedError` while more text could complete the calls,
and `MismatchError` once no further text can. So streams and whole texts are read by the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias, cast

from agentloop.items import JsonObject, ToolCall
from agentloop.limits import Tally
from agentloop.schema import ArgumentsError
from agentloop.schema.json_types import is_object
from agentloop.tools import Tool, ToolContext, resolve_name
from agentloop.wire.leaks.cursor import Cursor, MismatchError, parse_json
from agentloop.wire.payload import dump, mapping, mappings

Tools: TypeAlias = Mapping[str, Tool]

_NAME = re.compile(r"[\w.:/-]+")
_MISTRAL_ID = re.compile(r"\w{1,64}")
_RECIPIENT = re.compile(r"\bto=([\w.:/-]+)")
_CHANNEL = re.compile(r"<\|channel\|>(\w+)")
_MESSAGE = "<|message|>"
_LONGEST_HEADER = 200
_NAME_KEYS = ("name", "tool", "function", "tool_name")
_ARGUMENTS_KEYS = ("arguments", "parameters", "input")
_KEYS = frozenset({*_NAME_KEYS, *_ARGUMENTS_KEYS, "type", "id"})
# Marks that templates put after a call or between two calls, and that servers may leave in the text.
_ENDS = (
    "</tool_call>",
    "[/TOOL_CALLS]",
    "<|python_end|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|call|>",
    "<|end|>",
    "</s>",
    ";",
)
_NOWHERE: Final = ToolContext("", "", Tally(), None)


def read_calls(text: str, tools: Tools, *, alone: bool) -> list[ToolCall]:
    """Return the calls in a text that consists of calls only.

    Args:
        text: The text from the first mark of a format on.
        tools: The tools on offer, by name.
        alone: Whether no other text comes before, so that JSON without a mark may be a call too.

    Raises:
        UnfinishedError: the text ends within a call.
        MismatchError: the text holds something else, or a call that can't be made.
    """
    cursor, calls = Cursor(text), list[ToolCall]()
    formats = FORMATS if alone else MARKED
    while True:
        cursor.skip_blanks()
        while not cursor.is_at_end and cursor.has(*_ENDS):
            cursor.skip_blanks()
        if cursor.is_at_end:
            return calls
        mark = cursor.take(*formats)
        calls += formats[mark](cursor, tools)
        formats = FORMATS  # some templates mark only the first call


def is_like_a_call(schema: JsonObject) -> bool:
    """Return whether JSON that follows this schema could be mistaken for a call without a mark."""
    keys = mapping(schema.get("properties")).keys()
    required = cast("list[str]", schema.get("required") or list(keys))
    return not keys.isdisjoint(_NAME_KEYS) and not keys.isdisjoint(_ARGUMENTS_KEYS) and _KEYS.issuperset(required)


def read_header(cursor: Cursor) -> tuple[str, str | None]:
    """Move past a header of the harmony format (gpt-oss), and return its channel and its recipient.

    Returns:
        The channel, "" if the header names none, and the recipient, None if the header names none.

    Raises:
        UnfinishedError: the header is not complete yet.
        MismatchError: the text is not such a header.
    """
    longest = cursor.at + _LONGEST_HEADER
    if len(cursor.text) > longest and _MESSAGE not in cursor.text[cursor.at : longest]:
        raise MismatchError
    header = cursor.until(_MESSAGE)
    channel, recipient = _CHANNEL.search(header), _RECIPIENT.search(header)
    return (channel[1] if channel else ""), (recipient[1] if recipient else None)


# --- the formats; each function reads from the position after the mark ---


def _read_tagged(cursor: Cursor, tools: Tools) -> list[ToolCall]:
    """Read `<tool_call>{"name": ..., "arguments": ...}` (Hermes, Qwen), or a function element inside (Qwen-Coder)."""
    cursor.skip_blanks()
    return _read_function(cursor, tools) if cursor.has("<function=") else _read_json(cursor, tools)


def _read_function(cursor: Cursor, tools: Tools) -> list[ToolCall]:
    """Read `<function=name>`, then parameter elements (Qwen-Coder) or a JSON object (Llama), then `</function>`."""
    tool = _find(cursor.match(_NAME), tools)
    cursor.has(">")  # Llama may omit it
    cursor.skip_blanks()
    arguments: JsonObject = {}
    if cursor.text.startswith("{", cursor.at):
        arguments = cursor.json(is_object)
        cursor.skip_blanks()
    schemas = mapping(tool.parameters.get("properties"))
    while cursor.take("<parameter=", "</function>") == "<parameter=":
        key = cursor.until(">")
        value = cursor.until("</parameter>")
        if key in arguments or "<parameter=" in value:  # an end tag is missing, so the value has no certain end
            raise MismatchError
        arguments[key] = _read_value(value, mapping(schemas.get(key)))
        cursor.skip_blanks()
    return [_call(tool, arguments)]


def _read_mistral(cursor: Cursor, tools: Tools) -> list[ToolCall]:
    """Read `[TOOL_CALLS] [{"name": ..., "arguments": ...}]`, or the newer `[TOOL_CALLS]name[ARGS]{...}`."""
    cursor.skip_blanks()
    if cursor.text.startswith(("[", "{"), cursor.at):
        return _read_json(cursor, tools)
    tool = _find(cursor.match(_NAME), tools)
    if cursor.has("[CALL_ID]"):
        cursor.match(_MISTRAL_ID)
    if not cursor.has("[ARGS]"):
        cursor.skip_blanks()
    return [_call(tool, cursor.json(is_object))]


def _read_harmony(cursor: Cursor, tools: Tools) -> list[ToolCall]:
    """Read `<|channel|>commentary to=functions.name <|constrain|>json<|message|>{...}` (gpt-oss)."""
    cursor.at = cursor.text.rindex("<|", 0, cursor.at)  # the mark is part of the header
    _, recipient = read_header(cursor)
    if recipient is None:
        raise MismatchError
    tool = _find(recipient, tools)
    cursor.skip_blanks()
    return [_call(tool, cursor.json(is_object))]


def _read_fenced(cursor: Cursor, tools: Tools) -> list[ToolCall]:
    """Read a code fence that holds only a call or a list of calls."""
    cursor.take("json\n", "\n")
    return _read_fence(cursor, tools)


def _read_fence(cursor: Cursor, tools: Tools) -> list[ToolCall]:
    calls = _read_json(cursor, tools)
    cursor.skip_blanks()
    cursor.take("```")
    return calls


def _read_bare(cursor: Cursor, tools: Tools) -> list[ToolCall]:
    """Read JSON without a mark (Llama without its template's tag)."""
    cursor.at -= 1  # the "mark" is the first character of the JSON
    return _read_json(cursor, tools)


def _read_json(cursor: Cursor, tools: Tools) -> list[ToolCall]:
    """Read a call as a JSON object, or a list of such calls."""
    cursor.skip_blanks()
    value = cursor.json(lambda value: _may_be_calls(value, tools))
    entries = mappings(cast("object", value)) or [mapping(value)]
    return [_read_object(entry, tools) for entry in entries]


Format: TypeAlias = Callable[[Cursor, Tools], list[ToolCall]]
# Where one mark is the beginning of another, the longer one comes first.
MARKED: Final[Mapping[str, Format]] = {
    "<tool_call>": _read_tagged,
    "<function=": _read_function,
    "<|python_tag|>": _read_json,
    "<|python_start|>": _read_json,
    "<|start|>assistant": _read_harmony,
    "<|channel|>": _read_harmony,
    "[TOOL_CALLS]": _read_mistral,
    "```tool_call\n": _read_fence,
}
FORMATS: Final[Mapping[str, Format]] = {**MARKED, "```": _read_fenced, "{": _read_bare, "[": _read_bare}


# --- parts of calls ---


def _may_be_calls(value: object, tools: Tools) -> bool:
    """Return whether a value that may be incomplete can be a call or a list of calls once it is complete."""
    if isinstance(value, list):
        return all(_may_be_calls(entry, tools) for entry in cast("list[object]", value))
    if not isinstance(value, dict):
        return False
    entry = cast("JsonObject", value)
    if isinstance(entry.get("function"), dict):
        return set(entry) <= {"type", "id", "function"} and _may_be_calls(entry["function"], tools)
    whole = list(entry)[:-1]  # the value of the last key may be incomplete
    names = [entry[key] for key in _NAME_KEYS if key in whole]
    return set(entry) <= _KEYS and all(isinstance(name, str) and resolve_name(name, tools) for name in names)


def _read_object(entry: JsonObject, tools: Tools) -> ToolCall:
    inner = mapping(entry.get("function")) or entry
    names = [inner[key] for key in _NAME_KEYS if key in inner]
    values = [inner[key] for key in _ARGUMENTS_KEYS if key in inner]
    match names, values:
        case [str(name)], [arguments]:
            # In OpenAI's format the arguments are a string that holds JSON.
            value = parse_json(arguments) if isinstance(arguments, str) else arguments
            if not is_object(value):
                raise MismatchError
            return _call(_find(name, tools), value)
        case _:
            raise MismatchError


def _find(name: str, tools: Tools) -> Tool:
    resolved = resolve_name(name, tools)
    if resolved is None:
        raise MismatchError
    return tools[resolved]


def _call(tool: Tool, arguments: JsonObject) -> ToolCall:
    text = dump(arguments).decode()
    try:
        tool.bind(text, _NOWHERE)
    except ArgumentsError:
        raise MismatchError from None
    return ToolCall("", tool.name, text)


def _read_value(text: str, schema: JsonObject) -> Any:
    """Return the value of a parameter element; only the schema tells which type its text has."""
    text = text.removeprefix("\n").removesuffix("\n")
    types = set(_types(schema))
    if "string" in types and not ("null" in types and text == "null"):
        return text
    try:
        return parse_json(text)
    except MismatchError:
        return text


def _types(schema: JsonObject) -> Iterable[str]:
    for option in (schema, *mappings(schema.get("anyOf"))):
        kinds = option.get("type")
        yield from [kinds] if isinstance(kinds, str) else cast("list[str]", kinds or [])

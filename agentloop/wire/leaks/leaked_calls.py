"""Reads tool calls that leaked into text, in any of the formats of `formats`.

A call is read only if it is complete, its tool is on offer and its arguments are valid. Nothing is guessed.
`leak_filter` decides where in a text such calls count.

`read_calls` takes a text that may still grow. It raises `UnfinishedError` while more text could complete the calls,
and `MismatchError` once no further text can. So streams and whole texts are read by the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from html import unescape
from typing import NamedTuple, TypeAlias, assert_never, cast

from agentloop.items import JsonObject, ToolCall
from agentloop.limits import Tally
from agentloop.schema import ArgumentsError
from agentloop.schema.json_types import is_object
from agentloop.tools import Tool, ToolContext, resolve_name
from agentloop.wire.leaks.cursor import Cursor, Marks, MismatchError, marks_of, parse_json
from agentloop.wire.leaks.formats import CALL_ENDS, FORMATS, MARKED, Attribute, Format, Named, Section, Tags
from agentloop.wire.leaks.harmony import read_header
from agentloop.wire.leaks.literals import PYTHON, Notation, read_literal, read_object
from agentloop.wire.leaks.values import read_value
from agentloop.wire.payload import dump, mapping, mappings

Tools: TypeAlias = Mapping[str, Tool]

_NAME = re.compile(r"[\w.:/-]+")
_NUMBER_OF_CALL = re.compile(r":\d+\Z")
_IDENTIFIER = re.compile(r"\w+")
_LONGEST_KEY = 200
_MOST_CALLS = 256
_NAME_KEYS = ("name", "tool", "function", "tool_name")
_ARGUMENTS_KEYS = ("arguments", "parameters", "input")
_KEYS = frozenset({*_NAME_KEYS, *_ARGUMENTS_KEYS, "type", "id", "tool_call_id"})
_NOWHERE = ToolContext("", "", Tally(), None)
_ALL = tuple(FORMATS)


class LeakedCalls(NamedTuple):
    """The calls at the beginning of a text.

    Attributes:
        calls: The calls.
        sources: How the calls were written, each as far as nobody else would write it by chance.
        end: The index at which something else begins.
    """

    calls: list[ToolCall]
    sources: list[str]
    end: int


def read_calls(text: str, tools: Tools, *, alone: bool) -> LeakedCalls:
    """Return the calls at the beginning of a text.

    Args:
        text: The text from the first mark of a format on.
        tools: The tools on offer, by name.
        alone: Whether no other text comes before, so that JSON without a mark may be a call too.

    Raises:
        UnfinishedError: the text ends within a call.
        MismatchError: the text does not begin with a call, or with one that can't be made, or with hundreds of calls.
    """
    cursor, calls = Cursor(text), list[ToolCall]()
    marks, ends = marks_of(*(_ALL if alone else MARKED)), marks_of(*CALL_ENDS)
    while True:
        _skip_ends(cursor, ends)
        if cursor.is_at_end:
            return LeakedCalls(calls, cursor.sources, cursor.at)
        start = cursor.at
        try:
            calls += _read_formats(cursor, cursor.take_one(marks), tools)
        except MismatchError:
            if not calls:
                raise
            return LeakedCalls(calls, cursor.sources, start)
        if len(calls) > _MOST_CALLS:
            raise MismatchError
        marks = marks_of(*_ALL)  # some templates mark only the first call


def is_like_a_call(schema: JsonObject) -> bool:
    """Return whether JSON that follows this schema could be mistaken for a call without a mark."""
    keys = mapping(schema.get("properties")).keys()
    required = cast("list[str]", schema.get("required") or list(keys))
    return not keys.isdisjoint(_NAME_KEYS) and not keys.isdisjoint(_ARGUMENTS_KEYS) and _KEYS.issuperset(required)


def _skip_ends(cursor: Cursor, ends: Marks) -> None:
    cursor.skip_blanks()
    while not cursor.is_at_end:
        try:
            cursor.take_one(ends)
        except MismatchError:
            return
        cursor.skip_blanks()


# --- formats ---


def _read_formats(cursor: Cursor, mark: str, tools: Tools) -> list[ToolCall]:
    """Read the calls after a mark, in the first of its formats that fits."""
    start, known = cursor.at, len(cursor.sources)
    for row in FORMATS[mark]:
        cursor.at = start - len(mark) if row.is_part else start
        try:
            calls = _read_format(cursor, row, tools)
        except MismatchError:
            del cursor.sources[known:]
            continue
        # The mark counts, because a word alone may be a whole call. JSON with a name does not need it.
        begin = start if row.body == "json" and not row.is_part else start - len(mark)
        cursor.sources += (
            [] if isinstance(row.body, Section) else [cursor.text[begin : cursor.at].removesuffix(row.closing)]
        )
        return calls
    raise MismatchError


def _read_format(cursor: Cursor, row: Format, tools: Tools) -> list[ToolCall]:
    match row.body:
        case "json":
            calls = _read_json(cursor, tools)
        case "python":
            calls = _read_python(cursor, tools)
        case "harmony":
            calls = [_read_harmony(cursor, tools)]
        case Named() as named:
            return [_read_named(cursor, named, row.closing, tools)]
        case Section(of=of):
            return _read_section(cursor, of, row.closing, tools)
        case _:
            assert_never(row.body)
    _close(cursor, row.closing)
    return calls


def _read_section(cursor: Cursor, of: str, closing: str, tools: Tools) -> list[ToolCall]:
    calls: list[ToolCall] = []
    while not calls or closing:
        cursor.skip_blanks()
        if cursor.take(of, *([closing] if calls else [])) == closing:
            break
        calls += _read_formats(cursor, of, tools)
    return calls


def _read_json(cursor: Cursor, tools: Tools) -> list[ToolCall]:
    """Read a call as a JSON object, or a list of such calls."""
    _expect(cursor, "{", "[")
    value = cursor.json(lambda value: _may_be_calls(value, tools))
    entries = mappings(cast("object", value)) or [mapping(value)]
    return [_read_object(entry, tools) for entry in entries]


def _read_python(cursor: Cursor, tools: Tools) -> list[ToolCall]:
    """Read a list of calls as in Python, with named arguments only."""
    cursor.skip_blanks()
    cursor.take("[")
    calls: list[ToolCall] = []
    while not calls or cursor.take(",", "]") == ",":
        cursor.skip_blanks()
        tool = _find(cursor.match(_NAME), tools)
        cursor.take("(")
        calls.append(_call(tool, _read_keywords(cursor)))
        cursor.skip_blanks()
    return calls


def _read_keywords(cursor: Cursor) -> JsonObject:
    arguments: JsonObject = {}
    cursor.skip_blanks()
    while not cursor.has(")"):
        if arguments:
            cursor.take(",")
            cursor.skip_blanks()
        key = cursor.match(_IDENTIFIER)
        cursor.take("=")
        _add(arguments, key, read_literal(cursor, PYTHON))
        cursor.skip_blanks()
    return arguments


def _read_harmony(cursor: Cursor, tools: Tools) -> ToolCall:
    _, recipient = read_header(cursor)
    if recipient is None:
        raise MismatchError
    tool = _find(recipient, tools)
    _expect(cursor, "{")
    return _call(tool, cursor.json(is_object))


def _read_named(cursor: Cursor, named: Named, closing: str, tools: Tools) -> ToolCall:
    cursor.skip_blanks()
    if named.before:
        cursor.take(named.before)
    tool = _find(cursor.match(_NAME), tools)
    if named.empty and cursor.has(named.empty):
        return _call(tool, {})
    if named.extra:
        _read_attribute(cursor, named.extra)
    cursor.skip_blanks()
    marks = tuple(filter(None, named.after))
    if "" not in named.after:
        cursor.take(*marks)
    elif marks:
        cursor.has(*marks)
    match named.arguments:
        case Tags() as tags:
            return _call(tool, _read_tags(cursor, tags, closing, tool))
        case Notation() as notation:
            cursor.take("{")
            arguments = read_object(cursor, notation)
        case "json":
            _expect(cursor, "{")
            arguments = cursor.json(is_object)
        case _:
            assert_never(named.arguments)
    _close(cursor, closing)
    return _call(tool, arguments)


def _read_tags(cursor: Cursor, tags: Tags, closing: str, tool: Tool) -> JsonObject:
    """Read elements with a key and a value, up to the end of the call."""
    arguments: JsonObject = {}
    schemas = mapping(tool.parameters.get("properties"))
    is_closed = True
    cursor.skip_blanks()
    while cursor.take(tags.key, closing) == tags.key:
        key = unescape(cursor.until(tags.key_end, _LONGEST_KEY))
        if not is_closed and key not in schemas:
            raise MismatchError  # what looks like an element may be a part of the value before
        kind = _read_attribute(cursor, tags.kind) if tags.kind else None
        _close(cursor, tags.value)
        value, end = cursor.until_match(_find_end(tags, closing))
        if tags.key in value and any(
            f"{tags.key}{name}{tags.key_end}" in value for name in {*schemas} - {*arguments, key}
        ):
            raise MismatchError  # the value may have lost its end
        is_closed = end == tags.value_end
        text = value.removeprefix("\n").removesuffix("\n") if tags.lines else value
        _add(arguments, key, read_value(text, mapping(schemas.get(key)), tool.parameters, kind))
        cursor.skip_blanks()
    return arguments


def _read_attribute(cursor: Cursor, attribute: Attribute) -> str | None:
    return cursor.until(attribute.closing, _LONGEST_KEY) if cursor.has(attribute.opening) else None


@lru_cache(maxsize=64)
def _find_end(tags: Tags, closing: str) -> re.Pattern[str]:
    """Return the pattern for the end of a value."""
    key, close = re.escape(tags.key), re.escape(closing)
    ends = [rf"{re.escape(tags.value_end)}(?=\s*+(?:{key}|{close}))"]
    if tags.outer:
        ends += [rf"\n(?={key})", rf"(?={close}\s*+(?:{'|'.join(map(re.escape, tags.outer))}))"]
    return re.compile("|".join(ends))


# --- parts of calls ---


def _expect(cursor: Cursor, *beginnings: str) -> None:
    """Move to the next character that is no blank, which must be one of these."""
    cursor.skip_blanks()
    cursor.take(*beginnings)
    cursor.at -= 1


def _close(cursor: Cursor, closing: str) -> None:
    if closing:
        cursor.skip_blanks()
        cursor.take(closing)


def _add(arguments: JsonObject, key: str, value: object) -> None:
    if key in arguments:
        raise MismatchError
    arguments[key] = value


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
    resolved = resolve_name(name, tools) or resolve_name(_NUMBER_OF_CALL.sub("", name), tools)  # Kimi: `add:0`
    if resolved is None:
        raise MismatchError
    return tools[resolved]


def _call(tool: Tool, arguments: JsonObject) -> ToolCall:
    text = dump(arguments).decode()
    try:
        tool.bind(text, _NOWHERE)
    except ArgumentsError:
        raise MismatchError from None
    return ToolCall("", tool.name, text, recovered=True)

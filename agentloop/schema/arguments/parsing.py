"""Reads a model's argument text as JSON; repairs its form, or says what is wrong.

`typed_arguments` checks the types of the values. JSON that was cut off is never completed, because a call with a part
of its arguments is not the call that the model meant.
"""

from __future__ import annotations

import json
import re
from typing import Any

from agentloop.items import JsonObject
from agentloop.schema.json_types import is_object, name_type

# Models and chat templates add this around the JSON: blanks, tokens such as <|call|> or </tool_call>, code fences.
_AROUND = r"(?:[\s\ufeff]|<\|[^<>|]*\|>|</?\w+>|```(?:json|python)?)*"
_HEAD = re.compile(_AROUND)
_TAIL = re.compile(_AROUND.replace(r"[\s\ufeff]", r"[\s\ufeff}\];,`]"))
# A text without an end is one token up to the end, so that no character is read twice.
_TOKEN = re.compile(
    r""" "(?:[^"\\]|\\(?:.|\Z))*+(?:"|\Z) | '(?:[^'\\]|\\(?:.|\Z))*+(?:(?P<end>')|\Z)
    | \b(?:True|False|None)\b | ,(?=\s*+[}\]])""",
    re.VERBOSE | re.DOTALL,
)
_TEXT = re.compile(r'"(?:[^"\\]|\\(?:.|\Z))*+(?:"|\Z)', re.DOTALL)
_BRACKET = re.compile(r"[\[{\]}]")
_SPELLING = {"True": "true", "False": "false", "None": "null", ",": ""}
_ENCODINGS_UNDONE = 2
MOST_CHARACTERS = 4_000_000
DEEPEST = 100
_LONGEST_CANONICAL = 100_000


class WrittenFloat(float):
    """A float with its literal, for a tool that takes text and gets the number `1.10`."""

    literal: str

    @classmethod
    def read(cls, literal: str) -> WrittenFloat:
        """Return the number of a literal."""
        number = cls(literal)
        number.literal = literal
        return number


_STRICT = json.JSONDecoder(parse_float=WrittenFloat.read)
# A line break inside a string is an error in JSON, but its meaning is clear.
_LENIENT = json.JSONDecoder(parse_float=WrittenFloat.read, strict=False)
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


class ArgumentsError(Exception):
    """The arguments of a call can't be used.

    Attributes:
        text: The text for the model, so that it can call again.
        reason: The part that says what is wrong; it fits arguments and answers.
    """

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason


def uncheckable(reason: object) -> ArgumentsError:
    """Return the error for arguments that can't be checked."""
    return ArgumentsError(f"The arguments can't be checked: {reason}", f"it can't be checked: {reason}")


def parse_arguments(text: str) -> tuple[JsonObject, tuple[str, ...]]:
    """Return the arguments in a model's text, and descriptions of the repairs.

    Raises:
        ArgumentsError: the text has no complete JSON object, or is too long or nested too deeply.
    """
    check_size(text)
    repairs: list[str] = []
    value = read_json(text, repairs)
    for _ in range(_ENCODINGS_UNDONE):
        if isinstance(value, str):
            repairs.append("decoded JSON that was encoded twice")
            value = read_json(value, repairs)
    if value is None:
        repairs.append("read null as no arguments")
        value = {}
    if not is_object(value):
        kind = name_type(value) or "number"
        raise ArgumentsError(
            f"The arguments must be one JSON object, but they are of type {kind}: {echo(text)}",
            f"it is of type {kind}",
        )
    return value, tuple(repairs)


def check_size(text: str) -> None:
    """Check that a text is neither too long nor nested too deeply to be read.

    Raises:
        ArgumentsError: it is.
    """
    if len(text) > MOST_CHARACTERS:
        raise uncheckable(f"{len(text):,} characters are too many; the most are {MOST_CHARACTERS:,}")
    if text.count("{") + text.count("[") > DEEPEST and _measure_depth(text) > DEEPEST:
        raise uncheckable(f"they are nested too deeply; the most are {DEEPEST} levels")


def _measure_depth(text: str) -> int:
    depth = deepest = 0
    for bracket in _BRACKET.findall(_TEXT.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def parse_text(text: str) -> Any:
    """Return the JSON value in a text, repaired in the same way.

    Raises:
        ArgumentsError: the text has no complete JSON value.
    """
    return read_json(text, [])


def canonical(arguments: str) -> str:
    """Return the canonical form of all argument texts with the same meaning.

    A text that can't be read, or is so long that reading it would take milliseconds, is only stripped.
    """
    if len(arguments) > _LONGEST_CANONICAL:
        return arguments.strip()
    try:
        return _CANONICAL.encode(parse_arguments(arguments)[0])
    except (ArgumentsError, RecursionError):
        return arguments.strip()


def echo(text: str, max_characters: int = 300) -> str:
    """Return a text, cut off to a length that can be quoted to the model."""
    return text if len(text) <= max_characters else f"{text[:max_characters]}... ({len(text):,} characters)"


def read_json(text: str, repairs: list[str]) -> Any:
    """Return the JSON value in a text, and add descriptions of the repairs to `repairs`.

    Raises:
        ArgumentsError: the text has no complete JSON value, or other content after it.
    """
    try:
        return _STRICT.decode(text)
    except (ValueError, RecursionError):
        pass
    start = _end(_HEAD, text, 0)
    if start == len(text):
        repairs.append("read an empty text as no arguments")
        return {}
    try:
        value, end = _decode(text, start)
        respelled = text
    except ValueError as error:
        respelled = _TOKEN.sub(_respell, text)
        try:
            value, end = _decode(respelled, start)
        except ValueError:
            raise _unreadable(text, error) from None
        repairs.append("turned Python spelling into JSON")
    rest = _end(_TAIL, respelled, end)
    if rest != len(respelled):
        after = f"after it came: {echo(respelled[rest:])}"
        raise ArgumentsError(
            f"The arguments must be one JSON object and nothing else; {after}", f"it is not only JSON; {after}"
        )
    if removed := (respelled[:start] + respelled[end:]).strip():
        repairs.append(f"removed {echo(removed)!r} around the JSON")
    elif respelled is text:
        repairs.append("escaped raw line breaks in a text")
    return value


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start


def _decode(text: str, start: int) -> tuple[Any, int]:
    try:
        return _LENIENT.raw_decode(text, start)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _respell(match: re.Match[str]) -> str:
    token = match[0]
    if match["end"] is None:
        return _SPELLING.get(token, token)
    inner = re.sub(r"\\.|\"", lambda part: {'"': '\\"', "\\'": "'"}.get(part[0], part[0]), token[1:-1], flags=re.DOTALL)
    return f'"{inner}"'


def _unreadable(text: str, error: ValueError) -> ArgumentsError:
    reason = str(error)
    if isinstance(error, json.JSONDecodeError):
        reason = f"{error.msg} at line {error.lineno}, column {error.colno}"
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            reason += "; the text seems to be cut off"
    return ArgumentsError(
        f"The arguments are not valid JSON ({reason}). Nothing was run; call again with one whole JSON object. "
        f"The arguments were: {echo(text)}",
        f"it is not valid JSON ({reason})",
    )

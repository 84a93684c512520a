"""Defines CallPattern: which calls a rule applies to, by tool and arguments: `files_*`, `files.write(path=docs/*)`.

A value can be written in several forms. A rule that asks or denies applies if any form matches; a rule that allows
applies only if all forms match. Where a tool says how it reads an argument, this is what counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from types import MappingProxyType
from typing import NoReturn, TypeAlias, cast
from unicodedata import category, normalize

from agentloop.errors import ConfigurationError
from agentloop.items import JsonObject
from agentloop.policy.normalize import normalize_text, normalize_value
from agentloop.tools import ArgumentReading

Readings: TypeAlias = Mapping[str, ArgumentReading]

_NONE: Readings = MappingProxyType({})
_IGNORED_END = re.compile(r"(?<=[^/.\s])[.\s]+(?=/|\Z)")  # of a name
_CALL = re.compile(r"(?P<tool>[\w.*?\[\]!-]+)(?:\((?P<arguments>.*)\))?", re.DOTALL)
_ARGUMENT = re.compile(
    r"""\s*(?P<name>[^\s=,"']+)\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^,"']*))\s*(?P<end>,|\Z)"""
)


@dataclass(frozen=True, slots=True)
class ArgumentPattern:
    """A shell pattern for one argument; `*` matches any text with slashes, and `*` alone matches any value.

    A rule that allows a list, such as a command, compares it word by word: a `*` that stands alone matches any number
    of words, and any other word of the pattern matches one word of the list. A pattern of one word must match every
    word. A rule that asks or denies applies if the pattern matches one word of the list or the joined words. A value
    that is neither a text nor a list is compared as JSON.

    Attributes:
        name: The name of the parameter.
        text: The pattern as it was written.
        regexes: The pattern as it was written, and as a normalized path or URL.
        words: The words of the pattern; None matches any number of words.
    """

    name: str
    text: str
    regexes: tuple[re.Pattern[str], ...]
    words: tuple[re.Pattern[str] | None, ...]

    @classmethod
    def of(cls, name: str, text: str) -> ArgumentPattern:
        """Return the pattern for this parameter."""
        words = (None if word == "*" else re.compile(translate(word)) for word in text.split())
        regexes = (re.compile(translate(form)) for form in (text, normalize_text(text)))
        return cls(name, text, tuple(regexes), tuple(words))

    def matches_fully(self, arguments: JsonObject, readings: Readings = _NONE) -> bool:
        """Tell whether every form of the argument matches: all that the tool reads in it, if it says how it reads."""
        if self.text == "*" or self.name not in arguments:
            return self.text == "*"
        if (reading := readings.get(self.name)) is not None:
            texts = _read(reading, arguments)
            regexes = (self.regexes[0], _compile(_read_pattern(reading, self.text)))
            return bool(texts) and all(any(regex.match(text) for regex in regexes) for text in texts)
        value = normalize_value(arguments[self.name])
        if value.words is None:
            return _match_all(self.regexes[0], value.whole)
        if len(self.words) > 1:
            return _match_words(self.words, value.words)
        return bool(value.words) and all(_match_all(self.regexes[0], word) for word in value.words)

    def matches_partly(self, arguments: JsonObject, readings: Readings = _NONE) -> bool:
        """Tell whether any form of the argument, or of a part of it, matches, or the tool can't read the argument."""
        if self.text == "*" or self.name not in arguments:
            return self.text == "*"
        value = normalize_value(arguments[self.name])
        if any(regex.match(text) for regex in self.regexes for text in (*value.whole, *value.parts)):
            return True
        reading = readings.get(self.name)
        return reading is not None and self._concerns(_read(reading, arguments), reading)

    def _concerns(self, texts: Sequence[str], reading: ArgumentReading) -> bool:
        """Tell whether the pattern matches one of the texts as some system reads it: without case, and `_fold`ed."""
        plain = {form.rstrip("/") for text in texts for form in (normalize("NFC", text), normalize_text(_fold(text)))}
        patterns = {
            form for text in (self.text, _read_pattern(reading, self.text)) for form in (text, normalize_text(text))
        }
        regexes = [_compile(pattern, re.IGNORECASE) for pattern in patterns]
        forms = [form for text in plain for form in (text, f"{text}/")]
        return not texts or any(regex.match(form) for regex in regexes for form in forms)


@dataclass(frozen=True, slots=True)
class CallPattern:
    """The calls that a rule applies to.

    Attributes:
        text: The rule as it was written.
        tool: A shell pattern for the tool's name on the wire or its label.
        arguments: Patterns that must all match; empty for every call of the tool.
    """

    text: str
    tool: re.Pattern[str]
    arguments: tuple[ArgumentPattern, ...] = ()

    @property
    def is_pattern(self) -> bool:
        """Whether the rule may be about several tools, or about none."""
        return any(mark in self.text.partition("(")[0] for mark in "*?[")

    def names(self, names: Iterable[str]) -> bool:
        """Tell whether the rule applies to a tool with these names."""
        return any(map(self.tool.match, names))

    def matches_fully(self, arguments: JsonObject | None, readings: Readings = _NONE) -> bool:
        """Tell whether a rule that allows applies to these arguments; None means that they can't be read.

        Args:
            arguments: The arguments by parameter name.
            readings: How the tool reads those that can be written in several ways.
        """
        if arguments is None:
            return not self.arguments
        return all(each.matches_fully(arguments, readings) for each in self.arguments)

    def matches_partly(self, arguments: JsonObject | None, readings: Readings = _NONE) -> bool:
        """Tell whether a rule that asks or denies applies to these arguments; see `matches_fully`."""
        return arguments is None or all(each.matches_partly(arguments, readings) for each in self.arguments)


def parse_patterns(where: str, patterns: object) -> tuple[CallPattern, ...]:
    """Return the patterns that the texts describe.

    Args:
        where: The name of the option, for error messages.
        patterns: Texts such as `delete_*` and `shell.run(argv=git *)`.

    Raises:
        ConfigurationError: a text is not a pattern.
    """
    return tuple(_parse(where, pattern) for pattern in check_texts(where, patterns))


def check_texts(where: str, texts: object) -> tuple[str, ...]:
    """Return the texts as a tuple, if they are a collection of texts.

    Raises:
        ConfigurationError: they are something else.
    """
    # A single string would be read letter by letter, and so deny nothing that it should deny.
    if isinstance(texts, str):
        raise ConfigurationError(
            f"{where}={texts!r} is one string in place of a collection of patterns", hint=f"write {where}=({texts!r},)"
        )
    given = tuple(cast("Iterable[object]", texts)) if isinstance(texts, Iterable) else (texts,)
    for text in given:
        if not isinstance(text, str):
            raise ConfigurationError(f"{where} holds {text!r}, which is not a text", hint='write it as ("delete_*",)')
    return cast("tuple[str, ...]", given)


def _parse(where: str, text: str) -> CallPattern:
    call = _CALL.fullmatch(text.strip())
    if call is None:
        _raise_unreadable(where, text)
    if call["arguments"] is None:
        return CallPattern(text, re.compile(translate(call["tool"])))
    return CallPattern(
        text, re.compile(translate(call["tool"])), tuple(_parse_arguments(where, text, call["arguments"]))
    )


def _parse_arguments(where: str, text: str, arguments: str) -> Iterable[ArgumentPattern]:
    position, more = 0, True
    while more:
        found = _ARGUMENT.match(arguments, position)
        if found is None:
            _raise_unreadable(where, text)
        quoted = found["double"] if found["double"] is not None else found["single"]
        yield ArgumentPattern.of(found["name"], found["bare"].strip() if quoted is None else quoted)
        position, more = found.end(), found["end"] == ","


def _raise_unreadable(where: str, text: str) -> NoReturn:
    raise ConfigurationError(
        f"{where}: {text!r} is not a pattern for calls",
        hint="write delete_*, files.write, or files.write(path=docs/*); a text with a comma or quote goes in quotes",
    )


def _fold(text: str) -> str:
    """Return a text with plain characters in place of those that look alike, and without what some systems ignore."""
    if not text.isascii():
        text = "".join(each for each in normalize("NFKC", text) if category(each) != "Cf")
    return _IGNORED_END.sub("", text)


def _read(reading: ArgumentReading, arguments: JsonObject) -> tuple[str, ...]:
    """Return what the tool will use for an argument; nothing if it can't be told."""
    try:
        return tuple(reading.read(arguments))
    except Exception:  # noqa: BLE001 - it is a pack's function, and the rules must hold whatever it raises
        return ()


def _read_pattern(reading: ArgumentReading, pattern: str) -> str:
    try:
        return reading.read_pattern(pattern)
    except Exception:  # noqa: BLE001 - as above; the pattern as it was written still counts
        return pattern


@lru_cache(maxsize=1_000)
def _compile(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    return re.compile(translate(pattern), flags)


def _match_all(regex: re.Pattern[str], forms: Sequence[str]) -> bool:
    return all(map(regex.match, forms))


def _match_words(pattern: Sequence[re.Pattern[str] | None], words: Sequence[Sequence[str]]) -> bool:
    """Tell whether the words match the pattern.

    `positions` holds every position of the pattern that the words so far can have reached. So the time is at most
    the length of the pattern times the number of words, without backtracking.
    """
    positions = _skip_wildcards(pattern, {0})
    for word in words:
        positions = _skip_wildcards(
            pattern,
            {
                position if part is None else position + 1
                for position in positions
                if position < len(pattern) and ((part := pattern[position]) is None or _match_all(part, word))
            },
        )
    return len(pattern) in positions


def _skip_wildcards(pattern: Sequence[re.Pattern[str] | None], positions: set[int]) -> set[int]:
    """Add the positions that are reached when a wildcard matches no word."""
    for position in range(len(pattern)):
        if position in positions and pattern[position] is None:
            positions.add(position + 1)
    return positions

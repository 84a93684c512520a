"""CallPattern: which calls a rule is about, by tool and by arguments: `files_*`, `files.write(path=docs/*)`.

What is held back is held back in any spelling, what is let through only in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import NoReturn, cast

from agentloop.errors import ConfigurationError
from agentloop.items import JsonObject
from agentloop.policy.normalize import normalize_text, normalize_value

_CALL = re.compile(r"(?P<tool>[\w.*?\[\]!-]+)(?:\((?P<arguments>.*)\))?", re.DOTALL)
_ARGUMENT = re.compile(
    r"""\s*(?P<name>[^\s=,"']+)\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^,"']*))\s*(?P<end>,|\Z)"""
)


@dataclass(frozen=True, slots=True)
class ArgumentPattern:
    """A shell pattern for one argument; `*` is any text, slashes too, and any value at all when it stands alone.

    To let a list through, such as a command, it is taken word by word: a `*` that stands alone is any number of words,
    every other word of the pattern is one of the list's; and a pattern of one word has to fit every one. To hold a list
    back it is enough to fit one of its words, or its words in a row. What is neither text nor list is taken as JSON.

    Attributes:
        name: The parameter.
        text: The pattern as it was written.
        regexes: The pattern, as it was written and as the path or URL that it is.
        words: The pattern's words; None is any number of any words.
    """

    name: str
    text: str
    regexes: tuple[re.Pattern[str], ...]
    words: tuple[re.Pattern[str] | None, ...]

    @classmethod
    def of(cls, name: str, text: str) -> ArgumentPattern:
        """Return the pattern for this parameter."""
        words = (None if word == "*" else re.compile(translate(word)) for word in text.split())
        spellings = (re.compile(translate(each)) for each in (text, normalize_text(text)))
        return cls(name, text, tuple(spellings), tuple(words))

    def matches_fully(self, arguments: JsonObject) -> bool:
        """Tell whether the argument fits in every spelling."""
        if self.text == "*" or self.name not in arguments:
            return self.text == "*"
        spelled = normalize_value(arguments[self.name])
        if spelled.words is None:
            return _fits(self.regexes[0], spelled.whole)
        if len(self.words) > 1:
            return _fit_words(self.words, spelled.words)
        return bool(spelled.words) and all(_fits(self.regexes[0], word) for word in spelled.words)

    def matches_partly(self, arguments: JsonObject) -> bool:
        """Tell whether the argument, or a part of it, fits in any spelling."""
        if self.text == "*" or self.name not in arguments:
            return self.text == "*"
        spelled = normalize_value(arguments[self.name])
        return any(regex.match(text) for regex in self.regexes for text in (*spelled.whole, *spelled.parts))


@dataclass(frozen=True, slots=True)
class CallPattern:
    """Which calls a rule is about.

    Attributes:
        text: The rule as it was written.
        tool: A shell pattern for the tool's name on the wire or its label.
        arguments: Patterns that all have to fit; none for every call of the tool.
    """

    text: str
    tool: re.Pattern[str]
    arguments: tuple[ArgumentPattern, ...] = ()

    def names(self, names: Iterable[str]) -> bool:
        """Tell whether it is about a tool that goes by these names."""
        return any(map(self.tool.match, names))

    def matches_fully(self, arguments: JsonObject | None) -> bool:
        """Tell whether it lets these arguments through; None are arguments that can't be read."""
        if arguments is None:
            return not self.arguments
        return all(each.matches_fully(arguments) for each in self.arguments)

    def matches_partly(self, arguments: JsonObject | None) -> bool:
        """Tell whether it holds these arguments back; None are arguments that can't be read."""
        return arguments is None or all(each.matches_partly(arguments) for each in self.arguments)


def parse_patterns(where: str, patterns: object) -> tuple[CallPattern, ...]:
    """Return the rules of these texts.

    Args:
        where: What they were given as, for errors.
        patterns: Texts such as `delete_*` and `shell.run(argv=git *)`.

    Raises:
        ConfigurationError: one of them can't be read.
    """
    return tuple(_parse(where, pattern) for pattern in check_texts(where, patterns))


def check_texts(where: str, texts: object) -> tuple[str, ...]:
    """Return what was given, if it is a collection of texts.

    Raises:
        ConfigurationError: it is something else.
    """
    # Taken letter by letter, a lone string would let through what it was to hold back.
    if isinstance(texts, str):
        raise ConfigurationError(
            f"{where}={texts!r} is one string where several patterns are meant", hint=f"write {where}=({texts!r},)"
        )
    given = tuple(cast("Iterable[object]", texts)) if isinstance(texts, Iterable) else (texts,)
    for text in given:
        if not isinstance(text, str):
            raise ConfigurationError(f"{where} holds {text!r}, which is no text", hint='write it as ("delete_*",)')
    return cast("tuple[str, ...]", given)


def _parse(where: str, text: str) -> CallPattern:
    call = _CALL.fullmatch(text.strip())
    if call is None:
        _complain(where, text)
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
            _complain(where, text)
        quoted = found["double"] if found["double"] is not None else found["single"]
        yield ArgumentPattern.of(found["name"], found["bare"].strip() if quoted is None else quoted)
        position, more = found.end(), found["end"] == ","


def _complain(where: str, text: str) -> NoReturn:
    raise ConfigurationError(
        f"{where}: {text!r} is no pattern of calls",
        hint="write delete_*, files.write, or files.write(path=docs/*); a text with a comma or quote goes in quotes",
    )


def _fits(regex: re.Pattern[str], spellings: Sequence[str]) -> bool:
    return all(map(regex.match, spellings))


def _fit_words(pattern: Sequence[re.Pattern[str] | None], words: Sequence[Sequence[str]]) -> bool:
    """Tell whether the words fit, by going on from all places of the pattern that have been reached at once."""
    places = _skip_gaps(pattern, {0})
    for word in words:
        places = _skip_gaps(
            pattern,
            {
                place if part is None else place + 1
                for place in places
                if place < len(pattern) and ((part := pattern[place]) is None or _fits(part, word))
            },
        )
    return len(pattern) in places


def _skip_gaps(pattern: Sequence[re.Pattern[str] | None], places: set[int]) -> set[int]:
    for place in range(len(pattern)):
        if place in places and pattern[place] is None:
            places.add(place + 1)
    return places

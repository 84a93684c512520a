"""Finds what an error message quotes from the request, so that a user's text is not read as the server's words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from agentloop.items import Item, Message, Reasoning, ToolCall, ToolResult

MASK: Final = "…"
# At most so many characters of the conversation are compared, so often. That takes a fraction of a second.
_MOST_CHARACTERS: Final = 1_000_000
_MOST_SEARCHES: Final = 1000
_LONGEST_MESSAGE: Final = 2000
_FEW, _SEVERAL = 3, 4

_WORD = re.compile(r"[a-z0-9_]+", re.ASCII)
# A message may quote a text as JSON, as Python or as HTML. What is escaped there separates words here.
_ESCAPE = re.compile(r"\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|\\[nrtbf\"'/\\]|&#?\w{1,8};")
_QUOTES = frozenset("'\"`:()[]{}<>\u201c\u201d\u2018\u2019\u00ab\u00bb")

# Words that say nothing about a subject. A server may write them in the same order as a user by chance.
PLAIN: Final = frozenset(
    _WORD.findall("""
    a accept accepted allow allowed an and any are argument as at available be been body but by can cannot could
    currently did do does endpoint error feature field for found from has have if in input invalid is it its keyword
    message model must name no not of on one only or parameter permitted property provided request required s schema
    should support supported supports t that the this to type unexpected unknown unrecognized unsupported use used
    value was when which with you your
    """)
)


class Heard(NamedTuple):
    """The words of an error message.

    Attributes:
        words: The message, with a mark in place of each part that was in the request.
        is_complete: The whole conversation was compared. A very long one is compared only in part.
    """

    words: str
    is_complete: bool


class _Word(NamedTuple):
    text: str
    start: int
    end: int


def unquote(message: str, texts: Iterable[str]) -> Heard:
    """Return an error message without the parts that it quotes from the request.

    A run of words that both hold counts as a quote if it is long enough not to be the same by chance.

    Args:
        message: The error message.
        texts: The texts of the request, the last one first.
    """
    message = message[:_LONGEST_MESSAGE]
    blank = _ESCAPE.sub(lambda match: " " * len(match[0]), message.translate(_LOWER))
    words = [_Word(match[0], *match.span()) for match in _WORD.finditer(blank)]
    sent = _Sent(texts, {word.text for word in words})
    for first, last in reversed(list(_find_quotes(words, message, sent))):
        message = message[: words[first].start] + MASK + message[words[last - 1].end :]
    return Heard(message, sent.is_complete)


def list_texts(items: Sequence[Item]) -> Iterator[str]:
    """Yield the texts of a conversation, the last one first."""
    for item in reversed(items):
        match item:
            case Message() | Reasoning():
                yield item.text
            case ToolCall():
                yield item.arguments
            case ToolResult():
                yield item.content
            case _:
                pass


# Only these letters change, so that each character keeps its place.
_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


class _Sent:
    """The words of a request, as far as they are in the message too; every other word ends a quote.

    Attributes:
        short: The texts of a few words, each as a whole.
        is_complete: Nothing was left out, and no search was refused.
    """

    def __init__(self, texts: Iterable[str], wanted: set[str]) -> None:
        self.short: set[str] = set()
        self.is_complete = True
        self._searches = 0
        parts, left = list[str](), _MOST_CHARACTERS
        for text in texts:
            blank = _ESCAPE.sub(" ", text[:left].translate(_LOWER))
            words = [word if word in wanted else MASK for word in _WORD.findall(blank)]
            if 1 < len(words) < _SEVERAL:
                self.short.add(" ".join(words))
            parts += [*words, MASK]
            left -= len(text)
            if left < 0:
                self.is_complete = False
                break
        self._words = f" {' '.join(parts)} "

    def holds(self, words: Sequence[_Word]) -> bool:
        """Return whether these words follow each other in a text."""
        self._searches += 1
        if self._searches > _MOST_SEARCHES:
            self.is_complete = False
            return False
        return f" {' '.join(word.text for word in words)} " in self._words


def _find_quotes(words: Sequence[_Word], message: str, sent: _Sent) -> Iterator[tuple[int, int]]:
    """Yield the first word of each quote, and the word after it."""
    first = 0
    while first < len(words) - 1:
        last = first + 1
        while last < len(words) and sent.holds(words[first : last + 1]):
            last += 1
        if _is_quote(words, first, last, message, sent.short):
            yield first, last
            first = last
        else:
            first += 1


def _is_quote(words: Sequence[_Word], first: int, last: int, message: str, short: set[str]) -> bool:
    run = [word.text for word in words[first:last]]
    if PLAIN.issuperset(run):
        return False
    if " ".join(run) in short:
        return True
    if len(run) < _FEW:
        return False
    before = message[: words[first].start].rstrip()[-1:]
    after = message[words[last - 1].end :].lstrip()[:1]
    is_marked = (not before or before in _QUOTES) and (not after or after in _QUOTES)
    return len(run) >= _SEVERAL or is_marked

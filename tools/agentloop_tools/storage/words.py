"""Makes queries for SQLite's full-text search. A user's query is only words, never query syntax. Pure."""

from __future__ import annotations

import re

TOKENIZE = "tokenize = 'porter unicode61 remove_diacritics 2'"

_MOST_CHARACTERS = 2_000
_MOST_WORDS = 32
_WORD = re.compile(r"\w+")
# Scripts without spaces between words are searched character by character.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_SEAM = re.compile(
    rf"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[{_UNSPACED}])(?=\w)|(?<=\w)(?=[{_UNSPACED}])"
)
# Finds the words with such a seam, so that the other words need not be split.
_COMPOUND = re.compile(rf"\b\w*(?:[a-z0-9][A-Z]|[A-Z][A-Z][a-z]|[{_UNSPACED}]\w|\w[{_UNSPACED}])\w*")


def split_words(text: str) -> str:
    """Return the parts of compound words, such as `read File` for `readFile`. Other words are left out."""
    return " ".join(_SEAM.sub(" ", word) for word in dict.fromkeys(_COMPOUND.findall(text)))


def match_any(query: str) -> str:
    """Return an expression that matches any word of a query, and ranks them higher side by side; "" without words."""
    words = list(dict.fromkeys(_WORD.findall(query[:_MOST_CHARACTERS])))[:_MOST_WORDS]
    phrases = [form for word in words for form in (word, split_words(word)) if form]
    # A phrase has only letters, digits, underscores and spaces, so it can't close the quotes.
    return " OR ".join(f'"{phrase}"' for phrase in dict.fromkeys([*phrases, " ".join(words)]) if phrase)

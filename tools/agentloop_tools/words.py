"""Words as SQLite's full-text search takes them: a query is words to look for and never its syntax. Pure."""

from __future__ import annotations

import re

TOKENIZE = "tokenize = 'porter unicode61 remove_diacritics 2'"

_MOST_CHARACTERS = 2_000
_MOST_WORDS = 32
_WORD = re.compile(r"\w+")
# Scripts that put no spaces between words are looked for by the character.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_SEAM = re.compile(
    rf"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[{_UNSPACED}])(?=\w)|(?<=\w)(?=[{_UNSPACED}])"
)
# The same places within a word, so that most words need no second look.
_COMPOUND = re.compile(rf"\b\w*(?:[a-z0-9][A-Z]|[A-Z][A-Z][a-z]|[{_UNSPACED}]\w|\w[{_UNSPACED}])\w*")


def split_words(text: str) -> str:
    """Return the parts of the words that are made of several: `read File` for `readFile`, and nothing of the others."""
    return " ".join(_SEAM.sub(" ", word) for word in dict.fromkeys(_COMPOUND.findall(text)))


def match_any(query: str) -> str:
    """Return the expression that finds any word of a query, best where they stand together; "" if it has no words."""
    words = list(dict.fromkeys(_WORD.findall(query[:_MOST_CHARACTERS])))[:_MOST_WORDS]
    phrases = [form for word in words for form in (word, split_words(word)) if form]
    # The text between quotes has letters, digits, underscores and spaces only, so it can't end them.
    return " OR ".join(f'"{phrase}"' for phrase in dict.fromkeys([*phrases, " ".join(words)]) if phrase)

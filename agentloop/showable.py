r"""Makes foreign text safe to show to a person, on a terminal or on a page.

Foreign text is what a model, a server, a tool or a file has written. It can hold characters that control a terminal,
change the order of a line, or are not visible at all. Here each of them becomes an escape: `\u202e`. What is left is
visible, and line ends where lines are meant.

- `show_line`: one line. `show_lines`: several lines. `show_json`: a value as JSON, which reads as the same value.
- `ProseWriter`: text to read, such as a model's answer, which may arrive in pieces. Characters that only improve how
  letters and emoji look are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from unicodedata import category

# Printable by their category, and yet not visible. `str.isprintable` excludes all others, and each blank but " ".
_BLANK: Final = frozenset(
    [
        *map(chr, (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180F, 0x2800, 0x3164, 0xFFA0, 0x16FE4, 0x1D159)),
        *map(chr, range(0x180B, 0x180E)),
        *map(chr, range(0xFE00, 0xFE10)),  # variation selectors
        *map(chr, range(0xE0100, 0xE01F0)),
    ]
)
_MARKS: Final = ("Mn", "Me")
_MOST_MARKS: Final = 5  # on one letter; a pile of them covers the lines above and below
_TAB: Final = {"\t": "\u21e5   "}
_LINES: Final = {"\n": "\n", **_TAB}
# Prose of many scripts holds these. They have no meaning of their own: hyphenation, joining, direction, form of emoji.
_UNNEEDED: Final = "\r\xad\u200b\u200c\u200d\u200e\u200f\u2060\ufe0e\ufe0f\ufeff"
_BLANKS: Final = "\xa0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_PROSE: Final = {**dict.fromkeys(_UNNEEDED, ""), **dict.fromkeys(_BLANKS, " "), "\n": "\n", "\t": "    "}
# What is written could be taken for an escape, or for a tab.
_WRITTEN: Final = re.compile(r"\\(?=u([0-9a-fA-F]{4}))|\u21e5(?=   )")


def show_line(text: str) -> str:
    r"""Return a text as one line of visible characters; a line end becomes `\u000a`."""
    return _Writer(_TAB).write(text)


def show_lines(text: str, *, exact: bool = False) -> list[str]:
    r"""Return the lines of a text, each with visible characters only. A line ends at `\n` alone.

    Args:
        text: The text.
        exact: Whether an escape that is written in the text must look different from a character that was escaped. Its
            backslash then becomes `\u005c`. The same holds for what stands for a tab.
    """
    if exact:
        text = _WRITTEN.sub(_escape_written, text)
    return _Writer(_LINES).write(text).split("\n")


def show_json(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON with visible characters only. With `indent` there are several lines."""
    return _Writer(_LINES).write(json.dumps(value, indent=indent, ensure_ascii=False))


class ProseWriter:
    """Makes text showable that arrives in pieces. The result is that of the whole text."""

    def __init__(self) -> None:
        self._writer = _Writer(_PROSE)

    def write(self, piece: str) -> str:
        """Return the next piece as it is shown, with its line ends."""
        return self._writer.write(piece)


class _Writer:
    """Writes visible characters, and escapes for all others.

    Args:
        replacements: What is written for some characters in place of an escape.
    """

    def __init__(self, replacements: Mapping[str, str]) -> None:
        self._replacements = replacements
        self._room = 0  # the number of marks that may follow; none without a letter

    def write(self, text: str) -> str:
        if text.isascii() and text.isprintable():  # most pieces, and 50 times as fast
            self._room = _MOST_MARKS if text[-1:].isalnum() else 0 if text else self._room
            return text
        return "".join(map(self._show, text))

    def _show(self, character: str) -> str:
        if character in self._replacements:
            shown = self._replacements[character]
            self._room = 0 if shown else self._room
            return shown
        if not _is_visible(character):
            self._room = 0
            return _escape(character)
        if category(character) in _MARKS:
            self._room -= 1
            return character if self._room >= 0 else _escape(character)
        self._room = _MOST_MARKS if character.isalnum() or not character.isascii() else 0
        return character


def _is_visible(character: str) -> bool:
    return character.isprintable() and character not in _BLANK


def _escape(character: str) -> str:
    """Return the JSON escape of a character, in the one form that all characters have."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _escape_written(found: re.Match[str]) -> str:
    if found[1] is None:
        return _escape(found[0])
    meant = chr(int(found[1], 16))
    is_always_shown = _is_visible(meant) and category(meant) not in _MARKS and meant not in "\\\u21e5"
    return found[0] if is_always_shown else _escape(found[0])

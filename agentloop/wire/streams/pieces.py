"""Joins the pieces in which a text or the arguments of a call come.

A server sends the new part in each event. Some send all so far in each event instead (DashScope), or send the whole
once more at the end (MiniMax), or both for the arguments of a call. The pieces themselves must tell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

_MOST_HELD = 8  # pieces; so many that are all equal are a text that repeats itself
# How many different characters make sure that a repetition is the server's, not the model's: of a last piece, of any
# piece, and of what a piece repeats, together with the number of pieces that have done so.
_VARIED_LAST = 3
_VARIED = 8
_VARIED_AND_GROWN = 6
_MOST_VALUES = 2
_AGAIN = re.compile(r"\}\s*\{")
_BLANKS = re.compile(r"\s*")
_JSON = json.JSONDecoder(strict=False)


class TextPieces:
    """A text that comes in pieces: each is a new part, or all so far.

    A model repeats itself too ("ha", "ha", "haha"), so pieces count as all so far only if that is nearly certain: there
    are enough different characters in what they repeat. Pieces are held back while they may be either.
    """

    __slots__ = ("_again", "_growths", "_has_ended", "_held", "_parts", "_size", "_style", "_whole")

    def __init__(self) -> None:
        self._style: Literal["unsure", "parts", "grown"] = "unsure"
        self._parts: list[str] = []
        self._size = 0  # characters in _parts
        self._held: list[str] = []  # pieces, each of which begins with the one before it
        self._growths = 0  # how many of these are longer than the one before
        self._has_ended = False
        self._whole = ""  # the text up to the first end that the server has named
        self._again = 0  # how much of it has come once more after this end

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, piece: str, *, last: bool = False) -> str:
        """Take a piece, and return the text that it adds, as far as that is certain.

        Args:
            piece: The piece; not "".
            last: Whether the server says that it is the last one.
        """
        if self._style == "unsure":
            return self._weigh(piece, last=last)
        if self._style == "grown":
            return self._grow(piece)
        if self._whole:
            return self._repeat(piece)
        if len(piece) == self._size and len(set(piece)) >= (_VARIED_LAST if last else _VARIED) and piece == self.text():
            return ""  # the whole text once more
        self._parts.append(piece)
        self._size += len(piece)
        return piece

    def complete(self, whole: str) -> str:
        """Take the whole text, which the server sends once more, and return what it adds."""
        rest, so_far = self.end(), self.text()
        return rest + self._append(whole[len(so_far) :]) if whole.startswith(so_far) else rest

    def finish(self) -> str:
        """Take note that the server names an end here, and return what held pieces add. Some begin anew after it."""
        rest = self.end()
        if not self._has_ended:
            whole = self.text()
            self._whole = whole if len(set(whole)) >= _VARIED else ""
        self._has_ended = True
        return rest

    def end(self) -> str:
        """Decide what held pieces are, and return the text that they add."""
        held, self._held = self._held, []
        if self._style == "unsure":
            self._style = "parts"
        if not held:
            return ""
        first, last = self._parts[0], held[-1]
        is_word = first[-1].isalpha() and not last.startswith(first * 2)
        is_grown = is_word if self._growths else len(set(first)) >= _VARIED
        return self._append(last[len(first) :] if is_grown else "".join(held))

    def text(self) -> str:
        """Return the whole text, without pieces that are held."""
        return "".join(self._parts)

    def _weigh(self, piece: str, *, last: bool) -> str:
        if not self._parts:
            return self._append(piece)
        before = self._held[-1] if self._held else self._parts[0]
        if not piece.startswith(before) or len(self._held) == _MOST_HELD:
            self._style = "parts"
            held, self._held = self._held, []
            return self._append("".join((*held, piece)))
        if last and piece == before and _is_glued(before) and len(set(piece)) >= _VARIED_LAST:
            return ""
        self._growths += len(piece) > len(before)
        if not self._growths or not _is_all_so_far(before, piece, self._growths):
            self._held.append(piece)
            return ""
        self._style, self._held = "grown", []
        return self._grow(piece)

    def _grow(self, piece: str) -> str:
        so_far = self.text()
        if piece.startswith(so_far):
            self._parts, self._size = [piece], len(piece)
            return piece[len(so_far) :]
        if so_far.startswith(piece):
            return ""
        self._style = "parts"
        return self._append(piece)

    def _repeat(self, piece: str) -> str:
        if self._whole.startswith(piece, self._again):
            self._again = (self._again + len(piece)) % len(self._whole)
            return ""
        before, self._whole = self._whole[: self._again], ""
        return self._append(before + piece)

    def _append(self, piece: str) -> str:
        self._parts.append(piece)
        self._size += len(piece)
        return piece


def join_arguments(pieces: Sequence[str]) -> str:
    """Return the arguments of a call from their pieces. No JSON object begins with two opening braces."""
    start = next((at for at, piece in enumerate(pieces) if piece.strip() not in ("", "{}", "null")), 0)
    pieces = pieces[start:]
    said = [piece for piece in pieces if piece.strip()]
    if len(said) > 1 and said[-1].lstrip().startswith("{"):
        grows = all(longer.startswith(shorter) for shorter, longer in pairwise(said))
        if grows or said[-1].startswith("".join(said[:-1])):
            return said[-1]
    return "".join(pieces)


def keep_one_object(arguments: str) -> str:
    """Return arguments that hold the same JSON object several times, or `{}` before it, as this object alone.

    Arguments with different objects are returned as they are: nobody knows which of them the model means.
    """
    if not _AGAIN.search(arguments):
        return arguments
    texts = _read_values(arguments)
    if len(texts) > 1 and next(iter(texts)) == "{}":
        del texts["{}"]
    return next(iter(texts.values())) if len(texts) == 1 else arguments


def same_objects(arguments: str, others: str) -> bool:
    """Return whether two texts hold the same JSON, and nothing else."""
    values = _read_values(arguments)
    return bool(values) and values.keys() == _read_values(others).keys()


def _read_values(text: str) -> dict[str, str]:
    """Return the text of each of the first different JSON values in a text, by its canonical form; {} for no JSON."""
    values: dict[str, str] = {}
    at = _skip_blanks(text, 0)
    try:
        while at < len(text) and len(values) <= _MOST_VALUES:
            value, end = _JSON.raw_decode(text, at)
            values.setdefault(json.dumps(value, sort_keys=True), text[at:end])
            at = _skip_blanks(text, end)
    except (ValueError, RecursionError):
        return {}
    return values


def _skip_blanks(text: str, at: int) -> int:
    blanks = _BLANKS.match(text, at)
    return blanks.end() if blanks else at


def _is_all_so_far(before: str, piece: str, growths: int) -> bool:
    if growths + len(set(before)) >= _VARIED_AND_GROWN:
        return True
    return _is_glued(before) and len(set(piece)) >= _VARIED


def _is_glued(before: str) -> bool:
    """Return whether what repeats a text would follow it without a blank; nobody writes a word twice like that."""
    return before[-1].isalnum()

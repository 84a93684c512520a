"""Joins characters that a server cut in two: half of a surrogate pair, or half of the bytes, in each event."""

from __future__ import annotations

import re
from typing import TypeAlias, cast

from agentloop.items import JsonObject
from agentloop.wire.payload import load_loose

_Place: TypeAlias = tuple[object, ...]

_MOST_HALVES = 100
# In loose JSON a byte that is not UTF-8 is a surrogate from U+DC80 on, as with Python's `surrogateescape`.
_BEGINNING = re.compile(
    r"(?:[\ud800-\udbff]|[\udcc2-\udcdf]|[\udce0-\udcef][\udc80-\udcbf]?|[\udcf0-\udcf4][\udc80-\udcbf]{0,2})\Z"
)
_REST = re.compile(r"[\udc00-\udfff]")
_NO_BYTE = re.compile(r"[\ud800-\udc7f\udd00-\udfff]")


class CharacterJoiner:
    """Reads the JSON of the events of one stream.

    The first half of a character at the end of a string is kept, until a string at the same place in a later event
    begins with the second half.
    """

    def __init__(self) -> None:
        self._halves: dict[_Place, str] = {}

    def load(self, data: bytes) -> object:
        """Return the value of an event's JSON which strict JSON does not allow.

        Raises:
            ValueError: the data is not JSON.
        """
        event = load_loose(data)
        if len(self._halves) > _MOST_HALVES:
            self._halves.clear()
        try:
            return self._mend(event, _root(event))
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None

    def _mend(self, value: object, place: _Place) -> object:
        if isinstance(value, str):
            return self._join(value, place)
        if isinstance(value, dict):
            fields = cast("JsonObject", value).items()
            return {_clean(name): self._mend(field, (*place, name)) for name, field in fields}
        if isinstance(value, list):
            entries = enumerate(cast("list[object]", value))
            return [self._mend(entry, (*place, _position(entry, at))) for at, entry in entries]
        return value

    def _join(self, text: str, place: _Place) -> str:
        if _REST.match(text):
            text = self._halves.pop(place, "") + text
        beginning = _BEGINNING.search(text)
        if beginning is None:
            return _clean(text)
        self._halves[place] = beginning[0]
        return _clean(text[: beginning.start()])


def _root(event: object) -> _Place:
    """Return what tells apart the texts of `/v1/responses`, each of which comes in the field `delta`."""
    if not isinstance(event, dict):
        return ()
    fields = cast("JsonObject", event)
    return str(fields.get("type")), str(fields.get("output_index"))


def _position(entry: object, at: int) -> object:
    """Return the index that an entry of a list says it has (a choice, a call), or else its position."""
    index = cast("JsonObject", entry).get("index") if isinstance(entry, dict) else None
    return index if type(index) is int else at


def _clean(text: str) -> str:
    """Return a text with whole characters only: halves that belong together are joined, others become U+FFFD."""
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _NO_BYTE.sub("\ufffd", paired).encode("utf-8", "surrogateescape").decode("utf-8", "replace")

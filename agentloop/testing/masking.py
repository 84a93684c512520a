"""Masks what a cassette may not show: secrets of the endpoint, keys by their form, and fields that the user names.

Only texts and the values of fields are masked, so that JSON stays JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

from agentloop.endpoint.transport import hide_secrets
from agentloop.items import JsonObject
from agentloop.wire.payload import mapping, mappings, string
from agentloop.wire.profile import Endpoint
from agentloop.wire.profile.profile import HIDDEN

_DATA = re.compile(r"(?:\A|(?<=[\r\n]))(data: ?)([^\r\n]*)")
_SECRET = re.compile(r"auth|key|token|cookie|secret|password|session|sign", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Za-z]{0,15}\d{0,4}")
_SHORTEST_KEY = 8
_PLACE = "\0"
_EVENT = re.compile(r".*?\r?\n\r?\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mask:
    """What is masked in the requests to an endpoint and in its replies.

    Attributes:
        endpoint: The endpoint, with its key and those of its headers that may be secrets.
        fields: The names of fields of JSON that are masked, wherever they are.
    """

    endpoint: Endpoint
    fields: Collection[str] = ()

    @classmethod
    def of(cls, endpoint: Endpoint, fields: Collection[str] = ()) -> Mask:
        """Return the mask for an endpoint. A key of a few letters, such as `test`, is none: replies may hold the word.

        So may they hold a word of a header such as `X-Title: My shop`.
        """
        key = endpoint.api_key if len(endpoint.api_key or "") >= _SHORTEST_KEY else None
        headers = {name: value for name, value in endpoint.headers.items() if not _is_plain(name, value)}
        return cls(replace(endpoint, api_key=key, headers=headers), fields)

    def mask(self, value: object) -> Any:
        """Return a JSON value with the masks in it."""
        match value:
            case str():
                return self._mask_text(value)
            case list():
                return [self.mask(each) for each in cast("list[object]", value)]
            case dict():
                members = cast("dict[str, object]", value).items()
                return {name: HIDDEN if name in self.fields else self.mask(member) for name, member in members}
            case _:
                return value

    def mask_body(self, text: str) -> str:
        """Return a body with the masks in it: JSON, events, or any other text. Without masks it is the same text."""
        whole = _read_json(text)
        if whole is not None:
            try:
                masked = self.mask(whole)
                return text if masked == whole else _write(masked)
            except RecursionError:  # it is nested hundreds of levels deep
                return hide_secrets(text, self.endpoint)
        if _DATA.search(text):
            joined = _join_arguments(text) if self.fields else text
            masked = _DATA.sub(lambda data: data[1] + self.mask_body(data[2]), joined)
            return text if masked == joined else masked
        return hide_secrets(text, self.endpoint)

    def mask_chunks(self, chunks: list[str]) -> list[str]:
        """Return the chunks of a reply. If anything is masked, it is cut after each event, wherever it was cut before.

        A secret may be in two chunks.
        """
        text = "".join(chunks)
        masked = self.mask_body(text)
        return chunks if masked == text else list(_cut(masked))

    def _mask_text(self, text: str) -> str:
        inner = _read_json(text) if self.fields else None  # the arguments of a call are JSON in a text
        masked = text if inner is None else self.mask(inner)
        return hide_secrets(text, self.endpoint) if masked in (text, inner) else _write(masked)


def _is_plain(name: str, value: str) -> bool:
    """Return whether a header holds words and short numbers only, and is not one for secrets."""
    return not _SECRET.search(name) and all(map(_PLAIN.fullmatch, re.split(r"[^A-Za-z\d]+", value)))


def _read_json(text: str) -> dict[str, Any] | list[Any] | None:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        read: dict[str, Any] | list[Any] = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return read


def _write(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _join_arguments(stream: str) -> str:
    """Return a stream with the arguments of each call in one piece: a field may be in several of its pieces."""
    begun: dict[tuple[object, ...], tuple[JsonObject, str]] = {}

    def join(data: re.Match[str]) -> str:
        event = _read_json(data[2])
        for key, holder, name in _list_pieces(event):
            first, name_there = begun.setdefault(key, (holder, name))
            if first is not holder:
                first[name_there] += holder[name]
                holder[name] = ""
        events.append((data[1], data[2] if event is None else event))
        return _PLACE

    events: list[tuple[str, Any]] = []
    cut = _DATA.sub(join, stream).split(_PLACE)
    written = [start + (event if isinstance(event, str) else _write(event)) for start, event in events]
    return "".join(part for pair in zip(cut, [*written, ""], strict=True) for part in pair)


def _list_pieces(event: object) -> Iterator[tuple[tuple[object, ...], JsonObject, str]]:
    """Yield the pieces of arguments in an event of a response or a chat: the call, and where the piece is."""
    fields = mapping(event)
    if string(fields.get("type")).endswith("arguments.delta") and isinstance(fields.get("delta"), str):
        yield (fields.get("output_index"),), fields, "delta"
    for at, choice in enumerate(mappings(fields.get("choices"))):
        for call in mappings(mapping(choice.get("delta")).get("tool_calls")):
            function = mapping(call.get("function"))
            if isinstance(function.get("arguments"), str):
                yield (choice.get("index", at), call.get("index")), function, "arguments"


def _cut(text: str) -> Iterator[str]:
    at = 0
    for event in _EVENT.finditer(text):
        yield event[0]
        at = event.end()
    if text[at:]:
        yield text[at:]

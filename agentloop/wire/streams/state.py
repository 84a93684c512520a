"""Finds what only the server of a reply understands, such as a signature, so that it can be sent back to the server.

Gemini signs its calls (`extra_content`, or `provider_specific_fields` behind LiteLLM), Anthropic its thinking
(`thinking_blocks`), and OpenRouter and MiniMax pass on `reasoning_details`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import cast

from agentloop.items import JsonObject, ServerState
from agentloop.wire.payload import dump, mapping, mappings

_MOST_BYTES = 1_000_000
_CALL = frozenset(
    {"id", "call_id", "type", "index", "name", "arguments", "function", "status", "parsed_arguments", "created_by"}
)
_FUNCTION = frozenset({"name", "arguments", "parsed_arguments", "description", "parameters", "strict"})
_REASONING = frozenset({"id", "type", "index", "text", "content", "summary", "encrypted_content", "status"})
_PART = frozenset({"type", "text", "annotations", "logprobs"})
_MESSAGE = frozenset(
    {
        "role",
        "content",
        "refusal",
        "reasoning",
        "reasoning_content",
        "tool_calls",
        "type",
        "id",
        "status",
        "phase",
        "annotations",
    }
)
_STATE = re.compile(r"reasoning|think|thought|signature|encrypted|state|extra_content|provider_specific")
_PROSE = frozenset({"text", "thinking", "summary", "content"})
_WHOLE = frozenset({"signature", "data"})


def wrap_state(fields: JsonObject) -> ServerState | None:
    """Return the fields as an item keeps them; None if there are none, or if they are too large."""
    return ServerState(fields) if fields and len(dump(fields)) <= _MOST_BYTES else None


def pick_call_fields(raw: JsonObject) -> JsonObject:
    """Return the fields of a call that only its server understands. Those of `function` are in a field of this name."""
    if raw.keys() <= _CALL and mapping(raw.get("function")).keys() <= _FUNCTION:
        return {}  # the usual call
    function, fields = _pick(mapping(raw.get("function")), _FUNCTION), _pick(raw, _CALL)
    return {**fields, "function": function} if function else fields


def pick_message_fields(raw: JsonObject) -> JsonObject:
    """Return the fields of a message, or of a piece of one, that only its server understands.

    Messages have many other fields, such as citations. Servers refuse these in a history.
    """
    if raw.keys() <= _MESSAGE:
        return {}  # the usual message
    return {name: value for name, value in _pick(raw, _MESSAGE).items() if _STATE.search(name)}


def pick_reasoning_fields(raw: JsonObject) -> JsonObject:
    """Return the fields of a reasoning item that only its server understands; whole parts if these hold such fields."""
    signed = {
        name: raw[name]
        for name in ("content", "summary")
        if any(_pick(part, _PART) for part in mappings(raw.get(name)))
    }
    fields = _pick(raw, _REASONING)
    is_signed = bool(signed or raw.get("encrypted_content")) or any(map(_STATE.search, fields))
    return signed | fields if is_signed else {}


def _pick(raw: JsonObject, known: Collection[str]) -> JsonObject:
    """Return the fields that are not known. Numbers and booleans hold no state."""
    return {name: value for name, value in raw.items() if name not in known and value and _holds_state(value)}


def _holds_state(value: object) -> bool:
    return isinstance(value, (str, list, dict))


# --- streams ---


def join_pieces(pieces: Sequence[JsonObject]) -> JsonObject:
    """Return the whole fields from the pieces in which a stream has sent them."""
    if len(pieces) <= 1:
        return pieces[0] if pieces else {}
    names = dict.fromkeys(name for piece in pieces for name in piece)
    return {name: _join(name, [piece[name] for piece in pieces if piece.get(name) is not None]) for name in names}


def _join(name: str, values: list[object]) -> object:
    if all(isinstance(value, str) for value in values):
        return _join_text(name, cast("list[str]", values))
    if all(isinstance(value, dict) for value in values):
        return join_pieces(cast("list[JsonObject]", values))
    if all(isinstance(value, list) for value in values):
        return _join_entries(entry for value in cast("list[list[object]]", values) for entry in value)
    return values[-1]


def _join_text(name: str, texts: Sequence[str]) -> str:
    """Return a text that came in pieces, or once more in each chunk, or each time with all that came before."""
    if name not in _PROSE and all(text == texts[0] for text in texts):
        return texts[0]
    is_growing = len(texts[0]) < len(texts[-1]) and all(after.startswith(before) for before, after in pairwise(texts))
    before = "".join(texts[:-1])
    return texts[-1] if is_growing or texts[-1] == before else before + texts[-1]


def _join_entries(entries: Iterable[object]) -> list[object]:
    """Return the entries of a list whose entries came in pieces."""
    groups: list[list[JsonObject]] = []
    others: list[object] = []
    latest: dict[tuple[str, str], list[JsonObject]] = {}
    for entry in entries:
        if not isinstance(entry, dict):
            others.append(entry)
            continue
        piece = cast("JsonObject", entry)
        key = str(piece.get("type")), str(piece.get("index"))
        group = latest.get(key)
        if group is None or not _continues(group, piece):
            groups.append(group := [])
            latest[key] = group
        group.append(piece)
    return [*(join_pieces(group) for group in groups), *others]


def _continues(group: Sequence[JsonObject], piece: JsonObject) -> bool:
    """Return whether a piece belongs to the entry that the pieces before it began."""
    known = next((each["id"] for each in group if each.get("id")), None)
    if known and piece.get("id"):
        return bool(known == piece["id"])
    # Without an index an entry ends with its signature.
    return piece.get("index") is not None or not any(name in _WHOLE and value for name, value in group[-1].items())

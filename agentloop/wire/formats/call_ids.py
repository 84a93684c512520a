"""Makes ids of tool calls unique in a run, legal for every server, and as short as a model's template requires."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace

from pydantic_core import from_json

from agentloop.items import Item, ToolCall, ToolResult
from agentloop.tools import Tool
from agentloop.wire.payload import mapping, mappings, string

_LEGAL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHORT = re.compile(r"[A-Za-z0-9]{9}")
_WRAPPERS = frozenset({"parallel", "multi_tool_use.parallel"})


class CallIds:
    """The ids that one conversation has used so far."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._short: dict[str, str] = {}

    def take(self, items: Iterable[Item]) -> None:
        """Record the ids in items of the conversation as used."""
        self._taken.update(item.call_id for item in items if isinstance(item, ToolCall))

    def own(self, call: ToolCall) -> ToolCall:
        """Return a call of a reply with an id that is legal and not used yet, and record that id."""
        call_id = call.call_id
        if call_id in self._taken or not _LEGAL.fullmatch(call_id):
            call_id = self._new()
        self._taken.add(call_id)
        return call if call_id == call.call_id else replace(call, call_id=call_id)

    def shorten(self, item: Item) -> Item:
        """Return the item with an id of nine letters or digits, for a model whose template requires that."""
        if not isinstance(item, (ToolCall, ToolResult)) or _SHORT.fullmatch(item.call_id):
            return item
        short = self._short.setdefault(item.call_id, f"{len(self._short):09d}")
        return replace(item, call_id=short)

    def _new(self) -> str:
        number = len(self._taken) + 1
        while f"call_{number}" in self._taken:
            number += 1
        return f"call_{number}"


def unwrap_parallel(call: ToolCall, tools: Iterable[Tool]) -> list[ToolCall]:
    """Return the calls inside a call of the wrapper tool that OpenAI's models invent for several calls at once.

    If a tool with that name is on offer, its call is returned unchanged.
    """
    if call.name not in _WRAPPERS or any(tool.name == call.name for tool in tools):
        return [call]
    try:
        uses = mappings(mapping(from_json(call.arguments)).get("tool_uses"))
    except ValueError:
        return [call]
    # Names such as `functions.add` may stay: the lookup of names removes the prefix.
    calls = [
        ToolCall("", string(use.get("recipient_name")), json.dumps(mapping(use.get("parameters")))) for use in uses
    ]
    return calls or [call]

"""Makes ids of tool calls unique in a run, and writes them in the form that a server requires."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace

from pydantic_core import from_json

from agentloop.items import Item, ToolCall, ToolResult
from agentloop.tools import Tool
from agentloop.wire.payload import mapping, mappings, string
from agentloop.wire.profile import Profile

_LONGEST = 16_384  # some ids hold a signature of the server
_LEGAL = re.compile(r"[A-Za-z0-9_-]{1,40}")
_NUMBERED = re.compile(r"(.*:)(\d{1,9})", re.DOTALL)  # Kimi's ids: the name of the function, and the number of the call
_SHORT = re.compile(r"[A-Za-z0-9]{9}")
_WRAPPERS = frozenset({"parallel", "multi_tool_use.parallel"})


class CallIds:
    """The ids that one conversation has used so far."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._short: dict[str, str] = {}
        self._legal: dict[str, str] = {}
        self._numbers: dict[str, int] = {}

    def take(self, items: Iterable[Item]) -> None:
        """Record the ids in items of the conversation as used."""
        self._taken.update(item.call_id for item in items if isinstance(item, ToolCall))

    def own(self, call: ToolCall) -> ToolCall:
        """Return a call of a reply with an id that is not used yet, and record that id.

        The server's own id is kept if it can be, because some models read it, and some ids hold a signature.
        """
        call_id = call.call_id
        if not call_id or len(call_id) > _LONGEST or not call_id.isprintable():
            call_id = self._new()
        elif call_id in self._taken:
            call_id = self._renumber(call_id)
        self._taken.add(call_id)
        return call if call_id == call.call_id else replace(call, call_id=call_id)

    def write(self, item: Item, profile: Profile) -> Item:
        """Return the item with its id in the form that a profile requires."""
        if not isinstance(item, (ToolCall, ToolResult)):
            return item
        call_id = item.call_id
        if profile.short_call_ids and not _SHORT.fullmatch(call_id):
            call_id = self._short.setdefault(call_id, f"{len(self._short):09d}")
        elif profile.legal_call_ids and not _LEGAL.fullmatch(call_id):
            if call_id not in self._legal:
                self._legal[call_id] = new = self._new()
                self._taken.add(new)
            call_id = self._legal[call_id]
        return item if call_id == item.call_id else replace(item, call_id=call_id)

    def _renumber(self, call_id: str) -> str:
        """Return a new id in place of one that is taken; the name of the function stays in it."""
        numbered = _NUMBERED.fullmatch(call_id)
        if numbered is None:
            return self._new()
        name, number = numbered[1], max(int(numbered[2]), self._numbers.get(numbered[1], 0))
        while f"{name}{number}" in self._taken:
            number += 1
        self._numbers[name] = number
        return f"{name}{number}"

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

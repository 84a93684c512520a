"""Assembles the tool calls of a streamed completion from their deltas.

A delta should have the index of its call, and the first delta of a call its id and name. Servers omit the index, give
all calls the index 0 (Ollama, Gemini) or one call several (LocalAI), repeat the id and the name in each delta, make a
new id for each delta (vLLM's harmony parser), leave ids out or blank, or send the name in pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from agentloop.items import JsonObject
from agentloop.wire.payload import mapping, string
from agentloop.wire.streams.pieces import join_arguments, same_objects
from agentloop.wire.streams.reply import read_arguments, read_call, read_id, read_index
from agentloop.wire.streams.state import join_pieces, pick_call_fields

_MARK = re.compile(r'\\.|["{}]', re.DOTALL)


@dataclass(slots=True)
class _Call:
    """The parts of one call that have come so far."""

    call_id: str
    name: str
    event: int
    arguments: list[str] = field(default_factory=list[str])
    state: list[JsonObject] = field(default_factory=list[JsonObject])
    _depth: int = 0
    _read: int = 0
    _in_text: bool = False
    _rest: str = ""
    _is_object: bool = False

    def add(self, call_id: str, name: str, arguments: str) -> None:
        """Take a delta."""
        self.call_id = self.call_id or call_id
        if not (self.name and self.arguments) and name != self.name:
            self.name = name if name.startswith(self.name) else self.name + name
        if arguments:
            self.arguments.append(arguments)

    def is_whole(self) -> bool:
        """Return whether the arguments already are a complete JSON object; each piece is read only once."""
        text = self._rest + "".join(self.arguments[self._read :])
        self._read, end = len(self.arguments), 0
        for mark in _MARK.finditer(text):
            end = mark.end()
            if mark[0] == '"':
                self._in_text = not self._in_text
            elif not self._in_text and mark[0] in "{}":
                self._depth += 1 if mark[0] == "{" else -1
                self._is_object = True
        self._rest = "\\" if text.endswith("\\") and end < len(text) else ""
        return self._is_object and not self._depth and not self._in_text

    def take_again(self, other: _Call) -> bool:
        """Take what another call with the same id and name has, or return False if it is a call of its own.

        Some servers give the same id to all calls.
        """
        if other.arguments and not self.is_whole():
            self.arguments += other.arguments
            return True
        return not other.arguments or same_objects("".join(self.arguments), "".join(other.arguments))

    def raw(self) -> JsonObject:
        """Return the call in the form that it has in a body."""
        state = join_pieces(self.state)
        arguments = join_arguments(self.arguments)
        function = {**mapping(state.get("function")), "name": self.name, "arguments": arguments}
        return {**state, "id": self.call_id, "function": function}


class StreamedCalls:
    """The calls of one choice of a streamed completion."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._by_both: dict[tuple[int | None, str], _Call] = {}
        self._events = 0
        self._has_changing_ids = False
        self._whole: list[JsonObject] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take(self, deltas: Iterable[JsonObject]) -> None:
        """Take the deltas of one event."""
        self._events += 1
        for delta in deltas:
            function = mapping(delta.get("function")) or delta
            index, call_id, name = read_index(delta.get("index")), read_id(delta), string(function.get("name"))
            arguments = read_arguments(function.get("arguments"))
            call = self._find(index, call_id, name, arguments)
            if call is None:
                call = _Call(call_id, name, self._events)
                self._calls.append(call)
            elif call_id and call.call_id and call_id != call.call_id:
                self._has_changing_ids = True
            call.add(call_id, name, arguments)
            if state := pick_call_fields(delta):
                call.state.append(state)
            self._remember(call, index, call_id)

    def complete(self, calls: list[JsonObject]) -> None:
        """Take all calls, which the server sends once more."""
        self._whole = calls

    def raw(self) -> list[JsonObject]:
        """Return the calls in the form that they have in a body."""
        self._fold()
        calls = [call.raw() for call in self._calls]
        read = [read_call(call) for call in self._whole]
        is_better = len(read) >= len(calls) and all(call.name and call.arguments for call in read)
        return self._whole if is_better else calls

    def _remember(self, call: _Call, index: int | None, call_id: str) -> None:
        if index is not None:
            self._by_index[index] = call
        if call_id:
            self._by_id[call_id] = self._by_both[index, call_id] = call

    def _find(self, index: int | None, call_id: str, name: str, arguments: str) -> _Call | None:
        """Return the call that a delta continues, or None if it begins a new call."""
        call = self._by_both.get((index, call_id))
        if call is None and index is not None:
            call = self._by_index.get(index)
        elif call is None:
            call = self._by_id.get(call_id) or next(reversed(self._calls), None)
        if call is None and not name:  # the index counts the deltas
            call = self._by_id.get(call_id) if call_id else next(reversed(self._calls), None)
        return None if call is None or self._is_another(call, index, call_id, name, arguments) else call

    def _is_another(self, call: _Call, index: int | None, call_id: str, name: str, arguments: str) -> bool:
        """Return whether a delta begins a new call, though its index is that of a call or is missing."""
        if not name or not call.name:
            return False
        is_new_name, is_whole = name != call.name, call.is_whole()
        if call.event == self._events and (is_whole or not call.arguments):
            return True  # an event has one delta for each call
        if call_id and call.call_id == call_id:
            return is_new_name and is_whole
        if call.arguments:
            return is_whole and (is_new_name or bool(call_id) or index is None)
        return bool(call_id and call.call_id) or bool(arguments and is_new_name)

    def _fold(self) -> None:
        """Put together the parts of a call that the server has sent as several calls."""
        folded: list[_Call] = []
        first: dict[tuple[str, str], _Call] = {}
        for call in self._calls:
            last = folded[-1] if folded else None
            if last is not None and self._has_changing_ids and last.name == call.name and not last.arguments:
                last.arguments, last.state = call.arguments, last.state + call.state
                continue
            before = first.setdefault((call.call_id, call.name), call)
            if before is call or not call.call_id or not before.take_again(call):
                folded.append(call)
        self._calls = folded

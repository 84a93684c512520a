"""Assembles the stream of `/v1/chat/completions` into the body that the server would have sent in one piece.

Servers differ. They omit the `index` of a tool call, repeat its id and name in every chunk or send them blank, give
each of several calls the index 0, send arguments in one piece, and put the usage in a last chunk without choices.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic_core import from_json

from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import JsonObject, Message, Reasoning, Reply
from agentloop.wire.payload import mapping, mappings, string
from agentloop.wire.profile.error_body import is_failure
from agentloop.wire.profile.failures import read_failure
from agentloop.wire.streams.chat_reply import read_completion
from agentloop.wire.streams.ending import ENDED_SECONDS, FINISHED_SECONDS
from agentloop.wire.streams.reply import read_arguments, read_message
from agentloop.wire.streams.state import join_pieces, pick_call_fields, pick_message_fields
from agentloop.wire.streams.stream import SILENT, Delta, read_event, stream_cut


@dataclass(slots=True)
class _Call:
    """The parts of a tool call that have come so far."""

    call_id: str
    name: str
    arguments: list[str] = field(default_factory=list[str])
    state: list[JsonObject] = field(default_factory=list[JsonObject])

    def raw(self) -> JsonObject:
        """Return the call in the form that it has in a body."""
        state = join_pieces(self.state)
        function = {**mapping(state.get("function")), "name": self.name, "arguments": "".join(self.arguments)}
        return {**state, "id": self.call_id, "function": function}

    def is_whole(self) -> bool:
        """Return whether the arguments already are a complete JSON object."""
        try:
            return isinstance(from_json("".join(self.arguments)), dict)
        except ValueError:
            return False


class ChatAccumulator:
    """Assembles the chunks of one streamed completion."""

    def __init__(self) -> None:
        self._id = ""
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._thought: list[str] = []
        self._calls: list[_Call] = []
        self._state: list[JsonObject] = []
        self._by_index: dict[int, _Call] = {}
        self._usage: object = None
        self._finish: object = None
        self._has_choice = False
        self._ended = False

    def take(self, name: bytes, data: bytes, shown: list[Delta]) -> None:
        """Take a chunk, and append the deltas to show to `shown`.

        Raises:
            EndpointError: the chunk reports that the request failed, or it is not JSON.
        """
        if data in SILENT:
            self._ended |= data != b""
            return
        chunk = mapping(read_event(name, data))
        if name == b"error" or is_failure(chunk):
            raise read_failure(chunk)
        if not self._id:
            self._id = string(chunk.get("id"))
        self._usage = chunk.get("usage") or self._usage
        choices = mappings(chunk.get("choices"))
        if choices:
            self._has_choice = True
            choice = choices[0]
            self._finish = choice.get("finish_reason") or self._finish
            self._add(mapping(choice.get("delta")) or mapping(choice.get("message")), shown)

    @property
    def grace_seconds(self) -> float | None:
        """How long to wait for more chunks; None before a `finish_reason` or `[DONE]`."""
        if self._ended:
            return ENDED_SECONDS
        return FINISHED_SECONDS if self._finish else None

    def reply(self) -> Reply:
        """Return the whole reply.

        Raises:
            StreamCutError: there was no choice, or neither a `finish_reason` nor `[DONE]` has come.
        """
        if not self._has_choice or not (self._finish or self._ended):
            raise stream_cut()
        message = {
            **join_pieces(self._state),
            "content": "".join(self._text),
            "refusal": "".join(self._refusal),
            "reasoning": "".join(self._thought),
            "tool_calls": [call.raw() for call in self._calls],
        }
        choice = {"message": message, "finish_reason": self._finish}
        return read_completion({"id": self._id, "choices": [choice], "usage": self._usage})

    def _add(self, delta: JsonObject, shown: list[Delta]) -> None:
        content = delta.get("content")
        if content and isinstance(content, str) and len(delta) == 1:  # the usual chunk
            self._text.append(content)
            shown.append(TextDelta(content))
            return
        text, refusal = string(content), string(delta.get("refusal"))
        thought = string(delta.get("reasoning")) or string(delta.get("reasoning_content"))
        if isinstance(content, list):  # Mistral's reasoning models
            for item in read_message({"content": content}).items:
                text += item.text if isinstance(item, Message) else ""
                thought += item.text if isinstance(item, Reasoning) else ""
        if thought:
            self._thought.append(thought)
            shown.append(ReasoningDelta(thought))
        if text or refusal:
            self._text.append(text)
            self._refusal.append(refusal)
            shown.append(TextDelta(text + refusal))
        if state := pick_message_fields(delta):
            self._state.append(state)
        for call in mappings(delta.get("tool_calls")):
            self._add_call(call)

    def _add_call(self, delta: JsonObject) -> None:
        function = mapping(delta.get("function"))
        index, call_id, name = delta.get("index"), string(delta.get("id")), string(function.get("name"))
        call = self._find_call(index, call_id, name)
        if call is None:
            call = _Call(call_id, name)
            self._calls.append(call)
            if type(index) is int:
                self._by_index[index] = call
        call.call_id = call.call_id or call_id
        call.name = call.name or name
        call.arguments.append(read_arguments(function.get("arguments")))
        if state := pick_call_fields(delta):
            call.state.append(state)

    def _find_call(self, index: object, call_id: str, name: str) -> _Call | None:
        """Return the call that a delta continues, or None if it begins a new call."""
        if type(index) is int:
            call = self._by_index.get(index)
        else:
            same_id = (call for call in self._calls if call_id and call.call_id == call_id)
            call = next(same_id, None) or next(reversed(self._calls), None)
        if call is None or (call_id and call.call_id == call_id):
            return call
        # The index is the same or missing, and there is a name. If this call is complete, the delta begins a new call
        # (Gemini); otherwise the server repeats the name.
        another = name and call.name and (call_id or index is None) and call.is_whole()
        return None if another else call

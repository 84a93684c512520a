"""Assembles the stream of `/v1/chat/completions` into the body that the server would have sent in one piece.

Servers differ. Some send all so far in each event, or the whole message once more at the end, in `message` in place of
`delta`. Some send a part of the reply in another choice, and the usage in a last chunk without choices. `calls` reads
the deltas of tool calls, `pieces` those of texts.
"""

from __future__ import annotations

from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import JsonObject, Message, Reasoning, Reply
from agentloop.wire.characters import CharacterJoiner
from agentloop.wire.payload import mapping, mappings, string
from agentloop.wire.profile.error_body import first_object, is_failure
from agentloop.wire.profile.failures import read_failure
from agentloop.wire.streams.calls import StreamedCalls
from agentloop.wire.streams.chat_reply import read_completion
from agentloop.wire.streams.ending import ENDED_SECONDS, FINISHED_SECONDS
from agentloop.wire.streams.pieces import TextPieces
from agentloop.wire.streams.reply import find_usage, join_usage, read_calls, read_message
from agentloop.wire.streams.state import join_pieces, pick_message_fields
from agentloop.wire.streams.stream import Delta, is_silent, read_event, stream_cut

_USUAL = frozenset({"id", "object", "created", "model", "choices", "system_fingerprint", "service_tier", "provider"})
"""The fields of nearly all chunks. None of them holds a failure or the usage."""
_NOT_YET = ("null", "None", "none")  # the `finish_reason` of DashScope before the end

# The deltas of reasoning, text and refusal.
_KINDS: tuple[type[Delta], ...] = (ReasoningDelta, TextDelta, TextDelta)


class _Choice:
    """The parts of one choice that have come so far."""

    def __init__(self) -> None:
        self._thought, self.text, self._refusal = self._pieces = TextPieces(), TextPieces(), TextPieces()
        self._calls = StreamedCalls()
        self._state: list[JsonObject] = []
        self._speaks_in_messages = False
        self.end: JsonObject = {}

    def take(self, choice: JsonObject, shown: list[Delta]) -> None:
        """Take what a chunk holds for this choice, and append the deltas to show to `shown`."""
        delta, last = mapping(choice.get("delta")), bool(choice.get("finish_reason"))
        content, fields = delta.get("content"), len(delta) - ("role" in delta)
        if content and isinstance(content, str) and fields == 1 and not last:  # the usual chunk
            text = self.text.add(content)
            if text:
                shown.append(TextDelta(text))
        else:
            self._add(delta, shown, last=last)
        if "message" in choice and (message := mapping(choice["message"])):
            self._take_message(message, shown, last=last)
        if choice.get("error"):
            raise read_failure(choice["error"])
        if last and choice["finish_reason"] not in _NOT_YET:
            self.end = {name: choice.get(name) for name in ("finish_reason", "native_finish_reason")}
            self.settle(shown)

    def settle(self, shown: list[Delta]) -> None:
        """Append the deltas that were held back to `shown`, because the choice ends."""
        for pieces, kind in zip(self._pieces, _KINDS, strict=True):
            if text := pieces.finish():
                shown.append(kind(text))

    def raw(self, *, speaks: bool) -> JsonObject:
        """Return the choice in the form that it has in a body, without text that was not shown."""
        message = {
            **join_pieces(self._state),
            "content": self.text.text() if speaks else "",
            "refusal": self._refusal.text(),
            "reasoning": self._thought.text(),
            "tool_calls": self._calls.raw(),
        }
        return {**self.end, "message": message}

    def _add(self, delta: JsonObject, shown: list[Delta], *, last: bool) -> None:
        for pieces, piece, kind in zip(self._pieces, _read_texts(delta), _KINDS, strict=True):
            if piece and (new := pieces.add(piece, last=last)):
                shown.append(kind(new))
        if state := pick_message_fields(delta):
            self._state.append(state)
        if calls := read_calls(delta):
            self._calls.take(calls)

    def _take_message(self, message: JsonObject, shown: list[Delta], *, last: bool) -> None:
        """Take a message: the whole reply once more if deltas have come, and otherwise what others call a delta."""
        if self._speaks_in_messages or not (self.text or self._thought or self._refusal or self._calls):
            self._speaks_in_messages = True
            self._add(message, shown, last=last)
            return
        for pieces, whole, kind in zip(self._pieces, _read_texts(message), _KINDS, strict=True):
            if new := pieces.complete(whole):
                shown.append(kind(new))
        if state := pick_message_fields(message):
            self._state = [state]
        self._calls.complete(read_calls(message))


class ChatAccumulator:
    """Assembles the chunks of one streamed completion."""

    def __init__(self) -> None:
        self._id = ""
        self._choices: dict[object, _Choice] = {}
        self._speaker: _Choice | None = None  # the choice whose text is shown
        self._usage: JsonObject = {}
        self._finished = False
        self._ended = False
        self._characters = CharacterJoiner()

    def take(self, name: bytes, data: bytes, shown: list[Delta]) -> None:
        """Take a chunk, and append the deltas to show to `shown`.

        Raises:
            EndpointError: the chunk reports that the request failed, or it is not JSON.
        """
        if self._ended:
            return
        if is_silent(data):
            if data.strip():
                self._end(shown)
            return
        event = read_event(name, data, self._characters)
        chunk = first_object(event)
        choices = mappings(chunk.get("choices"))
        if not choices or name or not chunk.keys() <= _USUAL:
            self._take_rest(name, chunk or event)
        if not self._id:
            self._id = string(chunk.get("id"))
        if self._finished and string(chunk.get("id")) != self._id:
            return  # some servers repeat the stream
        for choice in choices:
            if "usage" in choice:  # Moonshot
                self._usage = join_usage(self._usage, find_usage(choice))
            self._take_choice(choice, shown)

    @property
    def grace_seconds(self) -> float | None:
        """How long to wait for more chunks; None before a `finish_reason` or `[DONE]`."""
        if self._ended:
            return ENDED_SECONDS
        return FINISHED_SECONDS if self._finished else None

    def reply(self) -> Reply:
        """Return the whole reply.

        Raises:
            StreamCutError: there was no choice, or neither a `finish_reason` nor `[DONE]` has come.
            EndpointError: the server says in a choice that the model failed.
        """
        if not self._choices or not (self._finished or self._ended):
            raise stream_cut()
        choices = [choice.raw(speaks=choice is self._speaker) for choice in self._choices.values()]
        return read_completion({"id": self._id, "choices": choices, "usage": self._usage})

    def _take_rest(self, name: bytes, event: object) -> None:
        """Take what an event holds besides choices: a failure, or the usage."""
        chunk = mapping(event)
        if name == b"error" or is_failure(chunk):
            raise read_failure(event)
        self._usage = join_usage(self._usage, find_usage(chunk))

    def _take_choice(self, choice: JsonObject, shown: list[Delta]) -> None:
        index = choice.get("index")
        key = index if type(index) is int else 0
        parts = self._choices.get(key)
        if parts is None:
            parts = self._choices[key] = _Choice()
        speaker = self._speaker
        parts.take(choice, shown if speaker is None or speaker is parts else [])
        if speaker is None and parts.text:
            self._speaker = parts
        if parts.end:
            self._finished = True

    def _end(self, shown: list[Delta]) -> None:
        self._ended = True
        for choice in self._choices.values():
            choice.settle(shown if self._speaker in (None, choice) else [])


def _read_texts(delta: JsonObject) -> tuple[str, str, str]:
    """Return the reasoning, the text and the refusal in a delta or a message."""
    content, text, thought = delta.get("content"), "", ""
    if isinstance(content, str):
        text = content
    elif isinstance(content, list):  # Mistral's reasoning models
        for item in read_message({"content": content}).items:
            text += item.text if isinstance(item, Message) else ""
            thought += item.text if isinstance(item, Reasoning) else ""
    thought = string(delta.get("reasoning")) or string(delta.get("reasoning_content")) or thought
    return thought, text, string(delta.get("refusal"))

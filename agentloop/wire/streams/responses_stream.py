"""Assembles the stream of `/v1/responses` into the body that the server would have sent in one piece.

Only the last event is required. Servers omit `added` and `done` events, item ids, indexes and event names, change an
item's id from event to event (GitHub Copilot), send arguments only when they are complete (LM Studio) or only in the
last event (LiteLLM), or send the last event with an empty `output`. Gateways send the chunks of a chat in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import JsonObject, Message, Reply
from agentloop.wire.characters import CharacterJoiner
from agentloop.wire.payload import mapping, mappings, string
from agentloop.wire.profile.error_body import first_object, is_failure
from agentloop.wire.profile.failures import read_failure
from agentloop.wire.streams.chat_stream import ChatAccumulator
from agentloop.wire.streams.ending import ENDED_SECONDS
from agentloop.wire.streams.finish import judge
from agentloop.wire.streams.pieces import TextPieces, join_arguments
from agentloop.wire.streams.reply import find_usage, join_usage, read_index, read_message
from agentloop.wire.streams.responses_reply import find_reason, read_response
from agentloop.wire.streams.stream import Delta, is_silent, read_event, stream_cut


@dataclass(slots=True)
class _Slot:
    """The parts of one output item that have come so far."""

    kind: str
    index: int | None = None
    item: JsonObject = field(default_factory=dict[str, Any])
    done: bool = False
    refused: bool = False
    text: TextPieces = field(default_factory=TextPieces)
    thought: TextPieces = field(default_factory=TextPieces)
    arguments: list[str] = field(default_factory=list[str])
    whole_arguments: object = None

    def raw(self) -> JsonObject:
        """Return the item in the form that it has in a body; the deltas supply what its own events omit."""
        item = {"type": self.kind, **self.item}
        match self.kind:
            case "function_call":
                finished = item.get("arguments") if self.done else None
                found = [finished, self.whole_arguments, join_arguments(self.arguments), item.get("arguments")]
                return {**item, "arguments": next(filter(_has_arguments, found), None) or next(filter(None, found), "")}
            case "message" if not _says_something(item):
                return {**item, "content": [{"refusal" if self.refused else "text": self.text.text()}]}
            case "reasoning" if not (item.get("content") or item.get("summary")):
                return {**item, "content": self.thought.text()}
            case _:
                return item


class ResponsesAccumulator:
    """Assembles the events of one streamed response."""

    def __init__(self) -> None:
        self._slots: list[_Slot] = []
        self._by_index: dict[int | None, _Slot] = {}
        self._by_id: dict[str, _Slot] = {}
        self._shown: list[str] = []
        self._reply: Reply | None = None
        self._chat: ChatAccumulator | None = None  # reads the chunks of a chat, if these come
        self._characters = CharacterJoiner()

    def take(self, name: bytes, data: bytes, shown: list[Delta]) -> None:
        """Take an event, and append the deltas to show to `shown`.

        Raises:
            EndpointError: the event reports that the response failed, or it is not JSON.
        """
        if self._chat is not None:
            self._chat.take(name, data, shown)
            return
        route = self._ROUTES.get(name)
        if self._reply is not None or (route is None and _is_idle(name, data.strip())):
            return
        value = read_event(name, data, self._characters)
        event = first_object(value)
        if name == b"error" and not event:
            raise read_failure(value)
        route = route or self._ROUTES.get(string(event.get("type")).encode())
        if route is not None:
            route(self, event, shown)
        elif event.get("object") == "response" and event.get("output"):  # the whole body, as the data of one event
            self._take_end({"response": event}, shown)
        elif event.get("choices"):
            self._chat = ChatAccumulator()
            self._chat.take(name, data, shown)
        elif is_failure(event):
            raise read_failure(event)

    @property
    def grace_seconds(self) -> float | None:
        """How long to wait for more events; None before the terminal event."""
        if self._chat is not None:
            return self._chat.grace_seconds
        return None if self._reply is None else ENDED_SECONDS

    def reply(self) -> Reply:
        """Return the whole reply.

        Raises:
            StreamCutError: no terminal event has come.
            EndpointError: the chunks of a chat say that the model failed.
        """
        if self._chat is not None:
            return self._chat.reply()
        if self._reply is None:
            raise stream_cut()
        return self._reply

    def _take_text(self, event: JsonObject, shown: list[Delta]) -> None:
        delta = string(event.get("delta"))
        if delta and (text := self._slot(event, "message").text.add(delta)):
            self._shown.append(text)
            shown.append(TextDelta(text))

    def _take_whole_text(self, event: JsonObject, shown: list[Delta]) -> None:
        if not self._slot(event, "message").text:
            self._take_text({**event, "delta": event.get("text")}, shown)

    def _take_refusal(self, event: JsonObject, shown: list[Delta]) -> None:
        self._slot(event, "message").refused = True
        self._take_text(event, shown)

    def _take_reasoning(self, event: JsonObject, shown: list[Delta]) -> None:
        delta = string(event.get("delta"))
        if delta and (thought := self._slot(event, "reasoning").thought.add(delta)):
            shown.append(ReasoningDelta(thought))

    def _take_arguments(self, event: JsonObject, _: list[Delta]) -> None:
        self._slot(event, "function_call").arguments.append(string(event.get("delta")))

    def _take_whole_arguments(self, event: JsonObject, _: list[Delta]) -> None:
        slot = self._slot(event, "function_call")
        slot.whole_arguments = event.get("arguments")
        slot.item = {"name": event.get("name"), **slot.item}

    def _take_added(self, event: JsonObject, _: list[Delta]) -> None:
        item = mapping(event.get("item"))
        kind, item_id = string(item.get("type")), string(item.get("id"))
        slot = self._find(event, item_id, kind)
        if slot is None or (slot.done and slot.item.get("id") != item_id):
            slot = self._new(event, item_id, kind)
        slot.item = item

    def _take_done(self, event: JsonObject, _: list[Delta]) -> None:
        item = mapping(event.get("item"))
        kind, item_id = string(item.get("type")), string(item.get("id"))
        slot = self._find(event, item_id, kind)
        if slot is None:
            slot = next(iter(self._open(event, kind)), None) or self._new(event, item_id, kind)
        slot.item = {**slot.item, **item}
        slot.done = True

    def _take_end(self, event: JsonObject, shown: list[Delta]) -> None:
        response = mapping(event.get("response"))
        for slot in self._slots:
            slot.text.end()  # shown below
            if thought := slot.thought.end():
                shown.append(ReasoningDelta(thought))
        output = _settle(mappings(response.get("output")), [slot.raw() for slot in self._slots])
        status = "completed" if judge(response.get("status")) == "unknown" else response.get("status")  # in_progress
        usage = join_usage(find_usage(event), find_usage(response))
        self._reply = reply = read_response({**response, "status": status, "output": output, "usage": usage}, b"")
        # Text that only this event contains has not been shown yet.
        texts = (item.text for item in reply.items if isinstance(item, Message) and item.role == "assistant")
        text, before = "".join(texts), "".join(self._shown)
        if len(text) > len(before) and text.startswith(before):
            shown.append(TextDelta(text[len(before) :]))

    def _take_incomplete(self, event: JsonObject, shown: list[Delta]) -> None:
        self._take_end({**event, "response": {**mapping(event.get("response")), "status": "incomplete"}}, shown)

    def _take_failure(self, event: JsonObject, _: list[Delta]) -> None:
        response = mapping(event.get("response"))
        raise read_failure(find_reason(response) if response else event)

    def _slot(self, event: JsonObject, kind: str) -> _Slot:
        """Return the slot of a delta; create it if there is none."""
        slot = self._find(event, event.get("item_id"), kind)
        if slot is None:
            slot = next(reversed(self._open(event, kind)), None) or self._new(event, event.get("item_id"), kind)
        return slot

    def _find(self, event: JsonObject, item_id: object, kind: str) -> _Slot | None:
        """Return the slot with the event's index, or the one with its item's id, or None."""
        index = event.get("output_index")
        slot = self._by_index.get(index if type(index) is int else read_index(index))
        if slot is None or slot.kind != kind:
            slot = self._by_id.get(item_id) if isinstance(item_id, str) else None
        return slot if slot is not None and slot.kind == kind else None

    def _open(self, event: JsonObject, kind: str) -> list[_Slot]:
        """Return the slots that an event without a known index or id may belong to."""
        index = read_index(event.get("output_index"))
        slots = (slot for slot in self._slots if slot.kind == kind and not slot.done)
        return [slot for slot in slots if index is None or slot.index is None]

    def _new(self, event: JsonObject, item_id: object, kind: str) -> _Slot:
        slot = _Slot(kind, read_index(event.get("output_index")))
        self._slots.append(slot)
        if slot.index is not None:
            self._by_index[slot.index] = slot
        if isinstance(item_id, str) and item_id:
            self._by_id[item_id] = slot
        return slot

    _ROUTES: ClassVar[dict[bytes, Callable[[ResponsesAccumulator, JsonObject, list[Delta]], None]]] = {
        b"response.output_text.delta": _take_text,
        b"response.output_text.done": _take_whole_text,
        b"response.refusal.delta": _take_refusal,
        b"response.reasoning_text.delta": _take_reasoning,
        b"response.reasoning_summary_text.delta": _take_reasoning,
        b"response.function_call_arguments.delta": _take_arguments,
        b"response.function_call_arguments.done": _take_whole_arguments,
        b"response.output_item.added": _take_added,
        b"response.output_item.done": _take_done,
        b"response.completed": _take_end,
        b"response.incomplete": _take_incomplete,
        b"response.failed": _take_failure,
        b"error": _take_failure,
    }


def _is_idle(name: bytes, data: bytes) -> bool:
    """Return whether an event without a route need not be parsed; most such events are long and repeat others.

    A damaged event is not idle: it must be reported, because other events may be missing too.
    """
    return is_silent(data) or (name.startswith(b"response.") and data.endswith(b"}"))


def _settle(final: list[JsonObject], streamed: list[JsonObject]) -> list[JsonObject]:
    """Return the output of the last event, or the streamed output if the last event has less."""
    if not final or (_has_calls(streamed) and not _has_calls(final)):
        return streamed
    if [item.get("type") for item in final] != [item.get("type") for item in streamed]:
        return final
    return [_fill(item, spare) for item, spare in zip(final, streamed, strict=True)]


def _has_calls(output: Iterable[JsonObject]) -> bool:
    return any(item.get("type") == "function_call" and item.get("name") for item in output)


def _fill(item: JsonObject, spare: JsonObject) -> JsonObject:
    item = {**spare, **item}
    match item.get("type"):
        case "function_call" if not _has_arguments(item.get("arguments")):
            return {**item, "arguments": spare.get("arguments") or item.get("arguments")}
        case "message" if not _says_something(item):
            return {**item, "content": spare.get("content")}
        case _:
            return item


def _has_arguments(arguments: object) -> bool:
    """Return whether arguments are more than a server's placeholder."""
    return bool(arguments) and arguments != "{}"


def _says_something(message: JsonObject) -> bool:
    return any(isinstance(item, Message) for item in read_message(message).items)

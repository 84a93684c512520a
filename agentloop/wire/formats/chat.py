"""Writes requests to `/v1/chat/completions`. `chat_reply` and `chat_stream` read the replies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import assert_never

from agentloop.items import Item, JsonObject, Message, Opaque, Part, Reasoning, Reply, Text, ToolCall, ToolResult
from agentloop.tools import Tool
from agentloop.wire.formats.dialect import ModelRequest
from agentloop.wire.formats.images import place_images
from agentloop.wire.formats.request import (
    REPLAYS_TEXT,
    choose_tools,
    is_strict,
    read_state,
    write_body,
    write_call,
    write_schema,
)
from agentloop.wire.formats.settings import write_settings
from agentloop.wire.formats.structured import add_format, tell_form
from agentloop.wire.payload import dump
from agentloop.wire.profile import Profile
from agentloop.wire.streams.chat_reply import read_body
from agentloop.wire.streams.chat_stream import ChatAccumulator
from agentloop.wire.streams.stream import StreamDecoder, read_whole

_CALL_CONTENT: Mapping[str, JsonObject] = {"null": {"content": None}, "empty": {"content": ""}, "absent": {}}


class ChatCompletions:
    """The older route, which every kind of server has."""

    path = "/chat/completions"

    def encode_items(self, items: Sequence[Item], profile: Profile) -> list[bytes]:
        """Return the JSON of the items of one or more whole turns, one fragment per message.

        System messages are left out (`ModelRequest.instructions` holds them), and so are items of types that only
        `/v1/responses` has. Reasoning is included if the profile says so.
        """
        thinks = profile.reasoning_replay != "none"
        kept = (item for item in items if thinks or not isinstance(item, Reasoning))
        return [dump(message) for message in _write_messages(place_images(kept, profile, in_results=False), profile)]

    def encode_tools(self, tools: Sequence[Tool], profile: Profile) -> bytes:
        """Return the JSON array of the tools."""
        return dump([{"type": "function", "function": _write_tool(tool, profile)} for tool in tools])

    def encode(self, request: ModelRequest, fragments: Sequence[bytes], tools: bytes) -> bytes:
        """Return the body of a request from the encoded conversation and tools.

        Raises:
            ConfigurationError: a value in `extra_body` is not JSON.
        """
        request, fragments = tell_form(request, fragments)
        settings, profile = request.settings, request.profile
        word, name = choose_tools(request)
        fields = {
            "model": request.model,
            "stream": request.stream,
            # Without it OpenAI and vLLM do not report tokens in a stream.
            "stream_options": {"include_usage": True} if request.stream and profile.stream_usage else None,
            "tools": tools if request.tools else None,
            "tool_choice": {"type": "function", "function": {"name": name}} if name else word,
            **write_settings(settings, profile, "chat", has_tools=bool(request.tools)),
        }
        system = [dump({"role": "system", "content": request.instructions})] if request.instructions else []
        fields = add_format(fields, request, "chat")
        return write_body(fields, settings.extra_body, "messages", [*system, *fragments], profile.refused)

    def decode(self, body: bytes) -> Reply:
        """Return the reply in a whole body.

        Raises:
            ReplyError: the body is not a reply.
            EndpointError: the body reports that the request failed.
        """
        return read_whole(body, self.decoder(), read_body)

    def decoder(self) -> StreamDecoder:
        """Return a decoder for one streamed reply."""
        return StreamDecoder(ChatAccumulator(), read_body)


def _write_tool(tool: Tool, profile: Profile) -> JsonObject:
    strict = {"strict": True} if is_strict(tool, profile) else {}
    schema = write_schema(tool, profile)
    return {"name": tool.name, "description": tool.description, "parameters": schema, **strict}


def _write_messages(items: Iterable[Item], profile: Profile) -> Iterator[JsonObject]:
    """Yield the messages; the reasoning, text and calls of one assistant turn are a single message."""
    turn: list[Message | Reasoning | ToolCall] = []
    for item in items:
        match item:
            case ToolCall() | Reasoning() | Message(role="assistant"):
                turn.append(item)
            case Message(role="user") | ToolResult():
                yield from _write_turn(turn, profile)
                turn = []
                yield _write_answer(item)
            case Message() | Opaque():
                pass
            case _:
                assert_never(item)
    yield from _write_turn(turn, profile)


def _write_turn(turn: Sequence[Message | Reasoning | ToolCall], profile: Profile) -> Iterator[JsonObject]:
    content = "\n\n".join(item.text for item in turn if isinstance(item, Message) and item.text)
    calls = [item for item in turn if isinstance(item, ToolCall)]
    state: JsonObject = {}
    for item in turn:
        state |= read_state(item) if not isinstance(item, ToolCall) else {}
    if calls:
        # DeepSeek refuses a call without the reasoning that led to it, and ignores other reasoning.
        state |= _write_reasoning(turn, profile)
        said = {"content": content} if content else _CALL_CONTENT[profile.call_content]
        yield {**state, "role": "assistant", **said, "tool_calls": list(map(write_call, calls))}
    elif content:
        yield {**state, "role": "assistant", "content": content}


def _write_reasoning(turn: Iterable[Item], profile: Profile) -> JsonObject:
    if profile.reasoning_replay not in REPLAYS_TEXT:
        return {}
    thought = "\n\n".join(item.text for item in turn if isinstance(item, Reasoning) and item.text)
    return {"reasoning_content": thought} if thought or profile.reasoning_replay == "required" else {}


def _write_answer(item: Message | ToolResult) -> JsonObject:
    if isinstance(item, ToolResult):
        return {"role": "tool", "tool_call_id": item.call_id, "content": item.content}
    plain = len(item.content) == 1 and isinstance(item.content[0], Text)
    return {"role": "user", "content": item.text if plain else [_write_part(part) for part in item.content]}


def _write_part(part: Part) -> JsonObject:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": part.url}}

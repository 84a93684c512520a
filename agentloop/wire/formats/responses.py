"""Writes requests to `/v1/responses`, in the two forms in which servers accept tool calls and their results.

`responses_reply` and `responses_stream` read the replies of both forms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from agentloop.items import Item, JsonObject, Message, Opaque, Part, Reasoning, Reply, Text, ToolCall, ToolResult
from agentloop.tools import Tool
from agentloop.wire.formats.dialect import ModelRequest
from agentloop.wire.formats.images import place_images
from agentloop.wire.formats.request import (
    REPLAYS_TEXT,
    choose_tools,
    is_strict,
    read_state,
    write_arguments,
    write_body,
    write_call,
    write_name,
    write_schema,
)
from agentloop.wire.formats.settings import write_settings
from agentloop.wire.formats.structured import add_format, tell_form
from agentloop.wire.formats.turns import Entry, gather_calls
from agentloop.wire.payload import dump
from agentloop.wire.profile import Profile
from agentloop.wire.streams.responses_reply import read_body
from agentloop.wire.streams.responses_stream import ResponsesAccumulator
from agentloop.wire.streams.stream import StreamDecoder, read_whole


class NativeResponses:
    """Writes calls and results as `function_call` and `function_call_output` items, as OpenAI defines them."""

    path = "/responses"
    _results_take_images = True

    def encode_items(self, items: Sequence[Item], profile: Profile) -> list[bytes]:
        """Return the JSON of the items of one or more whole turns, one fragment per wire item.

        System messages are left out: `ModelRequest.instructions` holds them, because chat templates fail on a system
        message that is not the first.
        """
        names = {item.call_id: write_name(item) for item in items if isinstance(item, ToolCall)}
        kept = (item for item in items if not isinstance(item, Reasoning) or _goes_back(item, profile))
        placed = place_images(kept, profile, in_results=self._results_take_images and profile.tool_images == "result")
        return [dump(raw) for entry in gather_calls(placed) for raw in self._write(entry, names)]

    def encode_tools(self, tools: Sequence[Tool], profile: Profile) -> bytes:
        """Return the JSON array of the tools; `strict` is always sent, because OpenAI's default is true."""
        return dump(
            [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": write_schema(tool, profile),
                    "strict": is_strict(tool, profile),
                }
                for tool in tools
            ]
        )

    def encode(self, request: ModelRequest, fragments: Sequence[bytes], tools: bytes) -> bytes:
        """Return the body of a request from the encoded conversation and tools.

        Raises:
            ConfigurationError: a value in `extra_body` is not JSON.
        """
        request, fragments = tell_form(request, fragments)
        settings, profile = request.settings, request.profile
        system = request.instructions or None
        in_field = profile.system == "instructions"
        word, name = choose_tools(request)
        fields = {
            "model": request.model,
            "store": False,
            "stream": request.stream,
            "tools": tools if request.tools else None,
            "tool_choice": {"type": "function", "name": name} if name else word,
            "instructions": system if in_field else None,
            **write_settings(settings, profile, "responses", has_tools=bool(request.tools)),
        }
        conversation = fragments
        if system and not in_field:
            conversation = [dump({"type": "message", "role": "system", "content": system}), *fragments]
        fields = add_format(fields, request, "responses")
        return write_body(fields, settings.extra_body, "input", conversation, profile.refused)

    def decode(self, body: bytes) -> Reply:
        """Return the reply in a whole body.

        Raises:
            ReplyError: the body is not a reply.
            EndpointError: the body reports that the response failed.
        """
        return read_whole(body, self.decoder(), read_body)

    def decoder(self) -> StreamDecoder:
        """Return a decoder for one streamed reply."""
        return StreamDecoder(ResponsesAccumulator(), read_body)

    def _write(self, entry: Entry, names: Mapping[str, str]) -> Sequence[JsonObject]:
        match entry:
            case tuple():
                return self._write_calls(entry)
            case Message():
                return _write_message(entry)
            case Reasoning():
                return [_write_reasoning(entry)]
            case ToolResult():
                return [self._write_result(entry, names.get(entry.call_id))]
            case Opaque():
                return [entry.raw]
            case _:
                assert_never(entry)

    def _write_calls(self, calls: Sequence[ToolCall]) -> Sequence[JsonObject]:
        return [
            {
                **read_state(call),
                "type": "function_call",
                "call_id": call.call_id,
                "name": write_name(call),
                "arguments": write_arguments(call),
            }
            for call in calls
        ]

    def _write_result(self, result: ToolResult, _: str | None, /) -> JsonObject:
        output: str | list[JsonObject] = result.content
        if result.images:
            text = [_write_part(Text(result.content))] if result.content else []
            output = [*text, *map(_write_part, result.images)]
        return {"type": "function_call_output", "call_id": result.call_id, "output": output}


class MessageResponses(NativeResponses):
    """Writes calls as `tool_calls` of an assistant message and results as messages of a tool.

    All other items are written as in NativeResponses. This is the form in OVHcloud's guide to its `/v1/responses`.
    """

    _results_take_images = False

    def _write_calls(self, calls: Sequence[ToolCall]) -> Sequence[JsonObject]:
        return [{"type": "message", "role": "assistant", "tool_calls": [write_call(call) for call in calls]}]

    def _write_result(self, result: ToolResult, name: str | None, /) -> JsonObject:
        message = {"type": "message", "role": "tool", "tool_call_id": result.call_id, "content": result.content}
        return message | ({"name": name} if name else {})


def _goes_back(reasoning: Reasoning, profile: Profile) -> bool:
    readable = profile.reasoning_replay in REPLAYS_TEXT and bool(reasoning.text)
    is_opaque = reasoning.encrypted is not None or bool(read_state(reasoning))
    return readable or (profile.reasoning_replay != "none" and is_opaque)


def _write_reasoning(reasoning: Reasoning) -> JsonObject:
    """Return the item in the form that its server accepts: OpenAI refuses readable reasoning, vLLM ciphertext."""
    state = {"summary": list[Any](), **read_state(reasoning), "type": "reasoning"}
    if reasoning.encrypted is not None:
        key = {"id": reasoning.id} if reasoning.id else {}
        return {**state, **key, "encrypted_content": reasoning.encrypted}
    content = [{"type": "reasoning_text", "text": reasoning.text}] if reasoning.text else []
    return {"content": content, **state, "id": reasoning.id or "rs_0"}


def _write_message(message: Message) -> Sequence[JsonObject]:
    if message.role == "user":
        plain = len(message.content) == 1 and isinstance(message.content[0], Text)
        content = message.text if plain else [_write_part(part) for part in message.content]
        return [{"type": "message", "role": "user", "content": content}]
    if message.role == "system" or not message.text:
        return []
    # A plain string: for parts, vLLM and OpenRouter require an id, and OpenAI refuses an id that it did not issue.
    phase = {"phase": message.phase} if message.phase else {}
    return [{**read_state(message), "type": "message", "role": "assistant", "content": message.text, **phase}]


def _write_part(part: Part) -> JsonObject:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    # vLLM checks requests against the SDK's types, where `detail` is required.
    return {"type": "input_image", "image_url": part.url, "detail": "auto"}

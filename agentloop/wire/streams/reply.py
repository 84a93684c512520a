"""Reads what replies of both routes have in common: messages, tool calls and usage, from JSON of any quality.

Nothing here raises: a value that is missing or has the wrong type is read as empty. The modules of each route contain
the layout of a whole body.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import cast

from agentloop.items import Image, Item, JsonObject, Message, Part, Reasoning, Role, Text, ToolCall, Usage
from agentloop.wire.payload import dump, mapping, mappings, string
from agentloop.wire.streams.pieces import keep_one_object
from agentloop.wire.streams.state import pick_call_fields, pick_message_fields, wrap_state

_ROLES = ("user", "assistant", "", None)
_INPUT = ("input_tokens", "prompt_tokens", "inputTokens", "promptTokens", "promptTokenCount")
_OUTPUT = ("output_tokens", "completion_tokens", "outputTokens", "completionTokens", "candidatesTokenCount")
_TOTAL = ("total_tokens", "totalTokens", "totalTokenCount")
_COUNTS = (*_INPUT, *_OUTPUT, *_TOTAL)
_DETAILS = ("prompt_tokens_details", "completion_tokens_details", "input_tokens_details", "output_tokens_details")
_NAMES = ("usage", "usageMetadata")
_PLACES = ("x_groq", "choices", "response")  # what holds the usage of Groq, of Moonshot, and of an event
_NUMBER = re.compile(r"\s*\d+(\.\d*)?\s*")
_LONGEST_INDEX = 9  # digits
_MOST = 10**15  # no request takes so many
_LONGEST_NUMBER = 30  # characters


@dataclass(slots=True)
class MessageContent:
    """The content of one message.

    Attributes:
        items: The reasoning and the text.
        calls: The tool calls.
        refused: Whether the model refused to answer.
    """

    items: list[Item] = field(default_factory=list[Item])
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    refused: bool = False


def read_message(raw: JsonObject) -> MessageContent:
    """Return the content of a message of either route; nothing for a message with the role system or tool.

    Reasoning is read from `reasoning` and `reasoning_content` (vLLM and DeepSeek; OVHcloud after and before May
    2026) and from `thinking` parts (Mistral).
    """
    if raw.get("role") not in _ROLES:
        return MessageContent()
    role: Role = "user" if raw.get("role") == "user" else "assistant"
    parts = list(_parts(raw.get("content")))
    refusal = string(raw.get("refusal")) + "".join(string(part.get("refusal")) for part in parts)
    thought = string(raw.get("reasoning")) or string(raw.get("reasoning_content")) or _join_thinking(parts)
    content = _read_content(parts) if role == "user" else _one_text(_join_text(parts) + refusal)
    read = MessageContent(refused=bool(refusal))
    state = wrap_state(pick_message_fields(raw))
    if thought or (state and not content):
        read.items.append(Reasoning(thought, state=None if content else state))
    if content:
        read.items.append(Message(role, content, phase=string(raw.get("phase")) or None, state=state))
    read.calls.extend(map(read_call, read_calls(raw)))
    return read


def read_text(content: object) -> str:
    """Return the text of content that is a string or a list of parts: of a message, a tool's result or a summary."""
    return _join_text(_parts(content))


def read_images(content: object) -> tuple[Image, ...]:
    """Return the images in the parts of a tool's result."""
    return tuple(part for part in _read_content(_parts(content)) if isinstance(part, Image))


def read_calls(message: JsonObject) -> list[JsonObject]:
    """Return the calls of a message, or of a delta: a list, a lone object, or the one call of OpenAI's older format."""
    calls: object = message.get("tool_calls") or message.get("function_call")
    return list(drop_repeated(mappings(calls) or mappings([calls])))


def drop_repeated(items: Iterable[JsonObject]) -> Iterator[JsonObject]:
    """Yield calls or other items without those that come once more, with their id."""
    first: dict[str, JsonObject] = {}
    for item in items:
        item_id = read_id(item)
        before = first.setdefault(item_id, item)
        if before is item or not item_id or before != item:
            yield item


def read_call(raw: JsonObject) -> ToolCall:
    """Return a tool call, with its name and arguments from the object itself or from a `function` inside it.

    A missing id is read as "", and so are missing arguments.
    """
    function = mapping(raw.get("function")) or raw
    arguments = keep_one_object(read_arguments(function.get("arguments")))
    return ToolCall(read_id(raw), string(function.get("name")), arguments, wrap_state(pick_call_fields(raw)))


def read_id(raw: JsonObject) -> str:
    """Return the id of a call, or ""."""
    return str(raw.get("call_id") or raw.get("id") or "")


def read_index(value: object) -> int | None:
    """Return the index of a call or an item, or None; some servers write it as text or as a float."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= _LONGEST_INDEX:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def read_arguments(arguments: object) -> str:
    """Return a call's arguments as text; some servers send the object itself, or null if there are none."""
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return dump(arguments).decode()


def find_usage(body: JsonObject) -> JsonObject:
    """Return the usage in a body or an event, from the first place that holds a number of tokens, or {}."""
    found = (mapping(holder.get(name)) for holder in _list_holders(body) for name in _NAMES)
    return next((usage for usage in found if _count(usage, *_COUNTS)), mapping(None))


def _list_holders(body: JsonObject) -> Iterator[JsonObject]:
    yield body
    for name in _PLACES:
        inner = body.get(name)
        yield mapping(inner)
        yield from mappings(inner)


def join_usage(before: JsonObject, now: JsonObject) -> JsonObject:
    """Return the usage so far. Some servers count in each event, and some send input and output in different events."""
    return {**before, **{name: value for name, value in now.items() if value}}


def read_usage(raw: object) -> Usage:
    """Return the token counts of a request; a zero where there must have been tokens means that none were counted."""
    usage = mapping(raw)
    read = _count(usage, *_INPUT) or None
    written = _count(usage, *_OUTPUT) or None
    total = _count(usage, *_TOTAL) or None
    if read is written is total is None:
        return Usage()
    if read and written and total:
        total = max(total, read + written)
    details: JsonObject = {}
    for name in _DETAILS:
        if name in usage:
            details.update(mapping(usage[name]))
    return Usage(read, written, total, _count(details, "cached_tokens"), _count(details, "reasoning_tokens"))


def _parts(content: object) -> Iterable[JsonObject]:
    if isinstance(content, str):
        return [{"text": content}]
    if not isinstance(content, list):
        return []
    entries = cast("list[object]", content)
    return [{"text": entry} if isinstance(entry, str) else mapping(entry) for entry in entries]


def _join_text(parts: Iterable[JsonObject]) -> str:
    return "".join(string(part.get("text")) for part in parts)


def _join_thinking(parts: Iterable[JsonObject]) -> str:
    return "".join(read_text(part.get("thinking")) for part in parts)


def _one_text(text: str) -> tuple[Part, ...]:
    return (Text(text),) if text else ()


def _read_content(parts: Iterable[JsonObject]) -> tuple[Part, ...]:
    read: list[Part] = []
    for part in parts:
        image = part.get("image_url")
        url = string(image) or string(mapping(image).get("url"))
        if url and not url.lower().startswith("file:"):  # a server must not make this process read a file
            read.append(Image(url))
        elif "text" in part:
            read.append(Text(string(part["text"])))
    return tuple(read)


def _count(usage: JsonObject, *names: str) -> int | None:
    """Return the first number of tokens under one of the names, and a zero only if no other is there."""
    found = None
    for name in names:
        if name in usage and (count := _whole_number(usage[name])) is not None:
            if count:
                return count
            found = count
    return found


def _whole_number(value: object) -> int | None:
    if type(value) is int:
        return value if 0 <= value <= _MOST else None
    if isinstance(value, str) and len(value) < _LONGEST_NUMBER and _NUMBER.fullmatch(value):
        value = float(value)
    return math.ceil(value) if isinstance(value, float) and 0 <= value <= _MOST else None

"""Reads what replies of both routes have in common: messages, tool calls and usage, from JSON of any quality.

Nothing here raises: a value that is missing or has the wrong type is read as empty. The modules of each route contain
the layout of a whole body.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from agentloop.items import Image, Item, JsonObject, Message, Part, Reasoning, Role, Text, ToolCall, Usage
from agentloop.wire.payload import dump, mapping, mappings, string
from agentloop.wire.streams.state import pick_call_fields, pick_message_fields, wrap_state

_ROLES = ("user", "assistant", "", None)
_DETAILS = ("prompt_tokens_details", "completion_tokens_details", "input_tokens_details", "output_tokens_details")


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
    read.calls.extend(read_call(call) for call in mappings(raw.get("tool_calls")))
    return read


def read_text(content: object) -> str:
    """Return the text of content that is a string or a list of parts: of a message, a tool's result or a summary."""
    return _join_text(_parts(content))


def read_images(content: object) -> tuple[Image, ...]:
    """Return the images in the parts of a tool's result."""
    return tuple(part for part in _read_content(_parts(content)) if isinstance(part, Image))


def read_call(raw: JsonObject) -> ToolCall:
    """Return a tool call, with its name and arguments from the object itself or from a `function` inside it.

    A missing id is read as "", and so are missing arguments.
    """
    function = mapping(raw.get("function")) or raw
    call_id = raw.get("call_id") or raw.get("id") or ""
    arguments, state = read_arguments(function.get("arguments")), wrap_state(pick_call_fields(raw))
    return ToolCall(str(call_id), string(function.get("name")), arguments, state)


def read_arguments(arguments: object) -> str:
    """Return a call's arguments as text; some servers send the object itself, or null if there are none."""
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return dump(arguments).decode()


def read_usage(raw: object) -> Usage:
    """Return the token counts of a request; a zero where there must have been tokens means that none were counted."""
    usage = mapping(raw)
    read = _count(usage, "input_tokens", "prompt_tokens") or None
    written = _count(usage, "output_tokens", "completion_tokens") or None
    total = _count(usage, "total_tokens") or None
    if read is written is total is None:
        return Usage()
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
    for name in names:
        count = usage.get(name)
        if type(count) is int and count >= 0:
            return count
    return None

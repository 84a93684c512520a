"""Makes items of messages and items in the form of OpenAI's APIs, on either route.

A program often passes them on from its own users, so no image in them may be a file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import cast

from agentloop.errors import ConfigurationError
from agentloop.items import Image, Item, JsonObject, Message, Opaque, Part, Reasoning, Role, Text, ToolCall, ToolResult
from agentloop.wire.payload import mapping, string

_ROLES: Mapping[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",  # OpenAI's newer name
}
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal", "summary_text": "text"}
_IMAGES = ("image_url", "input_image")
_SHOWN_CHARACTERS = 80


def read_openai_item(name: str, given: JsonObject) -> list[Item]:
    """Return the items that a message or an item stands for.

    Args:
        name: The argument that holds it, for the error.
        given: A message (`role`, `content`, `tool_calls`, `tool_call_id`) or an item of `/v1/responses` (`type`). An
            item of a type that agentloop does not support is kept as it is.

    Raises:
        ConfigurationError: it is neither, or something in it can't be sent.
    """
    try:
        role, kind = given.get("role"), given.get("type")
        if role == "tool":
            return [ToolResult(_text_of(given, "tool_call_id"), *_split(_read_parts(given.get("content"))))]
        if role is not None:
            return list(_read_message(given))
        if isinstance(kind, str):
            return [_ITEMS[kind](given) if kind in _ITEMS else Opaque(given)]
        raise _fault("it has neither a role nor a type")
    except ConfigurationError as error:
        raise ConfigurationError(f"{name} holds {_show(given)}: {error.message}", hint=error.hint) from None


def _read_message(given: JsonObject) -> Iterator[Item]:
    role = string(given["role"])
    if role not in _ROLES:
        raise _fault(f"there is no role {given['role']!r}; use one of: {', '.join((*_ROLES, 'tool'))}")
    thought = given.get("reasoning_content") or given.get("reasoning")
    if isinstance(thought, str):
        yield Reasoning(thought)
    parts, calls = _read_parts(given.get("content")), _list_calls(given)
    if parts or not calls:
        yield Message(_ROLES[role], parts or "", phase=string(given.get("phase")) or None)
    yield from calls


def _list_calls(given: JsonObject) -> list[ToolCall]:
    calls: object = given.get("tool_calls") or []
    if not isinstance(calls, list):
        raise _fault(f"its tool_calls are a {type(calls).__name__}, not a list")
    return [_read_chat_call(call) for call in cast("list[object]", calls)]


def _read_chat_call(given: object) -> ToolCall:
    call = mapping(given)
    function = mapping(call.get("function"))
    if not function:
        raise _fault("one of its tool_calls has no function")
    return _read_call({**function, "call_id": call.get("id")})


def _read_call(given: JsonObject) -> ToolCall:
    arguments = given.get("arguments", "{}")
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall(_text_of(given, "call_id"), _text_of(given, "name"), written)


def _read_result(given: JsonObject) -> ToolResult:
    return ToolResult(_text_of(given, "call_id"), *_split(_read_parts(given.get("output"))))


def _read_reasoning(given: JsonObject) -> Reasoning:
    parts = _read_parts(given.get("content")) or _read_parts(given.get("summary"))
    text, _, _ = _split(parts)
    return Reasoning(text, string(given.get("encrypted_content")) or None, string(given.get("id")) or None)


_ITEMS: Mapping[str, Callable[[JsonObject], Item]] = {
    "function_call": _read_call,
    "function_call_output": _read_result,
    "reasoning": _read_reasoning,
}


def _read_parts(content: object) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)]
    if not isinstance(content, list):
        raise _fault(f"its content is a {type(content).__name__}; give a text or a list of parts")
    return [_read_part(part) for part in cast("list[object]", content)]


def _read_part(given: object) -> Part:
    if isinstance(given, str):
        return Text(given)
    part = mapping(given)
    kind = string(part.get("type"))
    if kind in _TEXTS:
        return Text(_text_of(part, _TEXTS[kind]))
    if kind in _IMAGES:
        image = part.get("image_url")
        return Image.from_url(_text_of(mapping(image) or {"url": image}, "url"))
    known = (*_TEXTS, *_IMAGES)
    raise _fault(f"agentloop can't send a part of the type {part.get('type')!r}; use one of: {', '.join(known)}")


def _split(parts: list[Part]) -> tuple[str, bool, tuple[Image, ...]]:
    """Return the text, that all went well, and the images: the fields of a ToolResult after its id."""
    text = "".join(part.text for part in parts if isinstance(part, Text))
    return text, True, tuple(part for part in parts if isinstance(part, Image))


def _text_of(fields: JsonObject, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise _fault(f"{name!r} is missing" if value is None else f"{name!r} is a {type(value).__name__}, not a text")
    return value


def _fault(why: str) -> ConfigurationError:
    return ConfigurationError(why, hint='write it like {"role": "user", "content": "..."}, as OpenAI\'s APIs have it')


def _show(given: JsonObject) -> str:
    text = repr(given)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."

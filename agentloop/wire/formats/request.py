"""Writes the parts that requests of both routes have in common: the body around the encoded parts, calls, schemas.

The module of each route contains how items, tools and settings are written.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from pydantic_core import from_json

from agentloop.errors import ConfigurationError
from agentloop.items import JsonObject, Message, Reasoning, ToolCall
from agentloop.schema import ArgumentsError, parse_arguments, restrict
from agentloop.tools import Tool
from agentloop.wire.formats.dialect import ModelRequest
from agentloop.wire.payload import dump, mapping
from agentloop.wire.profile import Profile

REPLAYS_TEXT = frozenset({"text", "required"})
"""Values of a profile's `reasoning_replay` with which readable reasoning is sent back."""

_LONGEST_NAME = 64
_LEGAL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]+")
_WORDS = frozenset({"auto", "none", "required"})


def write_body(
    fields: Mapping[str, object],
    extra: Mapping[str, object],
    name: str,
    conversation: Sequence[bytes],
    refused: Collection[str] = (),
) -> bytes:
    """Return the body of a request.

    The conversation comes last, so that the bytes before it stay the same from request to request.

    Args:
        fields: The fields of the body, at least one. A field that is None is left out; bytes are JSON already.
        extra: Further fields from the user, sent as they are. They replace fields of the same name.
        name: The name of the conversation's field.
        conversation: The fragments of the conversation, each of them JSON.
        refused: Names of fields that are not sent, also if they are in `extra`.

    Raises:
        ConfigurationError: a value in `extra` is not JSON.
    """
    members = {key: value for key, value in fields.items() if value is not None} | dict(extra)
    members = {key: value for key, value in members.items() if key not in refused}
    encoded = {key: value for key, value in members.items() if isinstance(value, bytes)}
    try:
        head = dump({key: value for key, value in members.items() if key not in encoded})[1:-1]
    except ValueError as error:
        raise ConfigurationError(
            f"extra_body can't be sent as JSON: {error}",
            hint="give strings, numbers, booleans, None, lists and dicts only",
        ) from None
    head += b"".join(b',"%b":%b' % (key.encode(), value) for key, value in encoded.items())
    if name in extra:
        return b"{%b}" % head
    # Everything is joined once, because each further copy of a long conversation would cost milliseconds.
    listed = [b","] * (2 * len(conversation) - 1)
    listed[::2] = conversation
    return b"".join((b"{", head, b',"', name.encode(), b'":[', *listed, b"]}"))


def write_name(call: ToolCall) -> str:
    """Return the name of a call in the form that every server accepts.

    A model may have made up a name such as `browser.tabs.open`. OpenAI refuses it in the history, in every later turn.
    """
    if _LEGAL_NAME.fullmatch(call.name):
        return call.name
    return _ILLEGAL.sub("_", call.name)[:_LONGEST_NAME] or "unknown"


def write_call(call: ToolCall) -> JsonObject:
    """Return a call as an entry of a message's `tool_calls`."""
    state = read_state(call)
    function = {**mapping(state.get("function")), "name": write_name(call), "arguments": write_arguments(call)}
    return {**state, "id": call.call_id, "type": "function", "function": function}


def read_state(item: Message | Reasoning | ToolCall) -> JsonObject:
    """Return the fields of an item that only its server understands."""
    return item.state.fields if item.state else {}


def write_arguments(call: ToolCall) -> str:
    """Return a call's arguments as the text of a JSON object, whatever the model wrote.

    Ollama, vLLM and SGLang fail on a history that holds anything else. Arguments that can't be repaired become `{}`;
    the call's result tells the model what was wrong.
    """
    try:
        if isinstance(from_json(call.arguments.encode(), allow_inf_nan=False), dict):
            return call.arguments
    except ValueError:
        pass
    try:
        return dump(parse_arguments(call.arguments)[0]).decode()
    except (ArgumentsError, RecursionError, ValueError):
        return "{}"


def is_strict(tool: Tool, profile: Profile) -> bool:
    """Return whether a tool is sent as strict, which takes a closed schema."""
    return tool.strict and profile.strict_tools and "additionalProperties" in profile.schema_keywords


def write_schema(tool: Tool, profile: Profile) -> JsonObject:
    """Return a tool's schema with the constraints that the server accepts; descriptions state the others in words."""
    return restrict(tool.parameters, profile.schema_keywords)


def choose_tools(request: ModelRequest) -> tuple[str | None, str | None]:
    """Return how to send the tool choice: a word such as `required`, or the name of the tool that must be called.

    Both are None if nothing is to be sent. If the server does not obey a named choice, `required` is sent instead,
    provided that the server obeys that.
    """
    choice = request.settings.tool_choice if request.tools else None
    if choice is None or choice in _WORDS:
        return (choice if choice in request.profile.tool_choice else None), None
    if "named" in request.profile.tool_choice:
        return None, choice
    return ("required" if "required" in request.profile.tool_choice else None), None

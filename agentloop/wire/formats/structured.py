"""Asks for an answer that follows a schema, in each way that servers support, and detects a server that ignores it.

The profile's field `structured_output` chooses the way. The answer is always checked, but not in this package.
`ModelRequest.output` is the object that both routes call `json_schema`: its name, the schema, and whether it is strict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agentloop.items import JsonObject, Message, Reply, ToolCall
from agentloop.schema import restrict
from agentloop.wire.formats.dialect import ModelRequest
from agentloop.wire.payload import dump, load, mapping
from agentloop.wire.profile import Profile, Route

_IN_WORDS = frozenset({"json_object", "prompt"})
_USER = b'"role":"user"'
_HEAD_BYTES = 40


def write_format(request: ModelRequest, route: Route) -> JsonObject:
    """Return the fields of a body that hold the answer to the schema; empty if only the prompt does that."""
    if request.output is None or request.profile.structured_output == "prompt":
        return {}
    form = restrict_form(request.output, request.profile)
    match request.profile.structured_output, route:
        case "json_object", "responses":
            return {"text": {"format": {"type": "json_object"}}}
        case "json_object", _:
            return {"response_format": {"type": "json_object"}}
        case "text_format", "responses":
            return {"text": {"format": {"type": "json_schema", **form}}}
        case _:
            return {"response_format": {"type": "json_schema", "json_schema": form}}


def add_format(fields: JsonObject, request: ModelRequest, route: Route) -> JsonObject:
    """Return the fields of a body together with those that hold the answer to the schema."""
    written = write_format(request, route)
    text = mapping(fields.get("text")) | mapping(written.get("text"))
    return {**fields, **written, "text": text or None}


def restrict_form(form: JsonObject, profile: Profile) -> JsonObject:
    """Return the `json_schema` object with only the constraints that the server accepts as keywords."""
    open_form = {} if "additionalProperties" in profile.schema_keywords else {"strict": False}
    return {**form, "schema": restrict(form["schema"], profile.schema_keywords), **open_form}


def needs_words(request: ModelRequest) -> bool:
    """Return whether the schema must be given to the model in the prompt, because the server does not accept it."""
    return request.output is not None and request.profile.structured_output in _IN_WORDS


def tell_form(request: ModelRequest, fragments: Sequence[bytes]) -> tuple[ModelRequest, Sequence[bytes]]:
    """Return a request with the schema in the prompt if it is needed there, and without reasoning if that interferes.

    Args:
        request: The request.
        fragments: Its conversation.
    """
    request = without_reasoning(request)
    if request.output is None or not needs_words(request):
        return request, fragments
    may_call = request.tools and request.settings.tool_choice != "none"
    when = "When you answer rather than call a tool, answer" if may_call else "Answer"
    words = f"{when} with one JSON object of this schema, and nothing else: {dump(request.output['schema']).decode()}"
    return add_words(request, fragments, words)


def without_reasoning(request: ModelRequest) -> ModelRequest:
    """Return the request without reasoning if that interferes with the schema."""
    if request.output is None or not request.profile.structured_apart:
        return request
    return replace(request, settings=replace(request.settings, reasoning_effort=None))


def add_words(request: ModelRequest, fragments: Sequence[bytes], words: str) -> tuple[ModelRequest, Sequence[bytes]]:
    """Return a request with text added to its system text, or to the user's last message if there is no system role."""
    if not words:
        return request, fragments
    if request.profile.system == "user":
        return request, _add_to_last_question(fragments, words)
    return replace(request, instructions="\n\n".join(filter(None, (request.instructions, words)))), fragments


def is_ignored(reply: Reply, profile: Profile) -> bool:
    """Return whether a reply ignores its schema: the schema's root is an object, and the reply contains none."""
    has_calls = any(isinstance(item, ToolCall) for item in reply.items)
    if profile.structured_output == "prompt" or reply.stop != "complete" or has_calls:
        return False
    text = "".join(item.text for item in reply.items if isinstance(item, Message))
    return bool(text.strip()) and "{" not in text


def _add_to_last_question(fragments: Sequence[bytes], words: str) -> Sequence[bytes]:
    """Return the conversation with text added to the user's last message."""
    for at in range(len(fragments) - 1, -1, -1):
        if _USER in fragments[at][:_HEAD_BYTES]:
            message = load(fragments[at])
            content = message["content"]
            if isinstance(content, str):
                message["content"] = f"{content}\n\n{words}"
            else:
                kind = "input_text" if "type" in message else "text"
                message["content"] = [*content, {"type": kind, "text": words}]
            return [*fragments[:at], dump(message), *fragments[at + 1 :]]
    return fragments

"""How an answer of a schema is asked for, on each rung of the ladder, and whether the server listened.

The rung is the profile's to say (`structured_output`); that an answer is checked in any case is no matter of the wire.
`ModelRequest.output` is what both routes call `json_schema`: its name, the schema, and whether that is strict.
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
    """Return the fields of a body that hold the answer to the schema; none where only words do."""
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
    """Return the fields of a body with those that hold the answer to the schema."""
    written = write_format(request, route)
    text = mapping(fields.get("text")) | mapping(written.get("text"))
    return {**fields, **written, "text": text or None}


def restrict_form(form: JsonObject, profile: Profile) -> JsonObject:
    """Return what the answer is to follow with only those constraints that the server takes as such."""
    return {**form, "schema": restrict(form["schema"], profile.schema_keywords)}


def needs_words(request: ModelRequest) -> bool:
    """Tell whether the server can't be given the schema, so that the model has to be."""
    return request.output is not None and request.profile.structured_output in _IN_WORDS


def tell_form(request: ModelRequest, fragments: Sequence[bytes]) -> tuple[ModelRequest, Sequence[bytes]]:
    """Return a request with the schema in words where it needs them, and without reasoning where that gets in the way.

    Args:
        request: The request.
        fragments: Its conversation.
    """
    request = without_reasoning(request)
    if request.output is None or not needs_words(request):
        return request, fragments
    when = "When you answer rather than call a tool, answer" if request.tools else "Answer"
    words = f"{when} with one JSON object of this schema, and nothing else: {dump(request.output['schema']).decode()}"
    return add_words(request, fragments, words)


def without_reasoning(request: ModelRequest) -> ModelRequest:
    """Return the request without reasoning where that gets in the way of the schema."""
    if request.output is None or not request.profile.structured_apart:
        return request
    return replace(request, settings=replace(request.settings, reasoning_effort=None))


def add_words(request: ModelRequest, fragments: Sequence[bytes], words: str) -> tuple[ModelRequest, Sequence[bytes]]:
    """Return a request with more words in its system text; for a model that knows none, after the user's last ones."""
    if not words:
        return request, fragments
    if request.profile.system == "user":
        return request, _add_to_last_question(fragments, words)
    return replace(request, instructions="\n\n".join(filter(None, (request.instructions, words)))), fragments


def is_ignored(reply: Reply, profile: Profile) -> bool:
    """Tell whether a reply that was held to a schema shows no sign of it: its root would be an object."""
    has_calls = any(isinstance(item, ToolCall) for item in reply.items)
    if profile.structured_output == "prompt" or reply.stop != "complete" or has_calls:
        return False
    text = "".join(item.text for item in reply.items if isinstance(item, Message))
    return bool(text.strip()) and "{" not in text


def _add_to_last_question(fragments: Sequence[bytes], words: str) -> Sequence[bytes]:
    """Return the conversation with words after the last thing that the user said."""
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

"""Reads whole replies of `/v1/responses` into a Reply. Servers deviate from the format in different ways.

A stream is first assembled into the same form, then read here too.
"""

from __future__ import annotations

from collections.abc import Iterator

from agentloop.items import JsonObject, Opaque, Reasoning, Reply, ToolCall, ToolResult, Usage
from agentloop.wire.payload import load, mapping, mappings, string
from agentloop.wire.profile.error_body import first_object, is_failure
from agentloop.wire.profile.failures import not_a_reply, read_failure
from agentloop.wire.streams.chat_reply import read_choices, read_finish
from agentloop.wire.streams.finish import judge, read_stop
from agentloop.wire.streams.reply import (
    MessageContent,
    drop_repeated,
    find_usage,
    read_call,
    read_images,
    read_message,
    read_text,
    read_usage,
)
from agentloop.wire.streams.state import pick_reasoning_fields, wrap_state

_CONTENTS = ("output", "tool_calls")


def read_body(body: bytes) -> Reply:
    """Return the reply in the bytes of a whole body.

    Raises:
        ReplyError: the bytes are not JSON, or not a reply.
        EndpointError: the body reports that the response failed.
    """
    try:
        response = load(body)
    except ValueError:
        raise not_a_reply(body, "JSON") from None
    return read_response(first_object(response), body)


def read_response(response: JsonObject, body: bytes) -> Reply:
    """Return the reply in a response object.

    Args:
        response: The object. Under the HTTP status 200 it may have `status: failed` (Hugging Face's router), or be an
            error object instead (gateways).
        body: Its bytes, which the error message quotes if they are not a reply.

    Raises:
        ReplyError: the object is not a reply.
        EndpointError: the object reports that the response failed.
    """
    if response.get("error") or judge(response.get("status")) == "failed":
        raise read_failure(find_reason(response))
    if not any(response.get(name) for name in _CONTENTS) and is_failure(response):
        raise read_failure(response)
    outside = _read_outside(response)
    if outside is None and not mappings(response.get("choices")) and not any(name in response for name in _CONTENTS):
        raise not_a_reply(body, "a response")
    inside, outside = _read_output(mappings(response.get("output"))), outside or MessageContent()
    said = inside.items or outside.items
    native = any(isinstance(item, ToolCall) for item in said)
    # A gateway that writes the calls in two of these places means the same calls, so only the first place counts.
    top_level = [read_call(raw) for raw in mappings(response.get("tool_calls"))]
    calls = [] if native else top_level or inside.calls or outside.calls
    items = (*said, *calls)
    usage = read_usage(find_usage(response))
    stop, note = read_stop(_read_stops(response, usage), items)
    return Reply(
        items,
        usage,
        "refused" if inside.refused or outside.refused else stop,
        string(response.get("id")) or None,
        "native" if native else "message" if calls else None,
        (note,) if note else (),
    )


def find_reason(response: JsonObject) -> JsonObject:
    """Return the fields in which a response that failed says why."""
    names = ("error", "code", "message", "detail", "msg", "reason", "incomplete_details")
    return {name: response[name] for name in names if response.get(name)}


def _read_outside(response: JsonObject) -> MessageContent | None:
    """Return the content of a gateway that answers in the format of chat, in `message` or in `choices`, or None."""
    if message := mapping(response.get("message")):
        return read_message(message)
    choices = mappings(response.get("choices"))
    return read_choices(choices) if any(choice.keys() & {"message", "error"} for choice in choices) else None


def _read_output(output: list[JsonObject]) -> MessageContent:
    read = MessageContent()
    for raw in drop_repeated(output):
        match raw.get("type"):
            case "message" | None:
                message = read_message(raw)
                read.items += message.items
                read.calls += message.calls
                read.refused |= message.refused
            case "function_call":
                read.items.append(read_call(raw))
            case "reasoning":
                read.items.append(_read_reasoning(raw))
            case "function_call_output":
                content = raw.get("output")
                call_id = string(raw.get("call_id"))
                read.items.append(ToolResult(call_id, read_text(content), images=read_images(content)))
            case str(kind) if kind:
                read.items.append(Opaque(raw))
            case _:
                pass
    return read


def _read_reasoning(raw: JsonObject) -> Reasoning:
    text = read_text(raw.get("content")) or read_text(raw.get("summary")) or string(raw.get("text"))
    state = wrap_state(pick_reasoning_fields(raw))
    return Reasoning(text, string(raw.get("encrypted_content")) or None, string(raw.get("id")) or None, state)


def _read_stops(response: JsonObject, usage: Usage) -> Iterator[object]:
    """Yield the words that say how the response ended."""
    reason = mapping(response.get("incomplete_details")).get("reason")
    yield response.get("status")
    if response.get("status") == "incomplete" and judge(reason) != "unknown":
        yield reason
    yield from read_finish(mappings(response.get("choices")))
    yield from (item.get("status") for item in mappings(response.get("output")) if item.get("status") == "incomplete")
    # llama.cpp, Ollama and transformers send `completed` for a reply that was cut off at the limit.
    most, written = response.get("max_output_tokens"), usage.output_tokens
    if type(most) is int and written is not None and written >= most > 0:
        yield "length"

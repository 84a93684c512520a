"""Reads whole replies of `/v1/responses` into a Reply. Servers deviate from the format in different ways.

A stream is first assembled into the same form, then read here too.
"""

from __future__ import annotations

from agentloop.items import JsonObject, Opaque, Reasoning, Reply, ReplyStop, ToolCall, ToolResult
from agentloop.wire.payload import load, mapping, mappings, string
from agentloop.wire.profile.error_body import is_failure
from agentloop.wire.profile.failures import not_a_reply, read_failure
from agentloop.wire.streams.reply import MessageContent, read_call, read_images, read_message, read_text, read_usage
from agentloop.wire.streams.state import pick_reasoning_fields, wrap_state

_FAILED = frozenset({"failed", "cancelled", "error"})
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
    return read_response(mapping(response), body)


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
    if response.get("error") or string(response.get("status")) in _FAILED:
        raise read_failure(find_reason(response))
    if is_failure(response) and not any(response.get(name) for name in _CONTENTS):
        raise read_failure(response)
    outside = _message_outside(response)
    if not outside and not mappings(response.get("choices")) and not any(name in response for name in _CONTENTS):
        raise not_a_reply(body, "a response")
    inside = _read_output(mappings(response.get("output")))
    message = read_message(outside) if outside else MessageContent()
    items = inside.items or message.items
    native = any(isinstance(item, ToolCall) for item in items)
    # A gateway that writes the calls in two of these places means the same calls, so only the first place counts.
    top_level = [read_call(raw) for raw in mappings(response.get("tool_calls"))]
    calls = [] if native else top_level or inside.calls or message.calls
    usage = read_usage(response.get("usage"))
    return Reply(
        (*items, *calls),
        usage,
        "refused" if inside.refused or message.refused else _stop(response, usage.output_tokens),
        string(response.get("id")) or None,
        "native" if native else "message" if calls else None,
    )


def find_reason(response: JsonObject) -> JsonObject:
    """Return the fields in which a response that failed says why."""
    names = ("error", "code", "message", "detail", "msg", "incomplete_details")
    return {name: response[name] for name in names if response.get(name)}


def _message_outside(response: JsonObject) -> JsonObject:
    """Return the message of a gateway that answers in the format of chat: `message`, or the first of `choices`."""
    choices = mappings(response.get("choices"))
    return mapping(response.get("message")) or mapping(choices[0].get("message") if choices else None)


def _read_output(output: list[JsonObject]) -> MessageContent:
    read = MessageContent()
    for raw in output:
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


def _stop(response: JsonObject, written: int | None) -> ReplyStop:
    if response.get("status") == "incomplete":
        reason = mapping(response.get("incomplete_details")).get("reason")
        return "refused" if reason == "content_filter" else "truncated"
    # llama.cpp, Ollama and transformers send `completed` for a reply that was cut off at the limit.
    most = response.get("max_output_tokens")
    return "truncated" if type(most) is int and written is not None and written >= most > 0 else "complete"

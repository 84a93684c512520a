"""Whole replies of `/v1/responses`, from servers that each deviate in their own way, read into a Reply.

A stream is first put together into the same shape, then read here too.
"""

from __future__ import annotations

from agentloop.items import JsonObject, Opaque, Reasoning, Reply, ReplyStop, ToolCall, ToolResult
from agentloop.wire.payload import load, mapping, mappings, string
from agentloop.wire.profile.failures import not_a_reply, read_failure
from agentloop.wire.streams.reply import Said, read_call, read_images, read_message, read_text, read_usage

_FAILED = frozenset({"failed", "cancelled", "error"})
_CONTENTS = ("output", "tool_calls", "choices")


def read_body(body: bytes) -> Reply:
    """Return the reply in the bytes of a whole body.

    Raises:
        ReplyError: the bytes are not JSON, or not a reply.
        EndpointError: the body says that the response failed.
    """
    try:
        response = load(body)
    except ValueError:
        raise not_a_reply(body, "JSON") from None
    return read_response(mapping(response), body)


def read_response(response: JsonObject, body: bytes) -> Reply:
    """Return the reply in a response object.

    Args:
        response: The object. With the HTTP status 200, Hugging Face's router says `status: failed` in it, and
            gateways put an error in its place.
        body: Its bytes, to be quoted when they are no reply.

    Raises:
        ReplyError: the object is not a reply.
        EndpointError: the object says that the response failed.
    """
    if response.get("error") or string(response.get("status")) in _FAILED:
        raise read_failure(response.get("error"))
    outside = _message_outside(response)
    if not outside and not any(name in response for name in _CONTENTS):
        raise read_failure(response) if response.keys() & {"message", "detail"} else not_a_reply(body, "a response")
    said, aside = _read_output(mappings(response.get("output"))), read_message(outside) if outside else Said()
    items = said.items or aside.items
    native = any(isinstance(item, ToolCall) for item in items)
    # A gateway that writes a call in two of these places means one call, so only the first place counts.
    beside = [read_call(raw) for raw in mappings(response.get("tool_calls"))]
    calls = [] if native else beside or said.calls or aside.calls
    usage = read_usage(response.get("usage"))
    return Reply(
        (*items, *calls),
        usage,
        "refused" if said.refused or aside.refused else _stop(response, usage.output_tokens),
        string(response.get("id")) or None,
        "native" if native else "message" if calls else None,
    )


def _message_outside(response: JsonObject) -> JsonObject:
    """Return the message of a gateway that answers as chat does: `message`, or the first of `choices`."""
    choices = mappings(response.get("choices"))
    return mapping(response.get("message")) or mapping(choices[0].get("message") if choices else None)


def _read_output(output: list[JsonObject]) -> Said:
    said = Said()
    for raw in output:
        match raw.get("type"):
            case "message" | None:
                message = read_message(raw)
                said.items += message.items
                said.calls += message.calls
                said.refused |= message.refused
            case "function_call":
                said.items.append(read_call(raw))
            case "reasoning":
                said.items.append(_read_reasoning(raw))
            case "function_call_output":
                told = raw.get("output")
                call_id = string(raw.get("call_id"))
                said.items.append(ToolResult(call_id, read_text(told), images=read_images(told)))
            case str(kind) if kind:
                said.items.append(Opaque(raw))
            case _:
                pass
    return said


def _read_reasoning(raw: JsonObject) -> Reasoning:
    text = read_text(raw.get("content")) or read_text(raw.get("summary")) or string(raw.get("text"))
    return Reasoning(text, string(raw.get("encrypted_content")) or None, string(raw.get("id")) or None)


def _stop(response: JsonObject, written: int | None) -> ReplyStop:
    if response.get("status") == "incomplete":
        reason = mapping(response.get("incomplete_details")).get("reason")
        return "refused" if reason == "content_filter" else "truncated"
    # llama.cpp, Ollama and transformers say `completed` of a reply that ran into the limit.
    most = response.get("max_output_tokens")
    return "truncated" if type(most) is int and written is not None and written >= most > 0 else "complete"

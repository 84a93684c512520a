"""Reads whole replies of `/v1/chat/completions` into a Reply. A stream is first assembled, then read here too."""

from __future__ import annotations

from agentloop.items import JsonObject, Reply, ReplyStop
from agentloop.wire.payload import load, mapping, mappings, string
from agentloop.wire.profile.error_body import is_failure
from agentloop.wire.profile.failures import not_a_reply, read_failure
from agentloop.wire.streams.reply import read_message, read_usage

_STOPS: dict[str, ReplyStop] = {"length": "truncated", "content_filter": "refused"}


def read_body(body: bytes) -> Reply:
    """Return the reply in the bytes of a whole body.

    Raises:
        ReplyError: the bytes are not JSON, or not a reply.
        EndpointError: the body reports that the request failed.
    """
    try:
        completion = mapping(load(body))
    except ValueError:
        raise not_a_reply(body, "JSON") from None
    if is_failure(completion):
        raise read_failure(completion)
    if not mappings(completion.get("choices")):
        raise not_a_reply(body, "a completion")
    return read_completion(completion)


def read_completion(completion: JsonObject) -> Reply:
    """Return the reply in a completion's first choice.

    A `finish_reason` of "stop" does not mean that there are no calls: llama.cpp and others send it in both cases.
    """
    choice = mappings(completion.get("choices"))[0]
    message = read_message(mapping(choice.get("message")))
    stop = "refused" if message.refused else _STOPS.get(string(choice.get("finish_reason")), "complete")
    usage = read_usage(completion.get("usage"))
    return Reply((*message.items, *message.calls), usage, stop, string(completion.get("id")) or None)

"""Reads whole replies of `/v1/chat/completions` into a Reply. A stream is first assembled, then read here too."""

from __future__ import annotations

from collections.abc import Iterator

from agentloop.items import JsonObject, Reply
from agentloop.wire.payload import load, mapping, mappings, string
from agentloop.wire.profile.error_body import first_object, is_failure
from agentloop.wire.profile.failures import not_a_reply, read_failure
from agentloop.wire.streams.finish import judge, read_stop
from agentloop.wire.streams.reply import MessageContent, find_usage, read_message, read_usage


def read_body(body: bytes) -> Reply:
    """Return the reply in the bytes of a whole body.

    Raises:
        ReplyError: the bytes are not JSON, or not a reply.
        EndpointError: the body reports that the request failed.
    """
    try:
        completion = first_object(load(body))
    except ValueError:
        raise not_a_reply(body, "JSON") from None
    if is_failure(completion):
        raise read_failure(completion)
    if not mappings(completion.get("choices")):
        raise not_a_reply(body, "a completion")
    return read_completion(completion)


def read_completion(completion: JsonObject) -> Reply:
    """Return the reply in a completion.

    A `finish_reason` of "stop" does not mean that there are no calls: llama.cpp and others send it in both cases.

    Raises:
        EndpointError: the server says in a choice that the model failed.
    """
    choices = mappings(completion.get("choices"))
    message = read_choices(choices)
    items = (*message.items, *message.calls)
    stop, note = read_stop(read_finish(choices), items)
    stop = "refused" if message.refused else stop
    usage = read_usage(find_usage(completion))
    return Reply(items, usage, stop, string(completion.get("id")) or None, notes=(note,) if note else ())


def read_choices(choices: list[JsonObject]) -> MessageContent:
    """Return the content of all choices: GitHub Copilot sends each part of Claude's message in a choice of its own.

    What the choices have twice is taken from the first of them, because it is another answer to the same question.

    Raises:
        EndpointError: the server says in a choice that the model failed.
    """
    read = MessageContent()
    for choice in choices:
        if choice.get("error"):
            raise read_failure(choice["error"])
        message = read_message(mapping(choice.get("message")))
        kinds = {type(item) for item in read.items}
        read.items += [item for item in message.items if type(item) not in kinds]
        made = {(call.name, call.arguments) for call in read.calls}
        read.calls += [call for call in message.calls if (call.name, call.arguments) not in made]
        read.refused |= message.refused
    return read


def read_finish(choices: list[JsonObject]) -> Iterator[object]:
    """Yield why each choice ended. OpenRouter adds the word of the server behind it, which may say more."""
    for choice in choices:
        yield choice.get("finish_reason")
        native = choice.get("native_finish_reason")
        if judge(native) != "unknown":
            yield native

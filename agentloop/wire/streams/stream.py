"""Decodes streamed replies: from bytes, cut at any point, to deltas to show and a Reply at the end.

The accumulator of each route interprets its events. This module handles, for both routes, a server that sends a plain
body instead of a stream, and a stream that fails after deltas that must still be shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from pydantic_core import from_json

from agentloop.errors import EndpointError, ReplyError, StreamCutError
from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import Reply
from agentloop.wire.characters import CharacterJoiner
from agentloop.wire.payload import MOST_VALUES, check_values
from agentloop.wire.profile.error_body import read_error_body
from agentloop.wire.profile.failures import read_failure
from agentloop.wire.streams.ending import BYTE_ORDER_MARK, Ending, WholeBody, is_stream, without_done
from agentloop.wire.streams.sse import EventSplitter

Delta: TypeAlias = TextDelta | ReasoningDelta

_SILENT = frozenset({b"", b"[DONE]"})  # the second is OpenAI's mark at the end of a chat stream
_LONGEST_SILENT = 10

# An event stream begins with a field's name or a comment; JSON and HTML begin with one of these.
_BODY_STARTS = b'{[<"'

# Data of events that only keep the connection open, without the punctuation around it (OpenRouter, proxies).
_KEEP_ALIVES = frozenset(
    {
        b"alive",
        b"connected",
        b"heart beat",
        b"heartbeat",
        b"keep alive",
        b"keepalive",
        b"noop",
        b"ok",
        b"openrouter processing",
        b"ping",
        b"pong",
        b"processing",
        b"queued",
        b"start",
        b"still alive",
        b"waiting",
    }
)
_AROUND = b" \t[]():.!"
_KEEP_ALIVE_EVENTS = frozenset({b"heartbeat", b"keep-alive", b"keep_alive", b"keepalive", b"ping", b"pong"})
_LONGEST_KEEP_ALIVE = 100
_LONGEST_QUOTE = 1000


def is_silent(data: bytes) -> bool:
    """Return whether the data of an event has no content: nothing, or the mark at the end."""
    return len(data) <= _LONGEST_SILENT and data.strip().upper() in _SILENT


def _check_values(data: bytes) -> None:
    try:
        check_values(data)
    except ValueError as error:
        raise ReplyError(f"an event of the endpoint's reply has {error}", status=200) from None


def read_event(name: bytes, data: bytes, characters: CharacterJoiner) -> object:
    """Return the JSON value of an event's data; None for an event that only keeps the connection open.

    Raises:
        EndpointError: an event named `error` holds plain text instead of JSON.
        StreamCutError: the data is not JSON.
    """
    if len(data) > MOST_VALUES:
        _check_values(data)
    try:
        return from_json(data, cache_strings="keys")
    except ValueError:
        pass
    try:
        return characters.load(data)
    except ValueError:
        if _is_keep_alive(name, data):
            return None
        text = data.decode("utf-8", "replace")
        if name == b"error":
            raise read_failure(text) from None
        raise StreamCutError(
            f"the stream holds an event that is not JSON: {text[:200]}",
            hint="the server or a proxy damaged the stream: send the request again",
        ) from None


def _is_keep_alive(name: bytes, data: bytes) -> bool:
    if name in _KEEP_ALIVE_EVENTS or data.startswith(b":"):
        return True
    words = data[:_LONGEST_KEEP_ALIVE].strip(_AROUND).lower().replace(b"_", b" ").replace(b"-", b" ")
    return len(data) < _LONGEST_KEEP_ALIVE and words in _KEEP_ALIVES


def stream_cut(text: bytes = b"") -> StreamCutError:
    """Return the exception for a stream that ended without its terminal event.

    Args:
        text: What came in place of events.
    """
    words = read_error_body(text).message[:_LONGEST_QUOTE]
    return StreamCutError(
        f"a text came in place of a stream: {words}" if words else "the stream ended before the reply was whole",
        hint="the server or a proxy closed the connection early: send the request again",
    )


class Accumulator(Protocol):
    """Assembles the events of one reply."""

    def take(self, name: bytes, data: bytes, shown: list[Delta]) -> None:
        """Take an event, and append the deltas to show to `shown`.

        Raises:
            EndpointError: the event reports that the response failed, or it is not JSON.
        """
        ...

    @property
    def grace_seconds(self) -> float | None:
        """How long to wait for more events; None as long as `reply` would raise StreamCutError."""
        ...

    def reply(self) -> Reply:
        """Return the whole reply.

        Raises:
            StreamCutError: the stream ended before the reply was complete.
        """
        ...


def read_whole(body: bytes, decoder: StreamDecoder, read_body: Callable[[bytes], Reply]) -> Reply:
    """Return the reply in a whole body, which is a stream of events if the server sends nothing else.

    Args:
        body: The body.
        decoder: Reads a stream.
        read_body: Reads JSON.

    Raises:
        EndpointError: the response failed, or the bytes are not a whole reply.
    """
    if not is_stream(body):
        return read_body(without_done(body))
    decoder.feed(body)
    return decoder.close()


class StreamDecoder:
    """A Decoder for either route.

    Args:
        accumulator: Interprets the events of the route.
        read_body: Reads a plain body that the server sent instead of a stream.
    """

    def __init__(self, accumulator: Accumulator, read_body: Callable[[bytes], Reply]) -> None:
        self._accumulator = accumulator
        self._read_body = read_body
        self._splitter = EventSplitter()
        self._begun = False
        self._first: bytes = b""  # blanks and a byte order mark, as far as they have come; then what follows them
        self._body: WholeBody | None = None
        self._failure: EndpointError | None = None

    @property
    def ending(self) -> Ending:
        """Tells when the reply is whole."""
        return self

    @property
    def grace_seconds(self) -> float | None:
        """How long to wait for more bytes; None as long as the reply can't be whole."""
        if self._failure is not None:
            return 0.0
        return self._accumulator.grace_seconds if self._body is None else self._body.grace_seconds

    def is_whole(self) -> bool:
        """Return whether `close` would return the reply, or raise the failure that it reports."""
        return self.grace_seconds is not None if self._body is None else self._body.is_whole()

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes and return the deltas to show.

        Raises:
            EndpointError: an event says that the response failed. All deltas before it have been returned.
        """
        if self._failure is not None:
            raise self._failure
        if not self._begun:
            data = (self._first + data).lstrip()
            if BYTE_ORDER_MARK.startswith(data[: len(BYTE_ORDER_MARK)]):
                self._first, data = data, data[len(BYTE_ORDER_MARK) :].lstrip()
            if not data:
                return []
            self._begun = True
            self._first = data
            self._body = WholeBody() if data[0] in _BODY_STARTS else None
        if self._body is not None:
            self._body.feed(data)
            return []
        return self._take(data)

    def close(self) -> Reply:
        """Return the whole reply after the last bytes.

        Raises:
            StreamCutError: the stream ended without its terminal event.
            EndpointError: the response failed, or the bytes are not a reply.
        """
        if self._failure is not None:
            raise self._failure
        if self._body is not None:
            return self._read_body(without_done(self._body.join()))
        for name, data in self._splitter.close():
            try:
                self._accumulator.take(name, data, [])
            except ReplyError:
                break  # half an event: the accumulator raises in reply() if it was needed
        if self._begun and not is_stream(self._first) and self._accumulator.grace_seconds is None:
            raise stream_cut(self._first)
        return self._accumulator.reply()

    def _take(self, data: bytes) -> list[Delta]:
        shown: list[Delta] = []
        take = self._accumulator.take
        try:
            for name, payload in self._splitter.feed(data):
                take(name, payload, shown)
        except EndpointError as error:
            self._failure = error
            if not shown:
                raise
        return shown

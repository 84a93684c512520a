"""Streamed replies: from bytes that are cut anywhere to events shown and a Reply at the end.

What the events of a route mean is known by its accumulator; that a server may send a plain body in place of a
stream, and that nothing shown gets lost when a stream fails, is taken care of here for both routes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from agentloop.errors import EndpointError, ReplyError, StreamCutError
from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import Reply
from agentloop.wire.payload import load
from agentloop.wire.profile.failures import read_failure
from agentloop.wire.streams.sse import EventSplitter

Delta: TypeAlias = TextDelta | ReasoningDelta

SILENT = frozenset({b"", b"[DONE]"})
"""Data of events that say nothing; the second is OpenAI's mark at the end of a chat stream."""

# An event stream begins with a field's name or a comment; JSON and HTML begin with one of these.
_BODY_STARTS = b"{[<"


def read_event(name: bytes, data: bytes) -> object:
    """Return the JSON value of an event's data.

    Raises:
        EndpointError: an event named `error` holds words in place of JSON.
        StreamCutError: the data is not JSON.
    """
    try:
        return load(data)
    except ValueError:
        text = data.decode("utf-8", "replace")
        if name == b"error":
            raise read_failure(text) from None
        raise StreamCutError(
            f"the stream holds an event that is not JSON: {text[:200]}",
            hint="the server or a proxy damaged the stream: send the request again",
        ) from None


def stream_cut() -> StreamCutError:
    """Return the error for a stream that ended without its terminal event."""
    return StreamCutError(
        "the stream ended before the reply was whole",
        hint="the server or a proxy closed the connection early: send the request again",
    )


class Accumulator(Protocol):
    """Puts the events of one reply together."""

    def take(self, name: bytes, data: bytes, shown: list[Delta]) -> None:
        """Take an event, and add to `shown` what there is to show of it.

        Raises:
            EndpointError: the event says that the response failed, or it makes no sense.
        """
        ...

    def reply(self) -> Reply:
        """Return the whole reply.

        Raises:
            StreamCutError: the stream ended before its time.
        """
        ...


class StreamDecoder:
    """A Decoder for either route."""

    def __init__(self, accumulator: Accumulator, read_body: Callable[[bytes], Reply]) -> None:
        self._accumulator = accumulator
        self._read_body = read_body
        self._splitter = EventSplitter()
        self._begun = False
        self._body: list[bytes] | None = None
        self._failure: EndpointError | None = None

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes and return what there is to show.

        Raises:
            EndpointError: the stream says that the response failed; what came before it has been returned.
        """
        if self._failure is not None:
            raise self._failure
        if not self._begun:
            data = data.lstrip()
            if not data:
                return []
            self._begun = True
            self._body = [] if data[0] in _BODY_STARTS else None
        if self._body is not None:
            self._body.append(data)
            return []
        return self._take(data)

    def close(self) -> Reply:
        """Return the whole reply once the bytes have ended.

        Raises:
            StreamCutError: the stream ended without its terminal event.
            EndpointError: the response failed, or what came is no reply.
        """
        if self._failure is not None:
            raise self._failure
        if self._body is not None:
            return self._read_body(b"".join(self._body))
        for name, data in self._splitter.close():
            try:
                self._accumulator.take(name, data, [])
            except ReplyError:
                break  # half an event: the accumulator knows whether it was needed
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

"""Tells when a reply is whole, which its last event or bracket says. Some servers then keep the connection open."""

from __future__ import annotations

import re
from typing import Protocol

from agentloop.wire.payload import load

ENDED_SECONDS = 0.5
"""How long the connection's own end is awaited after a terminal event. If it comes, the connection is used again."""
FINISHED_SECONDS = 5.0
"""How long the rest is awaited after a chat's `finish_reason`, which the usage and `[DONE]` may follow; the same after
a body that may be whole."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FIRST_FIELD = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry|error)?:")
_LAST_EVENT = re.compile(rb'\[DONE\]|response\.(?:completed|incomplete|failed)\b|"finish_reason": ?"')


class Ending(Protocol):
    """The end of a reply, as far as the bytes so far tell."""

    @property
    def grace_seconds(self) -> float | None:
        """How long to wait for more bytes before `is_whole` is asked; None as long as the reply can't be whole."""
        ...

    def is_whole(self) -> bool:
        """Return whether the reply is whole, so that nothing is lost if no more bytes come."""
        ...


class WholeBody:
    """The bytes of a reply that is read when all have come: JSON, or events that were not asked for."""

    grace_seconds: float | None = FINISHED_SECONDS

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._pieces.append(data)

    def join(self) -> bytes:
        """Return all bytes."""
        return b"".join(self._pieces)

    def is_whole(self) -> bool:
        """Return whether the bytes are a JSON object, or events of which one may be the last."""
        body = self.join()
        if is_stream(body):
            return _LAST_EVENT.search(body) is not None
        try:
            return isinstance(load(without_done(body)), dict)
        except ValueError:
            return False


def is_stream(body: bytes) -> bool:
    """Return whether a body is a stream of events. One begins with a comment or the name of a field."""
    return _FIRST_FIELD.match(body) is not None


def without_done(body: bytes) -> bytes:
    """Return a body without the mark at the end of a chat's stream, which some gateways add to JSON."""
    body = body.removeprefix(BYTE_ORDER_MARK)
    before, done, after = body.rpartition(b"[DONE]")
    return body if after.strip() or not done else before.rstrip().removesuffix(b"data:")

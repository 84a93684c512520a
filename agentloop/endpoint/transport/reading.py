"""Reads a reply up to its own end, which the connection's end need not follow."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from agentloop.endpoint.transport.deadline import Deadline
from agentloop.errors import EndpointTimeoutError, UnreachableError
from agentloop.wire.streams.ending import Ending


async def read_to_end(chunks: AsyncGenerator[bytes], ending: Ending) -> AsyncGenerator[bytes]:
    """Yield the chunks of a reply until it is whole and nothing more comes.

    Args:
        chunks: The reply as it arrives. It is closed at the end.
        ending: Tells whether the chunks so far, which it must have been given, are the whole reply.

    Raises:
        EndpointError: the connection broke or fell silent before the reply was whole.
    """
    async with aclosing(chunks):
        while (chunk := await _next(chunks, ending)) is not None:
            yield chunk


async def _next(chunks: AsyncGenerator[bytes], ending: Ending) -> bytes | None:
    grace_seconds = ending.grace_seconds
    try:
        if grace_seconds is None:
            return await anext(chunks, None)
        with Deadline(grace_seconds, may_end=ending.is_whole):
            return await anext(chunks, None)
    except (TimeoutError, UnreachableError, EndpointTimeoutError):
        if not ending.is_whole():
            raise
        return None

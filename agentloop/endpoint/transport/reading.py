"""Reads a reply up to its own end, which the connection's end need not follow."""

from __future__ import annotations

import asyncio
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
        async for chunk in chunks:
            yield chunk
            if ending.grace_seconds is not None:
                break
        clock = asyncio.get_running_loop().time
        since, grace_seconds = clock(), ending.grace_seconds
        while grace_seconds is not None:
            another = await _next(chunks, ending, since + grace_seconds - clock())
            if another is None:
                break
            yield another
            before, grace_seconds = grace_seconds, ending.grace_seconds
            if grace_seconds != before or not _keeps_alive(another):
                since = clock()


async def _next(chunks: AsyncGenerator[bytes], ending: Ending, seconds: float) -> bytes | None:
    """Return the next chunk; None at the end, or if a whole reply is followed by a failure or by so long a silence."""
    try:
        with Deadline(seconds, may_end=ending.is_whole):
            return await anext(chunks, None)
    except (TimeoutError, UnreachableError, EndpointTimeoutError):
        if not ending.is_whole():
            raise
        return None


def _keeps_alive(chunk: bytes) -> bool:
    """Return whether a chunk is a comment or blank, which servers send to keep the connection open."""
    content = chunk.strip()
    return not content or content.startswith(b":")

"""Defines use_cassette: a block whose requests to models are recorded to a file, or replayed from it.

    with use_cassette("cassettes/greeting.json"):
        agent.run_sync("Say hello.")

What is recorded passes between a transport and the network. So a replayed run has the same results and events.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Generator
from contextlib import aclosing, contextmanager
from pathlib import Path
from threading import Lock

from agentloop.endpoint.interception import RECORDERS, Carrier
from agentloop.errors import EndpointError
from agentloop.items import JsonObject
from agentloop.testing.cassette_file import CassetteError, Interaction, read_cassette, write_cassette
from agentloop.testing.comparison import describe_difference
from agentloop.testing.masking import Mask
from agentloop.wire.profile import Endpoint
from agentloop.wire.profile.lessons import LESSONS, SUSPICIONS


class Cassette:
    """The requests to models within a block, and the replies; `use_cassette` returns it.

    Attributes:
        path: The file.
        is_replaying: Whether the replies come from the file.
        error: The first request that the file does not have, or None.
    """

    def __init__(self, path: Path, *, record: bool, masked_fields: Collection[str]) -> None:
        self.path = path
        self.is_replaying = not record
        self.error: CassetteError | None = None
        self._masked_fields = masked_fields
        self._interactions = [] if record else read_cassette(path)
        self._used: list[Interaction] = []
        self._lock = Lock()

    @property
    def requests(self) -> list[JsonObject]:
        """The bodies of all requests so far."""
        return [each.body for each in self._used]

    def intercept(self, endpoint: Endpoint, connect: Callable[[], Awaitable[Carrier]]) -> Carrier:
        """Return what records or replays a request."""
        mask = Mask.of(endpoint, self._masked_fields)
        return _Player(self, mask) if self.is_replaying else _Recorder(self, mask, connect)

    def begin(self, path: str, body: JsonObject) -> Interaction:
        """Add a request, whose reply is recorded next."""
        interaction = Interaction(path, body)
        self._used.append(interaction)
        return interaction

    def find(self, path: str, body: JsonObject, mask: Mask) -> Interaction:
        """Return the first recorded request that is equal and has not been sent yet.

        Raises:
            CassetteError: there is none.
        """
        with self._lock:
            left = [each for each in self._interactions if each not in self._used]
            for each in left:
                if (each.path, mask.mask(each.body)) == (path, body):
                    self._used.append(each)
                    return each
            error = CassetteError(
                f"{self.path} has no such request as number {len(self._used) + 1}:\n"
                + describe_difference(left[0] if left else None, Interaction(path, body)),
                hint="if the change is wanted, record it anew: pytest --agentloop-record",
            )
            self.error = self.error or error
            raise error

    def save(self) -> None:
        """Write what was recorded."""
        write_cassette(self.path, self._used)


class _Player:
    """Replays the reply to one request."""

    def __init__(self, cassette: Cassette, mask: Mask) -> None:
        self._cassette = cassette
        self._mask = mask

    async def send(self, path: str, body: bytes) -> bytes:
        interaction = self._find(path, body)
        interaction.raise_error()
        return b"".join(interaction.chunks)

    async def stream(self, path: str, body: bytes) -> AsyncGenerator[bytes]:
        interaction = self._find(path, body)
        for chunk in interaction.chunks:
            yield chunk
        interaction.raise_error()

    def _find(self, path: str, body: bytes) -> Interaction:
        return self._cassette.find(path, self._mask.mask(json.loads(body)), self._mask)


class _Recorder:
    """Sends one request, and records the reply."""

    def __init__(self, cassette: Cassette, mask: Mask, connect: Callable[[], Awaitable[Carrier]]) -> None:
        self._cassette = cassette
        self._mask = mask
        self._connect = connect

    async def send(self, path: str, body: bytes) -> bytes:
        interaction = self._cassette.begin(path, self._mask.mask(json.loads(body)))
        chunks: list[bytes] = []
        try:
            chunks.append(await (await self._connect()).send(path, body))
        except EndpointError as error:
            interaction.set_error(error, self._mask)
            raise
        finally:
            interaction.set_chunks(chunks, self._mask)
        return chunks[0]

    async def stream(self, path: str, body: bytes) -> AsyncGenerator[bytes]:
        interaction = self._cassette.begin(path, self._mask.mask(json.loads(body)))
        interaction.is_stream = True
        chunks: list[bytes] = []
        try:
            carrier = await self._connect()
            async with aclosing(carrier.stream(path, body)) as source:
                async for chunk in source:
                    chunks.append(chunk)
                    yield chunk
        except EndpointError as error:
            interaction.set_error(error, self._mask)
            raise
        finally:
            interaction.set_chunks(chunks, self._mask)


@contextmanager
def use_cassette(
    path: str | os.PathLike[str], *, record: bool = False, masked_fields: Collection[str] = ()
) -> Generator[Cassette]:
    """Replay the requests to models within the block, in all threads, from a file; or record them to it.

    A request is found again by its path and its body. No headers are recorded, and keys are masked in bodies. Nothing
    that was learned about endpoints outside of the block counts within it.

    Args:
        path: The file, of JSON.
        record: Whether to send the requests, and to write the file when the block ends.
        masked_fields: The names of fields that the file does not show, in requests, replies and arguments of tools.

    Raises:
        CassetteError: the file can't be read or has no such request. It is raised at the end of the block too, because
            a program may handle it as an error of the endpoint.
    """
    cassette = Cassette(Path(path), record=record, masked_fields=frozenset(masked_fields))
    with _knowing_nothing():
        RECORDERS.append(cassette)
        try:
            yield cassette
        finally:
            RECORDERS.remove(cassette)
            if record:
                cassette.save()
    if cassette.error is not None:
        raise cassette.error


@contextmanager
def _knowing_nothing() -> Generator[None]:
    """Put aside what was learned about endpoints: another machine has learned something else."""
    before = [(known, dict[object, object](known)) for known in (LESSONS, SUSPICIONS)]
    file = os.environ.get("AGENTLOOP_CACHE")
    os.environ["AGENTLOOP_CACHE"] = ""
    LESSONS.clear()
    SUSPICIONS.clear()
    try:
        yield
    finally:
        for known, content in before:
            known.clear()
            known.update(content)  # type: ignore[arg-type]  # each has its own content again
        if file is None:
            del os.environ["AGENTLOOP_CACHE"]
        else:
            os.environ["AGENTLOOP_CACHE"] = file

"""Body: what comes of a body, unpacked, and never more of it than may be."""

from __future__ import annotations

import zlib

from agentloop.endpoint.fetch.urls import SHOWN_CHARACTERS
from agentloop.errors import FetchError

CODINGS = "gzip"
_GZIP = frozenset({"gzip", "x-gzip"})
_PLAIN = frozenset({"", "identity"})


class Body:
    """Takes a body in chunk by chunk; what is unpacked counts as what was sent does.

    Args:
        coding: The Content-Encoding.
        max_bytes: The largest body that is taken, packed or unpacked.
        where: What it is called in errors.

    Raises:
        FetchError: it is packed in a way that was not asked for.
    """

    def __init__(self, coding: str, max_bytes: int, where: str) -> None:
        coding = coding.strip().lower()
        if coding not in _GZIP | _PLAIN:
            shown = coding[:SHOWN_CHARACTERS]
            raise FetchError(f"{where} sent a body compressed as {shown!r} though that was not asked for")
        self._unzip = zlib.decompressobj(16 + zlib.MAX_WBITS) if coding in _GZIP else None
        self._max_bytes = max_bytes
        self._where = where
        self._came = 0
        self._content = bytearray()

    def announce(self, size: int) -> None:
        """Refuse at once what says that it is too large.

        Raises:
            FetchError: it does.
        """
        if size > self._max_bytes:
            raise FetchError(f"{self._where} is larger than {self._max_bytes:,} bytes")

    def take(self, chunk: bytes) -> None:
        """Add a chunk.

        Raises:
            FetchError: it is too large by now, or damaged.
        """
        self._came += len(chunk)
        self.announce(self._came)
        if self._unzip is None:
            self._content += chunk
        elif not self._unzip.eof:
            # One byte more than may be is enough to know, whatever a bomb would still unpack to.
            room = self._max_bytes + 1 - len(self._content)
            try:
                self._content += self._unzip.decompress(chunk, room)
            except zlib.error as error:
                raise self._damaged() from error
        self.announce(len(self._content))

    def whole(self) -> bytes:
        """Return all of it.

        Raises:
            FetchError: the end is missing.
        """
        if self._came and self._unzip is not None and not self._unzip.eof:
            raise self._damaged()
        return bytes(self._content)

    def _damaged(self) -> FetchError:
        return FetchError(f"{self._where} sent a body that can't be unpacked")

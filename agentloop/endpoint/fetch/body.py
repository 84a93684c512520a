"""Reads and decompresses the body of a reply up to a size limit."""

from __future__ import annotations

import zlib

from agentloop.endpoint.fetch.urls import SHOWN_CHARACTERS
from agentloop.errors import FetchError

CODINGS = "gzip"
_GZIP = frozenset({"gzip", "x-gzip"})
_PLAIN = frozenset({"", "identity"})


class Body:
    """Takes a body chunk by chunk. The size limit holds for the bytes as sent and for the bytes after decompression.

    Args:
        coding: The Content-Encoding.
        max_bytes: The size limit.
        where: The name of the body in error messages.

    Raises:
        FetchError: the body has a Content-Encoding that was not requested.
    """

    def __init__(self, coding: str, max_bytes: int, where: str) -> None:
        coding = coding.strip().lower()
        if coding not in _GZIP | _PLAIN:
            shown = coding[:SHOWN_CHARACTERS]
            raise FetchError(f"{where} sent a body compressed as {shown!r} though that was not asked for")
        self._unzip = zlib.decompressobj(16 + zlib.MAX_WBITS) if coding in _GZIP else None
        self._max_bytes = max_bytes
        self._where = where
        self._received = 0  # bytes as sent
        self._content = bytearray()

    def announce(self, size: int) -> None:
        """Check a size, announced or received, against the limit.

        Raises:
            FetchError: the size is over the limit.
        """
        if size > self._max_bytes:
            raise FetchError(f"{self._where} is larger than {self._max_bytes:,} bytes")

    def take(self, chunk: bytes) -> None:
        """Add a chunk.

        Raises:
            FetchError: the body is now over the limit, or the data is damaged.
        """
        self._received += len(chunk)
        self.announce(self._received)
        if self._unzip is None:
            self._content += chunk
        elif not self._unzip.eof:
            # Decompression stops one byte over the limit, so a zip bomb is not unpacked further.
            room = self._max_bytes + 1 - len(self._content)
            try:
                self._content += self._unzip.decompress(chunk, room)
            except zlib.error as error:
                raise self._damaged() from error
        self.announce(len(self._content))

    def whole(self) -> bytes:
        """Return the whole body.

        Raises:
            FetchError: the compressed data is incomplete.
        """
        if self._received and self._unzip is not None and not self._unzip.eof:
            raise self._damaged()
        return bytes(self._content)

    def _damaged(self) -> FetchError:
        return FetchError(f"{self._where} sent a body that can't be decompressed")

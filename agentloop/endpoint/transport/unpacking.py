"""Decompresses the body of a reply piece by piece, up to a size limit. It contains no code about the network.

Some servers and proxies say that a plain body is compressed. Such a body is passed on as it is.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterable, Iterator

from agentloop.errors import ReplyError

ACCEPTED = "gzip, deflate"
"""The codings to ask for. Others need a library, and save little on the replies of a model."""

_GZIP, _ZLIB, _HEADLESS = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS
# How each coding is decompressed; the ways of `deflate` are tried in turn, because many servers leave out its header.
# A plain body may also be labelled with the codings that were not asked for.
_WAYS: dict[str, tuple[int, ...]] = {
    "gzip": (_GZIP,),
    "x-gzip": (_GZIP,),
    "deflate": (_ZLIB, _HEADLESS),
    "br": (),
    "compress": (),
    "zstd": (),
}
_MOST_CODINGS = 3
_PIECE_BYTES = 256 * 1024
_START_BYTES = 8  # of compressed data, one of the first eight is no text
_TEXT_CONTROLS = "\t\n\f\r"


class Unpacker:
    """Decompresses the body of one reply.

    Args:
        codings: The value of the header Content-Encoding.
        most_bytes: The size limit, for the bytes as sent and after each decompression.
    """

    def __init__(self, codings: str, most_bytes: int) -> None:
        names = [name for name in codings.lower().replace(",", " ").split() if name in _WAYS]
        self._stages = [_Stage(name, most_bytes) for name in reversed(names[-_MOST_CODINGS:])]
        self._room = most_bytes

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Take the next bytes, and return what they contain in pieces. All must be taken before the next call.

        Raises:
            ReplyError: the body is over the limit, or its compression was not asked for.
            zlib.error: the compressed data is damaged.
        """
        self._room = _leave_room(self._room, data)
        return self._pass_on((data,), is_last=False)

    def close(self) -> Iterable[bytes]:
        """Return what was held back, after the last bytes. It raises what `feed` does."""
        return self._pass_on((), is_last=True)

    def _pass_on(self, pieces: Iterable[bytes], *, is_last: bool) -> Iterable[bytes]:
        for stage in self._stages:
            pieces = stage.unpack(pieces, is_last=is_last)
        return pieces


class _Stage:
    """Undoes one coding of a body."""

    def __init__(self, coding: str, most_bytes: int) -> None:
        self._coding = coding
        self._room = most_bytes
        self._start: bytes | None = b""  # None when it is known whether the body is compressed
        self._way: int | None = None
        self._unzip = zlib.decompressobj()

    def unpack(self, pieces: Iterable[bytes], *, is_last: bool) -> Iterator[bytes]:
        for data in pieces:
            yield from self._take(data)
        if is_last and self._start:
            yield from self._begin(self._start)

    def _take(self, data: bytes) -> Iterator[bytes]:
        if self._start is None:
            yield from self._read(data)
        elif len(self._start) + len(data) < _START_BYTES:
            self._start += data
        else:
            yield from self._begin(self._start + data)

    def _begin(self, data: bytes) -> Iterator[bytes]:
        self._start = None
        ways = _WAYS[self._coding]
        if not _is_text(data[:_START_BYTES]):
            if not ways:
                raise ReplyError(
                    f"the endpoint compressed its reply with {self._coding}, which was not asked for",
                    hint="leave Accept-Encoding out of the headers of the Endpoint, or tell the server's operator",
                    status=200,
                )
            self._way = next((way for way in ways if _can_begin(data, way)), None)
        if self._way is not None:
            self._unzip = zlib.decompressobj(self._way)
        yield from self._read(data)

    def _read(self, data: bytes) -> Iterator[bytes]:
        if self._way is None:
            yield data
            return
        while True:
            piece = self._unzip.decompress(data, _PIECE_BYTES)
            self._room = _leave_room(self._room, piece)
            if piece:
                yield piece
            data = self._unzip.unconsumed_tail
            if self._unzip.eof:  # some servers compress each event by itself
                data = self._unzip.unused_data
                self._unzip = zlib.decompressobj(self._way)
            if not data and len(piece) < _PIECE_BYTES:
                return


def _can_begin(data: bytes, way: int) -> bool:
    try:
        zlib.decompressobj(way).decompress(data, 1)
    except zlib.error:
        return False
    return True


def _is_text(start: bytes) -> bool:
    """Return whether the first bytes of a body are text."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return all(letter >= " " or letter in _TEXT_CONTROLS for letter in text)


def _leave_room(room: int, data: bytes) -> int:
    if len(data) > room:
        raise ReplyError(
            "the endpoint's reply is longer than any reply of a model, or unpacks to such a length",
            hint="check that base_url is the address of the API, and that the server can be trusted",
            status=200,
        )
    return room - len(data)

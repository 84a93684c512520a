"""Decodes the bytes of a file to text, and encodes it again without a loss."""

from __future__ import annotations

import codecs
import os
from dataclasses import dataclass, replace
from hashlib import blake2b

from agentloop import ToolError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, because it begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class FileText:
    """The text of a file.

    Attributes:
        content: The text, with its original line ends.
        codec: The encoding.
        mark: The byte order mark at the beginning, or b"".
    """

    content: str
    codec: str = "utf-8"
    mark: bytes = b""

    @property
    def lines(self) -> list[str]:
        """The lines without their ends. A line ends with a line feed, or a carriage return and a line feed."""
        lines = self.content.split("\n")
        if not lines[-1]:
            lines.pop()
        return [line.removesuffix("\r") for line in lines]

    def with_content(self, content: str) -> FileText:
        """Return another text with the same encoding."""
        return replace(self, content=content)

    def encode(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            ToolError: its encoding lacks a character.
        """
        try:
            return self.mark + self.content.encode(self.codec)
        except UnicodeEncodeError as error:
            raise ToolError(
                f"{error.object[error.start]!a} can't be written to this file, which is {self.codec}"
            ) from None


def fingerprint(data: bytes) -> bytes:
    """Return a digest of a file's content."""
    return blake2b(data, digest_size=16).digest()


def decode(data: bytes) -> FileText | None:
    """Return the text of a file, or None if it is not text.

    Without a byte order mark, and if it is not UTF-8, it is read as Windows-1252, or as Latin-1 if it has a byte that
    Windows-1252 lacks. This is a guess, but encoding the text again gives the same bytes.
    """
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return _decode(data[len(mark) :], mark, codec)
    return None if b"\0" in data else _decode(data, b"", "utf-8", "cp1252", "latin-1")


def _decode(data: bytes, mark: bytes, *names: str) -> FileText | None:
    for codec in names:
        try:
            return FileText(data.decode(codec), codec, mark)
        except UnicodeDecodeError:
            continue
    return None


def read_bytes(descriptor: int, most: int) -> bytes | None:
    """Return the content of a file, or None if it is more than `most` bytes. The file's reported size is not used."""
    chunks: list[bytes] = []
    size = 0
    while size <= most and (chunk := os.read(descriptor, _CHUNK)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks) if size <= most else None


def escape(text: str) -> str:
    """Return a line in which characters that can't be printed, such as control characters, are escaped."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\t" else each.encode("unicode_escape").decode() for each in text
    )

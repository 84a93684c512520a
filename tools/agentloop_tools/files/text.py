"""Bytes of a file to text and back again without a loss."""

from __future__ import annotations

import codecs
import os
from dataclasses import dataclass, replace

from agentloop import ToolError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, with whose mark it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class FileText:
    """What a text file holds.

    Attributes:
        content: The text, its line ends as they are.
        codec: How it is written down.
        mark: The byte order mark before it, or nothing.
    """

    content: str
    codec: str = "utf-8"
    mark: bytes = b""

    @property
    def lines(self) -> list[str]:
        """The lines without their ends; a line ends with a line feed, maybe after a carriage return."""
        lines = self.content.split("\n")
        if not lines[-1]:
            lines.pop()
        return [line.removesuffix("\r") for line in lines]

    def with_content(self, content: str) -> FileText:
        """Return another text for the same file."""
        return replace(self, content=content)

    def encode(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            ToolError: its codec lacks a character.
        """
        try:
            return self.mark + self.content.encode(self.codec)
        except UnicodeEncodeError as error:
            raise ToolError(
                f"{error.object[error.start]!a} can't be written to this file, which is {self.codec}"
            ) from None


def decode(data: bytes) -> FileText | None:
    """Return the text of a file, or None where it is not text.

    What is not UTF-8 and has no byte order mark is taken for Windows-1252, or Latin-1 where that has no such byte: a
    guess, but one that is written back byte for byte.
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
    """Return what a file holds, or None where that is more than `most` bytes, whatever size it claims to have."""
    chunks: list[bytes] = []
    size = 0
    while size <= most and (chunk := os.read(descriptor, _CHUNK)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks) if size <= most else None


def escape(text: str) -> str:
    """Return a line with what can't be printed, such as control characters, written as escapes."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\t" else each.encode("unicode_escape").decode() for each in text
    )

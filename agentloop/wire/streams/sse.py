"""Splits bytes, cut at any point, into server-sent events. It does not interpret the events.

It follows the event stream format of the HTML standard, but accepts events without their blank lines:
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import re
from typing import TypeAlias

from agentloop.errors import ReplyError

MOST_BYTES = 32 * 1024 * 1024  # of one event; the last one of a reply may repeat all of it
ServerEvent: TypeAlias = tuple[bytes, bytes]
"""An event's name, b"" if it has none, and its data."""


class EventSplitter:
    """Splits a stream into its events; each is returned as soon as it is complete."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._after_return = False

    def feed(self, data: bytes) -> list[ServerEvent]:
        """Take the next bytes and return the events that they complete.

        Raises:
            ReplyError: an event is longer than any event of a model.
        """
        if data and (self._after_return or b"\r" in data):
            data = self._with_plain_newlines(data)
        held = self._held
        if not held:
            # Most servers send each event by itself, in a form that is read without splitting it into lines.
            usual = _USUAL_ALONE.fullmatch(data)
            if usual is not None:
                return [(usual[1] or b"", usual[2])]
        if not data:
            return []
        if held:
            held.append(data)
            # Bytes are joined only when an event is complete. Otherwise a huge event in many pieces would take
            # quadratic time.
            if b"\n\n" not in data and not (data[0] == _NEWLINE and held[-2][-1] == _NEWLINE):
                self._held_bytes += len(data)
                if self._held_bytes > MOST_BYTES:
                    raise ReplyError(
                        "an event of the endpoint's reply is longer than any event of a model",
                        hint="check that base_url is the address of the API, and that the server can be trusted",
                        status=200,
                    )
                return []
            data = b"".join(held)
        *blocks, rest = data.split(b"\n\n")
        self._held, self._held_bytes = [rest] if rest else [], len(rest)
        events: list[ServerEvent] = []
        for block in blocks:
            usual = _USUAL.fullmatch(block)
            if usual is not None:
                events.append((usual[1] or b"", usual[2]))
            else:
                events += _read_block(block)
        return events

    def close(self) -> list[ServerEvent]:
        """Return the event that the end of the stream leaves without its blank line, if there is one."""
        events = _read_block(b"".join(self._held))
        self._held = []
        return events

    def _with_plain_newlines(self, data: bytes) -> bytes:
        if self._after_return:
            data = data.removeprefix(b"\n")  # the second half of a "\r\n" that was cut
        self._after_return = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


_NEWLINE = ord("\n")
_USUAL = re.compile(rb"(?:event: (.*)\n)?data: (.*)")
_USUAL_ALONE = re.compile(_USUAL.pattern + rb"\n\n")


def _read_block(block: bytes) -> list[ServerEvent]:
    name, data = b"", list[bytes]()
    for line in block.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value
        elif field == b"data":
            data.append(value)
        elif field == b"error":  # llama.cpp until 2025
            name = field
            data.append(value)
    if name == b"error" and not any(data):  # an error without a reason is an event too
        data = [b"{}"]
    if len(data) > 1 and all(_is_whole(line) for line in data):
        return [(name, line) for line in data]
    return [(name, b"\n".join(data))] if data else []


def _is_whole(line: bytes) -> bool:
    """Return whether a line of data is an event of its own: some servers leave out the blank line after it."""
    return line == b"[DONE]" or (line.startswith(b"{") and line.endswith(b"}"))

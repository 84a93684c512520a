"""The result of a request, Answer, and the result for one capability, Finding.

`judgement` draws findings from an answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from agentloop.errors import (
    AuthenticationError,
    ContextOverflowError,
    EndpointError,
    RateLimitedError,
    RefusedError,
)
from agentloop.items import Message, Reply, ToolCall

_LONGEST_QUOTE = 90
_NO_ROUTE = frozenset({404, 405, 501})
_NO_CREDIT = 402
_NOT_IMPLEMENTED = 501
_UNSUPPORTED = re.compile(r"not\b.{0,20}\b(?:support|implement|available)|unsupported", re.IGNORECASE)
_UNDECIDED = (AuthenticationError, ContextOverflowError, RateLimitedError)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of the probe for one capability.

    Attributes:
        works: Whether the capability works; None if the probe could not tell.
        evidence: What the server did, in one sentence.
        how: How the capability fails, if it does: the server `refused` the request, or it did the same thing
            `otherwise`, in another form than requested. "" if it ignored the request.
    """

    works: bool | None
    evidence: str
    how: Literal["", "refused", "otherwise"] = ""


def yes(evidence: str) -> Finding:
    """Return the finding that the capability works."""
    return Finding(works=True, evidence=evidence)


def no(evidence: str, how: Literal["", "refused", "otherwise"] = "") -> Finding:
    """Return the finding that the capability does not work."""
    return Finding(works=False, evidence=evidence, how=how)


def unknown(evidence: str) -> Finding:
    """Return the finding that the probe could not tell."""
    return Finding(works=None, evidence=evidence)


@dataclass(frozen=True, slots=True)
class StreamShape:
    """The layout of a stream.

    Attributes:
        events: The different names of its events, in the order of first appearance; "" for events without a name.
        chunks: The number of events.
        done: Whether the stream ended with `[DONE]`.
    """

    events: tuple[str, ...] = ()
    chunks: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one request: a reply or an error.

    Attributes:
        reply: The decoded reply; empty if there was an error.
        error: The error, or None.
        shape: The layout of the reply's stream, if it was a stream.
    """

    reply: Reply = field(default_factory=lambda: Reply(()))
    error: EndpointError | None = None
    shape: StreamShape = field(default_factory=StreamShape)

    @property
    def text(self) -> str:
        """The whole text of the reply."""
        return "\n".join(item.text for item in self.reply.items if isinstance(item, Message)).strip()

    @property
    def calls(self) -> list[ToolCall]:
        """The tool calls."""
        return [item for item in self.reply.items if isinstance(item, ToolCall)]

    @property
    def refused(self) -> bool:
        """Whether the server refused the request for good, and not because of a rate limit, the key or the credit."""
        if self.error is None or isinstance(self.error, _UNDECIDED) or self.error.status == _NO_CREDIT:
            return False
        # llama.cpp answers with a 500 that it does not support images.
        says_no = self.error.status == _NOT_IMPLEMENTED or _UNSUPPORTED.search(self.error.message)
        return isinstance(self.error, RefusedError) or bool(says_no)

    @property
    def lacks_route(self) -> bool:
        """Whether the status says that the server may not have the route."""
        return self.error is not None and self.error.status in _NO_ROUTE

    @property
    def saying(self) -> str:
        """The text, the calls or the error message, short enough for evidence."""
        if self.error is not None:
            return self.error.message
        if self.calls:
            return ", ".join(f"{call.name} {call.arguments}" for call in self.calls)
        return quote(self.text) if self.text else "it wrote nothing"


def quote(text: str) -> str:
    """Return a text on one line, in quotation marks, cut to the length of evidence."""
    line = " ".join(text.split())
    return f'"{line}"' if len(line) <= _LONGEST_QUOTE else f'"{line[:_LONGEST_QUOTE]}..."'

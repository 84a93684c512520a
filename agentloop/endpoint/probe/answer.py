"""What came of a request, and what was found out by it: Answer and Finding.

What an answer proves is the business of `judgement`.
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
    """What was found out about one capability.

    Attributes:
        works: None where it couldn't be told.
        evidence: What the server did, in one sentence.
        how: Of what does not work: the server `refused` it, in place of ignoring it; or it did what was asked for
            `otherwise` than was asked.
    """

    works: bool | None
    evidence: str
    how: Literal["", "refused", "otherwise"] = ""


def yes(evidence: str) -> Finding:
    """Return the finding that it works."""
    return Finding(works=True, evidence=evidence)


def no(evidence: str, how: Literal["", "refused", "otherwise"] = "") -> Finding:
    """Return the finding that it does not work."""
    return Finding(works=False, evidence=evidence, how=how)


def unknown(evidence: str) -> Finding:
    """Return the finding that it couldn't be told."""
    return Finding(works=None, evidence=evidence)


@dataclass(frozen=True, slots=True)
class StreamShape:
    """How a stream was laid out.

    Attributes:
        events: Names of its events, in the order in which each came first; "" for those without one.
        chunks: How many events came.
        done: It ended with `[DONE]`.
    """

    events: tuple[str, ...] = ()
    chunks: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request: a reply, or an error in its place.

    Attributes:
        reply: The reply as it was read.
        error: What came in its place.
        shape: Of a stream.
    """

    reply: Reply = field(default_factory=lambda: Reply(()))
    error: EndpointError | None = None
    shape: StreamShape = field(default_factory=StreamShape)

    @property
    def text(self) -> str:
        """All that the model wrote."""
        return "\n".join(item.text for item in self.reply.items if isinstance(item, Message)).strip()

    @property
    def calls(self) -> list[ToolCall]:
        """The tool calls."""
        return [item for item in self.reply.items if isinstance(item, ToolCall)]

    @property
    def refused(self) -> bool:
        """Whether the server said no to what was asked, and not for a while or to the one who asks."""
        if self.error is None or isinstance(self.error, _UNDECIDED) or self.error.status == _NO_CREDIT:
            return False
        # llama.cpp says with a 500 that it takes no images.
        says_no = self.error.status == _NOT_IMPLEMENTED or _UNSUPPORTED.search(self.error.message)
        return isinstance(self.error, RefusedError) or bool(says_no)

    @property
    def lacks_route(self) -> bool:
        """Whether the server may not know the path at all."""
        return self.error is not None and self.error.status in _NO_ROUTE

    @property
    def saying(self) -> str:
        """What was said or called, or what went wrong, short enough to be evidence."""
        if self.error is not None:
            return self.error.message
        if self.calls:
            return ", ".join(f"{call.name} {call.arguments}" for call in self.calls)
        return quote(self.text) if self.text else "it wrote nothing"


def quote(text: str) -> str:
    """Return a text as evidence: on one line, in quotation marks, cut."""
    line = " ".join(text.split())
    return f'"{line}"' if len(line) <= _LONGEST_QUOTE else f'"{line[:_LONGEST_QUOTE]}..."'

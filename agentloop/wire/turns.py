"""The order in which a turn's items go over the wire. Pure grouping; no JSON here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from agentloop.items import Item, Message, Opaque, Reasoning, ToolCall, ToolResult

Entry: TypeAlias = Message | Reasoning | ToolResult | Opaque | tuple[ToolCall, ...]


def gather_calls(items: Iterable[Item]) -> Iterator[Entry]:
    """Yield the items in order, but the calls of a turn side by side, as one tuple.

    What the assistant said between its calls goes ahead of them: DeepSeek refuses a message between calls and
    their outputs, and message-style dialects hold the calls of a turn in one message.
    """
    calls: list[ToolCall] = []
    for item in items:
        match item:
            case ToolCall():
                calls.append(item)
            case Message(role="assistant"):
                yield item
            case _:
                if calls:
                    yield tuple(calls)
                    calls = []
                yield item
    if calls:
        yield tuple(calls)

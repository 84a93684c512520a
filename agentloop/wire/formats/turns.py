"""The order in which a turn's items go over the wire. Pure grouping; no JSON here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from agentloop.items import Item, Message, Opaque, Reasoning, ToolCall, ToolResult

Entry: TypeAlias = Message | Reasoning | ToolResult | Opaque | tuple[ToolCall, ...]


def gather_calls(items: Iterable[Item]) -> Iterator[Entry]:
    """Yield the items in order, but the calls of a turn at its end, and those side by side as one tuple.

    What the assistant said between its calls goes ahead of them: DeepSeek refuses a message between calls and
    their outputs, and message-style dialects hold the calls of a turn in one message. A thought stays ahead of what it
    led to, as OpenAI asks for.
    """
    said: list[Item] = []
    called: list[Item] = []
    thoughts: list[Item] = []
    for item in items:
        match item:
            case Reasoning():
                thoughts.append(item)
            case ToolCall():
                called += [*thoughts, item]
                thoughts = []
            case Message(role="assistant") | Opaque():
                said += [*thoughts, item]
                thoughts = []
            case _:
                yield from _join([*said, *called, *thoughts])
                said, called, thoughts = [], [], []
                yield item
    yield from _join([*said, *called, *thoughts])


def _join(turn: Iterable[Item]) -> Iterator[Entry]:
    calls: list[ToolCall] = []
    for item in turn:
        if isinstance(item, ToolCall):
            calls.append(item)
            continue
        if calls:
            yield tuple(calls)
            calls = []
        yield item
    if calls:
        yield tuple(calls)

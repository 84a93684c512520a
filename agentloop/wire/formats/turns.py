"""Puts the items of a turn into the order in which they are sent. It groups items and writes no JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from agentloop.items import Item, Message, Opaque, Reasoning, ToolCall, ToolResult

Entry: TypeAlias = Message | Reasoning | ToolResult | Opaque | tuple[ToolCall, ...]


def gather_calls(items: Iterable[Item]) -> Iterator[Entry]:
    """Yield the items in order, but with the calls of a turn at its end; adjacent calls are one tuple.

    The assistant's text between its calls goes before them, because DeepSeek refuses a message between calls and their
    outputs, and message-style dialects hold the calls of a turn in one message. Reasoning stays before the text or
    the call that it led to, as OpenAI requires. Reasoning that led to nothing, in an empty reply or in one that was cut
    off, is left out: OpenAI refuses it.
    """
    texts: list[Item] = []
    calls: list[Item] = []
    thoughts: list[Item] = []
    for item in items:
        match item:
            case Reasoning():
                thoughts.append(item)
            case ToolCall():
                calls += [*thoughts, item]
                thoughts = []
            case Message(role="assistant", text=""):
                pass
            case Message(role="assistant") | Opaque():
                texts += [*thoughts, item]
                thoughts = []
            case _:
                yield from _join([*texts, *calls])
                texts, calls, thoughts = [], [], []
                yield item
    yield from _join([*texts, *calls])


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

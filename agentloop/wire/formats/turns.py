"""Puts the items of a turn into the order in which they are sent. It groups items and writes no JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

from agentloop.items import Item, Message, Opaque, Reasoning, ToolCall, ToolResult

Entry: TypeAlias = Message | Reasoning | ToolResult | Opaque | tuple[ToolCall, ...]
Speaker: TypeAlias = Literal["user", "assistant", "tool"]

BRIDGE = Message("assistant", "Understood.")
"""Stands between a result or a message of the user and the next message of the user, for `alternating_roles`."""
OPENING = Message("user", "[The beginning of the conversation is left out.]")
"""Stands before a conversation that begins with the assistant, for `alternating_roles`."""


def alternate_roles(items: Iterable[Item], before: Speaker | None) -> Iterator[Item]:
    """Yield the items so that the user speaks first, and then only after the assistant.

    Args:
        items: The items.
        before: Who spoke last before them, or None at the beginning.
    """
    last = before
    for item in items:
        speaker = _find_speaker(item)
        if speaker == "user" and last in {"user", "tool"}:
            yield BRIDGE
        elif speaker in {"assistant", "tool"} and last is None:
            yield OPENING
        yield item
        last = speaker or last


def last_speaker(items: Sequence[Item]) -> Speaker | None:
    """Return who spoke last, or None if nobody did."""
    return next((speaker for item in reversed(items) if (speaker := _find_speaker(item))), None)


def _find_speaker(item: Item) -> Speaker | None:
    match item:
        case Message(role="user"):
            return "user"
        case ToolResult():
            return "tool"
        case ToolCall():
            return "assistant"
        case Message(role="assistant") if item.text:
            return "assistant"
        case _:
            return None  # system messages are sent elsewhere, and not every format has the other items


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

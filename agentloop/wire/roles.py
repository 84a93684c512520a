"""Puts messages between others, for servers at which the user and the assistant must take turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

from agentloop.items import Item, Message, ToolCall, ToolResult

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


def do_roles_alternate(items: Iterable[Item]) -> bool:
    """Return whether `alternate_roles` would add nothing to a conversation."""
    return not any(item is BRIDGE or item is OPENING for item in alternate_roles(items, None))


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

"""Marks items with the server that they came from, so that what only this server understands goes to no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from agentloop.items import Item, Message, Opaque, Reasoning, ServerState, ToolCall, ToolResult
from agentloop.wire.profile import Profile


def mark_origin(item: Message | Reasoning | ToolCall | Opaque, origin: str) -> Item:
    """Return an item of a reply with its origin, if it holds anything that only the server understands."""
    if item.state is not None:
        return replace(item, state=replace(item.state, origin=origin))
    is_opaque = isinstance(item, Opaque) or (isinstance(item, Reasoning) and item.encrypted is not None)
    return replace(item, state=ServerState({}, origin)) if is_opaque else item


def keep_state(items: Sequence[Item], origin: str, profile: Profile) -> Sequence[Item]:
    """Return the items without what only another server understands, or what this server does not take back."""
    if all(isinstance(item, ToolResult) or item.state is None for item in items):
        return items
    return list(_keep_state(items, origin, profile))


def _keep_state(items: Sequence[Item], origin: str, profile: Profile) -> Iterator[Item]:
    for item in items:
        if isinstance(item, ToolResult) or item.state is None:
            yield item
        elif item.state.origin == origin:
            yield item if profile.state_replay else replace(item, state=None)
        elif isinstance(item, Reasoning):
            yield Reasoning(item.text)
        elif not isinstance(item, Opaque):
            yield replace(item, state=None)

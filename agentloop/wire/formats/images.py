"""Moves the images of tools' results into messages, for formats that allow no images in a result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from agentloop.items import Item, Message, Part, Text, ToolCall, ToolResult
from agentloop.wire.profile import Profile
from agentloop.wire.roles import BRIDGE


def place_images(items: Iterable[Item], profile: Profile, *, in_results: bool) -> Iterable[Item]:
    """Return the items of whole turns with the images of results in a place where the model can see them.

    Images go into a user message after all the results of a turn, because servers require calls and results to be
    adjacent. A line before each image says which call it came from. If the model accepts no images, a note in the
    result says that there was one.

    Args:
        items: The items of whole turns.
        profile: Says whether the model accepts images.
        in_results: Whether results may keep their images.
    """
    items = tuple(items)
    has_images = any(isinstance(item, ToolResult) and item.images for item in items)
    return _place(items, profile, in_results=in_results) if has_images else items


def _place(items: Sequence[Item], profile: Profile, *, in_results: bool) -> Iterator[Item]:
    names = {item.call_id: item.name for item in items if isinstance(item, ToolCall)}
    shown: list[Part] = []
    for item in items:
        if not isinstance(item, ToolResult):
            yield from _show(shown, profile)
            shown = []
            yield item
        elif not item.images or (in_results and profile.images):
            yield item
        elif not profile.images:
            unseen = "(an image, which you can't see)\n" * len(item.images)
            yield replace(item, content=f"{item.content}\n{unseen}".strip(), images=())
        else:
            yield replace(item, content=item.content or "(see the image below)", images=())
            source = f"of the result of {names.get(item.call_id, 'a tool')} ({item.call_id}):"
            for number, image in enumerate(item.images, 1):
                shown += [Text(f"Image {number} {source}"), image]
    yield from _show(shown, profile)


def _show(parts: list[Part], profile: Profile) -> Iterator[Message]:
    if parts:
        if profile.alternating_roles:
            yield BRIDGE
        yield Message("user", tuple(parts))

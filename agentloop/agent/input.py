"""Makes items of what a user says: a text, images, items, or messages in the form of OpenAI's APIs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast
from uuid import uuid4

from pydantic import BaseModel

from agentloop.agent.openai_items import read_openai_item
from agentloop.errors import ConfigurationError
from agentloop.items import Image, Item, Message, Opaque, Part, Reasoning, Text, ToolCall, ToolResult
from agentloop.loop.run import Outcome, Run, UserSaid

Said: TypeAlias = str | Part | Item | Mapping[str, Any] | BaseModel
Input: TypeAlias = Said | Sequence[Said]
"""A text, an image, an item, a message as OpenAI's APIs have it (a dict, or a model of the openai SDK), or several."""

_ITEMS = (Message, Reasoning, ToolCall, ToolResult, Opaque)
_PARTS = (str, Text, Image)


def begin_run(said: Input, history: Input) -> tuple[Run, Outcome]:
    """Return a new run, and what the user says in it.

    Raises:
        ConfigurationError: the input or the history holds something else.
    """
    return Run(run_id=uuid4().hex, items=read_input("history", history)), UserSaid(read_input("input", said))


def read_input(name: str, given: object) -> tuple[Item, ...]:
    """Return the items that are given as the argument of this name. Texts and images in a row are one message.

    Raises:
        ConfigurationError: something is neither an item nor a part of a message.
    """
    items, parts = list[Item](), list[str | Part]()
    for each in _list_given(given):
        if isinstance(each, _PARTS):
            parts.append(each)
            continue
        if parts:
            items.append(Message("user", parts))
            parts = []
        items += _read_items(name, each)
    return (*items, Message("user", parts)) if parts else tuple(items)


def _list_given(given: object) -> Iterable[object]:
    one: tuple[object, ...] = (given,)
    if isinstance(given, (*_PARTS, *_ITEMS, Mapping, BaseModel)):
        return one
    return cast("Iterable[object]", given) if isinstance(given, Iterable) else one


def _read_items(name: str, given: object) -> Iterable[Item]:
    if isinstance(given, _ITEMS):
        return (given,)
    if isinstance(given, BaseModel):
        given = given.model_dump(mode="json", exclude_none=True)
    if isinstance(given, Mapping):
        return read_openai_item(name, dict(cast("Mapping[str, Any]", given)))
    raise ConfigurationError(
        f"{name} holds a {type(given).__name__}, which is no item of a conversation",
        hint='give texts, images, items such as Message("user", "..."), messages as OpenAI has them '
        '({"role": "user", "content": "..."}), or the items of an earlier result (result.items)',
    )

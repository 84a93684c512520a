"""Makes items of what a user says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias, cast
from uuid import uuid4

from agentloop.errors import ConfigurationError
from agentloop.items import Item, Message, Opaque, Reasoning, ToolCall, ToolResult
from agentloop.loop.run import Outcome, Run, UserSaid

Input: TypeAlias = str | Message | Sequence[Item]

_ITEMS = (Message, Reasoning, ToolCall, ToolResult, Opaque)


def begin_run(said: Input, history: Sequence[Item]) -> tuple[Run, Outcome]:
    """Return a new run, and what the user says in it.

    Raises:
        ConfigurationError: the input or the history holds something else than items.
    """
    return Run(run_id=uuid4().hex, items=_check_items("history", history)), UserSaid(_read_input(said))


def _read_input(said: Input) -> tuple[Item, ...]:
    if isinstance(said, str):
        return (Message("user", said),)
    return _check_items("input", (said,) if isinstance(said, Message) else said)


def _check_items(name: str, given: object) -> tuple[Item, ...]:
    items = tuple(cast("Iterable[object]", given)) if isinstance(given, Iterable) else (given,)
    for item in items:
        if not isinstance(item, _ITEMS):
            raise ConfigurationError(
                f"{name} holds a {type(item).__name__}, which is no item of a conversation",
                hint='give items such as Message("user", "..."), or the items of an earlier result (result.items)',
            )
    return cast("tuple[Item, ...]", items)

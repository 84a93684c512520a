"""Defines Override: a block in which the runs of an agent have other options."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Any, TypeAlias

from agentloop.agent.prepared_agent import PreparedAgent
from agentloop.agent.prompt import FilledPrompt
from agentloop.endpoint.served_model import ServedModels

_Overridden: TypeAlias = tuple[PreparedAgent, frozenset[str]]

_NONE: Mapping[object, _Overridden] = MappingProxyType({})
_OVERRIDDEN: ContextVar[Mapping[object, _Overridden]] = ContextVar("overridden", default=_NONE)
"""By agent: its options within the block, and the names of those that the block has set."""


def vary(agent: object, prepared: PreparedAgent, options: Mapping[str, Any]) -> PreparedAgent:
    """Return what a run of an agent has: the agent's options, changed by those of the run, then by an override."""
    prepared, fixed = _OVERRIDDEN.get().get(agent, (prepared, frozenset()))
    given = {name: value for name, value in options.items() if name not in fixed}
    if fixed and isinstance(prompt := given.get("prompt"), FilledPrompt):
        given["prompt"] = prompt.without(fixed)
    if "instructions" in fixed:
        given.pop("prompt", None)
    return prepared.replace(given)


class Override:
    """A block in which the runs of an agent have other options; `Agent.override` returns it. It may be used again.

    Args:
        agent: The agent.
        prepared: The agent's own options.
        options: The options within the block.
    """

    def __init__(self, agent: object, prepared: PreparedAgent, options: Mapping[str, Any]) -> None:
        self._agent = agent
        self._prepared = prepared
        self._options = options
        self._tokens: list[Token[Mapping[object, _Overridden]]] = []

    def __enter__(self) -> None:
        outer = _OVERRIDDEN.get()
        before, fixed = outer.get(self._agent, (self._prepared, frozenset[str]()))
        # Connections that only this block uses are not kept by the agent.
        models = None if self._options.keys().isdisjoint({"model", "endpoint"}) else ServedModels()
        overridden = before.replace(self._options, models), fixed | self._options.keys()
        self._tokens.append(_OVERRIDDEN.set({**outer, self._agent: overridden}))

    def __exit__(self, *_: object) -> None:
        _OVERRIDDEN.reset(self._tokens.pop())

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

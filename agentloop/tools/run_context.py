"""Defines RunContext: what a function of the user's is told about a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic

from typing_extensions import TypeVar

from agentloop.items import Item
from agentloop.limits import Tally

T = TypeVar("T", default=Any)


@dataclass(frozen=True, slots=True)
class RunContext(Generic[T]):
    """Information about the run for the functions that decide what it has, such as its instructions.

    Attributes:
        run_id: The id of the run.
        tally: What the run has done so far.
        value: The user's own object, as given to `run(context=...)`.
        items: The conversation so far.
    """

    run_id: str
    tally: Tally
    value: T
    items: tuple[Item, ...] = ()

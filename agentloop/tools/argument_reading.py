"""Defines ArgumentReading: what a tool will use for an argument that can be written in several ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agentloop.items import JsonObject


def _same(pattern: str) -> str:
    return pattern


@dataclass(frozen=True, slots=True)
class ArgumentReading:
    """How a tool reads an argument. Rules about the argument see what the tool will use, however it is written.

    Attributes:
        read: Returns what the tool will use with these arguments: one text, or several if the other side may read it in
            several ways. It raises ToolError for a value that the tool refuses. The tool must use the same function.
        read_pattern: Returns a rule's pattern in the form of these texts.
        is_address: Whether the argument is the address of the tool's request, so that a redirect is judged like a call
            with the target as this argument.
    """

    read: Callable[[JsonObject], Iterable[str]]
    read_pattern: Callable[[str], str] = _same
    is_address: bool = False

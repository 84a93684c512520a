"""Finds the tools of a server whose definitions differ from the accepted ones, and shows a person how they differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from agentloop.errors import PackError
from agentloop.ext.mcp.config import McpConfig
from agentloop.ext.mcp.definitions import Definition, digest
from agentloop.ext.mcp.pins import Pin, add_pins, keep_first_pins, make_pin, read_pins
from agentloop.showable import show_json

MOST_SHOWN = 900_000
"""A longer change is not shown in a question, so that a person can accept it with `agentloop mcp pin` only."""
_AROUND = 3  # lines that are shown before and after a change
_CONTEXT = 60  # characters that are shown before and after the words that differ


@dataclass(frozen=True, slots=True)
class Change:
    """A definition that differs from the accepted one, `pin`, which is None for a new tool."""

    now: Definition
    pin: Pin | None

    @property
    def what(self) -> str:
        """What the server has changed, in words."""
        return f"the definition of this tool since {self.pin.since}" if self.pin else "this tool since its first use"

    def describe(self) -> str:
        """Return the change as text: first the words that differ, then all lines that differ."""
        before, now = _read_lines(self.pin.said) if self.pin else [], _read_lines(self.now.said)
        start, end = _count_common(before, now)
        gone, new = before[start : len(before) - end], now[start : len(now) - end]
        return "\n".join(
            [
                f"Its MCP server has {'changed' if self.pin else 'added'} {self.what}.",
                *(_find_words(gone[0], new[0]) if len(gone) == len(new) == 1 else ()),
                *(f" {line}" for line in now[max(0, start - _AROUND) : start]),
                *(f"+{line}" for line in new),
                *(f"-{line}" for line in gone),
                *(f" {line}" for line in now[len(now) - end :][:_AROUND]),
            ]
        )


@dataclass(frozen=True, slots=True)
class Review:
    """What a person reviews before they accept all tools of a server.

    Attributes:
        fingerprint: The digest of all definitions, which `McpConfig(pin=...)` takes too.
        changes: The definitions that are not accepted yet, by the tools' names.
    """

    config: McpConfig
    fingerprint: str
    changes: dict[str, Change]

    def accept(self) -> None:
        """Accept the definitions.

        Raises:
            ConfigurationError: the file of accepted definitions is damaged, or can't be written.
        """
        add_pins(self.config.identity, {name: make_pin(each.now.said) for name, each in self.changes.items()})


def review(config: McpConfig, listed: Iterable[Definition]) -> Review:
    """Return what differs from the accepted definitions; of a server that was never used, it is all tools.

    Raises:
        ConfigurationError: the file of accepted definitions is damaged.
    """
    definitions = list(listed)
    pins = read_pins(config.identity) or {}
    return Review(config, fingerprint(definitions), _differ(definitions, pins))


def find_changes(config: McpConfig, listed: Iterable[Definition]) -> dict[str, Change]:
    """Return what differs from the accepted definitions. Those of a server that was never used are accepted.

    Raises:
        ConfigurationError: the file of accepted definitions is damaged, or can't be written.
        PackError: the definitions do not match the configured fingerprint.
    """
    definitions = list(listed)
    if config.pin:
        found = fingerprint(definitions)
        if found != config.pin:
            raise PackError(
                f"the tools of the MCP server {config.name!r} do not match its pin",
                hint=f"review them; if you accept them, set pin={found}",
            )
        return {}
    pins = read_pins(config.identity)
    if pins is None:
        pins = keep_first_pins(config.identity, {each.original: make_pin(each.said) for each in definitions})
    return _differ(definitions, pins)


def fingerprint(definitions: Iterable[Definition]) -> str:
    """Return the digest of all definitions of a server."""
    return digest("\n".join(sorted(each.fingerprint for each in definitions)))


def _differ(definitions: Iterable[Definition], pins: dict[str, Pin]) -> dict[str, Change]:
    return {
        each.original: Change(each, pin if pin.said else None)
        for each in definitions
        if (pin := pins.get(each.original, Pin())).said != each.said
    }


def _read_lines(said: str) -> list[str]:
    """Return a definition as lines that people can read, with the letters of any language."""
    return show_json(json.loads(said), indent=1).split("\n")


def _find_words(before: str, now: str) -> Iterator[str]:
    """Yield the part of a line that differs, as it is now and as it was."""
    start, end = _count_common(before, now)
    for verb, line in (("is now", now), ("was", before)):
        stop = len(line) - end
        yield f"It {verb}: ...{line[max(0, start - _CONTEXT) : start]}[{line[start:stop]}]{line[stop:][:_CONTEXT]}..."


def _count_common(ones: Sequence[str], others: Sequence[str]) -> tuple[int, int]:
    """Return how many entries are equal at the start and, of the others, at the end; in linear time."""
    start = sum(1 for _ in takewhile(_are_equal, zip(ones, others, strict=False)))
    rest = zip(reversed(ones[start:]), reversed(others[start:]), strict=False)
    return start, sum(1 for _ in takewhile(_are_equal, rest))


def _are_equal(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]

"""Which of a server's tools are offered, and how: as they are, or, where a definition has changed, not before a yes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from agentloop.errors import ConfigurationError, PackError, ToolDefinitionError, ToolError
from agentloop.ext.mcp.config import McpConfig
from agentloop.ext.mcp.connection import Connection
from agentloop.ext.mcp.definitions import Definition, check_names, digest, presume_effects, read_definition
from agentloop.ext.mcp.pins import Pin, add_pins, make_pin, read_pins
from agentloop.ext.mcp.results import read_result
from agentloop.items import Image
from agentloop.policy import Policy
from agentloop.tools import Tool
from agentloop.tools.effects import UNKNOWN

_AROUND = 3  # lines that are shown around a change
_SPARE_SECONDS = 2.0  # what the tool's own limit has beyond that of a call, which tells the truth about servers


@dataclass(frozen=True, slots=True)
class _Change:
    """A definition that is not the accepted one; `pin` is the accepted one, or None for a tool that is new."""

    now: Definition
    pin: Pin | None

    def describe(self) -> str:
        """Return what has changed, for the person who is asked."""
        since = f"what it says of this tool since {self.pin.since}" if self.pin else "this tool since it was first used"
        verb = "changed" if self.pin else "added"
        lines = _compare(self.pin.said.splitlines() if self.pin else [], self.now.said.splitlines())
        return "\n".join([f"Its MCP server has {verb} {since}. A yes to the call accepts it.", *lines])


def _compare(before: list[str], now: list[str]) -> Iterable[str]:
    """Return the lines from the first that differs to the last, in a time that no server can draw out."""
    start = _count_common(before, now)
    end = _count_common(before[start:][::-1], now[start:][::-1])
    yield from (f" {line}" for line in now[max(0, start - _AROUND) : start])
    yield from (f"-{line}" for line in before[start : len(before) - end])
    yield from (f"+{line}" for line in now[start : len(now) - end])
    yield from (f" {line}" for line in now[len(now) - end :][:_AROUND])


def _count_common(ones: list[str], others: list[str]) -> int:
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(ones, others, strict=False))))


def make_tools(config: McpConfig, connection: Connection) -> list[Tool]:
    """Return a server's tools.

    Raises:
        ConfigurationError: what was accepted can't be read, or kept.
        PackError: they are not those of the configured fingerprint, or two would bear one name.
    """
    listed = [read_definition(said, config.max_description) for said in connection.told]
    check_names(listed)
    changes = _find_changes(config, listed)
    return [_make_tool(config, connection, each, changes.get(each.original)) for each in listed]


def fingerprint(definitions: Iterable[Definition]) -> str:
    """Return the digest of all that a server offers."""
    return digest("\n".join(sorted(each.fingerprint for each in definitions)))


def _find_changes(config: McpConfig, listed: list[Definition]) -> dict[str, _Change]:
    if config.pin:
        found = fingerprint(listed)
        if found != config.pin:
            raise PackError(
                f"the tools of the MCP server {config.name!r} are not those that its pin stands for",
                hint=f"look at them; if they are what you want, pin={found}",
            )
        return {}
    pins = read_pins(config.identity)
    if pins is None:
        add_pins(config.identity, {each.original: make_pin(each.said) for each in listed})
        return {}
    return {
        each.original: _Change(each, pin if pin.said else None)
        for each in listed
        if (pin := pins.get(each.original, Pin())).said != each.said
    }


def _make_tool(config: McpConfig, connection: Connection, definition: Definition, change: _Change | None) -> Tool:
    async def _call(**arguments: Any) -> str | list[str | Image]:
        if change is not None:
            _accept(config, definition)
        return read_result(await connection.call(definition.original, arguments))

    if change is None:
        return replace(_shape(config, definition, _call), effects=presume_effects(definition.hints, config))
    # Until then the model sees no word of it that nobody has seen.
    shown = read_definition(change.pin.said, config.max_description) if change.pin else definition.bare()
    tool = _shape(config, replace(shown, name=definition.name), _call)

    def _preview(**_: Any) -> str:
        with suppress(ConfigurationError):
            seen = replace(_read_pin(config, definition), shown=definition.fingerprint)
            add_pins(config.identity, {definition.original: seen})
        return change.describe()

    return replace(tool, effects=UNKNOWN, policy=Policy(ask=("*",)), preview=_preview)


def _accept(config: McpConfig, definition: Definition) -> None:
    """Accept a definition; that it came to the call is a yes, to what was shown before it, maybe in another process.

    Raises:
        ToolError: something else was shown; the text is for the model.
    """
    with suppress(ConfigurationError):  # then it is asked again the next time
        if _read_pin(config, definition).shown != definition.fingerprint:
            raise ToolError(
                f"Not run: the MCP server {config.name} has changed what it says of this tool since a person was asked."
                " Call it again, and they are asked again."
            )
        add_pins(config.identity, {definition.original: make_pin(definition.said)})


def _read_pin(config: McpConfig, definition: Definition) -> Pin:
    return (read_pins(config.identity) or {}).get(definition.original, Pin())


def _shape(config: McpConfig, definition: Definition, call: Any) -> Tool:
    seconds = config.timeout + _SPARE_SECONDS
    try:
        return Tool.from_schema(
            definition.name,
            definition.description,
            definition.schema,
            call,
            timeout=seconds,
            max_output=config.max_output,
        )
    except ToolDefinitionError:  # the server's schema is none, which is no reason to do without its other tools
        return Tool.from_schema(
            definition.name,
            definition.description,
            {"type": "object"},
            call,
            timeout=seconds,
            max_output=config.max_output,
        )

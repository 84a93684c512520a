"""Makes tools from a server's definitions. A tool with a changed definition asks for approval before it is called."""

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

_AROUND = 3  # lines that are shown before and after a change
# The tool's own time limit is longer than that of the call by this, so that the call's more exact error comes first.
_SPARE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Change:
    """A definition that differs from the accepted one, `pin`, which is None for a new tool."""

    now: Definition
    pin: Pin | None

    def describe(self) -> str:
        """Return the change as text, for the person who is asked for approval."""
        since = f"the definition of this tool since {self.pin.since}" if self.pin else "this tool since its first use"
        verb = "changed" if self.pin else "added"
        lines = _compare(self.pin.said.splitlines() if self.pin else [], self.now.said.splitlines())
        return "\n".join([f"Its MCP server has {verb} {since}. Approving the call accepts it.", *lines])


def _compare(before: list[str], now: list[str]) -> Iterable[str]:
    """Return the lines from the first difference to the last, in linear time, whatever the server sends."""
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
        ConfigurationError: the file of accepted definitions can't be read or written.
        PackError: the tools do not match the configured fingerprint, or two of them would have the same name.
    """
    listed = [read_definition(said, config.max_description) for said in connection.definitions]
    check_names(listed)
    changes = _find_changes(config, listed)
    return [_make_tool(config, connection, each, changes.get(each.original)) for each in listed]


def fingerprint(definitions: Iterable[Definition]) -> str:
    """Return the digest of all definitions of a server."""
    return digest("\n".join(sorted(each.fingerprint for each in definitions)))


def _find_changes(config: McpConfig, listed: list[Definition]) -> dict[str, _Change]:
    if config.pin:
        found = fingerprint(listed)
        if found != config.pin:
            raise PackError(
                f"the tools of the MCP server {config.name!r} do not match its pin",
                hint=f"review them; if you accept them, set pin={found}",
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
    # Until a person approves, the model sees the accepted definition, or none of the server's texts for a new tool.
    shown = read_definition(change.pin.said, config.max_description) if change.pin else definition.bare()
    tool = _shape(config, replace(shown, name=definition.name), _call)

    def _preview(**_: Any) -> str:
        with suppress(ConfigurationError):
            seen = replace(_read_pin(config, definition), shown=definition.fingerprint)
            add_pins(config.identity, {definition.original: seen})
        return change.describe()

    return replace(tool, effects=UNKNOWN, policy=Policy(ask=("*",)), preview=_preview)


def _accept(config: McpConfig, definition: Definition) -> None:
    """Accept a definition, because its call was approved. It may have been shown by another process.

    Raises:
        ToolError: the definition that was shown is another one; the text is for the model.
    """
    with suppress(ConfigurationError):  # if the pin can't be saved, the next call asks again
        if _read_pin(config, definition).shown != definition.fingerprint:
            raise ToolError(
                f"Not run: the MCP server {config.name} has changed the definition of this tool since a person was"
                " asked. Call it again to ask them again."
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
    except ToolDefinitionError:  # the server's schema is not valid; the tool is offered without it
        return Tool.from_schema(
            definition.name,
            definition.description,
            {"type": "object"},
            call,
            timeout=seconds,
            max_output=config.max_output,
        )

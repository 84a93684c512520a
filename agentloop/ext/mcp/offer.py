"""Makes tools from a server's definitions. A tool with a changed definition asks for approval before it is called."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from agentloop.errors import ConfigurationError, ToolDefinitionError, ToolError
from agentloop.ext.mcp.changes import MOST_SHOWN, Change, Review, find_changes, review
from agentloop.ext.mcp.config import McpConfig
from agentloop.ext.mcp.connection import Connection
from agentloop.ext.mcp.definitions import Definition, check_names, presume_effects, read_definition
from agentloop.ext.mcp.pins import add_pins, make_pin
from agentloop.ext.mcp.results import read_result
from agentloop.items import Image
from agentloop.policy import Policy
from agentloop.schema.invisible_characters import show_invisible
from agentloop.tools import Tool
from agentloop.tools.effects import UNKNOWN

# The tool's own time limit is longer than that of the call by this, so that the call's more exact error comes first.
_SPARE_SECONDS = 2.0


def make_tools(config: McpConfig, connection: Connection) -> list[Tool]:
    """Return a server's tools.

    Raises:
        ConfigurationError: the file of accepted definitions can't be read or written.
        PackError: the tools do not match the configured fingerprint, or two of them would have the same name.
    """
    listed = [read_definition(said, config.max_description) for said in connection.definitions]
    check_names(listed)
    changes = find_changes(config, listed)
    return [_make_tool(config, connection, each, changes.get(each.original)) for each in listed]


def review_tools(config: McpConfig, connection: Connection) -> Review:
    """Return which tools of a server a person has not accepted yet.

    Raises:
        ConfigurationError: the file of accepted definitions can't be read.
        PackError: two tools would have the same name.
    """
    listed = [read_definition(said, config.max_description) for said in connection.definitions]
    check_names(listed)
    return review(config, listed)


def _make_tool(config: McpConfig, connection: Connection, definition: Definition, change: Change | None) -> Tool:
    question = None if change is None else _Question(config, change)

    async def _call(**arguments: Any) -> str | list[str | Image]:
        if question is not None:
            question.accept()
        return read_result(await connection.call(definition.original, arguments), connection.hide)

    if change is None or question is None:
        return replace(_shape(config, definition, _call), effects=presume_effects(definition.hints, config))
    # Until a person approves, the model sees the accepted definition, or none of the server's texts for a new tool.
    shown = read_definition(change.pin.said, config.max_description) if change.pin else definition.bare()
    tool = _shape(config, replace(shown, name=definition.name), _call)

    def _preview(**_: Any) -> str:
        return question.show()

    return replace(tool, effects=UNKNOWN, policy=Policy(ask=("*",)), preview=_preview, for_person_alone=True)


class _Question:
    """Asks a person about a change, as the preview of the tool, and accepts it when its call was approved."""

    def __init__(self, config: McpConfig, change: Change) -> None:
        self._config = config
        self._change = change
        self._is_shown = False

    def show(self) -> str:
        """Return the change as text. A call that is approved now accepts it."""
        text = show_invisible(self._change.describe())
        if len(text) > MOST_SHOWN:
            return f"{text.partition('.')[0]}. The change is too long to be shown here. {_USE_PIN}"
        self._is_shown = True
        return f"Approving the call accepts this change.\n{text}"

    def accept(self) -> None:
        """Accept the change, because its call was approved.

        Raises:
            ToolError: it was not shown to a person since this server was opened; the text is for the model.
        """
        if not self._is_shown:
            raise ToolError(
                f"Not run: the MCP server {self._config.name} has changed {self._change.what}, and no person has"
                f" accepted it. {_USE_PIN}"
            )
        now = self._change.now
        with suppress(ConfigurationError):  # if the pin can't be saved, the next run asks again
            add_pins(self._config.identity, {now.original: make_pin(now.said)})


_USE_PIN = "`agentloop mcp pin` shows and accepts the tools of a server."


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

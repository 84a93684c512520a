"""What a server says of a tool, and what of it is let through to a model.

A definition is a stranger's text in the prompt. So invisible characters go, length is bounded, and a digest tells
whether it is still what it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast

import mcp_types as types

from agentloop.errors import PackError
from agentloop.ext.mcp.config import McpConfig
from agentloop.ext.mcp.schemas import clean_schema, shorten
from agentloop.items import JsonObject
from agentloop.schema.invisible_characters import strip_invisible
from agentloop.tools import Effects
from agentloop.tools.effects import UNKNOWN

_LONGEST_NAME = 64
_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Definition:
    """A tool as its server defines it.

    Attributes:
        said: What the server says of it, as canonical JSON text.
        original: The name that the server knows it by.
        name: The name that a model can call it by.
        description: What a model is told.
        schema: The schema of its arguments, as a model is shown it.
        hints: The server's annotations.
    """

    said: str
    original: str
    name: str
    description: str
    schema: JsonObject
    hints: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """The digest of all that the server says of the tool."""
        return digest(self.said)

    def bare(self) -> Definition:
        """Return it without any of the server's words, names aside."""
        words = "A tool that nobody has looked at yet."
        given = cast("JsonObject", properties) if isinstance(properties := self.schema.get("properties"), dict) else {}
        names: JsonObject = {name: {} for name in given if _WORD.fullmatch(name)}
        return Definition(self.said, self.original, self.name, words, {"type": "object", "properties": names}, {})


def digest(said: str) -> str:
    """Return the digest of a canonical text."""
    return sha256(said.encode()).hexdigest()


def canonize(tool: types.Tool) -> str:
    """Return what a server says of a tool as one text, whatever the order in which it says it."""
    told = tool.model_dump(
        mode="json",
        by_alias=True,
        exclude_none=True,
        include={"name", "title", "description", "input_schema", "annotations"},
    )
    return json.dumps(told, sort_keys=True, indent=1)


def read_definition(said: str, longest: int) -> Definition:
    """Return a definition from its canonical text.

    Args:
        said: The text, as `canonize` writes it.
        longest: Characters that a description may have.

    Raises:
        PackError: nothing is left of its name.
    """
    told: JsonObject = json.loads(said)
    original = told["name"]
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", strip_invisible(original)).strip("_")
    if not name:
        raise PackError(f"a tool of an MCP server is named {original!a}, which leaves no name to call it by")
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 9]}_{sha256(original.encode(errors='replace')).hexdigest()[:8]}"
    description = shorten(told.get("description") or told.get("title") or "", longest)
    return Definition(
        said, original, name, description, clean_schema(told["inputSchema"], longest), told.get("annotations", {})
    )


def check_names(definitions: Iterable[Definition]) -> None:
    """Refuse two tools that would bear one name.

    Raises:
        PackError: some would; it names both.
    """
    seen: dict[str, Definition] = {}
    for each in definitions:
        other = seen.setdefault(each.name, each)
        if other is not each:
            raise PackError(
                f"two tools of the MCP server would both be {each.name!r}: {other.original!a} and {each.original!a}",
                hint="their server has to name them apart; leave it out until then",
            )


def presume_effects(hints: Mapping[str, Any], config: McpConfig) -> Effects:
    """Return what a tool does: what its hints say where they are believed, with MCP's defaults, else the worst."""
    if not config.trust_annotations:
        return UNKNOWN
    reads = hints.get("readOnlyHint") is True
    return Effects(
        read=True,
        write=not reads,
        network=bool(config.host),
        destructive=not reads and hints.get("destructiveHint") is not False,
        idempotent=reads or hints.get("idempotentHint") is True,
        open_world=hints.get("openWorldHint") is not False,
        hosts=(config.host,) if config.host else (),
    )

"""Reads a server's definition of a tool, and decides which parts of it a model sees.

A definition is untrusted text in the prompt. So invisible characters are removed, the length is limited, and a digest
shows whether the definition has changed.
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
        said: The server's definition as canonical JSON text.
        original: The tool's name on the server.
        name: The tool's name for the model.
        description: The description for the model.
        schema: The schema of its arguments for the model.
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
        """The digest of the server's whole definition."""
        return digest(self.said)

    def bare(self) -> Definition:
        """Return the definition without any of the server's texts except names."""
        words = "A tool that nobody has reviewed yet."
        given = cast("JsonObject", properties) if isinstance(properties := self.schema.get("properties"), dict) else {}
        names: JsonObject = {name: {} for name in given if _WORD.fullmatch(name)}
        return Definition(self.said, self.original, self.name, words, {"type": "object", "properties": names}, {})


def digest(said: str) -> str:
    """Return the digest of a canonical text."""
    return sha256(said.encode()).hexdigest()


def canonize(tool: types.Tool) -> str:
    """Return the definition of a tool as canonical text, which does not depend on the order of its fields."""
    fields = tool.model_dump(
        mode="json",
        by_alias=True,
        exclude_none=True,
        include={"name", "title", "description", "input_schema", "annotations"},
    )
    return json.dumps(fields, sort_keys=True, indent=1)


def read_definition(said: str, longest: int) -> Definition:
    """Return a definition from its canonical text.

    Args:
        said: The text, as `canonize` writes it.
        longest: The number of characters that a description may have.

    Raises:
        PackError: the tool's name has no character that is allowed.
    """
    fields: JsonObject = json.loads(said)
    original = fields["name"]
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", strip_invisible(original)).strip("_")
    if not name:
        raise PackError(f"a tool of an MCP server is named {original!a}, which leaves no name to call it by")
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 9]}_{sha256(original.encode(errors='replace')).hexdigest()[:8]}"
    description = shorten(fields.get("description") or fields.get("title") or "", longest)
    return Definition(
        said, original, name, description, clean_schema(fields["inputSchema"], longest), fields.get("annotations", {})
    )


def check_names(definitions: Iterable[Definition]) -> None:
    """Check that no two tools would have the same name.

    Raises:
        PackError: two tools would; the message gives their original names.
    """
    seen: dict[str, Definition] = {}
    for each in definitions:
        other = seen.setdefault(each.name, each)
        if other is not each:
            raise PackError(
                f"two tools of the MCP server would both be {each.name!r}: {other.original!a} and {each.original!a}",
                hint="the server must give them different names; leave it out until then",
            )


def presume_effects(hints: Mapping[str, Any], config: McpConfig) -> Effects:
    """Return the effects of a tool: by its hints, with MCP's defaults, if the server is trusted, otherwise unknown."""
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

"""Defines ModelTarget: the model of a run, and the part of its requests that does not change during the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from agentloop.items import JsonObject
from agentloop.tools import Tool
from agentloop.wire.profile import ModelSettings, Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTarget:
    """The model of a run, and the values that stay the same in all requests of the run.

    Attributes:
        base_url: The server's base URL. Lessons are stored under it and the model's name.
        model: The model's name on the server.
        instructions: The system text, or None.
        tools: The tools that are offered.
        settings: The parameters of the requests.
        profile: What the server can do.
        output: The format of the answer, as in `json_schema`: name, schema, strict. None for free text.
        encoded_tools: The JSON of the tools, by everything that it depends on. All runs of an agent share it.
    """

    base_url: str
    model: str
    instructions: str | None
    tools: Sequence[Tool]
    settings: ModelSettings
    profile: Profile
    output: JsonObject | None = None
    encoded_tools: dict[object, bytes] = field(default_factory=dict[object, bytes])

    @property
    def key(self) -> tuple[str, str]:
        """The key under which lessons are stored."""
        return self.base_url, self.model

    @property
    def origin(self) -> str:
        """The server and model as items name them: without the parts of the URL that may hold a key."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path} {self.model}"

"""Selects the wire format that a profile asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from agentloop.items import ToolDialect
from agentloop.wire.formats.chat import ChatCompletions
from agentloop.wire.formats.dialect import Dialect
from agentloop.wire.formats.prompted import PromptedChat
from agentloop.wire.formats.responses import MessageResponses, NativeResponses
from agentloop.wire.profile import Profile

DIALECTS: Mapping[ToolDialect, Dialect] = {
    "native": NativeResponses(),
    "message": MessageResponses(),
    "chat": ChatCompletions(),
    "prompted": PromptedChat(),
}


def name_dialect(profile: Profile) -> ToolDialect:
    """Return the name of the format that a profile asks for."""
    if profile.tool_calling == "prompted":
        return "prompted"
    return "chat" if profile.route == "chat" else profile.tool_items


def assume_dialect(profile: Profile, dialect: ToolDialect | None) -> Profile:
    """Return the profile changed so that it asks for this format; the profile itself for None."""
    match dialect:
        case "native" | "message":
            return replace(profile, tool_items=dialect)
        case "chat":
            return replace(profile, route="chat")
        case "prompted":
            return replace(profile, tool_calling="prompted")
        case None:
            return profile
        case _:
            assert_never(dialect)

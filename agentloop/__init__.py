"""agentloop: agents that call Python functions, on any OpenAI-compatible endpoint.

The public names; each is imported when it is first used, so that `import agentloop` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentloop.agent import Agent, BatchResult, FilledPrompt, Prompt, RunOptions
    from agentloop.endpoint.fetch import Fetched, Fetcher
    from agentloop.errors import (
        AgentloopError,
        AuthenticationError,
        ConfigurationError,
        ContextOverflowError,
        DuplicateToolError,
        EmptyReplyError,
        EndpointError,
        EndpointTimeoutError,
        FetchError,
        NotFoundError,
        OutputError,
        PackError,
        RateLimitedError,
        RefusedError,
        ReplyError,
        RunStateError,
        ServerError,
        StreamCutError,
        ToolDefinitionError,
        ToolError,
        ToolFailedError,
        UnreachableError,
        UserError,
    )
    from agentloop.events import (
        ApprovalAsked,
        Event,
        Finished,
        Notice,
        ReasoningDelta,
        Retrying,
        TextDelta,
        ToolFinished,
        ToolStarted,
        TurnFinished,
        TurnStarted,
    )
    from agentloop.installation import describe_install
    from agentloop.items import Image, Item, Message, Opaque, Reasoning, ServerState, Text, ToolCall, ToolResult, Usage
    from agentloop.limits import Limits, StopReason, Tally
    from agentloop.loop.prompt_version import PromptVersion
    from agentloop.loop.run import Run, RunResult
    from agentloop.packs import ToolPack, bound_tools
    from agentloop.packs.config import PackConfig
    from agentloop.policy import (
        ApprovalRequest,
        Approve,
        Decision,
        Policy,
        Reject,
        Substitute,
        approve_matching,
        read_host,
    )
    from agentloop.tools import (
        ArgumentReading,
        Effects,
        RunContext,
        Tool,
        ToolContext,
        ToolRegistry,
        call_has_waited,
        mark_untrusted,
        run_is_tainted,
        search_tools,
        tool,
    )
    from agentloop.wire.profile import Endpoint, ModelSettings, Profile

_ROOMS = {
    "agentloop.agent": ("Agent", "BatchResult", "FilledPrompt", "Prompt", "RunOptions"),
    "agentloop.errors": (
        "AgentloopError",
        "AuthenticationError",
        "ConfigurationError",
        "ContextOverflowError",
        "DuplicateToolError",
        "EmptyReplyError",
        "EndpointError",
        "EndpointTimeoutError",
        "FetchError",
        "NotFoundError",
        "OutputError",
        "PackError",
        "RateLimitedError",
        "RefusedError",
        "ReplyError",
        "RunStateError",
        "ServerError",
        "StreamCutError",
        "ToolDefinitionError",
        "ToolError",
        "ToolFailedError",
        "UnreachableError",
        "UserError",
    ),
    "agentloop.events": (
        "ApprovalAsked",
        "Event",
        "Finished",
        "Notice",
        "ReasoningDelta",
        "Retrying",
        "TextDelta",
        "ToolFinished",
        "ToolStarted",
        "TurnFinished",
        "TurnStarted",
    ),
    "agentloop.endpoint.fetch": (
        "Fetched",
        "Fetcher",
    ),
    "agentloop.installation": ("describe_install",),
    "agentloop.items": (
        "Image",
        "Item",
        "Message",
        "Opaque",
        "Reasoning",
        "ServerState",
        "Text",
        "ToolCall",
        "ToolResult",
        "Usage",
    ),
    "agentloop.limits": (
        "Limits",
        "StopReason",
        "Tally",
    ),
    "agentloop.packs": (
        "ToolPack",
        "bound_tools",
    ),
    "agentloop.packs.config": ("PackConfig",),
    "agentloop.policy": (
        "ApprovalRequest",
        "Approve",
        "Decision",
        "Policy",
        "Reject",
        "Substitute",
        "approve_matching",
        "read_host",
    ),
    "agentloop.loop.prompt_version": ("PromptVersion",),
    "agentloop.loop.run": (
        "Run",
        "RunResult",
    ),
    "agentloop.tools": (
        "ArgumentReading",
        "Effects",
        "RunContext",
        "Tool",
        "ToolContext",
        "ToolRegistry",
        "call_has_waited",
        "mark_untrusted",
        "run_is_tainted",
        "search_tools",
        "tool",
    ),
    "agentloop.wire.profile": (
        "Endpoint",
        "ModelSettings",
        "Profile",
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "Agent",
    "AgentloopError",
    "ApprovalAsked",
    "ApprovalRequest",
    "Approve",
    "ArgumentReading",
    "AuthenticationError",
    "BatchResult",
    "ConfigurationError",
    "ContextOverflowError",
    "Decision",
    "DuplicateToolError",
    "Effects",
    "EmptyReplyError",
    "Endpoint",
    "EndpointError",
    "EndpointTimeoutError",
    "Event",
    "FetchError",
    "Fetched",
    "Fetcher",
    "FilledPrompt",
    "Finished",
    "Image",
    "Item",
    "Limits",
    "Message",
    "ModelSettings",
    "NotFoundError",
    "Notice",
    "Opaque",
    "OutputError",
    "PackConfig",
    "PackError",
    "Policy",
    "Profile",
    "Prompt",
    "PromptVersion",
    "RateLimitedError",
    "Reasoning",
    "ReasoningDelta",
    "RefusedError",
    "Reject",
    "ReplyError",
    "Retrying",
    "Run",
    "RunContext",
    "RunOptions",
    "RunResult",
    "RunStateError",
    "ServerError",
    "ServerState",
    "StopReason",
    "StreamCutError",
    "Substitute",
    "Tally",
    "Text",
    "TextDelta",
    "Tool",
    "ToolCall",
    "ToolContext",
    "ToolDefinitionError",
    "ToolError",
    "ToolFailedError",
    "ToolFinished",
    "ToolPack",
    "ToolRegistry",
    "ToolResult",
    "ToolStarted",
    "TurnFinished",
    "TurnStarted",
    "UnreachableError",
    "Usage",
    "UserError",
    "approve_matching",
    "bound_tools",
    "call_has_waited",
    "describe_install",
    "mark_untrusted",
    "read_host",
    "run_is_tainted",
    "search_tools",
    "tool",
]

__version__: str  # read from the metadata when it is first used


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("agentloop.installation").read_version()
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module 'agentloop' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(room), name)
    return value


def __dir__() -> list[str]:
    return __all__

"""RequestEncoder: writes the requests of one run.

Each item is encoded once, and its bytes are used in all later requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agentloop.items import Item, JsonObject, Message, Text, ToolCall, ToolResult
from agentloop.tools import Tool, tool
from agentloop.wire.formats.call_ids import CallIds, unwrap_parallel
from agentloop.wire.formats.dialect import Dialect, ModelRequest
from agentloop.wire.formats.selection import DIALECTS, name_dialect
from agentloop.wire.model_target import ModelTarget
from agentloop.wire.origin import keep_state, mark_origin
from agentloop.wire.payload import load
from agentloop.wire.profile import Profile
from agentloop.wire.profile.refusals import Sent
from agentloop.wire.roles import alternate_roles, last_speaker

_MOST_ENCODED = 64  # selections of tools whose JSON is kept
_WORDS = frozenset({"auto", "none", "required", None})


@tool
def no_tool() -> None:
    """There are no tools any more: never call this."""
    # It is sent where a history of calls must come with tools, and there are none. No call of it runs.


@dataclass(frozen=True, slots=True)
class RequestParts:
    """What changes from one request of a run to the next.

    Attributes:
        items: The conversation.
        tools: Whether the model may call tools. If not, they are still sent where that is possible: the beginning of
            the request stays the same for the server's cache, and some servers refuse a history of calls without tools.
        stream: Whether the reply comes as a stream.
        free_choice: Whether `tool_choice` is left out, so that the model is not made to call tools for ever.
        output: Whether the reply has to follow the target's `output`.
        withheld: The names of tools that are not offered in this turn.
    """

    items: Sequence[Item] = ()
    tools: bool = False
    stream: bool = False
    free_choice: bool = False
    output: bool = False
    withheld: frozenset[str] = frozenset()


class RequestEncoder:
    """Writes the requests of one run.

    Args:
        target: The model.

    Attributes:
        offered: The tools that the model may call in its reply to the last request, by name.
    """

    def __init__(self, target: ModelTarget) -> None:
        self._target = target
        self._call_ids = CallIds()
        self._profile: Profile | None = None  # the one that the fragments are encoded for
        self._fragments: list[bytes] = []
        self._encoded: tuple[Item, ...] = ()
        self._system: list[str] = []
        self._tools: Sequence[Tool] = ()
        self.offered: dict[str, Tool] = {}

    def reserve_ids(self, items: Iterable[Item]) -> None:
        """Never give the ids of these calls to other calls, even if no request contains them."""
        self._call_ids.take(items)

    def encode(self, parts: RequestParts, profile: Profile) -> bytes:
        """Return the body of a request. Only those items are encoded that the last request did not contain."""
        dialect = DIALECTS[name_dialect(profile)]
        self._encode_new(parts.items, profile, dialect)
        request = self._make_request(parts, profile)
        offered = request.tools if parts.tools and self._target.tools else ()
        if offered is not self._tools:
            self._tools, self.offered = offered, {tool.name: tool for tool in offered}
        return dialect.encode(request, self._fragments, self._encode_tools(request.tools, profile))

    def describe(self, parts: RequestParts, profile: Profile) -> Sent:
        """Return a request as it is written for a profile, without its conversation."""
        request = self._make_request(parts, profile)
        tools = self._encode_tools(request.tools, profile)
        body: JsonObject = load(DIALECTS[name_dialect(profile)].encode(request, [], tools))
        results = [item for item in request.items if isinstance(item, ToolResult)]
        return Sent(body, bool(results), any(result.images for result in results), request.items)

    def accept(self, items: Iterable[Item], profile: Profile) -> Iterable[Item]:
        """Yield the items of a reply as the run keeps them: with their origin, and with ids that are unique."""
        origin = self._name_origin(profile)
        for item in items:
            if isinstance(item, ToolCall):
                for call in unwrap_parallel(item, self._target.tools):
                    yield mark_origin(self._call_ids.own(call), origin)
            # Results and messages of other roles repeat the request. They would separate a call from its result.
            elif not isinstance(item, ToolResult) and getattr(item, "role", "assistant") == "assistant":
                yield mark_origin(item, origin)

    def _name_origin(self, profile: Profile) -> str:
        return f"{self._target.origin} {DIALECTS[name_dialect(profile)].path}"

    def _make_request(self, parts: RequestParts, profile: Profile) -> ModelRequest:
        target, settings = self._target, self._target.settings
        if not parts.tools:
            settings = replace(settings, tool_choice="none")
        elif settings.tool_choice is not None and (parts.free_choice or settings.tool_choice in parts.withheld):
            settings = replace(settings, tool_choice=None)
        tools = self._choose(settings.tool_choice, profile, parts)
        needs_tools = profile.history_needs_tools and profile.tool_calling == "native"
        if needs_tools and not tools and any(isinstance(item, ToolCall) for item in parts.items):
            tools, settings = (no_tool,), replace(settings, tool_choice="none")
        return ModelRequest(
            model=target.model,
            instructions=None if profile.system == "user" else "\n\n".join(self._system) or None,
            items=parts.items,
            tools=tools,
            settings=settings,
            profile=profile,
            stream=parts.stream,
            output=target.output if parts.output else None,
        )

    def _choose(self, choice: str | None, profile: Profile, parts: RequestParts) -> Sequence[Tool]:
        """Return the tools to send. If the server ignores a tool choice, only the chosen tools are sent."""
        tools, obeyed = self._target.tools, profile.tool_choice
        if parts.withheld:
            tools = [tool for tool in tools if tool.name not in parts.withheld]
        if choice == "none":
            disturb = parts.output and profile.structured_apart
            keep = ("none" in obeyed and not disturb) or profile.history_needs_tools
            return tools if keep else ()
        if choice in _WORDS or "named" in obeyed:
            return tools
        return [tool for tool in tools if tool.name == choice]

    def _encode_tools(self, tools: Sequence[Tool], profile: Profile) -> bytes:
        name, kept = name_dialect(profile), self._target.encoded_tools
        which = None if tools is self._target.tools else tuple(tool.name for tool in tools)
        key = (name, profile.strict_tools, profile.schema_keywords, which)
        if len(kept) >= _MOST_ENCODED:
            kept.clear()
        if key not in kept:
            kept[key] = DIALECTS[name].encode_tools(tools, profile)
        return kept[key]

    def _encode_new(self, items: Sequence[Item], profile: Profile, dialect: Dialect) -> None:
        is_longer = tuple(items[: len(self._encoded)]) == self._encoded  # and was not trimmed
        if profile is not self._profile or not is_longer:
            self._profile, self._fragments, self._encoded = profile, [], ()
            self._system = [self._target.instructions] if self._target.instructions else []
        is_first = not self._encoded
        new: Sequence[Item] = items[len(self._encoded) :]
        self._call_ids.take(new)
        self._system.extend(item.text for item in new if isinstance(item, Message) and item.role == "system")
        new = keep_state(new, self._name_origin(profile), profile)
        if profile.alternating_roles:
            new = list(alternate_roles(new, last_speaker(self._encoded)))
        if profile.system == "user" and is_first:
            new = _prepend_system("\n\n".join(self._system), new)
        if profile.short_call_ids or profile.legal_call_ids:
            new = [self._call_ids.write(item, profile) for item in new]
        if not profile.empty_results:
            new = [_fill(item) for item in new]
        self._fragments.extend(dialect.encode_items(new, profile))
        self._encoded = tuple(items)


def _fill(item: Item) -> Item:
    """Return the item, and in place of an empty result one that says so."""
    if isinstance(item, ToolResult) and not item.content and not item.images:
        return replace(item, content="(empty)")
    return item


def _prepend_system(system: str, items: Sequence[Item]) -> Sequence[Item]:
    """Return the items with the system text before the text of the first user message."""
    if not system:
        return items
    for at, item in enumerate(items):
        if isinstance(item, Message) and item.role == "user":
            merged = Message("user", (Text(f"{system}\n\n"), *item.content))
            return [*items[:at], merged, *items[at + 1 :]]
    return [Message("user", system), *items]

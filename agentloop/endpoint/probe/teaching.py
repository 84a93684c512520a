"""Makes lessons for later runs from the findings; one table lists each profile field that a probe can determine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from agentloop.endpoint.probe.answer import Finding
from agentloop.wire.profile import Profile
from agentloop.wire.profile.lessons import Lesson

_LONGEST_REASON = 240
_ON_CHAT = "json_schema_response_format_chat"

Findings: TypeAlias = Mapping[str, Finding]
Rule: TypeAlias = Callable[[Findings, Profile], Any]
"""Returns the value that a field should have, or None if the findings do not tell."""


def draw_lessons(findings: Findings, profile: Profile, base: Profile) -> list[Lesson]:
    """Return a lesson, with its evidence, for each field of the profile that the findings contradict.

    An unknown finding changes nothing.

    Args:
        findings: The findings of the probe.
        profile: The profile with the lessons learned before.
        base: The profile without those lessons. If several values of a field work, the value in `base` is kept.
    """
    lessons: list[Lesson] = []
    for field, (rule, names) in _RULES.items():
        was = getattr(profile, field)
        # A probe determines only some members of a set; the other members stay as they were learned.
        now = rule(findings, profile if isinstance(was, frozenset) else base)
        if now is not None and now != was:
            known = [name for name in names if _works(findings, name) is not None]
            # A capability that does not work is usually the reason, so it comes first; the rest may be cut.
            known.sort(key=lambda name: _works(findings, name) is True)
            evidence = "; ".join(f"{name}: {findings[name].evidence}" for name in known)
            lessons.append(Lesson(field, was, now, _cut(f"probe: {evidence}")))
    return lessons


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."


def _route(found: Findings, profile: Profile) -> Any:
    works = {"responses": _works(found, "route_responses"), "chat": _works(found, "route_chat")}
    calls = {"responses": _calls_on_responses(found), "chat": _works(found, "tools_chat")}
    other = "chat" if profile.route == "responses" else "responses"
    lacks = works[profile.route] is False or calls[profile.route] is False
    calls_there = calls[other] or works[profile.route] is False
    if works[profile.route] and calls[profile.route]:
        return profile.route
    return other if works[other] and lacks and calls_there else None


def _tool_calling(found: Findings, _: Profile) -> Any:
    ways = (_calls_on_responses(found), _works(found, "tools_chat"))
    if True in ways:
        return "native"
    # If `tools` never reaches the model, the prompt must describe the tools, however well the model then calls them.
    return "prompted" if None not in ways and _works(found, "tools_prompted") is not False else None


def _is_prompted(found: Findings, profile: Profile) -> bool:
    return (_tool_calling(found, profile) or profile.tool_calling) == "prompted"


def _tool_items(found: Findings, profile: Profile) -> Any:
    names = {"native": "results_native", "message": "tools_message"}
    other = "message" if profile.tool_items == "native" else "native"
    if _works(found, names[profile.tool_items]):
        return profile.tool_items
    refused = _works(found, names[profile.tool_items]) is False and _works(found, names[other]) is not False
    return other if refused else None


def _system(found: Findings, profile: Profile) -> Any:
    message = _works(found, "system_message")
    # On chat both are written in the same way.
    instructions = _works(found, "system_instructions") if found["route_responses"].works else message
    ways = {"instructions": instructions, "message": message}
    return _choose(ways, profile.system, "user")


def _tool_choice(found: Findings, profile: Profile) -> Any:
    if _is_prompted(found, profile):
        return None  # no tools are sent, so an ignored tool choice proves nothing
    choices = profile.tool_choice
    for choice in ("required", "named"):
        obeyed = _works(found, f"tool_choice_{choice}")
        if obeyed is not None:
            choices = choices | {choice} if obeyed else choices - {choice}
    return choices


def _structured_output(found: Findings, profile: Profile) -> Any:
    on_chat = (_route(found, profile) or profile.route) == "chat" or _is_prompted(found, profile)
    names = {"text_format": "json_schema_text_format", "response_format": "json_schema_response_format"}
    if on_chat:  # there the first two are written in the same way
        names = {"text_format" if profile.structured_output == "text_format" else "response_format": _ON_CHAT}
    ways = {way: _works(found, name) for way, name in {**names, "json_object": "json_object"}.items()}
    return _choose(ways, profile.structured_output, "prompt")


def _choose(ways: Mapping[str, bool | None], now: str, last: str) -> str | None:
    """Return the current choice if it works, otherwise the first that works, otherwise the last resort.

    Return None if none is known to work and some are unknown.
    """
    working = [way for way, works in ways.items() if works]
    if working:
        return now if now in working else working[0]
    return last if None not in ways.values() else None


def _refused(found: Findings, profile: Profile) -> Any:
    fields = {"serial_tool_calls": "parallel_tool_calls"}
    if found["route_responses"].works:
        fields["previous_response_id"] = "previous_response_id"
    return profile.refused | {field for name, field in fields.items() if _works(found, name) is False}


def _calls_on_responses(found: Findings) -> bool | None:
    return found["tools_native"].how == "otherwise" or _works(found, "tools_native")


def _if_works(name: str) -> Rule:
    return lambda found, _: _works(found, name)


def _if_refused(name: str, field: str, value: Any) -> Rule:
    def decide(found: Findings, profile: Profile) -> Any:
        if found[name].how == "refused":
            return value
        return getattr(profile, field) if _works(found, name) else None

    return decide


def _works(found: Findings, name: str) -> bool | None:
    return found[name].works


# By field: the rule, and the findings that the rule uses.
_RULES: Mapping[str, tuple[Rule, tuple[str, ...]]] = {
    "route": (_route, ("route_responses", "route_chat", "tools_native", "tools_chat")),
    "tool_calling": (_tool_calling, ("tools_native", "tools_chat", "tools_prompted")),
    "tool_items": (_tool_items, ("results_native", "tools_message")),
    "system": (_system, ("system_instructions", "system_message")),
    "strict_tools": (_if_refused("strict", "strict_tools", value=False), ("strict",)),
    "tool_choice": (_tool_choice, ("tool_choice_required", "tool_choice_named")),
    "structured_output": (
        _structured_output,
        ("json_schema_text_format", "json_schema_response_format", _ON_CHAT, "json_object"),
    ),
    "structured_stream": (_if_works("structured_stream"), ("structured_stream",)),
    "images": (_if_works("images"), ("images",)),
    "reasoning": (_if_refused("reasoning", "reasoning", "none"), ("reasoning",)),
    "refused": (_refused, ("serial_tool_calls", "previous_response_id")),
}

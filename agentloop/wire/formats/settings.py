"""Writes the settings for the model as fields of a request's body, and finds those that the endpoint refuses.

Both routes share this module; a parameter or a field of the profile expresses the differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentloop.errors import ConfigurationError
from agentloop.items import JsonObject
from agentloop.wire.profile import Effort, ModelSettings, Profile, Route

_EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high")
_PASSED_ON = (
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "service_tier",
    "user",
    "safety_identifier",
    "prompt_cache_key",
)

# Fields that change the result if they are dropped, each with what to do instead.
_CHANGES_THE_RESULT: Mapping[str, str] = {
    "background": "leave it out: agent.run is a coroutine, and can wait in a task of your own",
    "conversation": "give history=result.items: the endpoint keeps no conversations",
    "logprobs": "leave it out, or choose an endpoint that has it",
    "max_tool_calls": "give Agent(..., limits=Limits(tool_calls=...)), which holds on any endpoint",
    "previous_response_id": "give history=result.items: the endpoint keeps no conversations",
    "prompt": "give the text itself: Agent(..., instructions=...)",
    "top_logprobs": "leave it out, or choose an endpoint that has it",
}


def write_settings(settings: ModelSettings, profile: Profile, route: Route, *, has_tools: bool) -> JsonObject:
    """Return the fields of a body for the settings; a setting that is not set gives None."""
    fields: JsonObject = {name: getattr(settings, name) for name in _PASSED_ON}
    if not has_tools:
        del fields["parallel_tool_calls"]  # OpenAI refuses it in a request without tools
    fields[profile.max_tokens_field if route == "chat" else "max_output_tokens"] = settings.max_output_tokens
    if settings.verbosity is not None and "verbosity" not in profile.refused:
        fields |= {"verbosity": settings.verbosity} if route == "chat" else {"text": {"verbosity": settings.verbosity}}
    if settings.reasoning_effort is not None:
        fields |= _write_reasoning(settings.reasoning_effort, profile, route)
    return fields


def check_settings(settings: ModelSettings, profile: Profile) -> None:
    """Check that the endpoint accepts those fields of `extra_body` that change the result, before a request is made.

    Raises:
        ConfigurationError: the endpoint refuses such a field.
    """
    for name in settings.extra_body:
        if name in profile.refused and name in _CHANGES_THE_RESULT:
            raise ConfigurationError(
                f"extra_body asks for {name}, which this endpoint does not have",
                hint=f"{_CHANGES_THE_RESULT[name]}; if the endpoint does have it, take it out of Profile.refused",
            )


def dropped_settings(settings: ModelSettings, profile: Profile) -> Iterator[str]:
    """Yield one sentence for each setting that is not sent, or is sent with another value."""
    for name in (*_PASSED_ON, "verbosity"):
        if getattr(settings, name) is not None and name in profile.refused:
            instead = "; calls run one after the other instead" if name == "parallel_tool_calls" else ""
            yield f"{name} is not sent: the endpoint refuses or ignores it{instead}"
    for name in settings.extra_body:
        if name in profile.refused:
            yield f"{name} of extra_body is not sent: the endpoint refuses or ignores it"
    effort = settings.reasoning_effort
    if effort is not None and (profile.reasoning == "none" or not profile.efforts):
        yield "reasoning_effort is not sent: the endpoint refuses or ignores it"
    elif effort is not None and effort not in profile.efforts:
        yield f"reasoning_effort {effort} is sent as {_nearest(effort, profile)}: the endpoint does not accept {effort}"


def _write_reasoning(asked: Effort, profile: Profile, route: Route) -> JsonObject:
    effort = _nearest(asked, profile)
    match profile.reasoning if profile.efforts else "none":
        case "none":
            return {}
        case "template":
            return {"chat_template_kwargs": {"enable_thinking": effort != "none"}}
        case "standard" if route == "chat":
            return {"reasoning_effort": effort}
        case _:
            return {"reasoning": {"effort": effort}}


def _nearest(effort: Effort, profile: Profile) -> str:
    def distance(other: str) -> tuple[int, int]:
        steps = _EFFORTS.index(effort) - _EFFORTS.index(_as_effort(other))
        return abs(steps), steps

    return min(sorted(profile.efforts), key=distance, default=effort)


def _as_effort(name: str) -> Any:
    return name if name in _EFFORTS else "medium"

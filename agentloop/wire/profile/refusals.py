"""Draws lessons from refused requests: what the server's message says it can't do, and what to send instead.

A lesson is only about fields that were sent, and only about what the message names. If the message names nothing, a
guess is made, and kept only if the next request succeeds. `conversation` applies the lessons.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from agentloop.errors import ContextOverflowError, EndpointError, RefusedError, ServerError
from agentloop.items import JsonObject
from agentloop.wire.payload import mapping
from agentloop.wire.profile import Profile, StructuredOutput
from agentloop.wire.profile.lessons import Lesson

_CLIENT_FAULTS = frozenset({400, 404, 405, 415, 422, None})
_ROUTE_FAULTS = frozenset({404, 405, 501})
_NEVER_DROPPED = frozenset({"model", "input", "messages", "stream", "tools", "instructions", "text", "response_format"})
_LONGEST_REASON = 200
_BELOW: Mapping[StructuredOutput, StructuredOutput] = {
    "text_format": "response_format",
    "response_format": "json_object",
    "json_object": "prompt",
}


@dataclass(frozen=True, slots=True)
class Sent:
    """The refused request.

    Attributes:
        body: The request's body without its conversation.
        has_results: The conversation holds results of tools.
        has_pictures: One of those results holds an image.
    """

    body: JsonObject
    has_results: bool
    has_pictures: bool = False


Changes: TypeAlias = Iterator[tuple[str, Any]]
Rule: TypeAlias = Callable[[Profile, Sent, str], Changes]


def draw_lessons(error: EndpointError, profile: Profile, sent: Sent) -> Iterator[Lesson]:
    """Yield the lessons that a refusal may teach, the most certain first."""
    refused = isinstance(error, RefusedError) and error.status in _CLIENT_FAULTS
    if isinstance(error, ContextOverflowError) or not (refused or isinstance(error, ServerError)):
        return
    words = error.message
    why = words if len(words) <= _LONGEST_REASON else words[:_LONGEST_REASON] + "..."
    # A user's mistake says nothing about the endpoint: the lesson may help this run, but is not kept for others.
    is_own = _SAYS_WRONG.search(words) is not None
    if _SAYS_NO.search(words):
        # The message of a failing server may mention a field that is not the cause.
        is_narrow = is_own or isinstance(error, ServerError)
        for pattern, rule in _RULES if is_narrow else (*_RULES, *_WIDE_RULES):
            for name, now in rule(profile, sent, words) if pattern.search(words) else ():
                yield Lesson(name, getattr(profile, name), now, why, is_passing=is_own)
    for name, now in () if is_own else _guess(error, profile, sent):
        yield Lesson(name, getattr(profile, name), now, why, is_guess=True)


def lower_rung(profile: Profile) -> StructuredOutput | None:
    """Return the next weaker value of `structured_output` that gives another request; None if there is none."""
    speaks_chat = profile.route == "chat" or profile.tool_calling == "prompted"
    if profile.structured_output == "text_format" and speaks_chat:
        return "json_object"  # chat has only one field for a schema, so response_format is the same request
    return _BELOW.get(profile.structured_output)


def _guess(error: EndpointError, profile: Profile, sent: Sent) -> Changes:
    lacks_route = error.status in _ROUTE_FAULTS and not _SAYS_MODEL.search(f"{error.message} {error.code}")
    prompted = profile.tool_calling == "prompted"  # uses chat on either route
    if (lacks_route or _SAYS_ROUTE.search(error.message)) and not prompted:
        yield "route", "chat" if profile.route == "responses" else "responses"
    elif error.status in {400, 422} and sent.has_results and profile.route == "responses" and not prompted:
        yield "tool_items", "message" if profile.tool_items == "native" else "native"
        yield "route", "chat"


# --- the rules: each yields the fields to change if the message names their subject ---


def _drop(name: str) -> Rule:
    def drop(profile: Profile, sent: Sent, _: str) -> Changes:
        if name in sent.body:
            yield "refused", profile.refused | {name}

    return drop


def _prompt(profile: Profile, sent: Sent, _: str) -> Changes:
    if "tools" in sent.body and profile.tool_calling == "native":
        yield "tool_calling", "prompted"


def _free_choice(profile: Profile, sent: Sent, _: str) -> Changes:
    choice = sent.body.get("tool_choice")
    kind = "named" if isinstance(choice, dict) else choice
    if kind in profile.tool_choice:
        yield "tool_choice", profile.tool_choice - {kind}


def _rename_limit(_: Profile, sent: Sent, __: str) -> Changes:
    if "max_tokens" in sent.body:
        yield "max_tokens_field", "max_completion_tokens"


def _lower_output(profile: Profile, sent: Sent, words: str) -> Changes:
    if "response_format" not in sent.body and "format" not in mapping(sent.body.get("text")):
        return
    if sent.body.get("stream") and profile.structured_stream and re.search(r"\bstream", words, re.IGNORECASE):
        yield "structured_stream", False
    lower = lower_rung(profile)
    if lower is not None:
        yield "structured_output", lower


def _drop_verbosity(profile: Profile, sent: Sent, _: str) -> Changes:
    if "verbosity" in sent.body or "verbosity" in mapping(sent.body.get("text")):
        yield "refused", profile.refused | {"verbosity"}


def _drop_usage(profile: Profile, sent: Sent, _: str) -> Changes:
    if "stream_options" in sent.body and profile.stream_usage:
        yield "stream_usage", False


def _drop_strict(profile: Profile, sent: Sent, _: str) -> Changes:
    if "tools" in sent.body and profile.strict_tools:
        yield "strict_tools", False


def _move_system(profile: Profile, sent: Sent, words: str) -> Changes:
    if "instructions" in sent.body and re.search(r"\binstructions\b", words):
        yield "system", "message"
    elif profile.system != "user" and any(sent.body.get(name) for name in ("instructions", "input", "messages")):
        yield "system", "user"


def _quiet_reasoning(profile: Profile, sent: Sent, words: str) -> Changes:
    effort = mapping(sent.body.get("reasoning")).get("effort") or sent.body.get("reasoning_effort")
    taken = frozenset(word for word in profile.efforts if re.search(rf"['\"`]{word}['\"`]", words)) - {effort}
    if effort and taken:
        yield "efforts", taken
    elif profile.reasoning != "none" and sent.body.keys() & {"reasoning", "reasoning_effort", "chat_template_kwargs"}:
        yield "reasoning", "none"


def _forget_reasoning(profile: Profile, _: Sent, __: str) -> Changes:
    if profile.reasoning_replay != "none":
        yield "reasoning_replay", "none"


def _replay_reasoning(profile: Profile, _: Sent, __: str) -> Changes:
    if profile.reasoning_replay != "required":
        yield "reasoning_replay", "required"


def _shorten_ids(profile: Profile, sent: Sent, _: str) -> Changes:
    if sent.has_results and not profile.short_call_ids:
        yield "short_call_ids", True


def _describe_pictures(profile: Profile, sent: Sent, _: str) -> Changes:
    # The image in a tool's result can be replaced by a note. An image in the user's message can't: the question is
    # about it.
    if sent.has_pictures and profile.images:
        yield "images", False


def _drop_named(profile: Profile, sent: Sent, words: str) -> Changes:
    refused = _SAYS_OTHERS.split(words, 1)[0]  # the rest names what may be sent instead
    found = {name: re.search(rf"\b{re.escape(name)}\b", refused) for name in sent.body if name not in _NEVER_DROPPED}
    for _, name in sorted((match.start(), name) for name, match in found.items() if match):
        yield "refused", profile.refused | {name}


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.DOTALL)


_SAYS_NO = _pattern(
    r"\bnot\b.{0,20}(?:support|permit|allow|availab|enabl|recogni|implement|accept)|unsupported|n[o']t support|unknown"
    r"|unrecogni|unexpected|extra|requires?\b|invalid|must be|cannot|can't|incompatible|only\b|verif|unavailable"
    r"|no endpoints found|not a multi-?modal|at most 0|missing (?:data|.{0,9}reasoning_content)|length (?:of )?9"
)
_SAYS_WRONG = _pattern(
    r"invalid.{0,10} schema|schema is (?:invalid|not a? ?valid)|schema contains|in context=|names? must be unique"
    r"|(?:above|exceeds?) .{0,10}maximum|below .{0,10}minimum|too (?:long|short|large|small|high|low)|out of range"
    r"|invalid type|must be in\b|non-negative|positive|at least|at most [1-9]|between|(?:great|less)\w* than|[<>]="
    r"|, got -?\d|(?:unsupported|invalid|corrupt\w*|decode|load|process|identify|open)(?: the| an?)? image"
)
_SAYS_MODEL = _pattern(r"\bmodels?\b|model_not_found|deployment|endpoints? found")
_SAYS_ROUTE = _pattern(
    r"unexpected endpoint|unknown (?:url|route|endpoint|path)|invalid url|no (?:such )?route"
    r"|(?:only|not) supported in (?:the )?/?v1/|(?:responses|chat.?completions?) operation"
)
_SAYS_OTHERS = _pattern(r"supported (?:\w+ )?values|one of|should be|did you mean|instead|\broles?\b|only user and")
_TOOLS = r"(?:tools?|tool.?(?:calls?|calling|use)|function.?call\w*)\b"

# The rules in order: the first rule whose pattern matches and that has a field to change gives the first lesson.
# "exception of an initial" is in the message of a Mistral template that refuses a tool's result.
_RULES: tuple[tuple[re.Pattern[str], Rule], ...] = (
    (_pattern(r"parallel.?tool.?calls?"), _drop("parallel_tool_calls")),
    (_pattern(r"enable-auto-tool-choice|tool.?call.?parser|--jinja|exception of an initial"), _prompt),
    (_pattern(r"\bids?\b.{0,70}length (?:of )?9"), _shorten_ids),
    (_pattern(r"verbosity"), _drop_verbosity),
    (_pattern(r"tool.?choice"), _free_choice),
    (_pattern(r"max_completion_tokens"), _rename_limit),
    (_pattern(r"stream.?options"), _drop_usage),
    (
        _pattern(
            r"response.?(?:format|mime)|json.?(?:schema|object|mode)|['\"`.]text\b|text\.format|structured|grammar|guided"
        ),
        _lower_output,
    ),
    (_pattern(r"\bstrict\b"), _drop_strict),
    (
        _pattern(
            r"\binstructions\b|system.?(?:message|prompt|role|instruction)|role\W.{0,20}\b(?:system|developer)\b"
            r"|only user and assistant roles"
        ),
        _move_system,
    ),
    (_pattern(r"encrypted"), _forget_reasoning),
    (_pattern(r"reasoning_content.{0,40}\bback\b|missing.{0,20}reasoning_content"), _replay_reasoning),  # DeepSeek
    (_pattern(r"reasoning|thinking|chat_template_kwargs"), _quiet_reasoning),
    (_pattern(r"\bimages?\b|vision|multi-?modal|mmproj"), _describe_pictures),
)
# Wider patterns, which may also match a message about a user's mistake or a failing server. They are not used there.
_WIDE_RULES: tuple[tuple[re.Pattern[str], Rule], ...] = (
    (_pattern(rf"(?:support|feature|enabl|allow|permit)\w*\W+(?:\w+\W+){{0,3}}?{_TOOLS}"), _prompt),
    (_pattern(rf"\b{_TOOLS}\W+(?:\w+\W+){{0,3}}?(?:not|unsupported|requires?)\b"), _prompt),
    (_pattern(""), _drop_named),
)

"""The table of what servers say when they refuse something, and what to send instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from agentloop.items import Item, JsonObject, Message, Reasoning, ToolCall, ToolResult
from agentloop.schema import list_keywords
from agentloop.wire.payload import mapping, mappings
from agentloop.wire.profile.profile import Profile, StructuredOutput
from agentloop.wire.profile.streaming import REFUSES_STREAM, REQUIRES_STREAM, start_streams, stop_streams
from agentloop.wire.rare_pattern import RarePattern
from agentloop.wire.roles import do_roles_alternate

NEVER_DROPPED: Final = frozenset(
    {"model", "input", "messages", "stream", "tools", "instructions", "text", "response_format"}
)
"""Fields without which a request says something else. `refused` never names them."""

_LEGAL_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_BELOW: dict[StructuredOutput, StructuredOutput] = {
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
        items: The conversation.
    """

    body: JsonObject
    has_results: bool
    has_pictures: bool = False
    items: Sequence[Item] = ()


Changes: TypeAlias = Iterator[tuple[str, Any]]
Rule: TypeAlias = Callable[[Profile, Sent, str], Changes]
"""Yields the fields to change, with their new values."""


def find_rules(words: str, *, narrow: bool) -> Iterator[tuple[Rule, re.Match[str]]]:
    """Yield the rules whose pattern is in the words of a refusal, the most certain first, each with its match.

    Args:
        words: The server's words, without what they quote from the request.
        narrow: Leave out the patterns that also match messages about something else.
    """
    refuses = SAYS_NO.search(words) is not None
    rules = (*_CERTAIN, *(_NAMED if refuses else ()), *(_WIDE if refuses and not narrow else ()))
    for pattern, rule in rules:
        match = pattern.search(words)
        if match is not None:
            yield rule, match


def lower_rung(profile: Profile) -> StructuredOutput | None:
    """Return the next weaker value of `structured_output` that gives another request; None if there is none."""
    speaks_chat = profile.route == "chat" or profile.tool_calling == "prompted"
    if profile.structured_output == "text_format" and speaks_chat:
        return "json_object"  # chat has only one field for a schema, so response_format is the same request
    return _BELOW.get(profile.structured_output)


# --- the rules ---


def _drop(name: str) -> Rule:
    def drop(profile: Profile, sent: Sent, _: str) -> Changes:
        if name in sent.body:
            yield "refused", profile.refused | {name}

    return drop


def _prompt(profile: Profile, sent: Sent, words: str) -> Changes:
    says_other = _SAYS_STREAM.search(words) or _SAYS_EMPTY.search(words)
    if "tools" in sent.body and profile.tool_calling == "native" and not says_other:
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
    if sent.body.get("stream") and profile.structured_stream and _SAYS_STREAM.search(words):
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


def _drop_keywords(profile: Profile, sent: Sent, words: str) -> Changes:
    words = _PLACE.compiled.sub(" ", words)
    named = {word for word in _list_keywords(sent.body) & profile.schema_keywords if _refuses_keyword(word, words)}
    if named:
        yield "schema_keywords", profile.schema_keywords - named


def _list_keywords(body: JsonObject) -> set[str]:
    """Return the keywords in the schemas of a request."""
    tools = [mapping(tool.get("function")) or tool for tool in mappings(body.get("tools"))]
    form = mapping(mapping(body.get("response_format")).get("json_schema")) or mapping(
        mapping(body.get("text")).get("format")
    )
    schemas = [*(mapping(tool.get("parameters")) for tool in tools), mapping(form.get("schema"))]
    return {keyword for schema in schemas for keyword in list_keywords(schema)}


def _refuses_keyword(keyword: str, words: str) -> bool:
    # `format` is also a word of English; `exclusiveMinimum` is not.
    bare = rf"(?<![\w$]){re.escape(keyword)}(?!\w)"
    found = bare if not keyword.islower() else rf"(?:['\"`]|\bkeywords? ){re.escape(keyword)}(?!\w)"
    return re.search(rf"{found}(?!['\"`]? (?:is required|must|should|needs))", words) is not None


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
    elif any(isinstance(item, Reasoning) for item in sent.items) and not _SAYS_STREAM.search(words):
        yield from _forget_reasoning(profile, sent, words)


def _forget_reasoning(profile: Profile, _: Sent, __: str) -> Changes:
    if profile.reasoning_replay != "none":
        yield "reasoning_replay", "none"


def _replay_reasoning(profile: Profile, _: Sent, __: str) -> Changes:
    if profile.reasoning_replay != "required":
        yield "reasoning_replay", "required"


def _send_tools(profile: Profile, sent: Sent, _: str) -> Changes:
    if sent.has_results and "tools" not in sent.body and not profile.history_needs_tools:
        yield "history_needs_tools", True


def _clean_ids(profile: Profile, sent: Sent, _: str) -> Changes:
    ids = [item.call_id for item in sent.items if isinstance(item, ToolCall)]
    if not profile.legal_call_ids and not all(map(_LEGAL_ID.fullmatch, ids)):
        yield "legal_call_ids", True


def _alternate(profile: Profile, sent: Sent, _: str) -> Changes:
    if not profile.alternating_roles and not do_roles_alternate(sent.items):
        yield "alternating_roles", True


def _respell_content(profile: Profile, sent: Sent, words: str) -> Changes:
    says_empty = _SAYS_EMPTY.search(words) is not None
    if (
        says_empty
        and profile.empty_results
        and any(isinstance(item, ToolResult) and not item.content for item in sent.items)
    ):
        yield "empty_results", False
    if profile.route == "chat" and profile.tool_calling == "native" and _has_bare_calls(sent.items):
        for way in ("absent", "null", "empty") if says_empty else ("empty", "absent", "null"):
            if way != profile.call_content:
                yield "call_content", way


def _has_bare_calls(items: Sequence[Item]) -> bool:
    """Return whether the model called tools in a turn without a text."""
    has_calls = has_text = False
    for item in (*items, Message("user", "")):
        match item:
            case ToolCall():
                has_calls = True
            case Message(role="assistant"):
                has_text = has_text or bool(item.text)
            case Message(role="user") | ToolResult():
                if has_calls and not has_text:
                    return True
                has_calls = has_text = False
            case _:
                pass
    return False


def _shorten_ids(profile: Profile, sent: Sent, _: str) -> Changes:
    if sent.has_results and not profile.short_call_ids:
        yield "short_call_ids", True


def _describe_pictures(profile: Profile, sent: Sent, _: str) -> Changes:
    # The image in a tool's result can be replaced by a note. An image in the user's message can't: the question is
    # about it.
    if sent.has_pictures and profile.images:
        yield "images", False


def _drop_named(profile: Profile, sent: Sent, words: str) -> Changes:
    refused = _SAYS_OTHERS.compiled.split(words, 1)[0]  # the rest names what may be sent instead
    found = {name: re.search(rf"\b{re.escape(name)}\b", refused) for name in sent.body if name not in NEVER_DROPPED}
    for _, name in sorted((match.start(), name) for name, match in found.items() if match):
        yield "refused", profile.refused | {name}


# --- what servers say ---


def _pattern(text: str) -> RarePattern:
    return RarePattern(text, re.DOTALL)


SAYS_NO: Final = _pattern(
    r"\bnot\b.{0,20}(?:support|permit|allow|availab|enabl|recogni|implement|accept)|unsupported|n[o']t support|unknown"
    r"|unrecogni|unexpected|extra|requires?\b|invalid|must be|cannot|can't|incompatible|only\b|verif|unavailable"
    r"|no endpoints found|not a multi-?modal|at most 0|missing data|length (?:of )?9"
)
"""A server refuses something."""

SAYS_WRONG: Final = _pattern(
    r"invalid.{0,10} schema|schema is (?:invalid|not a? ?valid)|schema contains|in context=|names? must be unique"
    r"|(?:above|exceeds?) .{0,10}maximum|below .{0,10}minimum|too (?:long|short|large|small|high|low)|out of range"
    r"|invalid type|must be in\b|non-negative|positive|at least|at most [1-9]|between|(?:great|less)\w{0,3} than|[<>]="
    r"|, got -?\d|(?:unsupported|invalid|corrupt\w{0,3}|decode|load|process|identify|open)(?: the| an?)? image"
)
"""A user or a model has made a mistake."""

_SAYS_STREAM = _pattern(r"\bstream(?!.?options)")
_SAYS_EMPTY = _pattern(
    r"(?:must|may|can|should)(?: ?not|n't) be (?:an? )?(?:empty|blank)|non-?empty|(?:is|are|was) (?:empty|blank)"
    r"|empty (?:string|content|text|message|output)|at least (?:1|one) character"
)
_SAYS_OTHERS = _pattern(r"supported (?:\w+ )?values|one of|should be|did you mean|instead|\broles?\b|only user and")
_PLACE = _pattern(r"in context=\([^)]{0,200}\)|\bat (?:path )?(['\"`])[^'\"`]{0,200}\1")  # where in a schema
_TOOLS = r"(?:tools?|tool.?(?:calls?|calling|use)|function.?call\w*)\b"
_TAKEN = r"(?:support|allow|permit|enabl|accept|implement|availab|recogni)\w*"

# Each pattern alone says that something is refused, and what.
_CERTAIN: tuple[tuple[RarePattern, Rule], ...] = (
    (REFUSES_STREAM, stop_streams),
    (REQUIRES_STREAM, start_streams),
    (_pattern(r"\bids?\b.{0,70}length (?:of )?9"), _shorten_ids),
    (
        _pattern(r"toolConfig field must be|must define \W?tools\b|without \W?tools\b|expects the \W?tools\b"),
        _send_tools,
    ),  # Bedrock, LiteLLM
    (
        _pattern(
            r"(?:call_id|tool_calls\[\d{1,4}\]\.id|tool_(?:use|result|call)\.(?:id|tool_use_id))\b"
            r".{0,40}(?:match|pattern|too long|invalid|length)"
        ),
        _clean_ids,
    ),
    (
        _pattern(
            r"roles?\b.{0,30}\balternat|alternat\w{0,4} (?:between )?\W?(?:user|roles)|unexpected role"
            r"|expected last role|roles in a row|consecutive .{0,30}(?:messages|roles)|turns? (?:alternate|comes)"
        ),
        _alternate,
    ),
    (
        _pattern(
            rf"unknown|unsupported|unrecogni|unexpected|forbidden|disallowed|cannot find field"
            rf"|\bnot\W+(?:\w+\W+){{0,2}}?{_TAKEN}"
        ),
        _drop_keywords,
    ),
    (
        _pattern(r"reasoning_content.{0,40}\b(?:back|missing|required)\b|missing.{0,20}reasoning_content"),
        _replay_reasoning,
    ),
    (
        _pattern(
            r"\b(?:content|output|text)\b.{0,60}"
            r"\b(?:null|none|nonetype|nil|empty|blank|required|missing|string|str|at least)\b"
            r"|\b(?:null|none|nonetype|empty|blank|missing|non-?empty)\b.{0,60}\bcontent\b|concatenate.{0,40}nonetype"
        ),
        _respell_content,
    ),
)
# The rules in order: the first rule whose pattern matches and that has a field to change gives the first lesson.
# "exception of an initial" is in the message of a Mistral template that refuses a tool's result.
_NAMED: tuple[tuple[RarePattern, Rule], ...] = (
    (_pattern(r"parallel.?tool.?calls?"), _drop("parallel_tool_calls")),
    (_pattern(r"enable-auto-tool-choice|tool.?call.?parser|--jinja|exception of an initial"), _prompt),
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
    (_pattern(r"reasoning|thinking|chat_template_kwargs"), _quiet_reasoning),
    (_pattern(r"\bimages?\b|vision|multi-?modal|mmproj"), _describe_pictures),
)
# Wider patterns, which may also match a message about a user's mistake or a failing server. They are not used there.
_WIDE: tuple[tuple[RarePattern, Rule], ...] = (
    (_pattern(rf"(?:\bno|not|n't|\bun)(?:\W+\w+){{0,3}}?\W*{_TAKEN}\W+(?:\w+\W+){{0,3}}?{_TOOLS}"), _prompt),
    (
        _pattern(
            rf"\b{_TOOLS}\W+(?:\w+\W+){{0,3}}?(?:(?:not|n't)\W+(?:\w+\W+){{0,2}}?{_TAKEN}|unsupported|unavailable|requires?\b)"
        ),
        _prompt,
    ),
    (_pattern(""), _drop_named),
)

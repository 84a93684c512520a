"""Draws lessons from refused requests: what the server's message says it can't do, and what to send instead.

A lesson is only about what was sent, and only about what the server's own words name; what they quote from the request
is not read. If the words name nothing, a guess is made. `rules` is the table of words, `learner` tries the lessons.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from typing import Any, cast

from agentloop.errors import ContextOverflowError, EndpointError, RefusedError, ServerError
from agentloop.wire.payload import string
from agentloop.wire.profile import Profile
from agentloop.wire.profile.lessons import Lesson
from agentloop.wire.profile.quotes import PLAIN, Heard, list_texts, unquote
from agentloop.wire.profile.rules import SAYS_NO, SAYS_WRONG, Changes, Sent, find_rules, lower_rung
from agentloop.wire.rare_pattern import RarePattern

__all__ = ["Sent", "draw_lessons", "hear", "is_models_fault", "lower_rung", "quote_reason"]

_CLIENT_FAULTS = frozenset({400, 404, 405, 415, 422, None})
# A user can't get these wrong: they are about how requests are written.
_ABOUT_FORM = frozenset({"schema_keywords", "legal_call_ids", "short_call_ids", "call_content", "empty_results"})
_REFUSALS = frozenset({400, 422})
_OTHER_ITEMS = {"native": "message", "message": "native"}
_ROUTE_FAULTS = frozenset({404, 405, 501})
_LONGEST_REASON = 200
_QUOTES = "'\"`"
_WORD = re.compile(r"['\"`]?[\w$]+(?:[.-][\w$]+)*['\"`]?")
# Words that may stand in a reason because no user's text is known by them.
_KNOWN = PLAIN.union(
    re.findall(
        r"\w+",
        """
    auto back call called calling calls chat choice completions content context extra format function functions image
    images inputs json length maximum messages mode named none passed permitted reasoning_content response responses
    result results role roles schema size stream streaming system text thinking tokens tool tool_calls tool_choice tools
    user v1 window
    """,
    )
)

# Groq's codes for a reply of the model that its server could not read or that does not fit its schema.
_BAD_REPLIES = frozenset({"tool_use_failed", "json_validate_failed", "output_parse_failed"})
_SAYS_BAD_REPLY = RarePattern(
    r"failed_generation|tool call validation failed|failed to (?:call a function|generate json)"
)
_SAYS_MODEL = RarePattern(r"\bmodels?\b|model_not_found|deployment|endpoints? found")
_SAYS_ROUTE = RarePattern(
    r"unexpected endpoint|unknown (?:url|route|endpoint|path)|invalid url|no (?:such )?route"
    r"|(?:only|not) supported in (?:the )?/?v1/|(?:responses|chat.?completions?) operation",
)
_PATH = RarePattern(r"/(?:responses|chat/completions)\b")
# Tools are refused together with something that another run may not ask for, or several calls in one turn are.
_SAYS_TOGETHER = RarePattern(
    r"\b(?:with|when|while|together|along|combin\w*|in|during)\b.{0,40}"
    r"\b(?:images?|vision|audio|think\w*|reason\w*|json|response_format|structured|batch)"
    r"|\b(?:parallel|multiple|simultaneous)\b.{0,20}\b(?:tools?|function|calls?)\b"
    r"|\btool_choice\b.{0,10}\bnone\b",
    re.DOTALL,
)
# What the two forms of calls and results hold on /v1/responses.
_SAYS_ITEMS = {
    "native": RarePattern(r"function_call(?:_output)?\b"),
    "message": RarePattern(r"role\W{1,4}tool\b|\btool\W{1,3}role|tool_calls\b|tool_call_id\b"),
}
# A 400 about one of these, after a tool's result, is not about how the result was written.
_SAYS_OTHER = RarePattern(
    r"\b(?:api.?)?keys?\b|credential|authori[sz]|authenticat|permission|billing|quota|credit|balance|subscription"
    r"|\bmodels?\b.{0,60}(?:not|exist|found|unknown|invalid|deprecat|retire|decommission)|model_not_found|\bfiles?\b"
    r"|upload|moderat|flagged|content.?(?:filter|policy)|safety|\bstream|temporar|overload|try again|time.?out"
    r"|timed out",
    re.DOTALL,
)


def hear(error: EndpointError, sent: Sent) -> Heard:
    """Return the server's own words in an error: without what they quote from the request."""
    system = [string(sent.body.get("instructions"))]
    return unquote(error.message, (*list_texts(sent.items), *system))


def is_models_fault(error: EndpointError) -> bool:
    """Return whether a server refused what the model wrote, not the request. The same request may succeed."""
    return error.code in _BAD_REPLIES or _SAYS_BAD_REPLY.search(error.message) is not None


def draw_lessons(error: EndpointError, profile: Profile, sent: Sent, heard: Heard | None = None) -> Iterator[Lesson]:
    """Yield the lessons that a refusal may teach, the most certain first.

    Args:
        error: The refusal.
        profile: How the request was written.
        sent: The request.
        heard: What `hear` returned for them; None to find it out.
    """
    refused = isinstance(error, RefusedError) and error.status in _CLIENT_FAULTS
    if isinstance(error, ContextOverflowError) or not (refused or isinstance(error, ServerError)):
        return
    if is_models_fault(error):
        return
    words, is_complete = heard or hear(error, sent)
    # A user's mistake says nothing about the endpoint: the lesson may help this run, but is not kept for others.
    is_own = SAYS_WRONG.search(words) is not None
    # The message of a failing server may mention a field that is not the cause.
    for rule, match in find_rules(words, narrow=is_own or isinstance(error, ServerError)):
        for name, now in rule(profile, sent, words):
            was = getattr(profile, name)
            passing = not is_complete or (is_own and name not in _ABOUT_FORM)
            passing = passing or (name == "tool_calling" and _SAYS_TOGETHER.search(words) is not None)
            why = quote_reason(error, words, [match[0], *_list_names(was, now)])
            yield Lesson(name, was, now, why, is_passing=passing)
    for name, now in () if is_own else _guess(error, words, profile, sent):
        why = quote_reason(error, words, _name_subject(name, words, profile))
        is_weak = not _is_about(name, error, words, profile)
        yield Lesson(name, getattr(profile, name), now, why, is_guess=True, is_weak=is_weak)


def _is_about(name: str, error: EndpointError, words: str, profile: Profile) -> bool:
    """Return whether a refusal is surely about the route or the form of calls and results."""
    if name == "route":  # these statuses are about the path, also without words
        return error.status in _ROUTE_FAULTS or _SAYS_ROUTE.search(words) is not None
    return _SAYS_ITEMS[profile.tool_items].search(words) is not None and not _SAYS_OTHER.search(words)


def _name_subject(name: str, words: str, profile: Profile) -> list[str]:
    patterns = (_SAYS_ROUTE, _PATH) if name == "route" else (_SAYS_ITEMS[profile.tool_items],)
    return [match[0] for pattern in patterns if (match := pattern.search(words))]


def quote_reason(error: EndpointError, words: str, subjects: Iterable[str]) -> str:
    """Return the status of a refusal, and of its words only those that name its subject and say no.

    The other words may hold a key, or a text of the user, so they become `...`.

    Args:
        error: The refusal.
        words: The server's own words in it.
        subjects: What its words name.
    """
    answered = f"the endpoint answered {error.status}" if error.status else "the endpoint failed"
    words = words.partition(": ")[2] or words
    found = (re.search(rf"\b{re.escape(subject)}", words) for subject in subjects if subject)
    spans = [match.span() for match in found if match]
    if not spans:
        return answered
    refusal = min(SAYS_NO.compiled.finditer(words), key=lambda match: abs(match.start() - spans[0][0]), default=None)
    spans += [refusal.span()] if refusal else []
    ends = {at for start, end in spans for at in (start, end - 1)}
    return f"{answered}: {_cut(' '.join(word for word, _ in groupby(_keep_words(words, ends))))}"


def _keep_words(words: str, ends: Collection[int]) -> Iterator[str]:
    """Yield the words at these places, the known words between and after them, and `...` for each other word."""
    is_kept = False
    for word in _WORD.finditer(words):
        is_near = is_kept or min(ends) <= word.start() <= max(ends)
        is_known = is_near and word[0].strip(_QUOTES).lower() in _KNOWN
        is_kept = is_known or any(word.start() <= end < word.end() for end in ends)
        yield word[0] if is_kept else "..."


def _list_names(was: Any, now: Any) -> Iterable[str]:
    """Return the members of a set that a lesson adds or removes."""
    return sorted(cast("frozenset[str]", was ^ now)) if isinstance(was, frozenset) else ()


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."


def _guess(error: EndpointError, words: str, profile: Profile, sent: Sent) -> Changes:
    said = f"{words} {error.code}"
    lacks_route = error.status in _ROUTE_FAULTS and not (_SAYS_MODEL.search(said) or _SAYS_OTHER.search(said))
    prompted = profile.tool_calling == "prompted"  # uses chat on either route
    if (lacks_route or _SAYS_ROUTE.search(words)) and not prompted:
        yield "route", "chat" if profile.route == "responses" else "responses"
    elif error.status in _REFUSALS and sent.has_results and profile.route == "responses" and not prompted:
        is_other = _SAYS_OTHER.search(said) and not _SAYS_ITEMS[profile.tool_items].search(words)
        yield from () if is_other else (("tool_items", _OTHER_ITEMS[profile.tool_items]), ("route", "chat"))

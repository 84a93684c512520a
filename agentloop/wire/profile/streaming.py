"""Chooses between a stream and a whole reply, and reads from a refusal that the server has only the other one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from agentloop.wire.payload import mapping
from agentloop.wire.profile.profile import Profile
from agentloop.wire.rare_pattern import RarePattern

if TYPE_CHECKING:
    from agentloop.wire.profile.rules import Sent

_GAP = r"[^\w.,:;]{1,4}+"  # between the words of one clause; possessive, as the words are, so that no text takes long
_STREAM = r"(?<!non)(?<!non[ -])(?:stream(?:s|ed|ing)?\b(?!.?options)|\bsse\b|server-sent events\b)"
_ABLE = r"(?:support|allow|permit|enabl|implement|availab|compat|accept|possib|work|us(?:e|ing)\b|used\b|combin)\w*"
_NOT = r"\b(?:not?|cannot|(?:is|are|was|does|do|did|ca|could|must|should|wo)n['\u2019]?t)\b"


def _words(most: int) -> str:
    return rf"(?:{_GAP}\w{{1,30}}+(?:['\u2019]\w{{1,3}}+)?+){{0,{most}}}?{_GAP}"


REFUSES_STREAM: Final = RarePattern(
    rf"{_NOT}{_words(2)}{_ABLE}{_words(8)}\b{_STREAM}"
    rf"|\b(?:unsupported|incompatible|unavailable|disabled|exclusive){_words(5)}\b{_STREAM}"
    rf"|\b{_STREAM}{_words(6)}(?:unsupported|incompatible|unavailable|disabled|exclusive|{_NOT}{_words(2)}{_ABLE})"
    r"|\bun(?:supported|known|recogni[sz]ed|expected) (?:\w{1,20} ){0,2}"
    rf"(?:parameter|argument|field|value|input|keyword)s?(?: supplied)?\W{{1,4}}{_STREAM}"
    rf"|verified to stream\b|cannot stream (?:with|while|when|this|for|using|tool)"
    rf"|\bonly{_words(4)}(?:non-?stream|stream\W{{0,4}}false)"
    rf"|\b{_STREAM}.{{0,30}}\b(?:be|to)\W+(?:set\W+to\W+)?false",
)
"""What a server says that does not stream the reply to a request for a stream."""

REQUIRES_STREAM: Final = RarePattern(
    rf"\bonly{_words(5)}(?:text/event-)?{_STREAM}"
    rf"|\b{_STREAM}(?:{_words(4)}(?:true|required|mandatory|only|be enabled)\b"
    rf"|.{{0,30}}\bbe\W+(?:set\W+to\W+)?\W?true\b)"
    rf"|\b(?:requires?|must|please|needs?|use|(?:has|have) to|should|supports only){_words(4)}{_STREAM}"
    rf"|{_NOT}.{{0,60}}\bstream\W{{1,4}}false|\bstream\W{{1,4}}false.{{0,40}}{_NOT}"
    rf"|(?:{_NOT}|\b(?:must|unsupported|disabled|unavailable)\b).{{0,80}}\bnon[ -]?stream"
    rf"|\bnon[ -]?stream.{{0,60}}(?:{_NOT}|\b(?:unsupported|disabled|unavailable)\b)",
)
"""What a server says that has only streams, to a request for a whole reply."""

_SAYS_TOOLS = RarePattern(r"\btools?\b|\bfunctions?\b|\btool.?us|function.?call")
_SAYS_FORMAT = RarePattern(r"response.?format|\bjson|schema|structured")


def may_stream(profile: Profile, *, wanted: bool, tools: bool, output: bool) -> bool:
    """Return whether to ask for a stream.

    Args:
        profile: What the server can and can't do.
        wanted: Whether the user watches the reply as it comes.
        tools: Whether there are tools.
        output: Whether the reply has to follow a schema.
    """
    match profile.streaming:
        case "always":
            return True
        case "never":
            return False
        case "without_tools" if tools and profile.tool_calling == "native":
            return False
        case _:
            return wanted and (profile.structured_stream or not output)


def stop_streams(profile: Profile, sent: Sent, words: str) -> Iterator[tuple[str, Any]]:
    """Yield the lesson from words that match REFUSES_STREAM."""
    body = sent.body
    has_format = "response_format" in body or "format" in mapping(body.get("text"))
    if not body.get("stream") or (has_format and profile.structured_stream and _SAYS_FORMAT.search(words)):
        return
    with_tools_only = "tools" in body and profile.streaming != "without_tools" and _SAYS_TOOLS.search(words)
    yield "streaming", "without_tools" if with_tools_only else "never"


def start_streams(profile: Profile, sent: Sent, _: str) -> Iterator[tuple[str, Any]]:
    """Yield the lesson from words that match REQUIRES_STREAM."""
    if not sent.body.get("stream") and profile.streaming != "always":
        yield "streaming", "always"

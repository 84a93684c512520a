"""Reads why a model stopped: the `finish_reason` of a choice, or the `status` of a response.

OpenAI has five such words. Other servers, and gateways that pass on the words of others, have many more. A word that is
not in the lists below says nothing, so the reply itself must show that it is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from pydantic_core import from_json

from agentloop.errors import EndpointError
from agentloop.items import Item, Message, ReplyStop, ToolCall
from agentloop.wire.payload import string
from agentloop.wire.profile.failures import read_failure

Verdict: TypeAlias = Literal["complete", "failed", "refused", "truncated", "unknown"]

_SHOWN_CHARACTERS = 80

# Words are compared without case, blanks and punctuation. "null" as text is what DashScope sends before the end.
_COMPLETE = frozenset(
    {
        *("complete", "completed", "done", "end", "endoftext", "endofturn", "endturn", "eos", "eostoken", "eot"),
        *("finish", "finished", "functioncall", "functioncalls", "noerror", "none", "null", "stop", "stopped"),
        *("stopsequence", "stopsequences", "stoptoken", "stopword", "success", "succeeded", "toolcall", "toolcalls"),
        *("tooluse",),
    }
)

# A word with one of these parts has this meaning; the first row that fits counts.
# OpenRouter, Z.ai, DeepSeek: https://github.com/simstudioai/sim/pull/6302
# Gemini, Vertex: https://ai.google.dev/api/generate-content#FinishReason
_PARTS: Mapping[Verdict, tuple[str, ...]] = {
    "failed": (
        *("abort", "busy", "cancel", "connect", "crash", "disconnect", "error", "exception", "expired", "fail"),
        *("insufficient", "internal", "interrupt", "invalid", "malformed", "missing", "network", "overload", "preempt"),
        *("quota", "ratelimit", "resource", "shutdown", "timedout", "timeout", "toomanytoolcalls", "unavailable"),
        "unexpected",
    ),
    "refused": (
        *("armor", "block", "censor", "copyright", "denied", "escalation", "filter", "forbidden", "guard", "harm"),
        *("inappropriate", "jailbreak", "language", "moderat", "polic", "prohibit", "recitation", "refus", "risk"),
        *("safe", "sensitive", "spii", "toxic", "violat"),
    ),
    "truncated": (
        *(
            "budget",
            "context",
            "cutoff",
            "exceed",
            "incomplete",
            "length",
            "limit",
            "max",
            "partial",
            "pause",
            "repeti",
        ),
        *("token", "truncat", "window"),
    ),
}


def judge(word: object) -> Verdict:
    """Return what a `finish_reason` or a `status` means; nothing and values of other types mean `complete`."""
    plain = "".join(filter(str.isalnum, string(word).lower())).removeprefix("finishreason")
    if not plain or plain in _COMPLETE:
        return "complete"
    for verdict, parts in _PARTS.items():
        if any(part in plain for part in parts):
            return verdict
    return "unknown"


def read_stop(words: Iterable[object], items: Iterable[Item]) -> tuple[ReplyStop, str]:
    """Return how a reply stopped, and a sentence for the user if that is not known for certain, otherwise "".

    Args:
        words: What the server says about it, such as the `finish_reason` of each choice.
        items: The items of the reply. An unknown word is accepted if they hold text or a call, and no half of a call.

    Raises:
        EndpointError: the words say that the model failed, or they are unknown and the reply is not whole.
    """
    found = {judge(word): string(word)[:_SHOWN_CHARACTERS] for word in words}
    if "failed" in found:
        raise _stop_failure(found["failed"])
    if "refused" in found:
        return "refused", ""
    if "truncated" in found:
        return "truncated", ""
    if "unknown" not in found:
        return "complete", ""
    if not _is_whole(items):
        raise _stop_failure(found["unknown"])
    return "complete", f"the server gave a reason for the end of its reply that is not known: {found['unknown']!r}"


def _stop_failure(word: str) -> EndpointError:
    return read_failure({"code": word, "message": f"it stopped for the reason {word!r}"})


def _is_whole(items: Iterable[Item]) -> bool:
    said = [item for item in items if isinstance(item, (Message, ToolCall))]
    return bool(said) and all(_is_object(item.arguments) for item in said if isinstance(item, ToolCall))


def _is_object(arguments: str) -> bool:
    try:
        return not arguments or isinstance(from_json(arguments), dict)
    except ValueError:
        return False

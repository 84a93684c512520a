"""What a person decides, and what a run remembers of it. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, TypeAlias, assert_never, get_args

from agentloop.errors import RunStateError
from agentloop.tools import Effects

Scope: TypeAlias = Literal["once", "arguments", "tool"]


@dataclass(frozen=True, slots=True)
class Approve:
    """Yes.

    Attributes:
        arguments: The text of a JSON object to run the call with in place of the model's, which is told.
        scope: What the yes is for: this call, this tool whenever it has these arguments, or this tool for the run.
    """

    arguments: str | None = None
    scope: Scope = "once"
    kind: Literal["approve"] = "approve"


@dataclass(frozen=True, slots=True)
class Reject:
    """No; the model is told the reason."""

    reason: str = ""
    kind: Literal["reject"] = "reject"


@dataclass(frozen=True, slots=True)
class Substitute:
    """The tool does not run; the model is given this text as its result."""

    content: str
    kind: Literal["substitute"] = "substitute"


Decision: TypeAlias = Approve | Reject | Substitute


def check_decision(request_id: str, decision: object) -> None:
    """Raise an error for what is no decision.

    Raises:
        RunStateError: it is something else, a yes of no known scope, or holds no text where one is meant.
    """
    if not isinstance(decision, (Approve, Reject, Substitute)):
        raise RunStateError(
            f"the decision on {request_id} is a {type(decision).__name__}",
            hint="decide with Approve(), Reject(reason) or Substitute(content)",
        )
    if isinstance(decision, Approve) and decision.scope not in get_args(Scope):
        raise RunStateError(
            f"the decision on {request_id} has no scope {decision.scope!r}",
            hint=f"use one of: {', '.join(get_args(Scope))}",
        )
    text = _text_of(decision)
    if not isinstance(text, str):
        raise RunStateError(
            f"the decision on {request_id} holds a {type(text).__name__} where a text is meant",
            hint="give Approve(arguments=json.dumps({...})), Reject('why not') or Substitute('a result')",
        )


def _text_of(decision: Decision) -> object:
    match decision:
        case Approve(arguments=None):
            return ""
        case Approve(arguments=text) | Reject(reason=text) | Substitute(content=text):
            return text
        case _:
            assert_never(decision)


@dataclass(frozen=True, slots=True)
class Grant:
    """A yes that holds for the rest of a run.

    Attributes:
        tool: The label of the tool.
        arguments: A digest of the arguments that it is for, or None for any.
        tainted: Whether it was given when the run had read what strangers wrote.
    """

    tool: str
    arguments: str | None = None
    tainted: bool = False


@dataclass(frozen=True, slots=True)
class Trust:
    """What a run remembers for judging its next calls.

    Attributes:
        tainted: Whether the model has read what strangers wrote.
        grants: What a person has said yes to for longer than one call.
        hosts: The hosts of calls that a person has said yes to.
    """

    tainted: bool = False
    grants: tuple[Grant, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked about a call that waits.

    Attributes:
        tool: The label of the tool.
        reason: Why it needs a yes, in a sentence.
        effects: What a call does, as far as that is known.
        received: What the tool will receive, as JSON, or None if the arguments can't be read.
        preview: What the tool shows of the call beforehand.
        tainted: Whether the run had read what strangers wrote when it was asked.
    """

    tool: str
    reason: str = ""
    effects: Effects | None = None
    received: str | None = None
    preview: str = ""
    tainted: bool = False


def digest(text: str) -> str:
    """Return a short name for a text that no other text has."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

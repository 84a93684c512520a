"""Defines a person's decisions on calls, and what a run remembers of them. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, TypeAlias, assert_never, get_args

from agentloop.errors import RunStateError
from agentloop.tools import Effects

Scope: TypeAlias = Literal["once", "arguments", "tool"]


@dataclass(frozen=True, slots=True)
class Approve:
    """Approves a call.

    Attributes:
        arguments: JSON text of an object that replaces the model's arguments, or None. The model is told about it.
        scope: What is approved: `once` is this call, `arguments` is this tool with these arguments for the rest of the
            run, `tool` is this tool for the rest of the run.
    """

    arguments: str | None = None
    scope: Scope = "once"
    kind: Literal["approve"] = "approve"


@dataclass(frozen=True, slots=True)
class Reject:
    """Rejects a call; the model is told the reason."""

    reason: str = ""
    kind: Literal["reject"] = "reject"


@dataclass(frozen=True, slots=True)
class Substitute:
    """Replaces a call: the tool does not run, and the model gets this text as the result."""

    content: str
    kind: Literal["substitute"] = "substitute"


Decision: TypeAlias = Approve | Reject | Substitute


def check_decision(request_id: str, decision: object) -> None:
    """Raise an error if a value is not a valid decision.

    Raises:
        RunStateError: it is not a decision, its scope does not exist, or a field that takes text has another type.
    """
    if not isinstance(decision, (Approve, Reject, Substitute)):
        raise RunStateError(
            f"the decision on {request_id} is a {type(decision).__name__}",
            hint="decide with Approve(), Reject(reason) or Substitute(content)",
        )
    if isinstance(decision, Approve) and decision.scope not in get_args(Scope):
        raise RunStateError(
            f"the decision on {request_id} has the scope {decision.scope!r}, which does not exist",
            hint=f"use one of: {', '.join(get_args(Scope))}",
        )
    text = _text_of(decision)
    if not isinstance(text, str):
        raise RunStateError(
            f"the decision on {request_id} has a {type(text).__name__} in place of a text",
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
    """An approval that is valid for the rest of a run.

    Attributes:
        tool: The label of the tool.
        arguments: A digest of the arguments that are approved, or None for any arguments.
        tainted: Whether the run had read untrusted text when the approval was given.
    """

    tool: str
    arguments: str | None = None
    tainted: bool = False


@dataclass(frozen=True, slots=True)
class Trust:
    """What a run remembers for judging its next calls.

    Attributes:
        tainted: Whether the model has read untrusted text.
        grants: A person's approvals that are valid for more than one call.
        hosts: The hosts of calls that a person has approved.
    """

    tainted: bool = False
    grants: tuple[Grant, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked about a call that needs approval.

    Attributes:
        tool: The label of the tool.
        reason: Why the call needs approval, in words.
        effects: The declared effects of the tool, or None.
        received: The arguments that the tool will receive, as JSON, or None if they can't be read.
        preview: The tool's preview of the call, or "".
        tainted: Whether the run had read untrusted text when the question was made.
        for_person_alone: Whether only a person may approve the call, and no pattern.
    """

    tool: str
    reason: str = ""
    effects: Effects | None = None
    received: str | None = None
    preview: str = ""
    tainted: bool = False
    for_person_alone: bool = False


def digest(text: str) -> str:
    """Return a short hash of a text, which in practice no other text has."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

"""Judges one call: allow, ask or deny, and why. It depends on rules, effects, and the run's earlier approvals."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from agentloop.items import JsonObject
from agentloop.policy.decisions import Grant, Question, Trust, digest
from agentloop.policy.hosts import matches_host, read_hosts
from agentloop.policy.patterns import CallPattern
from agentloop.policy.rules import Found, Policy, Verdict
from agentloop.schema import ArgumentsError, canonical, mask_secrets
from agentloop.tools import Tool
from agentloop.tools.effects import UNKNOWN


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a call.

    Attributes:
        verdict: Whether the call runs, needs approval, or is refused.
        question: For `ask`, what a person is asked; otherwise None.
        refusal: For `deny`, what the model is told; otherwise "".
    """

    verdict: Verdict
    question: Question | None = None
    refusal: str = ""


class CallArguments:
    """The arguments of a call as its tool will receive them; they are read when they are first needed.

    Attributes:
        tool: The tool.
        raw: The JSON text as the model wrote it.
    """

    def __init__(self, tool: Tool, text: str) -> None:
        self.tool = tool
        self.raw = text

    @cached_property
    def values(self) -> JsonObject | None:
        """The arguments by parameter name, as JSON values, or None if they can't be read."""
        try:
            return self.tool.read_arguments(self.raw)
        except ArgumentsError:
            return None

    @property
    def text(self) -> str | None:
        """The arguments as JSON text with secrets masked, or None if they can't be read."""
        return None if self.values is None else json.dumps(mask_secrets(self.values))

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """The hosts in the arguments; empty if the tool has no argument for hosts, or one can't be determined."""
        return read_hosts(self._host) or ()

    @cached_property
    def spellings(self) -> tuple[JsonObject | None, ...]:
        """The arguments, and where they name a host without a scheme, with those that the tool may add."""
        host, effects = self._host, self.tool.presumed_effects
        if not isinstance(host, str) or "//" in host or effects is None:
            return (self.values,)
        urls = (f"{scheme}://{host}" for scheme in ("http", "https"))
        return (self.values, *({**(self.values or {}), effects.host_argument: url} for url in urls))

    @property
    def names_no_host(self) -> bool:
        """Whether the arguments can be read and the one that may name a host was left out."""
        return self.values is not None and self._host is None

    @property
    def _host(self) -> object:
        effects = self.tool.presumed_effects
        return self.values.get(effects.host_argument) if effects and self.values else None

    def grant(self, *, tainted: bool) -> Grant:
        """Return a grant for the tool with these arguments."""
        return Grant(self.tool.label, self._digest, tainted)

    def is_covered_by(self, grant: Grant) -> bool:
        """Tell whether a grant approves the tool with these arguments."""
        return grant.tool == self.tool.label and (grant.arguments is None or grant.arguments == self._digest)

    @cached_property
    def _digest(self) -> str:
        return digest(canonical(self.raw if self.values is None else json.dumps(self.values)))


def is_denied(policy: Policy, tool: Tool) -> bool:
    """Tell whether a tool is denied with any arguments."""
    return any(not rule.arguments for rule in _find_rules(policy, tool).get("deny", ()))


def names_of(tool: Tool, policy: Policy) -> tuple[str, ...]:
    """Return the names that a rule may use for a tool.

    Rules that came with the tool's pack may leave out the pack's name, and stay valid when the tool gets another name.
    """
    names = (tool.name, tool.label)
    return (*names, tool.label.removeprefix(f"{tool.pack}."), *tool.former_names) if policy is tool.policy else names


def judge(policy: Policy, tool: Tool, arguments: str, trust: Trust, *, recovered: bool = False) -> Judgement:
    """Return the verdict on a call.

    The rules of the agent's policy and of the tool's own policy, which came with its pack, apply together: `deny` beats
    `ask` and `ask` beats `allow`, in whichever policy they are. Only the agent's policy decides whether taint counts.

    Args:
        policy: The agent's policy.
        tool: The tool that is called.
        arguments: The JSON text as the model wrote it.
        trust: What the run remembers.
        recovered: Whether the call was found in the text of a reply, so that it is less certain that the model made it.
    """
    rules = _find_rules(policy, tool)
    if not rules and tool.presumed_effects is None:
        return _ALLOWED
    given = CallArguments(tool, arguments)
    if denying := _find_matching(rules.get("deny", ()), given):
        return Judgement("deny", refusal=_refuse(tool, denying))
    actions = _describe_actions(tool)
    tainted = policy.taint and trust.tainted and bool(actions)
    asking = _find_matching(rules.get("ask", ()), given)
    # Doubts ask even where a rule allows the call; a grant that was given after the taint still counts.
    doubts = actions if tainted else actions or _describe_sending(tool) if recovered else ""
    reason = f"the policy asks about {asking.text}" if asking else doubts
    if not reason and not _is_allowed(rules.get("allow", ()), given):
        reason = actions or describe_new_hosts(policy, given, trust)
    if not reason or (not tool.for_person_alone and _is_granted(given, trust, tainted=tainted)):
        return _ALLOWED
    reason += ", and the run has read untrusted text" * tainted + ", and the call came as text" * recovered
    return Judgement("ask", _make_question(given, reason, trust))


_ALLOWED = Judgement("allow")


def question_again(tool: Tool, arguments: str, trust: Trust) -> Question:
    """Return what a person is asked about a call that was put off for them and that the rules would allow by now."""
    return _make_question(CallArguments(tool, arguments), "the run has stopped to ask about it", trust)


def _make_question(given: CallArguments, reason: str, trust: Trust) -> Question:
    tool = given.tool
    return Question(
        tool.label,
        reason,
        tool.presumed_effects,
        given.text,
        tainted=trust.tainted,
        for_person_alone=tool.for_person_alone,
    )


def _is_allowed(rules: Iterable[CallPattern], given: CallArguments) -> bool:
    return any(not rule.arguments or rule.matches_fully(given.values, given.tool.readings) for rule in rules)


def _is_granted(given: CallArguments, trust: Trust, *, tainted: bool) -> bool:
    # A grant that was given before the run read untrusted text does not count after it.
    return any(given.is_covered_by(grant) for grant in trust.grants if grant.tainted or not tainted)


def _find_matching(rules: Iterable[CallPattern], given: CallArguments) -> CallPattern | None:
    readings = given.tool.readings
    return next(
        (
            rule
            for rule in rules
            if not rule.arguments or any(rule.matches_partly(values, readings) for values in given.spellings)
        ),
        None,
    )


def _find_rules(policy: Policy, tool: Tool) -> Found:
    """Return the rules of the agent and of the pack that apply to a tool, by verdict."""
    found = policy.find_rules(names_of(tool, policy))
    if tool.policy is None or tool.policy is policy:
        return found
    own = tool.policy.find_rules(names_of(tool, tool.policy))
    return {verdict: (*found.get(verdict, ()), *own.get(verdict, ())) for verdict in (found or own)}


def _describe_actions(tool: Tool) -> str:
    """Return in words which of the tool's effects need approval; "" if none does."""
    effects = tool.presumed_effects
    if effects is None:
        return ""
    if effects == UNKNOWN and tool.effects is None:
        return "its effects are not declared"
    writes = effects.write and not effects.own_store
    actions = ("writes" if writes else "", "runs programs or code" if effects.execute else "")
    joined = " and ".join(filter(None, actions))
    return joined and f"it {joined}"


def _describe_sending(tool: Tool) -> str:
    effects = tool.presumed_effects
    return "it connects to other hosts" if effects is not None and effects.network else ""


def describe_new_hosts(policy: Policy, given: CallArguments, trust: Trust) -> str:
    """Return in words which hosts a call connects to that are not allowed yet; "" if there are none."""
    effects, known = given.tool.presumed_effects, known_hosts(policy, given.tool)
    if effects is None or not effects.network or "*" in known:
        return ""
    if not effects.host_argument or given.names_no_host:
        return "" if effects.hosts else "it connects to hosts that are not known before the call"
    if not given.hosts:
        return "the host that it connects to can't be determined"
    new = [host for host in given.hosts if host not in trust.hosts and not matches_host(host, known)]
    return f"it connects to a new host, {' and '.join(new)}" if new else ""


def known_hosts(policy: Policy, tool: Tool) -> tuple[str, ...]:
    """Return the patterns of the hosts that a tool may connect to without approval."""
    effects = tool.presumed_effects
    # A pack may declare the hosts that it connects to, but `*` in that declaration allows nothing.
    declared = (host for host in effects.hosts if host != "*") if effects else ()
    return (*policy.hosts, *(tool.policy.hosts if tool.policy else ()), *declared)


def _refuse(tool: Tool, rule: CallPattern) -> str:
    if not rule.arguments:
        return f"The tool {tool.name} is not allowed here. Go on without it."
    named = " and ".join(f"`{each.name}`" for each in rule.arguments)
    return f"Not run: {tool.name} is not allowed with this {named}. Go on without it."

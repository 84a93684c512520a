"""What becomes of one call: allow, ask or deny, and why; by rules, effects, and what the run was allowed before."""

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
from agentloop.schema import ArgumentsError, canonical
from agentloop.tools import Tool
from agentloop.tools.effects import UNKNOWN


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of a call.

    Attributes:
        verdict: Whether it runs, waits for a yes, or is refused.
        question: What a person is asked, for `ask`.
        refusal: What the model is told, for `deny`.
    """

    verdict: Verdict
    question: Question | None = None
    refusal: str = ""


class CallArguments:
    """The arguments of a call as its tool will receive them, read when somebody asks for them."""

    def __init__(self, tool: Tool, text: str) -> None:
        self.tool = tool
        self._text = text

    @cached_property
    def values(self) -> JsonObject | None:
        """They by parameter name, as JSON, or None if they can't be read."""
        try:
            return self.tool.read_arguments(self._text)
        except ArgumentsError:
            return None

    @property
    def text(self) -> str | None:
        """They as JSON text."""
        return None if self.values is None else json.dumps(self.values)

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that they name; none where the tool has no argument for that, or it can't be told for certain."""
        return read_hosts(self._host) or ()

    @property
    def names_no_host(self) -> bool:
        """Whether the argument that may name a host was left out."""
        return self.values is not None and self._host is None

    @property
    def _host(self) -> object:
        effects = self.tool.presumed_effects
        return self.values.get(effects.host_argument) if effects and self.values else None

    def grant(self, *, tainted: bool) -> Grant:
        """Return a grant for the tool with these arguments."""
        return Grant(self.tool.label, self._digest, tainted)

    def is_covered_by(self, grant: Grant) -> bool:
        """Tell whether a grant is for the tool and these arguments."""
        return grant.tool == self.tool.label and (grant.arguments is None or grant.arguments == self._digest)

    @cached_property
    def _digest(self) -> str:
        return digest(canonical(self.text or self._text))


def is_denied(policy: Policy, tool: Tool) -> bool:
    """Tell whether a tool is denied whatever its arguments are."""
    return any(not rule.arguments for rule in _find_rules(policy, tool).get("deny", ()))


def names_of(tool: Tool, policy: Policy) -> tuple[str, ...]:
    """Return the names by which rules know a tool.

    Those that came with its pack may leave the pack's name out, and hold on when the tool is given another name.
    """
    names = (tool.name, tool.label)
    return (*names, tool.label.removeprefix(f"{tool.pack}."), *tool.former_names) if policy is tool.policy else names


def judge(policy: Policy, tool: Tool, arguments: str, trust: Trust) -> Judgement:
    """Return what becomes of a call.

    The rules of the policy and those of the tool's own, which came with its pack, count together: `deny` beats `ask`,
    `ask` beats `allow`, wherever they are written. Whether taint counts is for the agent's policy to say.

    Args:
        policy: The agent's.
        tool: The tool that is called.
        arguments: JSON text, as the model wrote it.
        trust: What the run remembers.
    """
    rules = _find_rules(policy, tool)
    if not rules and tool.presumed_effects is None:
        return _ALLOWED
    given = CallArguments(tool, arguments)
    if denying := _find_matching(rules.get("deny", ()), given):
        return Judgement("deny", refusal=_refuse(tool, denying))
    acts = _describe_acts(tool)
    tainted = policy.taint and trust.tainted and bool(acts)
    asking = _find_matching(rules.get("ask", ()), given)
    reason = f"the policy asks about {asking.text}" if asking else acts if tainted else ""
    if not reason and not _is_let_through(rules.get("allow", ()), given):
        reason = acts or _describe_new_hosts(policy, given, trust)
    if not reason or _is_granted(given, trust, tainted=tainted):
        return _ALLOWED
    if tainted:
        reason += ", and the run has read untrusted text"
    return Judgement("ask", Question(tool.label, reason, tool.presumed_effects, given.text, tainted=trust.tainted))


_ALLOWED = Judgement("allow")


def _is_let_through(rules: Iterable[CallPattern], given: CallArguments) -> bool:
    return any(not rule.arguments or rule.matches_fully(given.values) for rule in rules)


def _is_granted(given: CallArguments, trust: Trust, *, tainted: bool) -> bool:
    # What was granted before strangers had their say was not granted to them.
    return any(given.is_covered_by(grant) for grant in trust.grants if grant.tainted or not tainted)


def _find_matching(rules: Iterable[CallPattern], given: CallArguments) -> CallPattern | None:
    return next((rule for rule in rules if not rule.arguments or rule.matches_partly(given.values)), None)


def _find_rules(policy: Policy, tool: Tool) -> Found:
    """Return the rules about a tool, the agent's and its pack's, by what they lead to."""
    found = policy.find_rules(names_of(tool, policy))
    if tool.policy is None or tool.policy is policy:
        return found
    own = tool.policy.find_rules(names_of(tool, tool.policy))
    return {verdict: (*found.get(verdict, ()), *own.get(verdict, ())) for verdict in (found or own)}


def _describe_acts(tool: Tool) -> str:
    """Return in words what a call does that needs a yes; "" for nothing."""
    effects = tool.presumed_effects
    if effects is None:
        return ""
    if effects == UNKNOWN and tool.effects is None:
        return "nobody has said what it does"
    writes = effects.write and not effects.own_store
    acts = ("writes" if writes else "", "runs programs or code" if effects.execute else "")
    said = " and ".join(filter(None, acts))
    return said and f"it {said}"


def _describe_new_hosts(policy: Policy, given: CallArguments, trust: Trust) -> str:
    """Return in words with which hosts a call talks that nobody has allowed; "" for none."""
    tool, effects = given.tool, given.tool.presumed_effects
    allowed = (*policy.hosts, *(tool.policy.hosts if tool.policy else ()))
    if effects is None or not effects.network or "*" in allowed:
        return ""
    if not effects.host_argument or given.names_no_host:
        return "" if effects.hosts else "it talks to hosts that are not known beforehand"
    if not given.hosts:
        return "it can't be told for certain with which host it talks"
    # A pack may say with whom it talks, but not that it may talk to everybody.
    known = (*allowed, *(host for host in effects.hosts if host != "*"))
    new = [host for host in given.hosts if host not in trust.hosts and not matches_host(host, known)]
    return f"it talks to a new host, {' and '.join(new)}" if new else ""


def _refuse(tool: Tool, rule: CallPattern) -> str:
    if not rule.arguments:
        return f"The tool {tool.name} is not allowed here. Go on without it."
    named = " and ".join(f"`{each.name}`" for each in rule.arguments)
    return f"Not run: {tool.name} is not allowed with this {named}. Go on without it."

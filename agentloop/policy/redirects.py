"""Judges redirects of a call's requests by the rules for first requests."""

from __future__ import annotations

import json
from collections.abc import Iterable

from agentloop.policy.decisions import Trust
from agentloop.policy.hosts import matches_host, read_host
from agentloop.policy.judgement import CallArguments, Judgement, describe_new_hosts, judge, known_hosts
from agentloop.policy.rules import Policy
from agentloop.tools import Tool


def judge_redirect(policy: Policy, tool: Tool, arguments: str, trust: Trust, first: str, target: str) -> str:
    """Return in words why a request of a call may not follow a redirect, or "" if it may.

    If an argument holds the address, the redirect is judged as a call with the target as its address. What a person was
    asked about this call need not be asked again, but another host or another rule must be.

    Args:
        policy: The agent's policy.
        tool: The tool whose call makes the request.
        arguments: The arguments of the call, as JSON text.
        trust: What the run remembers; it holds the hosts of this call if the call was approved.
        first: The URL of the request.
        target: The URL that it is redirected to.
    """
    name = _find_address(tool)
    given = CallArguments(tool, arguments)
    if not name or given.values is None:
        effects = tool.presumed_effects
        if effects is None or not effects.network or not effects.hosts:
            return ""
        return judge_host((*known_hosts(policy, tool), *trust.hosts), first, target)
    changed = json.dumps({**given.values, name: target})
    judgement = judge(policy, tool, changed, trust)
    if judgement.verdict != "ask":
        return judgement.refusal
    asked = _reason(judge(policy, tool, arguments, trust)) == _reason(judgement)
    new = describe_new_hosts(policy, CallArguments(tool, changed), trust)
    if asked and not new:
        return ""
    return f"{new or _reason(judgement)}; call {tool.name} with that {name}, so that it can be approved"


def judge_host(known: Iterable[str], first: str, target: str) -> str:
    """Return in words why a redirect is not followed, if it leads to a host that is neither the first one nor known."""
    host = read_host(target)
    if matches_host(host, known) or (host and host == read_host(first)):
        return ""
    return f"it connects to a new host, {host}" if host else "the host that it connects to can't be determined"


def _reason(judgement: Judgement) -> str:
    return judgement.question.reason if judgement.question else ""


def _find_address(tool: Tool) -> str:
    """Return the name of the argument that holds the address of the tool's requests, or ""."""
    addresses = (name for name, reading in tool.readings.items() if reading.is_address)
    effects = tool.presumed_effects
    return next(addresses, effects.host_argument if effects else "")

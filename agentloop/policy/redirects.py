"""Judges redirects of a call's requests by the rules for first requests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain

from agentloop.items import JsonObject
from agentloop.policy.decisions import Trust
from agentloop.policy.hosts import matches_host, read_host
from agentloop.policy.judgement import CallArguments, Judgement, describe_new_hosts, judge, known_hosts
from agentloop.policy.normalize import normalize_text
from agentloop.policy.rules import Policy
from agentloop.tools import Tool


def judge_redirect(policy: Policy, tool: Tool, arguments: str, trust: Trust, first: str, target: str) -> str:
    """Return in words why a request of a call may not follow a redirect, or "" if it may.

    If an argument holds the address, the redirect is judged as a call with the target as its address. Without a
    declaration, it is the argument that is equal to the first URL. What a person was asked about this call need not be
    asked again, but another host or another rule must be.

    Args:
        policy: The agent's policy.
        tool: The tool whose call makes the request.
        arguments: The arguments of the call, as JSON text.
        trust: What the run remembers; it holds the hosts of this call if the call was approved.
        first: The URL of the request.
        target: The URL that it is redirected to.
    """
    given = CallArguments(tool, arguments)
    values, effects = given.values or {}, tool.presumed_effects
    if effects is not None and effects.network and effects.hosts and not (effects.host_argument and values):
        objection = judge_host((*known_hosts(policy, tool), *trust.hosts), first, target)
        if objection:
            return objection
    name = _find_address(tool, values, first)
    return _judge_target(policy, given, trust, name, target) if name in values else ""


def _judge_target(policy: Policy, given: CallArguments, trust: Trust, name: str, target: str) -> str:
    """Judge the call with the target as the argument of this name."""
    tool = given.tool
    changed = json.dumps({**(given.values or {}), name: target})
    judgement = judge(policy, tool, changed, trust)
    if judgement.verdict != "ask":
        return judgement.refusal
    asked = _reason(judge(policy, tool, given.raw, trust)) == _reason(judgement)
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


def _find_address(tool: Tool, arguments: JsonObject, first: str) -> str:
    """Return the name of the argument that holds the address of the tool's requests, or ""."""
    effects = tool.presumed_effects
    if effects is not None and effects.host_argument:
        return effects.host_argument
    said = (name for name, reading in tool.readings.items() if reading.is_address)
    plain = _plain(first)
    equal = (name for name, value in arguments.items() if isinstance(value, str) and _plain(value) == plain)
    return next(chain(said, equal), "")


def _plain(url: str) -> str:
    return normalize_text(url).rstrip("/")

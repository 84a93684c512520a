"""Plans the calls of a reply, in their order: limits, repeated calls and the policy's verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from agentloop.items import ToolCall, ToolResult
from agentloop.limits import LimitReason, Limits, Tally
from agentloop.loop.guard.rules import Rules, find_tool, is_offered
from agentloop.loop.run import Pending, Run, Streak
from agentloop.policy import Trust, judge
from agentloop.schema import canonical
from agentloop.tools import Tool, near_names, resolve_name


class Plan(NamedTuple):
    """The plans for the calls of a reply, and the fields of the run that change: tally, streak, a reached limit."""

    pending: tuple[Pending, ...]
    tally: Tally
    streak: Streak
    final_turn_reason: LimitReason | None


def plan_calls(
    calls: Iterable[ToolCall], run: Run, tally: Tally, rules: Rules, withheld: frozenset[str] = frozenset()
) -> Plan:
    """Return a plan for each call of a reply.

    Args:
        calls: The calls.
        run: The run before the reply.
        tally: What the run has done so far, with the reply.
        rules: The run's rules.
        withheld: The names of tools that were not offered.
    """
    planned: list[Pending] = []
    final_turn_reason: LimitReason | None = None
    streak, missed = run.streak, False
    for call in calls:
        if call.name in withheld:
            planned.append(answer(call, describe_withheld(call.name)))
            continue
        is_known = _is_known(call, rules)
        if is_known or not missed:
            streak = _extend(streak, call, is_known=is_known)
            pending, over = _plan_streak(call, tally, run.trust, streak, rules)
        else:  # several unknown names in one reply count as one miss
            pending, over = plan_call(call, tally, run.trust, rules)
        missed = missed or not is_known
        tally = reserve(tally, pending)
        planned.append(pending)
        final_turn_reason = final_turn_reason or over
    return Plan(tuple(planned), tally, streak, final_turn_reason)


def plan_call(call: ToolCall, tally: Tally, trust: Trust, rules: Rules) -> tuple[Pending, LimitReason | None]:
    """Return the plan for a call, and the limit that it has reached, or None."""
    limits, tool = rules.limits, find_tool(call.name, rules)
    if tool is None:
        return answer(call, describe_unknown(call.name, rules)), None
    judgement = judge(rules.policy, tool, call.arguments, trust, recovered=call.recovered)
    if judgement.verdict == "deny":
        return answer(call, judgement.refusal), None
    if over := reached(tally, limits):
        return answer(call, _no_more(limits, over)), over
    if limits.tool_calls is not None and tally.tool_calls >= limits.tool_calls:
        return answer(call, _no_more(limits, "tool_call_limit")), "tool_call_limit"
    if full := _find_used_up(tool, tally, rules):
        return answer(call, f"Not run: {full} in a run, and that limit is reached. Go on without it."), None
    if judgement.verdict == "ask":
        return Pending(call, "ask", question=judgement.question), None
    return Pending(call, "run"), None


def reserve(tally: Tally, pending: Pending) -> Tally:
    """Return the tally with a call counted, if it may run."""
    return count(tally, pending.call.name) if pending.plan in {"run", "ask"} else tally


def release(tally: Tally, name: str) -> Tally:
    """Return the tally without one call that was reserved and will not run."""
    return count(tally, name, -1)


def answer(call: ToolCall, text: str) -> Pending:
    """Return the plan for a call that does not run; `text` tells the model why."""
    return Pending(call, "answered", ToolResult(call.call_id, text, ok=False))


def reached(tally: Tally, limits: Limits) -> LimitReason | None:
    """Return the limit on tokens or time that is used up, or None."""
    if limits.tokens is not None and tally.usage.tokens >= limits.tokens:
        return "token_limit"
    if limits.seconds is not None and tally.seconds >= limits.seconds:
        return "time_limit"
    return None


def _is_known(call: ToolCall, rules: Rules) -> bool:
    tool = rules.tools.get(call.name)
    return tool is not None and is_offered(tool, rules)


def _extend(streak: Streak, call: ToolCall, *, is_known: bool) -> Streak:
    # All names that are not offered count as the same call, as none of them can run.
    name, arguments = (call.name, canonical(call.arguments)) if is_known else ("", "")
    same = name == streak.name and arguments == streak.arguments
    return Streak(name, arguments, streak.count + 1 if same else 1)


def _plan_streak(
    call: ToolCall, tally: Tally, trust: Trust, streak: Streak, rules: Rules
) -> tuple[Pending, LimitReason | None]:
    tool, repeats = rules.tools.get(call.name), rules.limits.repeats
    is_repeatable = tool is not None and tool.repeatable
    if repeats is None or streak.count <= repeats or (is_repeatable and streak.name):
        return plan_call(call, tally, trust, rules)
    if streak.name:
        return Pending(call, "repeat"), "repeated_calls"
    return plan_call(call, tally, trust, rules)[0], "repeated_calls"


def _find_used_up(tool: Tool, tally: Tally, rules: Rules) -> str:
    """Return in words which limit of the tool or quota of its pack is used up; "" if none is."""
    limit = rules.limits.per_tool.get(tool.name, rules.limits.per_tool.get(tool.label))
    if limit is not None and tally.per_tool.get(tool.name, 0) >= limit:
        return f"{tool.name} may run {limit} times"
    for quota in tool.quotas:
        sharing = [each.name for each in rules.tools.values() if quota in each.quotas]
        if sum(tally.per_tool.get(name, 0) for name in sharing) >= quota.calls:
            return f"{', '.join(sharing)} may run {quota.calls} times together"
    return ""


def count(tally: Tally, name: str, calls: int = 1) -> Tally:
    """Return the tally with a number of calls of a tool added."""
    per_tool = {**tally.per_tool, name: tally.per_tool.get(name, 0) + calls}
    return replace(tally, tool_calls=tally.tool_calls + calls, per_tool=per_tool)


def find_name(name: str, rules: Rules) -> str:
    """Return the name of the tool that a name means: its name, its label or a similar form; else the name itself."""
    if name in rules.tools:
        return name
    labelled = next((tool.name for tool in rules.tools.values() if tool.label == name), None)
    return labelled or resolve_name(name, rules.tools) or name


_MOST_NAMES = 50


def describe_withheld(name: str) -> str:
    """Return what the model is told about a tool that is not on offer now."""
    return f"Not run: {name} is not on offer now. Go on with the tools that you have."


def describe_unknown(name: str, rules: Rules) -> str:
    """Return what the model is told about a name that no tool has."""
    offered = [tool.name for tool in rules.tools.values() if is_offered(tool, rules)]
    near = near_names(name, offered)
    guess = f" Did you mean {' or '.join(near)}?" if near else ""
    more = len(offered) - _MOST_NAMES
    names = ", ".join([*offered[:_MOST_NAMES], *([f"and {more} more"] if more > 0 else [])])
    return f"There is no tool named {name!r}.{guess} The tools are: {names or 'none'}."


_WORDS: Mapping[LimitReason, tuple[str, str]] = {
    "tool_call_limit": ("tool_calls", "tool calls"),
    "turn_limit": ("turns", "turns"),
    "token_limit": ("tokens", "tokens"),
    "time_limit": ("seconds", "time"),
    "repeated_calls": ("repeats", "repeated calls"),
}


def _no_more(limits: Limits, reason: LimitReason) -> str:
    return f"Not run: {describe_limit(limits, reason)}. Answer now from what you have."


def describe_limit(limits: Limits, reason: LimitReason) -> str:
    """Return in words which limit was reached, with its value and whether that is the default."""
    field, words = _WORDS[reason]
    return f"the limit on {words} is reached ({limits.describe(field)})"

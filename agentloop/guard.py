"""The guard: what becomes of each call in a reply, decided before any of them runs. Pure.

Room under the limits is reserved here, in the calls' order, so that a parallel batch never overshoots.
What follows from the decisions is in `loop`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from agentloop.items import ToolCall, ToolResult
from agentloop.limits import LimitReason, Limits, Tally
from agentloop.policy import Policy
from agentloop.run import Pending, Streak
from agentloop.schema import OutputSchema, canonical
from agentloop.tools import Tool, near_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What does not change during a run.

    Attributes:
        limits: How much the run may do.
        tools: The agent's tools by name, denied ones included.
        policy: Which calls need a yes.
        output: What the answer has to be, or None for any text.
        apart: The answer is not held to `output` while tools are on offer; one more turn brings it into its form.
        required: The tool that must be called before the model may answer, "" for any of them, or None.
    """

    limits: Limits
    tools: Mapping[str, Tool]
    policy: Policy = Policy()
    output: OutputSchema | None = None
    apart: bool = False
    required: str | None = None


class Plan(NamedTuple):
    """What becomes of the calls of a reply, and what that changes in a run: room reserved, a limit reached."""

    pending: tuple[Pending, ...]
    tally: Tally
    streak: Streak
    landing: LimitReason | None


def plan_calls(calls: Iterable[ToolCall], tally: Tally, streak: Streak, rules: Rules) -> Plan:
    """Return a plan for each call, for a run that has done so much and whose last calls were these."""
    planned: list[Pending] = []
    landing: LimitReason | None = None
    for call in calls:
        streak = _extend(streak, call)
        pending, over = _plan(call, tally, streak, rules)
        if pending.plan in {"run", "ask"}:
            tally = _count(tally, call.name, 1)
        planned.append(pending)
        landing = landing or over
    return Plan(tuple(planned), tally, streak, landing)


def _extend(streak: Streak, call: ToolCall) -> Streak:
    arguments = canonical(call.arguments)
    same = call.name == streak.name and arguments == streak.arguments
    return Streak(call.name, arguments, streak.count + 1 if same else 1)


def _plan(call: ToolCall, tally: Tally, streak: Streak, rules: Rules) -> tuple[Pending, LimitReason | None]:
    """Return what becomes of a call, and the limit that it has reached, if any."""
    limits, tool = rules.limits, rules.tools.get(call.name)
    verdict = rules.policy.judge(call.name)
    is_repeatable = tool is not None and tool.repeatable
    if limits.repeats is not None and streak.count > limits.repeats and not is_repeatable:
        return Pending(call, "repeat"), "repeated_calls"
    if tool is None or verdict == "deny":
        return _answer(call, _unavailable(call.name, rules)), None
    if over := reached(tally, limits):
        return _answer(call, _no_more(limits, over)), over
    if limits.tool_calls is not None and tally.tool_calls >= limits.tool_calls:
        return _answer(call, _no_more(limits, "tool_call_limit")), "tool_call_limit"
    room = limits.per_tool.get(call.name)
    if room is not None and tally.per_tool.get(call.name, 0) >= room:
        text = f"Not run: {call.name} may run {room} times in a run, and it has. Go on without it."
        return _answer(call, text), None
    return Pending(call, "ask" if verdict == "ask" else "run"), None


def reached(tally: Tally, limits: Limits) -> LimitReason | None:
    """Return the limit on tokens or time that is used up, if any."""
    if limits.tokens is not None and tally.usage.tokens >= limits.tokens:
        return "token_limit"
    if limits.seconds is not None and tally.seconds >= limits.seconds:
        return "time_limit"
    return None


def release(tally: Tally, name: str) -> Tally:
    """Return the tally with the room of one reserved call given back."""
    return _count(tally, name, -1)


def _count(tally: Tally, name: str, calls: int) -> Tally:
    per_tool = {**tally.per_tool, name: tally.per_tool.get(name, 0) + calls}
    return replace(tally, tool_calls=tally.tool_calls + calls, per_tool=per_tool)


def _answer(call: ToolCall, text: str) -> Pending:
    return Pending(call, "answered", ToolResult(call.call_id, text, ok=False))


def _unavailable(name: str, rules: Rules) -> str:
    if name in rules.tools:
        return f"The tool {name} is not allowed here. Go on without it."
    offered = [tool for tool in rules.tools if rules.policy.judge(tool) != "deny"]
    near = near_names(name, offered)
    guess = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"There is no tool named {name!r}.{guess} The tools are: {', '.join(offered) or 'none'}."


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
    """Return which limit was reached, with its value and whether that was the default."""
    field, words = _WORDS[reason]
    return f"the limit on {words} is reached ({limits.describe(field)})"

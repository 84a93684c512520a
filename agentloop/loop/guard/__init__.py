"""Decides what becomes of each tool call before any of them runs. Pure.

Room under the limits is reserved here, in the order of the calls, so that a parallel batch never exceeds them. What the
run does after these decisions is in `advance`.

- `rules`: Rules, which are fixed for a run, and the check that they make sense.
- `planning`: the calls of one reply: limits, repeated calls, policy.
- `deciding`: what a person's decisions change.
- `nested`: calls that a tool makes itself.
"""

from agentloop.loop.guard.deciding import decide, decide_nested, withhold
from agentloop.loop.guard.nested import count_nested, judge_nested, note_results
from agentloop.loop.guard.planning import Plan, describe_limit, find_name, plan_calls, reached, release
from agentloop.loop.guard.rules import Rules, check_arguments, is_offered

__all__ = [
    "Plan",
    "Rules",
    "check_arguments",
    "count_nested",
    "decide",
    "decide_nested",
    "describe_limit",
    "find_name",
    "is_offered",
    "judge_nested",
    "note_results",
    "plan_calls",
    "reached",
    "release",
    "withhold",
]

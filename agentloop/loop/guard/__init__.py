"""Decides what happens to each tool call before any of them runs. Pure.

Calls are counted against the limits here, in their order and before they run, so that a parallel batch never exceeds a
limit. `advance` decides what the run does after that.

- `rules`: Rules, which are fixed for a run, and a check of them.
- `planning`: plans the calls of one reply: limits, repeated calls, policy.
- `deciding`: applies a person's decisions.
- `renewal`: plans the open calls anew when a run is resumed.
- `nested`: judges and counts calls that a tool makes itself.
"""

from agentloop.loop.guard.deciding import decide, decide_nested
from agentloop.loop.guard.nested import count_nested, judge_nested, note_results
from agentloop.loop.guard.planning import Plan, describe_limit, find_name, plan_calls, reached, release
from agentloop.loop.guard.renewal import renew
from agentloop.loop.guard.rules import Rules, check_arguments, check_names, is_offered

__all__ = [
    "Plan",
    "Rules",
    "check_arguments",
    "check_names",
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
    "renew",
]

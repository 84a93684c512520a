"""The guard: what becomes of each call, decided before any of them runs. Pure.

Room under the limits is reserved here, in the calls' order, so that a parallel batch never overshoots.
What follows from the decisions is in `loop`.
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

"""Judges and counts nested calls, which tools make themselves, by the same rules as the model's calls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agentloop.items import ToolCall, ToolResult
from agentloop.loop.guard.planning import answer, count, describe_withheld, find_name, plan_call, reserve
from agentloop.loop.guard.rules import Rules
from agentloop.loop.run import Interrupted, Pending, Run, ToolsReturned


def judge_nested(run: Run, call: ToolCall, rules: Rules, withheld: frozenset[str] = frozenset()) -> tuple[Run, Pending]:
    """Return the run with a nested call reserved, and the plan for the call.

    A call that needs approval is refused if there is no approver, and a call of a tool that is `withheld` always.
    """
    call = replace(call, name=find_name(call.name, rules))
    if call.name in withheld:
        return run, answer(call, describe_withheld(call.name))
    pending, _ = plan_call(call, run.tally, run.trust, rules)
    if pending.question is not None and rules.policy.approver is None:
        reason = pending.question.reason
        text = f"Not run: {pending.call.name} needs a person's approval ({reason}), and nobody can be asked."
        pending = answer(pending.call, text)
    return replace(run, tally=reserve(run.tally, pending)), pending


def count_nested(run: Run, outcome: ToolsReturned | Interrupted) -> Run:
    """Return the run after its nested calls: they are counted, and approvals given meanwhile are kept."""
    trust = outcome.trust or run.trust
    if outcome.nested or trust is not run.trust:
        tally = run.tally
        for call, _ in outcome.nested:
            tally = count(tally, call.name)
        run = replace(run, tally=tally, trust=trust)
    return note_results(run, (*outcome.results, *(result for _, result in outcome.nested)))


def note_results(run: Run, results: Iterable[ToolResult]) -> Run:
    """Return the run, marked as tainted if any of the results is untrusted."""
    if run.trust.tainted or not any(result.untrusted for result in results):
        return run
    return replace(run, trust=replace(run.trust, tainted=True))

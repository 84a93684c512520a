"""Plans the open calls of a run anew when it is resumed: by today's tools and rules, whatever was stored."""

from __future__ import annotations

from dataclasses import replace

from agentloop.errors import RunStateError
from agentloop.items import ToolCall, ToolResult
from agentloop.loop.guard.deciding import withhold
from agentloop.loop.guard.planning import answer, describe_unknown, release
from agentloop.loop.guard.rules import Rules, find_tool
from agentloop.loop.run import Pending, Run
from agentloop.policy import Trust, judge, question_again


def renew(run: Run, rules: Rules) -> Run:
    """Return a run that is resumed, with today's plans for its open calls.

    What a person is asked is made from the tool and the call. In a run that was stored without a signature, a call may
    run only if today's rules allow it, and earlier approvals are gone.

    Raises:
        RunStateError: the run was stored without a signature, and its parts contradict each other.
    """
    is_verified = run.verified
    if not is_verified:
        _check(run)
        trust = Trust(tainted=run.tainted or any(isinstance(item, ToolResult) and item.untrusted for item in run.items))
        run = replace(run, trust=trust, verified=True)
    pending = [
        _plan(each, run, rules) if each.plan == "ask" or (each.plan == "run" and not is_verified) else each
        for each in run.pending
    ]
    tally = run.tally
    for old, new in zip(run.pending, pending, strict=True):
        if new.plan == "answered" and old.plan != "answered":
            tally = release(tally, old.call.name)
    return withhold(replace(run, pending=tuple(pending), tally=tally), rules)


def _plan(pending: Pending, run: Run, rules: Rules) -> Pending:
    call = pending.call
    tool = find_tool(call.name, rules)
    if tool is None:
        return answer(call, describe_unknown(call.name, rules))
    judgement = judge(rules.policy, tool, call.arguments, run.trust, recovered=call.recovered)
    match judgement.verdict:
        case "deny":
            return answer(call, judgement.refusal)
        case "allow" if pending.plan == "run":
            return pending
        case _:  # a call that was put off for a person waits for one, even if the rules would allow it by now
            question = judgement.question or question_again(tool, call.arguments, run.trust)
            return replace(pending, plan="ask", question=question)


def _check(run: Run) -> None:
    answered = {item.call_id for item in run.items if isinstance(item, ToolResult)}
    due = [
        (item.call_id, item.name) for item in run.items if isinstance(item, ToolCall) and item.call_id not in answered
    ]
    held = [(each.call.call_id, each.call.name) for each in run.pending]
    answers = [each.answer for each in run.pending if each.plan == "answered"]
    faults = {
        "its open calls are not those of its conversation": due != held,
        "two of its calls have one id": len(set(held)) < len(held),
        "it has open calls, but does not wait for them": run.pending and run.waiting_for in {"user", "model"},
        "an answered call has no answer": None in answers,
    }
    if fault := next((text for text, is_so in faults.items() if is_so), None):
        raise RunStateError(f"the stored run is damaged: {fault}", hint="don't resume it")

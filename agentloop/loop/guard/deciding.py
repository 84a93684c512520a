"""Applies people's decisions to the calls that wait for them, and to the run's trust."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from agentloop.errors import RunStateError
from agentloop.items import ToolCall, ToolResult
from agentloop.loop.guard.planning import answer, describe_unknown, release
from agentloop.loop.guard.rules import Rules
from agentloop.loop.run import Pending, Run
from agentloop.policy import Approve, CallArguments, Decision, Grant, Reject, Substitute, Trust, check_decision, judge


def decide(run: Run, decisions: Mapping[str, Decision], rules: Rules) -> Run:
    """Return the run after decisions, by the ids of the requests; calls without a decision keep waiting.

    Raises:
        RunStateError: there is no decision, one is not valid, or its request is not in this run; nothing has changed.
    """
    asked = [pending for pending in run.pending if pending.plan == "ask"]
    # Two calls that are alike are two requests with one id. A decision is about one of them, the first.
    waiting = {request.id: pending for request, pending in [*zip(run.approvals, asked, strict=True)][::-1]}
    if not decisions:
        raise RunStateError("there is no decision", hint=_HINT)
    for request_id, decision in decisions.items():
        if request_id not in waiting:
            raise RunStateError(
                f"this run has no open request {request_id}: it is of another run, or the arguments have changed",
                hint=_HINT,
            )
        check_decision(request_id, decision)
    by_call = [(waiting[request_id], decision) for request_id, decision in decisions.items()]
    for pending, decision in by_call:
        run, decided = decide_nested(run, pending, decision, rules)
        run = _replace_pending(run, pending, decided)
    for pending in run.pending:
        if pending.plan == "ask" and _is_granted(pending.call, run.trust, rules):
            run = _replace_pending(run, pending, replace(pending, plan="run", question=None))
    return withhold(run, rules)


def withhold(run: Run, rules: Rules) -> Run:
    """Return the run with refusals for pending calls that today's rules deny, which may differ from earlier rules."""
    for pending in run.pending:
        if pending.plan == "run" and (refusal := _find_refusal(pending.call, rules)):
            run = replace(run, tally=release(run.tally, pending.call.name))
            run = _replace_pending(run, pending, answer(pending.call, refusal))
    return run


def decide_nested(run: Run, pending: Pending, decision: Decision, rules: Rules) -> tuple[Run, Pending]:
    """Return the run and the plan for a call after a decision on it; the call is the model's or a nested one."""
    decided = _decide(pending, decision, rules)
    if decided.plan == "run" and isinstance(decision, Approve):
        tainted = pending.question is not None and pending.question.tainted
        return replace(run, trust=_extend(run.trust, decided.call, decision, rules, tainted=tainted)), decided
    return replace(run, tally=release(run.tally, pending.call.name)), decided


_HINT = "use the ids of result.approvals: decisions={request.id: Approve()}"


def _decide(pending: Pending, decision: Decision, rules: Rules) -> Pending:
    call = pending.call
    match decision:
        case Approve(arguments=arguments):
            edited = call if arguments is None else replace(call, arguments=arguments)
            note = "" if arguments is None else f"(A person changed the arguments to {arguments})\n"
            refusal = _find_refusal(edited, rules)
            return answer(call, note + refusal) if refusal else Pending(edited, "run", note=note)
        case Reject(reason=reason):
            return answer(call, f"This call was declined{': ' + reason if reason else '.'}")
        case Substitute(content=content):
            return Pending(call, "answered", ToolResult(call.call_id, content))
        case _:
            assert_never(decision)


def _find_refusal(call: ToolCall, rules: Rules) -> str:
    """Return why an approved call can't run, or ""; the rules may have changed since the person was asked."""
    tool = rules.tools.get(call.name)
    return (
        describe_unknown(call.name, rules)
        if tool is None
        else judge(rules.policy, tool, call.arguments, Trust()).refusal
    )


def _extend(trust: Trust, call: ToolCall, decision: Approve, rules: Rules, *, tainted: bool) -> Trust:
    """Return the run's trust after an approval.

    `tainted` says whether the run was tainted when the person was asked; it may have become so since then.
    """
    tool = rules.tools[call.name]
    given = CallArguments(tool, call.arguments)
    hosts = (*trust.hosts, *(host for host in given.hosts if host not in trust.hosts))
    match decision.scope:
        case "once":
            return replace(trust, hosts=hosts)
        case "arguments":
            grant = given.grant(tainted=tainted)
        case "tool":
            grant = Grant(tool.label, tainted=tainted)
        case _:
            assert_never(decision.scope)
    return replace(trust, hosts=hosts, grants=(*trust.grants, grant))


def _is_granted(call: ToolCall, trust: Trust, rules: Rules) -> bool:
    tool = rules.tools.get(call.name)
    if tool is None:
        return False
    return judge(rules.policy, tool, call.arguments, trust, recovered=call.recovered).verdict == "allow"


def _replace_pending(run: Run, old: Pending, new: Pending) -> Run:
    return replace(run, pending=tuple(new if each is old else each for each in run.pending))

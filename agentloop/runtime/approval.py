"""Gets decisions from the approver: makes the previews, emits the events, asks. `guard` applies the decisions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from agentloop.events import ApprovalAsked, Notice
from agentloop.loop.guard import Rules
from agentloop.loop.run import HumanDecided, Pending, Run, request_approval
from agentloop.policy import ApprovalRequest, Approver, Decision, Question, Reject, check_decision
from agentloop.runtime.invoke import call_function, invoke
from agentloop.runtime.journal import Journal, Step, StepFailed
from agentloop.tools import Tool, ToolContext, making_preview
from agentloop.tools.functions import is_async

PREVIEW_SECONDS = 5
PREVIEW_CHARACTERS = 1_000_000  # a person can page through it


async def get_decisions(
    run: Run, rules: Rules, journal: Journal, value: Any, waited: Collection[str]
) -> tuple[Run, HumanDecided | None]:
    """Return the run with previews of its waiting calls, and a decision on the first of them.

    One call is decided at a time, since an approval may apply to the calls after it too. Without an approver there is
    no decision, and all waiting calls get a preview.

    Args:
        run: A run that waits for a person.
        rules: The rules of the run, with the approver.
        journal: Carries out the steps.
        value: The user's own object, for previews.
        waited: The ids of the calls that have waited for a person while the run was paused.

    Raises:
        AgentloopError: what the approver raised.
    """
    approver = rules.policy.approver
    waiting = _find_waiting(run)[: None if approver is None else 1]
    run = await _show(run, waiting, rules, journal, value, waited)
    requests = run.approvals[: len(waiting)]
    for request in requests:
        await journal.emit(ApprovalAsked(request))
    if approver is None:
        return run, None
    return run, HumanDecided({requests[0].id: await _ask(requests[0], approver, rules, journal)})


async def renew_decisions(
    stored: Run, run: Run, decisions: Mapping[str, Decision], rules: Rules, journal: Journal, value: Any
) -> tuple[Run, HumanDecided | None]:
    """Return a run that is resumed, with the previews of its requests, and the decisions that hold for it.

    A decision is for the call as it was shown. If the tool, its defaults, its effects or its preview have changed
    since, the request is another one by now. Then the decision is dropped, with a notice, and the run asks again.

    Args:
        stored: The run as it was given, with the requests that were decided.
        run: The same run, planned anew.
        decisions: By the ids of the requests.
        rules: The rules of the run.
        journal: Carries out the steps.
        value: The user's own object, for previews.
    """
    waiting = _find_waiting(run)
    run = await _show(run, waiting, rules, journal, value, {each.call.call_id for each in waiting})
    today = {request.id for request in run.approvals}
    changed = {request.id: request for request in stored.approvals if request.id not in today}
    for request_id in changed.keys() & decisions.keys():
        text = f"{changed[request_id].tool} is not what was decided on: the tool or the call has changed since"
        await journal.emit(Notice("warning", text))
    held = {request_id: decision for request_id, decision in decisions.items() if request_id not in changed}
    return run, HumanDecided(held) if held else None


async def ask_nested(run: Run, pending: Pending, rules: Rules, journal: Journal, value: Any) -> Decision:
    """Return the decision on a call that a tool has made.

    Args:
        run: The run in which the tool is called.
        pending: The waiting call.
        rules: The rules of the run, with the approver.
        journal: Carries out the steps.
        value: The user's own object, for previews.

    Raises:
        AgentloopError: what the approver raised.
    """
    approver = rules.policy.approver
    if approver is None:
        return Reject("there is no approver to ask")
    [shown] = await _preview(run, [pending], rules, journal, value)
    request = request_approval(run.run_id, pending.call, shown.question)
    await journal.emit(ApprovalAsked(request))
    decision = await _ask(request, approver, rules, journal)
    check_decision(request.id, decision)
    return decision


async def _ask(request: ApprovalRequest, approver: Approver, rules: Rules, journal: Journal) -> Decision:
    tool = rules.tools[request.call.name]
    request = replace(request, readings=tool.readings)
    step = Step(f"approval:{request.call.call_id}", partial(_call_approver, approver), (request,), "once")
    decision: Decision | StepFailed = (await journal.steps([step]))[0]
    if isinstance(decision, StepFailed):
        raise decision.error
    return decision


async def _call_approver(approver: Approver, request: ApprovalRequest) -> Decision:
    try:
        # One that is not async may wait for a person, for example in input(), so it gets a thread.
        decision: Decision = await call_function(approver, request)
    except (KeyboardInterrupt, SystemExit) as interrupt:
        if threading.current_thread() is threading.main_thread():
            raise
        # Raised as it is on the background loop, it would end that loop, and every caller would wait for ever.
        raise asyncio.CancelledError from interrupt
    return decision


def _find_waiting(run: Run) -> list[Pending]:
    return [pending for pending in run.pending if pending.plan == "ask"]


async def _show(
    run: Run, waiting: Sequence[Pending], rules: Rules, journal: Journal, value: Any, waited: Collection[str]
) -> Run:
    """Return the run with the previews of these calls."""
    shown = await _preview(run, waiting, rules, journal, value, waited)
    by_place = {id(old): new for old, new in zip(waiting, shown, strict=True)}
    return replace(run, pending=tuple(by_place.get(id(each), each) for each in run.pending))


async def _preview(
    run: Run, waiting: Sequence[Pending], rules: Rules, journal: Journal, value: Any, waited: Collection[str] = ()
) -> Sequence[Pending]:
    """Return the calls with the previews that their tools make, in the same order."""
    tools = ((at, rules.tools.get(pending.call.name)) for at, pending in enumerate(waiting))
    previews = {at: _make_preview(tool) for at, tool in tools if tool is not None and tool.preview is not None}
    if not previews:
        return waiting
    call_preview = partial(_call_preview, run, journal, value, waited)
    steps = [
        Step(f"preview:{waiting[at].call.call_id}", call_preview, (tool, waiting[at])) for at, tool in previews.items()
    ]
    shown = [*waiting]
    for at, text in zip(previews, await journal.steps(steps), strict=True):
        question = shown[at].question or Question(previews[at].label)
        shown[at] = replace(shown[at], question=replace(question, preview=text))
    return shown


def _make_preview(tool: Tool) -> Tool:
    """Return a tool whose function is the preview of another tool."""
    preview: Any = tool.preview
    is_awaited = is_async(preview)
    return replace(tool, function=preview, is_async=is_awaited, timeout=PREVIEW_SECONDS, max_output=PREVIEW_CHARACTERS)


async def _call_preview(
    run: Run, journal: Journal, value: Any, waited: Collection[str], tool: Tool, pending: Pending
) -> str:
    context = ToolContext(run.run_id, pending.call.call_id, run.tally, value)
    abandoned: list[str] = []
    try:
        with making_preview(has_waited=pending.call.call_id in waited):
            invoked = await invoke(tool, pending.call, context, None, abandoned.append)
    finally:
        for thread in abandoned:
            text = f"the preview of {tool.name} could not be stopped: its thread {thread} keeps running"
            await journal.emit(Notice("abandoned", text))
    # A lone surrogate, as in a file name that is not UTF-8, would be lost when the run is stored.
    return invoked.result.content.encode(errors="backslashreplace").decode() if invoked.result.ok else ""

"""Gets decisions from the approver: makes the previews, emits the events, asks. `guard` applies the decisions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from inspect import isawaitable
from typing import Any

from agentloop.events import ApprovalAsked, Notice
from agentloop.loop.guard import Rules
from agentloop.loop.run import HumanDecided, Pending, Run, request_approval
from agentloop.policy import ApprovalRequest, Approver, Decision, Reject, check_decision
from agentloop.runtime.invoke import call_in_thread, invoke
from agentloop.runtime.journal import Journal, Step, StepFailed
from agentloop.tools import Tool, ToolContext
from agentloop.tools.functions import is_async

PREVIEW_SECONDS = 5
PREVIEW_CHARACTERS = 20_000


async def get_decisions(run: Run, rules: Rules, journal: Journal, value: Any) -> tuple[Run, HumanDecided | None]:
    """Return the run with previews of its waiting calls, and a decision on the first of them.

    One call is decided at a time, since an approval may apply to the calls after it too. Without an approver there is
    no decision, and all waiting calls get a preview.

    Args:
        run: A run that waits for a person.
        rules: The rules of the run, with the approver.
        journal: Carries out the steps.
        value: The user's own object, for previews.

    Raises:
        AgentloopError: what the approver raised.
    """
    approver = rules.policy.approver
    waiting = [pending for pending in run.pending if pending.plan == "ask"]
    shown = await _preview(run, waiting if approver is None else waiting[:1], rules, journal, value)
    run = replace(run, pending=tuple(shown.get(each.call.call_id, each) for each in run.pending))
    requests = run.approvals[: len(shown)]
    for request in requests:
        await journal.emit(ApprovalAsked(request))
    if approver is None:
        return run, None
    return run, HumanDecided({requests[0].id: await _ask(requests[0], approver, journal)})


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
    shown = await _preview(run, [pending], rules, journal, value)
    request = request_approval(run.run_id, pending.call, shown[pending.call.call_id].question)
    await journal.emit(ApprovalAsked(request))
    decision = await _ask(request, approver, journal)
    check_decision(request.id, decision)
    return decision


async def _ask(request: ApprovalRequest, approver: Approver, journal: Journal) -> Decision:
    step = Step(f"approval:{request.call.call_id}", partial(_call_approver, approver), (request,), "once")
    decision: Decision | StepFailed = (await journal.steps([step]))[0]
    if isinstance(decision, StepFailed):
        raise decision.error
    return decision


async def _call_approver(approver: Approver, request: ApprovalRequest) -> Decision:
    try:
        # One that is not async may wait for a person, for example in input(), so it gets a thread.
        said: Any = approver(request) if is_async(approver) else await call_in_thread(partial(approver, request))
        decision: Decision = await said if isawaitable(said) else said
    except (KeyboardInterrupt, SystemExit) as interrupt:
        if threading.current_thread() is threading.main_thread():
            raise
        # Raised as it is on the background loop, it would end that loop, and every caller would wait for ever.
        raise asyncio.CancelledError from interrupt
    return decision


async def _preview(
    run: Run, waiting: Sequence[Pending], rules: Rules, journal: Journal, value: Any
) -> dict[str, Pending]:
    """Return the calls with the previews that their tools make, by call id."""
    shown = {pending.call.call_id: pending for pending in waiting}
    tools = {id_: rules.tools.get(pending.call.name) for id_, pending in shown.items()}
    previews = {
        id_: _make_preview(tool) for id_, tool in tools.items() if tool is not None and tool.preview is not None
    }
    if not previews:
        return shown
    call_preview = partial(_call_preview, run, journal, value)
    steps = [Step(f"preview:{id_}", call_preview, (tool, shown[id_])) for id_, tool in previews.items()]
    texts = await journal.steps(steps)
    for id_, text in zip(previews, texts, strict=True):
        question = shown[id_].question
        if question is not None:
            shown[id_] = replace(shown[id_], question=replace(question, preview=text))
    return shown


def _make_preview(tool: Tool) -> Tool:
    """Return a tool whose function is the preview of another tool."""
    preview: Any = tool.preview
    is_awaited = is_async(preview)
    return replace(tool, function=preview, is_async=is_awaited, timeout=PREVIEW_SECONDS, max_output=PREVIEW_CHARACTERS)


async def _call_preview(run: Run, journal: Journal, value: Any, tool: Tool, pending: Pending) -> str:
    context = ToolContext(run.run_id, pending.call.call_id, run.tally, value)
    abandoned: list[str] = []
    try:
        invoked = await invoke(tool, pending.call, context, None, abandoned.append)
    finally:
        for thread in abandoned:
            text = f"the preview of {tool.name} could not be stopped: its thread {thread} keeps running"
            await journal.emit(Notice("abandoned", text))
    return invoked.result.content if invoked.result.ok else ""

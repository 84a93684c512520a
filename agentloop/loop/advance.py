"""The loop: `advance(run, outcome, rules)` returns the next state of the run, and the command to carry out.

    waiting for   outcome         command
    user          UserSaid        CallModel
    model         ModelReplied    RunTools | AskHuman | CallModel | Finish | Fail
    human         HumanDecided    RunTools | CallModel
    tools         ToolsReturned   CallModel
    any           Interrupted     Finish (open calls are answered first) | CallModel (the last turn)

Rule 1: all code that decides what a run does next is here or in `guard`, and it is pure: no clock, thread,
network, log or SDK type. An outcome says what happened; a command says what to do next.
Rule 2: every call of the model gets exactly one result before the model is called again.
Rule 3: an outcome out of turn raises RunStateError and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf
from typing import Any, assert_never

from agentloop.errors import RunStateError
from agentloop.items import Item, Message, ToolCall, ToolResult
from agentloop.limits import LimitReason, Limits, StopReason, Tally
from agentloop.loop.guard import (
    Rules,
    count_nested,
    decide,
    describe_limit,
    find_name,
    note_results,
    plan_calls,
    reached,
    release,
    renew,
)
from agentloop.loop.history import find_exchange, repair_history
from agentloop.loop.run import (
    AskHuman,
    CallModel,
    Command,
    ExtraTurn,
    Fail,
    Finish,
    HumanDecided,
    Interrupted,
    ModelReplied,
    Outcome,
    Pending,
    Run,
    RunResult,
    RunTools,
    ToolsReturned,
    UserSaid,
    WaitingFor,
)
from agentloop.schema import ArgumentsError

ASK_AFTER_EMPTY_REPLY = "Your last reply was empty. Answer the question, or call a tool."
ASK_FOR_TOOL_CALL = "Before you answer, call {}."
ASK_FOR_FORMAT = "Now give this answer once more, in the form that is asked for."

_Step = tuple[Run, Command]


def advance(run: Run, outcome: Outcome, rules: Rules) -> _Step:
    """Return the run after an outcome, and the command that follows.

    Raises:
        RunStateError: the run does not wait for this outcome; nothing has changed.
    """
    match run.waiting_for, outcome:
        case _, Interrupted():
            return _take_interruption(run, outcome, rules)
        case "user", UserSaid():
            return _take_input(run, outcome, rules)
        case "model", ModelReplied():
            return _take_reply(run, outcome, rules)
        case "tools", ToolsReturned():
            return _take_results(run, outcome, rules)
        case "human", HumanDecided():
            return _take_decisions(run, outcome, rules)
        case _:
            raise RunStateError(
                f"{type(outcome).__name__} came while the run waits for: {run.waiting_for}",
                hint="pass only the outcome of the run's last command",
            )


def resume(run: Run, rules: Rules) -> _Step:
    """Return a stored run with the command to continue it.

    Raises:
        RunStateError: the run has ended.
    """
    # After an empty reply the model is asked again once; a resumed run may do so once more.
    extra_turns = tuple(why for why in run.extra_turns if why != "empty_reply")
    run = replace(renew(run, rules), stop_reason=None, stop_note="", extra_turns=extra_turns, output_failures=0)
    match run.waiting_for:
        case "model":
            return _next_turn(run, rules)
        case "tools" | "human":
            return _proceed(run, rules, run.pending)
        case "user":
            raise RunStateError(
                "this run has ended, so it can't be resumed",
                hint="continue the conversation with agent.run(..., history=result.items)",
            )
        case _:
            assert_never(run.waiting_for)


def pause(run: Run) -> Run:
    """Return the run as the caller gets it while it waits for decisions and no approver can make them."""
    names = ", ".join(pending.call.name for pending in run.pending if pending.plan == "ask")
    note = f"waiting for a decision on {names}; continue with agent.resume(run, decisions=...)"
    return replace(run, stop_reason="approval", stop_note=note)


def conclude(run: Run, rules: Rules) -> tuple[RunResult[Any], tuple[str, ...]]:
    """Return the result of a run, and descriptions of the repairs in its output."""
    if rules.output is None:
        return RunResult(run, None), ()
    if run.waiting_for != "user" or run.output_invalid or run.stop_reason in _INCOMPLETE_REPLIES:
        return RunResult(run), ()
    try:
        output, repairs = rules.output.read(RunResult(run).text)
    except ArgumentsError:
        return RunResult(run), ()
    return RunResult(run, output), repairs


# --- outcomes ---


def _take_input(run: Run, outcome: UserSaid, rules: Rules) -> _Step:
    history = repair_history(run.items + outcome.items, len(run.items))
    run = replace(run, extra_turns=(), output_failures=0, stop_reason=None, stop_note="")
    run = note_results(run, (item for item in history.items if isinstance(item, ToolResult)))
    return _next_turn(run, rules, items=history.items, start=find_exchange(history.items, history.start))


def _take_reply(run: Run, outcome: ModelReplied, rules: Rules) -> _Step:
    """Return the step after a reply: run its calls, or end the run if it was cut off, or ask again, or finish."""
    reply = outcome.reply
    new_items, repairs = _rename_calls(reply.items, rules)
    calls = tuple(item for item in new_items if isinstance(item, ToolCall))
    tally = replace(
        run.tally,
        turns=run.tally.turns + 1,
        seconds=run.tally.seconds + outcome.seconds,
        repairs=run.tally.repairs + repairs,
        usage=run.tally.usage + reply.usage,
    )
    items, dialect = run.items + new_items, reply.dialect or run.dialect
    if calls and reply.stop == "complete" and _offers_tools(run):
        plan = plan_calls(calls, run, tally, rules, reply.withheld)
        return _proceed(run, rules, items=items, dialect=dialect, **plan._asdict())
    run = replace(run, items=items, tally=tally, dialect=dialect)
    if reply.stop != "complete":
        run = _refuse(run, calls, f"Not run: the reply was {reply.stop}.")
        return _finish(run, reply.stop, _INCOMPLETE_REPLIES[reply.stop])
    run = _refuse(run, calls, "Not run: no tools were on offer any more.")
    return _take_answer(run, rules, new_items, reply.withheld)


def _offers_tools(run: Run) -> bool:
    """Tell whether the model may call tools: not in the final turn, nor while it formats its answer."""
    return run.final_turn_reason is None and "output_format" not in run.extra_turns


def _take_answer(run: Run, rules: Rules, new_items: tuple[Item, ...], withheld: frozenset[str]) -> _Step:
    """Return the step after a complete reply without calls that may run: an extra turn if it needs one, or the end."""
    text = _last_text(new_items)
    if _offers_tools(run):
        if not text:
            if "empty_reply" in run.extra_turns:
                return run, Fail()
            return _extra_turn(run, rules, "empty_reply", ASK_AFTER_EMPTY_REPLY)
        may_press = rules.required not in (None, *withheld) and "tool_choice" not in run.extra_turns
        if may_press and not run.has_called:
            return _extra_turn(run, rules, "tool_choice", ASK_FOR_TOOL_CALL.format(rules.required or "a tool"))
    error = rules.output.check(text) if rules.output else None
    # In the final turn, a run that has had no failure yet gets one retry, if the limits allow any.
    if error is not None and (run.final_turn_reason is None or run.output_failures < 1 <= _retries(rules)):
        return _ask_for_output(run, rules, error, text)
    if run.final_turn_reason is not None:
        return _end_final_turn(run, run.final_turn_reason, new_items, rules, is_valid=error is None)
    return _finish(run, "answered", "the model answered")


def _ask_for_output(run: Run, rules: Rules, error: str, text: str) -> _Step:
    """Return the step after an answer that is not of the `output` type."""
    if rules.format_last and _offers_tools(run):
        # This turn needs no check of the limits: the model has answered, and it is offered no tools.
        items = (*run.items, Message("user", ASK_FOR_FORMAT))
        formatting = replace(run, items=items, extra_turns=(*run.extra_turns, "output_format"))
        return formatting, CallModel(tools=False, output=True)
    if run.output_failures >= _retries(rules):
        return replace(run, items=(*run.items, Message("user", error))), Fail(error, text)
    return _ask_again(run, rules, error, output_failures=run.output_failures + 1)


def _extra_turn(run: Run, rules: Rules, why: ExtraTurn, text: str) -> _Step:
    return _ask_again(run, rules, text, extra_turns=(*run.extra_turns, why))


def _retries(rules: Rules) -> float:
    retries = rules.limits.output_retries
    return inf if retries is None else retries


def _ask_again(run: Run, rules: Rules, text: str, **changes: Any) -> _Step:
    return _next_turn(run, rules, items=(*run.items, Message("user", text)), **changes)


def _take_results(run: Run, outcome: ToolsReturned, rules: Rules) -> _Step:
    due = [pending.call.call_id for pending in run.pending if pending.plan == "run"]
    if [result.call_id for result in outcome.results] != due:
        raise RunStateError(
            f"there are results for {[result.call_id for result in outcome.results]}, but {due} are expected",
            hint="return one result for each call of RunTools, in the same order",
        )
    run = count_nested(run, outcome)
    tally = replace(
        run.tally,
        seconds=run.tally.seconds + outcome.seconds,
        repairs=run.tally.repairs + outcome.repairs,
    )
    return _next_turn(run, rules, items=_add_results(run, outcome.results), pending=(), tally=tally)


def _take_decisions(run: Run, outcome: HumanDecided, rules: Rules) -> _Step:
    run = decide(run, outcome.decisions, rules)
    return _proceed(run, rules, run.pending, stop_reason=None, stop_note="")


def _take_interruption(run: Run, outcome: Interrupted, rules: Rules) -> _Step:
    """Return the run with a result for every open call, so that it can be resumed at the model's next turn.

    If the time is up while the model is asked, it has its last turn. If that takes too long too, the run ends.
    """
    if outcome.reason == "time_limit" and run.waiting_for == "model" and run.final_turn_reason is None:
        tally = replace(run.tally, turns=run.tally.turns + 1, seconds=run.tally.seconds + outcome.seconds)
        return _next_turn(run, rules, tally=tally, final_turn_reason="time_limit")
    run = count_nested(run, outcome)
    done = {result.call_id: result for result in outcome.results}
    started = run.waiting_for == "tools"
    due = _select_calls(run.pending, "run", "ask")
    results = [
        done.get(call.call_id) or ToolResult(call.call_id, _describe_unfinished(started=started), ok=False)
        for call in due
    ]
    tally = replace(run.tally, seconds=run.tally.seconds + outcome.seconds)
    if not started:
        for call in due:
            tally = release(tally, call.name)
    waiting_for: WaitingFor = "user" if run.waiting_for == "user" else "model"
    late = "; the model gave no last answer in time" if run.final_turn_reason else ""
    note = "cancelled" if outcome.reason == "cancelled" else describe_limit(rules.limits, "time_limit") + late
    run = replace(run, items=_add_results(run, results), pending=(), tally=tally)
    return replace(run, waiting_for=waiting_for, stop_reason=outcome.reason, stop_note=note), Finish()


# --- steps ---


def _next_turn(run: Run, rules: Rules, **changes: Any) -> _Step:
    """Return the run with the changes, waiting for the model."""
    run = replace(run, waiting_for="model", **changes)
    reason = run.final_turn_reason or _used_up(run.tally, rules.limits)
    tools = reason is None and "output_format" not in run.extra_turns
    output = rules.output is not None and not (tools and rules.format_last)
    waiting = replace(run, final_turn_reason=reason)
    return waiting, CallModel(tools=tools, output=output)


def _used_up(tally: Tally, limits: Limits) -> LimitReason | None:
    if limits.turns is not None and tally.turns >= limits.turns:
        return "turn_limit"
    return reached(tally, limits)


def _proceed(run: Run, rules: Rules, pending: tuple[Pending, ...], **changes: Any) -> _Step:
    """Return the run with the changes, waiting for decisions, else for tools, else for the model."""
    run = replace(run, pending=pending, **changes)
    if requests := run.approvals:
        return replace(run, waiting_for="human"), AskHuman(requests)
    if calls := _select_calls(pending, "run"):
        return replace(run, waiting_for="tools"), RunTools(calls)
    return _next_turn(run, rules, items=_add_results(run, ()), pending=())


def _select_calls(pending: Iterable[Pending], *plans: str) -> tuple[ToolCall, ...]:
    return tuple(each.call for each in pending if each.plan in plans)


def _add_results(run: Run, results: Iterable[ToolResult]) -> tuple[Item, ...]:
    """Return the run's items with a result for every pending call, in call order."""
    returned = iter(results)
    earlier = _last_result(run.items) if any(pending.plan == "repeat" for pending in run.pending) else ""
    added: list[ToolResult] = []
    for pending in run.pending:
        call_id = pending.call.call_id
        if pending.plan == "repeat":
            added.append(ToolResult(call_id, _describe_repeat(earlier), ok=False))
            continue
        result = pending.answer or next(returned)
        earlier = result.content
        added.append(replace(result, content=pending.note + result.content) if pending.note else result)
    return run.items + tuple(added)


def _end_final_turn(
    run: Run, reason: LimitReason, new_items: tuple[Item, ...], rules: Rules, *, is_valid: bool
) -> _Step:
    note = describe_limit(rules.limits, reason)
    if any(isinstance(item, ToolCall) for item in new_items):
        note += "; in its last turn the model asked for tools again, which were not run"
    elif not _last_text(new_items):
        note += "; the model gave no last answer"
    elif not is_valid:
        note += "; the model's last answer is not of the agent's output type"
    return _finish(replace(run, output_invalid=not is_valid), reason, note)


def _refuse(run: Run, calls: tuple[ToolCall, ...], text: str) -> Run:
    refusals = tuple(ToolResult(call.call_id, text, ok=False) for call in calls)
    return replace(run, items=run.items + refusals) if refusals else run


def _finish(run: Run, reason: StopReason, note: str) -> _Step:
    return replace(run, waiting_for="user", final_turn_reason=None, stop_reason=reason, stop_note=note), Finish()


_INCOMPLETE_REPLIES: Mapping[str, str] = {
    "truncated": "the reply was cut off at the output limit; no call in it was run",
    "refused": "the model declined to answer; no call in its reply was run",
}


def _rename_calls(items: tuple[Item, ...], rules: Rules) -> tuple[tuple[Item, ...], int]:
    """Return the items with repaired tool names (`functions.add` becomes `add`), and the number of repairs."""
    repairs = 0
    renamed: list[Item] = []
    for item in items:
        name = find_name(item.name, rules) if isinstance(item, ToolCall) else ""
        if isinstance(item, ToolCall) and name != item.name:
            renamed.append(replace(item, name=name))
            repairs += 1
        else:
            renamed.append(item)
    return (tuple(renamed), repairs) if repairs else (items, 0)


def _last_text(items: tuple[Item, ...]) -> str:
    texts = (item.text for item in reversed(items) if isinstance(item, Message) and item.text.strip())
    return next(texts, "")


def _last_result(items: tuple[Item, ...]) -> str:
    return next((item.content for item in reversed(items) if isinstance(item, ToolResult)), "")


def _describe_repeat(earlier: str) -> str:
    return f"Not run again: the same call has just returned this. Answer now from what you have.\n{earlier}"


def _describe_unfinished(*, started: bool) -> str:
    if started:
        return "Stopped before it returned; it may or may not have taken effect."
    return "Not run: the run was stopped first."

"""THE LOOP: `advance(run, outcome, rules)` gives the run as it is next, and what to do about it.

    waiting for   outcome         command
    user          UserSaid        CallModel
    model         ModelReplied    RunTools | AskHuman | CallModel | Finish | Fail
    human         HumanDecided    RunTools | CallModel
    tools         ToolsReturned   CallModel
    any           Interrupted     Finish (open calls are answered first)

Rule 1: everything that decides what a run does next is here or in `guard`, and it is pure: no clock, thread,
network, log or SDK type. What happened comes in as an outcome; what should happen goes out as a command.
Rule 2: every call the model makes gets exactly one result before the model is called again.
Rule 3: an outcome out of turn raises RunStateError and changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
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
    withhold,
)
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
    """Return what the run becomes through an outcome, and the command that follows.

    Raises:
        RunStateError: the outcome is not what the run waits for; nothing has changed.
    """
    match run.waiting_for, outcome:
        case _, Interrupted():
            return _interrupted(run, outcome, rules)
        case "user", UserSaid():
            return _said(run, outcome, rules)
        case "model", ModelReplied():
            return _replied(run, outcome, rules)
        case "tools", ToolsReturned():
            return _returned(run, outcome, rules)
        case "human", HumanDecided():
            return _decided(run, outcome, rules)
        case _:
            raise RunStateError(
                f"{type(outcome).__name__} came while the run waits for: {run.waiting_for}",
                hint="give a run only the outcome of its last command",
            )


def resume(run: Run, rules: Rules) -> _Step:
    """Return a stored run with the command that it waits for.

    Raises:
        RunStateError: the run has ended.
    """
    extra_turns = tuple(why for why in run.extra_turns if why != "empty_reply")
    run = replace(run, stop_reason=None, stop_note="", extra_turns=extra_turns, output_failures=0)
    match run.waiting_for:
        case "model":
            return _next_turn(run, rules)
        case "tools" | "human":
            run = withhold(run, rules)
            return _proceed(run, rules, run.pending)
        case "user":
            raise RunStateError(
                "this run has ended, there is nothing to resume",
                hint="go on with agent.run(..., history=result.items)",
            )
        case _:
            assert_never(run.waiting_for)


def pause(run: Run) -> Run:
    """Return the run as it is handed out while it waits for decisions that nobody here can make."""
    names = ", ".join(pending.call.name for pending in run.pending if pending.plan == "ask")
    note = f"waiting for a decision on {names}; go on with agent.resume(run, decisions=...)"
    return replace(run, stop_reason="approval", stop_note=note)


def conclude(run: Run, rules: Rules) -> tuple[RunResult[Any], tuple[str, ...]]:
    """Return what a run came to, and in words what had to be mended in its output."""
    if rules.output is None:
        return RunResult(run, None), ()
    if run.waiting_for != "user" or run.output_invalid or run.stop_reason in _CUT:
        return RunResult(run), ()
    try:
        output, repairs = rules.output.read(RunResult(run).text)
    except ArgumentsError:
        return RunResult(run), ()
    return RunResult(run, output), repairs


# --- outcomes ---


def _said(run: Run, outcome: UserSaid, rules: Rules) -> _Step:
    answered = {item.call_id for item in run.items + outcome.items if isinstance(item, ToolResult)}
    history, said = _answer_open(run.items, answered), _answer_open(outcome.items, answered)
    run = replace(run, extra_turns=(), output_failures=0, stop_reason=None, stop_note="")
    run = note_results(run, (item for item in history + said if isinstance(item, ToolResult)))
    return _next_turn(run, rules, items=history + said, start=len(history))


def _replied(run: Run, outcome: ModelReplied, rules: Rules) -> _Step:
    """Return the step after a reply: run its calls, or end a reply that was cut off, or ask again, or finish."""
    reply = outcome.reply
    said, repairs = _rename_calls(reply.items, rules)
    calls = tuple(item for item in said if isinstance(item, ToolCall))
    tally = replace(
        run.tally,
        turns=run.tally.turns + 1,
        seconds=run.tally.seconds + outcome.seconds,
        repairs=run.tally.repairs + repairs,
        usage=run.tally.usage + reply.usage,
    )
    items, dialect = run.items + said, reply.dialect or run.dialect
    if calls and reply.stop == "complete" and _offers_tools(run):
        plan = plan_calls(calls, run, tally, rules)
        return _proceed(run, rules, items=items, dialect=dialect, **plan._asdict())
    run = replace(run, items=items, tally=tally, dialect=dialect)
    if reply.stop != "complete":
        return _finish(_refuse(run, calls, f"Not run: the reply was {reply.stop}."), reply.stop, _CUT[reply.stop])
    run = _refuse(run, calls, "Not run: no tools were on offer any more.")
    return _answered(run, rules, said)


def _offers_tools(run: Run) -> bool:
    """Tell whether the model may call tools: not in the final turn, nor while it formats its answer."""
    return run.final_turn_reason is None and "output_format" not in run.extra_turns


def _answered(run: Run, rules: Rules, said: tuple[Item, ...]) -> _Step:
    """Return the step after a whole reply without calls that may run: one more turn if it needs one, or the end."""
    text = _last_text(said)
    if _offers_tools(run):
        if not text:
            if "empty_reply" in run.extra_turns:
                return run, Fail()
            return _extra_turn(run, rules, "empty_reply", ASK_AFTER_EMPTY_REPLY)
        if rules.required is not None and "tool_choice" not in run.extra_turns and not _has_called(run):
            return _extra_turn(run, rules, "tool_choice", ASK_FOR_TOOL_CALL.format(rules.required or "a tool"))
    error = rules.output.check(text) if rules.output else None
    if error is not None and (run.final_turn_reason is None or run.output_failures < 1 <= _retries(rules)):
        return _ask_for_output(run, rules, error, text)
    if run.final_turn_reason is not None:
        return _end_final_turn(run, run.final_turn_reason, said, rules, fits=error is None)
    return _finish(run, "answered", "the model answered")


def _ask_for_output(run: Run, rules: Rules, error: str, said: str) -> _Step:
    """Return the step after an answer that is not of the type that was asked for."""
    if rules.format_last and _offers_tools(run):
        # This turn needs no check of the limits: the model has answered, and it is offered no tools.
        items = (*run.items, Message("user", ASK_FOR_FORMAT))
        formatting = replace(run, items=items, extra_turns=(*run.extra_turns, "output_format"))
        return formatting, CallModel(tools=False, output=True)
    if run.output_failures >= _retries(rules):
        return replace(run, items=(*run.items, Message("user", error))), Fail(error, said)
    return _ask_again(run, rules, error, output_failures=run.output_failures + 1)


def _extra_turn(run: Run, rules: Rules, why: ExtraTurn, text: str) -> _Step:
    return _ask_again(run, rules, text, extra_turns=(*run.extra_turns, why))


def _retries(rules: Rules) -> float:
    retries = rules.limits.output_retries
    return inf if retries is None else retries


def _ask_again(run: Run, rules: Rules, text: str, **changes: Any) -> _Step:
    return _next_turn(run, rules, items=(*run.items, Message("user", text)), **changes)


def _returned(run: Run, outcome: ToolsReturned, rules: Rules) -> _Step:
    due = [pending.call.call_id for pending in run.pending if pending.plan == "run"]
    if [result.call_id for result in outcome.results] != due:
        raise RunStateError(
            f"results came for {[result.call_id for result in outcome.results]}, due are {due}",
            hint="return one result for each call of RunTools, in its order",
        )
    run = count_nested(run, outcome)
    tally = replace(
        run.tally,
        seconds=run.tally.seconds + outcome.seconds,
        repairs=run.tally.repairs + outcome.repairs,
    )
    return _next_turn(run, rules, items=_settle(run, outcome.results), pending=(), tally=tally)


def _decided(run: Run, outcome: HumanDecided, rules: Rules) -> _Step:
    run = decide(run, outcome.decisions, rules)
    return _proceed(run, rules, run.pending, stop_reason=None, stop_note="")


def _interrupted(run: Run, outcome: Interrupted, rules: Rules) -> _Step:
    run = count_nested(run, outcome)
    done = {result.call_id: result for result in outcome.results}
    started = run.waiting_for == "tools"
    due = _planned(run.pending, "run", "ask")
    results = [
        done.get(call.call_id) or ToolResult(call.call_id, _unfinished(started=started), ok=False) for call in due
    ]
    tally = replace(run.tally, seconds=run.tally.seconds + outcome.seconds)
    if not started:
        for call in due:
            tally = release(tally, call.name)
    waiting_for: WaitingFor = "user" if run.waiting_for == "user" else "model"
    note = "cancelled" if outcome.reason == "cancelled" else describe_limit(rules.limits, "time_limit")
    settled = replace(run, items=_settle(run, results), pending=(), tally=tally)
    return replace(settled, waiting_for=waiting_for, stop_reason=outcome.reason, stop_note=note), Finish()


# --- steps ---


def _next_turn(run: Run, rules: Rules, **changes: Any) -> _Step:
    """Return the run with the changes as it waits for the model."""
    reason = run.final_turn_reason or _used_up(changes.get("tally", run.tally), rules.limits)
    tools = reason is None and "output_format" not in run.extra_turns
    output = rules.output is not None and not (tools and rules.format_last)
    waiting = replace(run, waiting_for="model", final_turn_reason=reason, **changes)
    return waiting, CallModel(tools=tools, output=output)


def _used_up(tally: Tally, limits: Limits) -> LimitReason | None:
    if limits.turns is not None and tally.turns >= limits.turns:
        return "turn_limit"
    return reached(tally, limits)


def _proceed(run: Run, rules: Rules, pending: tuple[Pending, ...], **changes: Any) -> _Step:
    """Return the run with the changes as it waits for what its pending calls need first."""
    run = replace(run, pending=pending, **changes)
    if asked := run.approvals:
        return replace(run, waiting_for="human"), AskHuman(asked)
    if due := _planned(pending, "run"):
        return replace(run, waiting_for="tools"), RunTools(due)
    return _next_turn(run, rules, items=_settle(run, ()), pending=())


def _planned(pending: Iterable[Pending], *plans: str) -> tuple[ToolCall, ...]:
    return tuple(each.call for each in pending if each.plan in plans)


def _settle(run: Run, results: Iterable[ToolResult]) -> tuple[Item, ...]:
    """Return the items with a result for every pending call, in call order."""
    came = {result.call_id: result for result in results}
    earlier = _last_result(run.items) if any(pending.plan == "repeat" for pending in run.pending) else ""
    settled: list[ToolResult] = []
    for pending in run.pending:
        call_id = pending.call.call_id
        if pending.plan == "repeat":
            settled.append(ToolResult(call_id, _repeated(earlier), ok=False))
            continue
        result = pending.answer or came[call_id]
        earlier = result.content
        settled.append(replace(result, content=pending.note + result.content) if pending.note else result)
    return run.items + tuple(settled)


def _end_final_turn(run: Run, reason: LimitReason, said: tuple[Item, ...], rules: Rules, *, fits: bool) -> _Step:
    note = describe_limit(rules.limits, reason)
    if any(isinstance(item, ToolCall) for item in said):
        note += "; in its last turn the model asked for tools again, which were not run"
    elif not _last_text(said):
        note += "; the model gave no last answer"
    elif not fits:
        note += "; the model's last answer is not of the type that was asked for"
    return _finish(replace(run, output_invalid=not fits), reason, note)


def _answer_open(items: tuple[Item, ...], answered: Collection[str]) -> tuple[Item, ...]:
    """Return items with a result for each call that has none, as those of a run that waits for a person."""
    calls = (item.call_id for item in items if isinstance(item, ToolCall) and item.call_id not in answered)
    text = "Not run: the conversation went on without it."
    return (*items, *(ToolResult(call_id, text, ok=False) for call_id in calls))


def _refuse(run: Run, calls: tuple[ToolCall, ...], text: str) -> Run:
    refusals = tuple(ToolResult(call.call_id, text, ok=False) for call in calls)
    return replace(run, items=run.items + refusals) if refusals else run


def _finish(run: Run, reason: StopReason, note: str) -> _Step:
    return replace(run, waiting_for="user", final_turn_reason=None, stop_reason=reason, stop_note=note), Finish()


_CUT: Mapping[str, str] = {
    "truncated": "the reply was cut off at the output limit; no call in it was run",
    "refused": "the model declined to answer; no call in its reply was run",
}


def _rename_calls(items: tuple[Item, ...], rules: Rules) -> tuple[tuple[Item, ...], int]:
    """Give calls with a dressed-up name (`functions.add`) the name of the tool that is meant."""
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


def _has_called(run: Run) -> bool:
    return any(isinstance(item, ToolCall) for item in run.items[run.start :])


def _last_result(items: tuple[Item, ...]) -> str:
    return next((item.content for item in reversed(items) if isinstance(item, ToolResult)), "")


def _repeated(earlier: str) -> str:
    return f"Not run again: the same call has just returned this. Answer now from what you have.\n{earlier}"


def _unfinished(*, started: bool) -> str:
    if started:
        return "Stopped before it returned; it may or may not have taken effect."
    return "Not run: the run was stopped first."

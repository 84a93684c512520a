"""The driver: carries out the commands of the loop, one after the other. It is async, and the only one.

Every effect goes through the Journal. The driver decides nothing: `loop` says what comes next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Literal, assert_never

from agentloop.endpoint.media import inline_images
from agentloop.endpoint.redirects import judging_redirects
from agentloop.errors import (
    AgentloopError,
    ConfigurationError,
    EmptyReplyError,
    OutputError,
    RunStateError,
    ToolFailedError,
)
from agentloop.events import Finished, Notice, TurnFinished, TurnStarted
from agentloop.items import Reasoning, ToolCall, ToolResult
from agentloop.loop.advance import advance, conclude, pause, resume
from agentloop.loop.guard import Rules, check_names, describe_limit
from agentloop.loop.history import repair_history
from agentloop.loop.run import (
    AskHuman,
    CallModel,
    Command,
    Fail,
    Finish,
    HumanDecided,
    Interrupted,
    ModelReplied,
    Outcome,
    Run,
    RunResult,
    RunTools,
    ToolsReturned,
    UserSaid,
    carry_run,
)
from agentloop.packs import open_packs
from agentloop.policy import judge_host
from agentloop.runtime.approval import get_decisions, renew_decisions
from agentloop.runtime.invoke import call_function, read_ahead, time_limit
from agentloop.runtime.journal import CancellationGuard, Journal, MemoryJournal, Observer, Step, StepFailed
from agentloop.runtime.model_caller import ModelCaller
from agentloop.runtime.observe import open_log
from agentloop.runtime.run_config import RunConfig, add_tools, check_tool_choice
from agentloop.runtime.tool_runner import ToolRunner
from agentloop.tools import RunContext, describe_error
from agentloop.tools.functions import describe_origin
from agentloop.tools.readings import forget_readings, keep_readings


async def drive(
    config: RunConfig,
    run: Run,
    outcome: Outcome | None,
    *,
    context: Any,
    stream: bool,
    observer: Observer | None = None,
) -> RunResult[Any]:
    """Drive a run to its end and return its result. The packs of the config are open as long as it takes.

    Args:
        config: What is fixed for all runs of the agent.
        run: The run as it stands.
        outcome: What the run has waited for, such as the user's input; None to resume it where it stopped.
        context: The user's own object, which tools see on their ToolContext.
        stream: Whether replies are asked for as streams.
        observer: Called with every event.

    Raises:
        AgentloopError: what ended the run. The run as it stands then is on its attribute `run`.
    """
    journal = MemoryJournal([each for each in (open_log(run.run_id), observer) if each is not None])
    warn = partial(_warn, journal)
    try:
        with CancellationGuard() as guard, keep_readings():
            async with open_packs(config.packs, warn) if config.packs else nullcontext(()) as tools:
                guard.check()
                config = add_tools(config, tools) if tools else config
                await _check(config, run, outcome, journal)
                config = await _instruct(config, run, context, guard)
                run, command = await _begin(run, outcome, config, journal, context)
                result = await Driver(config, journal, run, context=context, stream=stream).drive(command)
                run = result.run
    except asyncio.CancelledError as cancelled:
        carry_run(cancelled.__cause__, cancelled)
        vars(cancelled).setdefault("run", run)  # a pack was being opened or closed
        raise
    await journal.emit(Finished(result))
    return result


class Driver:
    """Drives one run to its end.

    Args:
        config: What is fixed for the run.
        journal: Carries out the steps.
        run: The run as it stands.
        context: The user's own object, which tools see on their ToolContext.
        stream: Whether replies are asked for as streams.
    """

    def __init__(self, config: RunConfig, journal: Journal, run: Run, *, context: Any, stream: bool) -> None:
        self._config = config
        self._journal = journal
        self._run = run
        self._context = context
        self._model = ModelCaller(config, journal, run, stream=stream)
        self._tools: ToolRunner | None = None
        self._failure: ToolFailedError | None = None
        self._withheld: frozenset[str] | None = None  # None until the model is called
        self._waited = frozenset(each.call.call_id for each in run.pending if each.plan == "ask")
        # Timeouts go by this clock too, so that the two never disagree.
        self._clock = asyncio.get_running_loop().time
        self._step_started = self._clock()

    async def drive(self, command: Command) -> RunResult[Any]:
        """Return the result of the run.

        Every exception, a cancellation too, has the run as it then stands on its attribute `run`.
        """
        try:
            while not isinstance(command, Finish):
                self._step_started = self._clock()
                outcome = await self._carry_out(command)
                if outcome is None:
                    self._run = pause(self._run)
                    break
                before = self._run
                if isinstance(outcome, ModelReplied):
                    forget_readings()
                    calls = (item for item in outcome.reply.items if isinstance(item, ToolCall))
                    await read_ahead(calls, self._config.rules)
                self._run, command = advance(before, outcome, self._config.rules)
                await self._emit_decisions(before)
                if self._failure is not None:
                    raise self._failure  # noqa: TRY301 - it takes the run along like any other
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                self._run, _ = advance(self._run, self._interrupted("cancelled"), self._config.rules)
            elif self._failure is None:
                seconds = self._run.tally.seconds + self._seconds_taken()
                self._run = replace(self._run, tally=replace(self._run.tally, seconds=seconds))
            vars(error)["run"] = self._run
            raise
        result, repairs = conclude(self._run, self._config.rules)
        if repairs:
            await self._journal.emit(Notice("repaired", f"in the answer: {'; '.join(repairs)}"))
        return result

    async def _emit_decisions(self, before: Run) -> None:
        """Emit a notice for each call that was not run, for a limit that was reached, and for an invalid answer."""
        returned = self._tools.returned if self._tools else {}
        for item in self._run.items[len(before.items) :]:
            if isinstance(item, ToolResult) and not item.ok and item.call_id not in returned:
                await self._journal.emit(Notice("not_run", item.content))
        if self._run.final_turn_reason is not None and before.final_turn_reason is None:
            limit = describe_limit(self._config.rules.limits, self._run.final_turn_reason)
            await self._journal.emit(Notice("limit", f"{limit}; the model has its last turn, without tools"))
        if self._run.output_failures > before.output_failures:
            await self._journal.emit(Notice("warning", "the answer does not fit: the model is told why"))

    async def _carry_out(self, command: CallModel | RunTools | AskHuman | Fail) -> Outcome | None:
        """Return the outcome of a command, or None if the run has to wait for a person who can't be asked here."""
        match command:
            case CallModel():
                return await self._call_model(command)
            case RunTools(calls=calls):
                return await self._run_tools(calls)
            case AskHuman():
                self._run, decided = await get_decisions(
                    self._run, self._config.rules, self._journal, self._context, self._waited
                )
                return decided
            case Fail(output_error=output_error, said=said) if output_error:
                raise OutputError(
                    f"the model's answer is not of the type that was asked for: {said or 'nothing'}\n{output_error}",
                    hint="try agent.resume(error.run), a plainer type, another model, or Limits(output_retries=...)",
                )
            case Fail():
                raise EmptyReplyError(
                    "the model gave neither text nor a tool call, even after being asked again",
                    hint=_hint_at_answer(self._run),
                )
            case _:
                assert_never(command)

    async def _call_model(self, command: CallModel) -> Outcome:
        turn = self._run.tally.turns + 1
        await self._journal.emit(TurnStarted(turn))
        self._withheld = await self._find_withheld() if command.tools else None
        step = Step(
            f"model:{turn}", partial(self._model.call, self._run), (command, self._withheld or frozenset[str]())
        )
        try:
            async with time_limit(self._seconds_left(is_final_turn=self._run.final_turn_reason is not None)):
                [reply] = await self._journal.steps([step])
        except TimeoutError:
            return self._interrupted("time_limit")
        if isinstance(reply, StepFailed):
            raise reply.error
        seconds = self._seconds_taken()
        await self._journal.emit(TurnFinished(turn, seconds, reply.usage))
        return ModelReplied(reply, seconds)

    async def _run_tools(self, calls: tuple[ToolCall, ...]) -> Outcome:
        runner = self._tools = ToolRunner(
            self._config,
            self._journal,
            self._run,
            context=self._context,
            max_image_bytes=self._model.max_image_bytes,
            seconds_left=self._seconds_left,
            withheld=await self._find_withheld() if self._withheld is None else self._withheld,
        )
        results = await runner.run(calls)
        self._failure = runner.failure
        return ToolsReturned(results, self._seconds_taken(), runner.repairs, runner.nested, runner.trust)

    async def _find_withheld(self) -> frozenset[str]:
        """Return the names of the tools that the model is not offered now, as their own functions say."""
        conditions = {tool.name: tool.when for tool in self._config.target.tools if tool.when is not None}
        run, names = self._run, set[str]()
        for name, when in conditions.items():
            if not await _ask_user(f"`when` of {name}", when, run, self._context):
                names.add(name)
        return frozenset(names)

    # --- time ---

    def _seconds_left(self, *, is_final_turn: bool = False) -> float | None:
        limits = self._config.rules.limits
        if limits.seconds is None:
            return None
        most = limits.seconds + (limits.grace_seconds if is_final_turn else 0)
        return max(0.0, most - self._run.tally.seconds - self._seconds_taken())

    def _seconds_taken(self) -> float:
        return self._clock() - self._step_started

    def _interrupted(self, reason: Literal["cancelled", "time_limit"]) -> Interrupted:
        tools = self._tools if self._run.waiting_for == "tools" else None
        if tools is None:
            return Interrupted(reason, (), self._seconds_taken())
        return Interrupted(reason, tuple(tools.returned.values()), self._seconds_taken(), tools.nested, tools.trust)


async def _begin(
    run: Run, outcome: Outcome | None, config: RunConfig, journal: Journal, context: Any
) -> tuple[Run, Command]:
    if isinstance(outcome, UserSaid):
        run, command = advance(run, outcome, config.rules)
    else:
        stored = run
        await read_ahead((pending.call for pending in stored.pending), config.rules)
        run, command = resume(stored, config.rules)
        if isinstance(outcome, HumanDecided):
            run, decided = await renew_decisions(stored, run, outcome.decisions, config.rules, journal, context)
            run, command = (run, command) if decided is None else advance(run, decided, config.rules)
    with judging_redirects(partial(judge_host, config.rules.policy.hosts)):
        items = await inline_images(run.items, config.target)
    return (run if items is run.items else replace(run, items=items)), command


async def _instruct(config: RunConfig, run: Run, value: Any, guard: CancellationGuard) -> RunConfig:
    """Return the config with the instructions for this run, if a function of the user's returns them."""
    if config.instruct is None:
        return config
    what = "the function for the instructions"
    text = await _ask_user(what, config.instruct, run, value)
    guard.check()
    if text is not None and not isinstance(text, str):
        name = describe_origin(config.instruct)
        raise ConfigurationError(
            f"{what}, {name}, returned a {type(text).__name__}", hint="return a text or None", run=run
        )
    return replace(config, target=replace(config.target, instructions=text))


async def _ask_user(what: str, function: Callable[[RunContext[Any]], object], run: Run, value: Any) -> object:
    """Return what a function of the user's says about a run.

    Raises:
        ConfigurationError: it raised.
    """
    try:
        return await call_function(function, RunContext(run.run_id, run.tally, value, run.items))
    except AgentloopError:
        raise
    except Exception as error:  # it is a function of the user's, and may raise anything
        raise ConfigurationError(
            f"{what}, {describe_origin(function)}, raised {describe_error(error)}", run=run
        ) from error


async def _check(config: RunConfig, run: Run, outcome: Outcome | None, journal: Journal) -> None:
    check_tool_choice(config.target.settings, config.rules)
    for text in check_names(config.rules) if config.packs else ():
        await _warn(journal, text)
    if not isinstance(outcome, UserSaid):
        _check_tools(run, config.rules)
        return
    for repair in repair_history((*run.items, *outcome.items), len(run.items)).repairs:
        await journal.emit(Notice("repaired", repair))


async def _warn(journal: Journal, text: str) -> None:
    await journal.emit(Notice("warning", text))


def _check_tools(run: Run, rules: Rules) -> None:
    lacking = {waiting.call.name for waiting in run.pending if waiting.plan in {"run", "ask"}} - rules.tools.keys()
    if lacking:
        raise RunStateError(
            f"the run waits for tools that this agent does not have: {', '.join(sorted(lacking))}",
            hint="resume it with an agent that has them",
        )


def _hint_at_answer(run: Run) -> str:
    """Return what to do about an empty reply; the answer may stand within the thinking."""
    hint = "try again with agent.resume(error.run), another model, or a larger max_output_tokens"
    if not any(isinstance(item, Reasoning) and item.text.strip() for item in run.items[run.start :]):
        return hint
    return (
        "the answer may stand in the model's reasoning, which is in error.run.items: try a server without a reasoning "
        f"parser, or ModelSettings(reasoning_effort='none'); or {hint}"
    )

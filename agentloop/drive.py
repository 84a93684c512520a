"""The driver: carries out what the loop commands. There is one, and it is async.

Every effect goes through the Journal; time and networks end here. What to do next is never decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, Literal, assert_never

from agentloop.approval import get_decisions
from agentloop.errors import EmptyReplyError, EndpointError, OutputError, ToolFailedError
from agentloop.events import Notice, TextDelta, TurnFinished, TurnStarted
from agentloop.guard import describe_limit
from agentloop.invoke import time_limit
from agentloop.items import Message, Reply, ToolCall, ToolResult, Usage
from agentloop.journal import Journal, Step, StepFailed
from agentloop.loop import advance, conclude, pause
from agentloop.media import max_image_bytes
from agentloop.recipe import Recipe
from agentloop.run import (
    AskHuman,
    CallModel,
    Command,
    Finish,
    GiveUp,
    Interrupted,
    ModelReplied,
    Outcome,
    Run,
    RunResult,
    RunTools,
    ToolsReturned,
)
from agentloop.summary import summarize
from agentloop.tool_runner import ToolRunner
from agentloop.transport import Pace, is_retryable
from agentloop.window import Window
from agentloop.wire.conversation import Conversation

DELTAS_IN_A_ROW = 50


class Driver:
    """Drives one run to its end.

    Args:
        recipe: What to run by.
        journal: Carries out the steps.
        run: The state to start from.
        context: The user's own object, which tools see on their ToolContext.
        stream: Whether the wire carries a stream.
    """

    def __init__(self, recipe: Recipe, journal: Journal, run: Run, *, context: Any, stream: bool) -> None:
        self._recipe = recipe
        self._journal = journal
        self._run = run
        self._context = context
        self._stream = stream
        self._conversation = Conversation(recipe.subject, run.dialect)
        self._conversation.reserve_ids(run.items)
        self._window = Window(self._conversation, recipe.subject)
        self._pace = Pace.of(recipe.transport.endpoint, recipe.subject.model, self._conversation.profile)
        # The clock by which timeouts are kept too, so that the two never disagree.
        self._clock = asyncio.get_running_loop().time
        self._step_started = self._clock()
        self._tools: ToolRunner | None = None
        self._shown = False
        self._spent: Usage | None = None  # on summaries
        self._failure: ToolFailedError | None = None

    async def drive(self, command: Command) -> RunResult[Any]:
        """Return the result of the run.

        Whatever is raised, a cancellation included, has the run as it then stands on its attribute `run`.
        """
        try:
            while not isinstance(command, Finish):
                self._step_started = self._clock()
                outcome = await self._carry_out(command)
                if outcome is None:
                    self._run = pause(self._run)
                    break
                before = self._run
                self._run, command = advance(before, outcome, self._recipe.rules)
                await self._tell_what_was_decided(before)
                if self._failure is not None:
                    raise self._failure  # noqa: TRY301 - it takes the run along like any other
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                self._run, _ = advance(self._run, self._interrupted("cancelled"), self._recipe.rules)
            elif self._failure is None:
                seconds = self._run.tally.seconds + self._seconds_taken()
                self._run = replace(self._run, tally=replace(self._run.tally, seconds=seconds))
            vars(error)["run"] = self._run
            raise
        result, repairs = conclude(self._run, self._recipe.rules)
        if repairs:
            await self._journal.emit(Notice("repaired", f"in the answer: {'; '.join(repairs)}"))
        return result

    async def _tell_what_was_decided(self, before: Run) -> None:
        returned = self._tools.returned if self._tools else {}
        for item in self._run.items[len(before.items) :]:
            if isinstance(item, ToolResult) and not item.ok and item.call_id not in returned:
                await self._journal.emit(Notice("not_run", item.content))
        if self._run.landing is not None and before.landing is None:
            limit = describe_limit(self._recipe.rules.limits, self._run.landing)
            await self._journal.emit(Notice("limit", f"{limit}; the model has its last turn, without tools"))
        if self._run.misfits > before.misfits:
            await self._journal.emit(Notice("warning", "the answer does not fit: the model is told why"))

    async def _carry_out(self, command: CallModel | RunTools | AskHuman | GiveUp) -> Outcome | None:
        """Return what came of a command, or None when only a person who isn't here can go on."""
        match command:
            case CallModel():
                return await self._call_model(command)
            case RunTools(calls=calls):
                return await self._run_tools(calls)
            case AskHuman():
                self._run, decided = await get_decisions(self._run, self._recipe.rules, self._journal, self._context)
                return decided
            case GiveUp(misfit=misfit, said=said) if misfit:
                raise OutputError(
                    f"the model's answer is not of the type that was asked for: {said or 'nothing'}\n{misfit}",
                    hint="try agent.resume(error.run), a plainer type, another model, or Limits(output_retries=...)",
                )
            case GiveUp():
                raise EmptyReplyError(
                    "the model gave neither text nor a tool call, even after being asked again",
                    hint="try again with agent.resume(error.run), another model, or a larger max_output_tokens",
                )
            case _:
                assert_never(command)

    # --- the model ---

    async def _call_model(self, command: CallModel) -> Outcome:
        turn = self._run.tally.turns + 1
        await self._journal.emit(TurnStarted(turn))
        landing = self._run.landing is not None
        try:
            async with time_limit(None if landing else self._seconds_left()):
                [reply] = await self._journal.steps([Step(f"model:{turn}", self._ask_model, (command,))])
        except TimeoutError:
            return self._interrupted("time_limit")
        if isinstance(reply, StepFailed):
            raise reply.error
        seconds = self._seconds_taken()
        await self._journal.emit(TurnFinished(turn, seconds, reply.usage))
        return ModelReplied(reply, seconds)

    async def _ask_model(self, command: CallModel) -> Reply:
        ask = partial(self._ask_once, command)
        refusal: EndpointError | None = None
        while True:
            try:
                reply = await self._recipe.retry.call(ask, self._journal.emit, self._may_retry)
                reply = self._conversation.accept(reply)
            except EndpointError as error:
                self._window.explain(error)
                if not self._shown and self._window.shrink(self._run, error):
                    continue
                lesson = None if self._shown else self._conversation.adapt(error)
                if lesson is None:
                    raise (refusal or error) from None
                # When a guess does not help, what it was made from is what went wrong; but a route that is missing
                # says less than what the other one answers.
                is_held = lesson.is_guess and (refusal is not None or lesson.field != "route")
                refusal = (refusal or error) if is_held else None
            else:
                self._window.count(reply.usage)
                await self._tell_what_was_learned()
                if self._spent is None:
                    return reply
                spent, self._spent = self._spent, None
                return replace(reply, usage=reply.usage + spent)

    async def _tell_what_was_learned(self) -> None:
        for notice in (*self._conversation.take_notices(), *self._window.take_notices()):
            await self._journal.emit(notice)
        self._recipe.warnings.extend(self._recipe.take_warnings())
        while self._recipe.warnings:
            await self._journal.emit(Notice("warning", self._recipe.warnings.pop(0)))
        lessons = self._conversation.take_lessons()
        trouble = await asyncio.to_thread(self._recipe.remember, lessons) if lessons else ""
        if trouble:
            await self._journal.emit(Notice("warning", trouble))

    async def _ask_once(self, command: CallModel) -> Reply:
        conversation = self._conversation
        streams = self._stream and (conversation.profile.structured_stream or not command.output)
        self._shown = False
        write = partial(
            conversation.encode,
            tools=command.tools,
            stream=streams,
            free_choice=self._run.tally.tool_calls > 0,
            output=command.output,
        )
        body = self._window.encode(self._run, write)
        if self._recipe.subject.settings.summarize_dropped and (text := self._window.take_left_out()):
            await self._summarize(text)
            body = self._window.encode(self._run, write)
        await self._tell_what_was_learned()
        return await self._pace.call(partial(self._send, body, streams=streams), self._journal.emit)

    async def _summarize(self, text: str) -> None:
        recipe, emit = self._recipe, self._journal.emit
        ask = partial(summarize, text, recipe.subject, recipe.transport.send)
        try:
            reply = await recipe.retry.call(partial(self._pace.call, ask, emit), emit)
        except EndpointError as error:
            await emit(Notice("warning", f"what is left out could not be summarised: {error.message}"))
        else:
            self._spent = reply.usage + (self._spent or Usage())
            self._window.add_summary(self._run, reply)

    async def _send(self, body: bytes, *, streams: bool) -> Reply:
        conversation, transport = self._conversation, self._recipe.transport
        if not streams:
            reply = conversation.decode(await transport.send(conversation.path, body))
            if self._stream:
                await self._show(reply)
            return reply
        return await self._read_stream(transport.stream(conversation.path, body))

    async def _read_stream(self, stream: AsyncGenerator[bytes]) -> Reply:
        decoder = self._conversation.decoder()
        has_text = False
        emit, deltas = self._journal.emit, 0
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                for delta in decoder.feed(chunk):
                    self._shown = True
                    has_text = has_text or isinstance(delta, TextDelta)
                    await emit(delta)
                    if deltas % DELTAS_IN_A_ROW == 0:  # in a burst nothing waits, and nobody else gets a turn
                        await asyncio.sleep(0)
                    deltas += 1
        reply = decoder.close()
        for delta in self._conversation.rest():
            has_text = has_text or isinstance(delta, TextDelta)
            await emit(delta)
        if not has_text:  # some servers send a whole body in place of a stream
            await self._show(reply)
        return reply

    async def _show(self, reply: Reply) -> None:
        for item in reply.items:
            if isinstance(item, Message) and item.text:
                await self._journal.emit(TextDelta(item.text))

    def _may_retry(self, error: EndpointError) -> bool:
        # What a user has seen is not taken back.
        return not self._shown and is_retryable(error) and not self._conversation.may_adapt(error)

    # --- tools ---

    async def _run_tools(self, calls: tuple[ToolCall, ...]) -> Outcome:
        runner = self._tools = ToolRunner(
            self._recipe,
            self._journal,
            self._run,
            context=self._context,
            max_image_bytes=max_image_bytes(self._conversation.profile),
            seconds_left=self._seconds_left,
        )
        results = await runner.run(calls)
        self._failure = runner.failure
        return ToolsReturned(results, self._seconds_taken(), runner.repairs, runner.nested, runner.trust)

    # --- time ---

    def _seconds_left(self) -> float | None:
        limit = self._recipe.rules.limits.seconds
        return None if limit is None else max(0.0, limit - self._run.tally.seconds - self._seconds_taken())

    def _seconds_taken(self) -> float:
        return self._clock() - self._step_started

    def _interrupted(self, reason: Literal["cancelled", "time_limit"]) -> Interrupted:
        tools = self._tools if self._run.waiting_for == "tools" else None
        if tools is None:
            return Interrupted(reason, (), self._seconds_taken())
        return Interrupted(reason, tuple(tools.returned.values()), self._seconds_taken(), tools.nested, tools.trust)

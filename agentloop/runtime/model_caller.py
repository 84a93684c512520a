"""ModelCaller: asks the model for one reply, until it answers or the failure is final.

A failed request is sent again if that may help. A refused one is written differently, or made shorter. What the user
has already seen of a reply is never asked for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from agentloop.endpoint.media import max_image_bytes
from agentloop.endpoint.transport import Pace, hide_secrets, hiding_secrets, is_retryable, read_to_end
from agentloop.errors import EndpointError, ReplyError
from agentloop.events import Notice, ReasoningDelta, TextDelta
from agentloop.items import Message, Reasoning, Reply, ToolCall, Usage
from agentloop.loop.run import CallModel, Run
from agentloop.runtime.journal import CancellationGuard, Journal
from agentloop.runtime.run_config import RunConfig
from agentloop.runtime.summary import summarize
from agentloop.runtime.window import ContextWindow
from agentloop.wire.conversation import Conversation

DELTAS_IN_A_ROW = 50
MOST_CALLS = 1_000  # of one reply


class ModelCaller:
    """Asks the model of one run for replies.

    Args:
        config: What is fixed for the run.
        journal: Where events go.
        run: The run at its start.
        stream: Whether replies are asked for as streams.
    """

    def __init__(self, config: RunConfig, journal: Journal, run: Run, *, stream: bool) -> None:
        self._config = config
        self._journal = journal
        self._stream = stream
        self._conversation = Conversation(config.target, run.dialect)
        self._conversation.reserve_ids(run.items)
        self._window = ContextWindow(self._conversation, config.target)
        self._pace = Pace.of(config.transport.endpoint, config.target.model, self._conversation.profile)
        self._shown = False  # whether the user has seen a part of the reply
        self._summary_usage: Usage | None = None

    @property
    def max_image_bytes(self) -> int:
        """How large an image may be for this endpoint."""
        return max_image_bytes(self._conversation.profile)

    async def call(self, run: Run, command: CallModel, withheld: frozenset[str]) -> Reply:
        """Return the model's reply to the conversation of a run.

        Args:
            run: The run as it stands.
            command: What to ask for.
            withheld: The names of tools that are not offered in this turn.

        Raises:
            EndpointError: the endpoint could not answer.
        """
        ask = partial(self._ask_once, run, command, withheld)
        refusal: EndpointError | None = None
        while True:
            try:
                reply = await self._config.retry.call(ask, self._journal.emit, self._may_retry)
                reply = self._conversation.accept(reply)
                _check_calls(reply)
            except EndpointError as error:
                self._window.explain(error)
                if not self._shown and self._window.shrink(run, error):
                    continue
                lesson = None if self._shown else self._conversation.adapt(error)
                if lesson is None:
                    raise (refusal or error) from None
                # If a guess does not help, the error to raise is the one that led to the guess. A missing route is an
                # exception: the error of the other route says more.
                is_held = lesson.is_guess and (refusal is not None or lesson.field != "route")
                refusal = (refusal or error) if is_held else None
            else:
                return await self._finish(reply)

    async def _finish(self, reply: Reply) -> Reply:
        self._window.count(reply.usage)
        await self._emit_notices()
        if self._summary_usage is None:
            return reply
        usage, self._summary_usage = reply.usage + self._summary_usage, None
        return replace(reply, usage=usage)

    async def _emit_notices(self) -> None:
        for notice in (*self._conversation.take_notices(), *self._window.take_notices()):
            await self._journal.emit(replace(notice, text=hide_secrets(notice.text, self._config.transport.endpoint)))
        self._config.warnings.extend(self._config.take_warnings())
        while self._config.warnings:
            await self._journal.emit(Notice("warning", self._config.warnings.pop(0)))
        lessons = self._conversation.take_lessons()
        trouble = await asyncio.to_thread(self._config.remember, lessons) if lessons else ""
        if trouble:
            await self._journal.emit(Notice("warning", trouble))

    async def _ask_once(self, run: Run, command: CallModel, withheld: frozenset[str]) -> Reply:
        conversation = self._conversation
        streams = conversation.streams(wanted=self._stream, output=command.output)
        self._shown = False
        write = partial(
            conversation.encode,
            tools=command.tools,
            stream=streams,
            free_choice=run.has_called,
            output=command.output,
            withheld=withheld,
        )
        body = self._window.encode(run, write)
        if self._config.target.settings.summarize_dropped and (text := self._window.take_left_out()):
            await self._summarize(run, text)
            body = self._window.encode(run, write)
        await self._emit_notices()
        with hiding_secrets(self._config.transport.endpoint):
            return await self._pace.call(partial(self._send, body, streams=streams), self._journal.emit)

    async def _summarize(self, run: Run, text: str) -> None:
        config, emit = self._config, self._journal.emit

        async def ask() -> Reply:
            with hiding_secrets(config.transport.endpoint):
                return await summarize(text, config.target, config.transport.send)

        try:
            reply = await config.retry.call(partial(self._pace.call, ask, emit), emit)
        except EndpointError as error:
            await emit(Notice("warning", f"what is left out could not be summarised: {error.message}"))
        else:
            self._summary_usage = reply.usage + (self._summary_usage or Usage())
            self._window.add_summary(run, reply)

    async def _send(self, body: bytes, *, streams: bool) -> Reply:
        conversation, transport = self._conversation, self._config.transport
        with CancellationGuard():
            if streams and self._stream:
                return await self._read_stream(transport.stream(conversation.path, body))
            reply = conversation.decode(await transport.send(conversation.path, body))
            if self._stream:
                await self._show(reply)
            return reply

    async def _read_stream(self, stream: AsyncGenerator[bytes]) -> Reply:
        decoder = self._conversation.decoder()
        texts: list[str] = []
        emit, deltas = self._journal.emit, 0
        async with aclosing(read_to_end(stream, decoder.ending)) as chunks:
            async for chunk in chunks:
                for delta in decoder.feed(chunk):
                    self._shown = True
                    if isinstance(delta, TextDelta):
                        texts.append(delta.text)
                    await emit(delta)
                    if deltas % DELTAS_IN_A_ROW == 0:  # in a burst nothing waits, and no other task would get a turn
                        await asyncio.sleep(0)
                    deltas += 1
        reply = decoder.close()
        for delta in self._conversation.rest():
            if isinstance(delta, TextDelta):
                texts.append(delta.text)
            await emit(delta)
        if not texts:  # some servers send a whole body in place of a stream
            await self._show(reply)
        elif rest := _find_rest(reply, "".join(texts)):
            await emit(TextDelta(rest))
        return reply

    async def _show(self, reply: Reply) -> None:
        for item in reply.items:
            if isinstance(item, Message) and item.text:
                await self._journal.emit(TextDelta(item.text))
            elif isinstance(item, Reasoning) and item.text and not self._shown:
                await self._journal.emit(ReasoningDelta(item.text))

    def _may_retry(self, error: EndpointError) -> bool:
        # What a user has seen is not taken back.
        return not self._shown and is_retryable(error) and not self._conversation.may_adapt(error)


def _check_calls(reply: Reply) -> None:
    """Raise an error for a reply with more calls than a model makes: each would be answered, and sent back.

    Raises:
        ReplyError: it has.
    """
    calls = sum(isinstance(item, ToolCall) for item in reply.items)
    if calls > MOST_CALLS:
        raise ReplyError(
            f"the endpoint's reply has {calls:,} tool calls, more than any reply of a model",
            hint="check that the server can be trusted, or ask the model for less",
            status=200,
        )


def _find_rest(reply: Reply, shown: str) -> str:
    """Return the text of a reply that has not been shown: that of a last event which the stream did not finish."""
    text = "".join(item.text for item in reply.items if isinstance(item, Message) and item.role == "assistant")
    return text[len(shown) :] if text.startswith(shown) else ""

"""Probes an endpoint: sends the questions over a transport, one at a time and up to a limit, and has them judged."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import Final, TypeAlias

from agentloop.endpoint.probe.answer import Answer, Finding, StreamShape, no, unknown, yes
from agentloop.endpoint.probe.plan import (
    CAPABILITIES,
    ask_for_stream,
    ask_plainly,
    ask_prompted,
    explain_silence,
    list_chat_questions,
    list_questions,
)
from agentloop.endpoint.probe.questions import PATHS, Question, write_question
from agentloop.endpoint.transport import RetryPolicy, Transport, hiding_secrets, read_to_end
from agentloop.endpoint.transport.limiter import Pace
from agentloop.errors import (
    AuthenticationError,
    EndpointError,
    EndpointTimeoutError,
    RateLimitedError,
    UnreachableError,
)
from agentloop.events import Notice, Retrying
from agentloop.items import Reply
from agentloop.wire.formats.chat import ChatCompletions
from agentloop.wire.formats.dialect import Dialect
from agentloop.wire.formats.prompted import PromptedChat
from agentloop.wire.formats.responses import NativeResponses
from agentloop.wire.profile import Endpoint, Profile, Route
from agentloop.wire.streams.sse import EventSplitter

MOST_REQUESTS: Final = 20
_MOST_RETRIES = 1
_MOST_SILENCES = 2  # one request without an answer may be due to the question
_SILENCES = (EndpointTimeoutError, RateLimitedError, UnreachableError)

OnProgress: TypeAlias = Callable[[str, int], Awaitable[None]]
"""Called with the capability that is tested or the reason for a wait, and the number of requests sent so far."""


class Budget:
    """A transport that sends a limited number of requests and raises an error for each further one."""

    def __init__(self, transport: Transport, requests: int) -> None:
        self._transport = transport
        self._requests = requests
        self.sent = 0

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint to which the requests go."""
        return self._transport.endpoint

    @property
    def is_spent(self) -> bool:
        """Whether the limit is reached."""
        return self.sent >= self._requests

    async def send(self, path: str, body: bytes) -> bytes:
        """Post the body and return the whole reply."""
        self._spend()
        return await self._transport.send(path, body)

    async def stream(self, path: str, body: bytes) -> AsyncGenerator[bytes]:
        """Post the body and yield the reply as it arrives."""
        self._spend()
        async with aclosing(self._transport.stream(path, body)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    def _spend(self) -> None:
        if self.is_spent:
            raise EndpointError(f"not asked, as {self._requests} requests have been made")
        self.sent += 1


class Examination:
    """One probe of a model at an endpoint.

    Args:
        transport: Sends the requests to the endpoint.
        model: The model's name on the server.
        profile: The profile that is known so far. The probe uses its rate limit and its names of fields.
        watch: Called to report progress.

    Attributes:
        findings: The findings so far, by capability.
    """

    def __init__(self, transport: Transport, model: str, profile: Profile, watch: OnProgress) -> None:
        self._model = model
        self._profile = profile
        self._watch = watch
        self._transport = Budget(transport, MOST_REQUESTS)
        self._pace = Pace.of(transport.endpoint, model, profile)
        retry = RetryPolicy.of(transport.endpoint)
        self._retry = replace(retry, retries=min(retry.retries, _MOST_RETRIES))
        self._silences = 0  # in a row
        self.findings: dict[str, Finding] = {}

    async def hold(self) -> dict[str, Finding]:
        """Send all questions and return a finding for each of CAPABILITIES.

        Raises:
            AuthenticationError: the endpoint does not accept the key, or requires one.
            UnreachableError: there is no connection to the endpoint.
        """
        responses = await self._find_route("responses")
        if responses is not None:
            await self._ask_all(list_questions("responses", responses, self.findings), responses)
            await self._look_at_chat()
        else:
            chat = await self._find_route("chat")
            if chat is not None:
                await self._ask_all(list_questions("chat", chat, self.findings), chat)
                on_chat = self.findings["json_schema_response_format"]
                self.findings["json_schema_response_format_chat"] = on_chat
                await self._ask(ask_prompted(self._model, self._profile), chat)
        found = self.findings
        return {name: found[name] if name in found else explain_silence(name, found) for name in CAPABILITIES}

    async def _find_route(self, route: Route) -> Answer | None:
        """Return the answer to the plain question, or None if the route does not work."""
        question = ask_plainly(route)
        answer = await self._ask(question, Answer())
        if isinstance(answer.error, (AuthenticationError, UnreachableError)):
            raise answer.error
        return answer if self.findings[question.names[0]].works else None

    async def _look_at_chat(self) -> None:
        """Ask on chat about what later runs may use it for; the streamed answer also serves as the plain answer."""
        streamed = await self._ask(ask_for_stream("chat"), Answer())
        answers = [streamed]
        if not streamed.lacks_route:
            questions = [*list_chat_questions(), ask_prompted(self._model, self._profile)]
            answers += [await self._ask(question, streamed) for question in questions]
        replies = [answer.saying for answer in answers if answer.error is None]
        works = yes(f"answered: {replies[0]}") if replies else None
        self.findings["route_chat"] = works or self.findings["stream_chat"]

    async def _ask_all(self, questions: Iterable[Question], plain: Answer) -> None:
        for question in questions:
            await self._ask(question, plain)

    async def _ask(self, question: Question, plain: Answer) -> Answer:
        """Send a question, and record the findings that its answer proves."""
        await self._watch(", ".join(question.names), self._transport.sent)
        answer = await self._send(question, write_question(question, question.fields, self._model, self._profile))
        if answer.refused and question.without is not None:
            with_all = answer
            answer = await self._send(question, write_question(question, question.without, self._model, self._profile))
            self._note(question, answer, plain)
            if answer.error is None:
                self.findings[question.names[-1]] = no(f"refused: {with_all.saying}", "refused")
        else:
            self._note(question, answer, plain)
        return answer

    def _note(self, question: Question, answer: Answer, plain: Answer) -> None:
        first, *others = question.names
        if answer.error is None:
            self.findings.update(zip(question.names, question.judge(answer, plain), strict=False))
            return
        reason = answer.saying
        refused = no(f"refused: {reason}", "refused")
        self.findings[first] = refused if answer.refused else unknown(f"no answer: {reason}")
        self.findings.update(dict.fromkeys(others, unknown(f"{first} got no answer")))

    async def _send(self, question: Question, body: bytes) -> Answer:
        dialect: Dialect = PromptedChat() if question.body else _DIALECTS[question.route]

        async def attempt() -> Answer:
            if question.stream:
                return await self._read_stream(dialect, PATHS[question.route], body)
            return Answer(dialect.decode(await self._transport.send(PATHS[question.route], body)))

        async def attempt_in_turn() -> Answer:
            with hiding_secrets(self._transport.endpoint):
                # A request that will not be sent need not wait for the rate limit.
                return await (attempt() if self._transport.is_spent else self._pace.call(attempt, self._tell))

        if self._silences >= _MOST_SILENCES:
            return Answer(error=EndpointError("not asked, as the endpoint has stopped answering"))
        try:
            answer = await self._retry.call(attempt_in_turn, self._tell, _may_pass)
        except EndpointError as error:
            answer = Answer(error=error)
        self._silences = self._silences + 1 if isinstance(answer.error, _SILENCES) else 0
        return answer

    async def _read_stream(self, dialect: Dialect, path: str, body: bytes) -> Answer:
        splitter, decoder = EventSplitter(), dialect.decoder()
        events = list[tuple[bytes, bytes]]()
        async with aclosing(read_to_end(self._transport.stream(path, body), decoder.ending)) as chunks:
            async for chunk in chunks:
                events += splitter.feed(chunk)
                decoder.feed(chunk)
        events += splitter.close()
        reply: Reply = decoder.close()
        names = tuple(dict.fromkeys(name.decode(errors="replace") for name, _ in events))
        return Answer(reply, shape=StreamShape(names, len(events), any(data == b"[DONE]" for _, data in events)))

    async def _tell(self, event: Notice | Retrying) -> None:
        if isinstance(event, Notice):
            await self._watch(event.text, self._transport.sent)
        else:
            await self._watch(f"again in {event.seconds:.0f} s: {event.reason}", self._transport.sent)


def _may_pass(error: EndpointError) -> bool:
    return isinstance(error, (RateLimitedError, UnreachableError))


_DIALECTS: dict[Route, Dialect] = {"responses": NativeResponses(), "chat": ChatCompletions()}

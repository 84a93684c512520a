"""What llmock, a server that breaks on demand and judges how its clients take it, says of ours: nothing at all.

Its verdict is about time: whether a client waits as long as it was asked to, and longer each time. So both sides have
one time here, which passes when one of them waits, and then at once.
"""

import asyncio
import json
from concurrent.futures import Future
from contextlib import aclosing, contextmanager
from types import SimpleNamespace

import pytest
from llmock.scenarios import Reply
from llmock.testing import LLMockServer

from agentloop import (
    Agent,
    ContextOverflowError,
    Endpoint,
    EndpointError,
    EndpointTimeoutError,
    RateLimitedError,
    RefusedError,
    ServerError,
    StreamCutError,
    TextDelta,
    ToolResult,
    UnreachableError,
    tool,
)
from agentloop.endpoint.transport import HttpTransport, RetryPolicy
from clock import Clock
from ways import PROFILES, both_wires, closing, each_route, every_way, ours, streaming

RAN = []
PASSES = [408, 409, 429, 500, 502, 503, 504, 529]
STAYS = [400, 401, 402, 403, 404, 405, 413, 422, 501]


@tool
def add(a: int, b: int) -> int:
    """Add two integers."""
    RAN.append((a, b))
    return a + b


PATIENCE_SECONDS = 60
PACE_MILLISECONDS = 5
DELAY_SECONDS, STALL_SECONDS = 6, 7


class Time:
    """The time of the client and of the server.

    Args:
        held_at: Before which chunk of the first stream, if that is paced, the server waits for the client to hang up.
    """

    def __init__(self, held_at):
        self.now = 1_000.0
        self.hung_up = Future()
        self._held_at = held_at
        self._clocks, self._requests, self._chunks = {}, 0, 0

    def monotonic(self):
        return self.now

    @contextmanager
    def of_request(self):
        """Let the timeouts of a request go by this time."""
        loop = asyncio.get_running_loop()
        if loop not in self._clocks:
            loop.time = self._clocks[loop] = Clock(loop)
        self._requests += 1
        try:
            yield
        except EndpointTimeoutError:
            self.hung_up.set_result(None)
            raise

    def __enter__(self):
        pass

    def __exit__(self, *_):
        for loop in self._clocks:
            del loop.time

    def advance(self, seconds):
        self.now += seconds
        for clock in self._clocks.values():
            clock.advance(seconds)

    async def sleep_at_client(self, seconds):
        self.now += seconds

    async def sleep_at_server(self, seconds):
        """Wait until the client, for which that time has passed, has hung up."""
        if seconds == PACE_MILLISECONDS / 1_000:
            self._chunks += 1
            if self._requests > 1 or self._chunks != self._held_at:
                return
        self.advance(seconds)
        gone = asyncio.wrap_future(self.hung_up) if seconds == DELAY_SECONDS else asyncio.Event().wait()
        await asyncio.wait_for(gone, PATIENCE_SECONDS)


class Timed(HttpTransport):
    """A transport whose requests go by a time of ours."""

    def __init__(self, endpoint, time):
        super().__init__(endpoint)
        self._time = time

    async def send(self, path, body):
        with self._time.of_request():
            return await super().send(path, body)

    async def stream(self, path, body):
        with self._time.of_request():
            async with aclosing(super().stream(path, body)) as chunks:
                async for chunk in chunks:
                    yield chunk


@pytest.fixture(scope="session")
def llmock_server():
    """Give the server time to start on a machine that is busy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("llmock.testing._STARTUP_TIMEOUT", PATIENCE_SECONDS)
        with LLMockServer() as server:
            yield server


@contextmanager
def judging(way, llmock, *tools, held_at=0, **fields):
    """Yield an agent of the server, and hear its verdict at the end."""
    RAN.clear()
    time = Time(held_at)
    # On httpx alone: llmock judges a broken stream by when it notices that the client has hung up, and over aiohttp the
    # next request may come first. `test_transport` holds both clients to hanging up.
    fields["http"] = "httpx"
    endpoint = Endpoint(llmock.base_url(), profile=PROFILES[way.dialect], timeout_seconds=5, **fields)
    retry = RetryPolicy(retries=endpoint.retries, sleep=time.sleep_at_client, clock=time.monotonic)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("llmock.middleware.time", time)
        patch.setattr("llmock.middleware.asyncio", SimpleNamespace(sleep=time.sleep_at_server))
        patch.setattr("llmock.pytest_plugin._WAIT_SECONDS", PATIENCE_SECONDS)
        patch.setattr(RetryPolicy, "of", lambda _: retry)
        with time, closing(Agent("gpt-4o", endpoint=Timed(endpoint, time), tools=tools)) as agent:
            yield agent
            assert llmock.verdict().render().splitlines()[2].split()[0] == "PASS", llmock.verdict().render()


@every_way
def test_a_run_without_a_fault(way, llmock):
    with judging(way, llmock, add) as agent:
        assert way.ask(agent, "add 1 and 1").stop_reason == "answered"
    assert (RAN, len(llmock.requests)) == ([(1, 1)], 2)


@each_route
@pytest.mark.parametrize("status", PASSES)
def test_an_error_that_passes_is_waited_out(way, llmock, status):
    llmock.fail(status, retry_after=20)
    with judging(way, llmock, add) as agent:
        assert way.ask(agent).stop_reason == "answered"
    assert (RAN, len(llmock.requests)) == ([(1, 1)], 3)


@both_wires
def test_an_error_that_does_not_say_when_to_come_back_is_met_with_longer_and_longer_waits(way, llmock):
    llmock.fail(500, times=3)
    with judging(way, llmock) as agent:
        assert way.ask(agent).stop_reason == "answered"
    assert len(llmock.requests) == 4


@each_route
@pytest.mark.parametrize("status", STAYS)
def test_an_error_that_stays_is_not_asked_for_again(way, llmock, status):
    llmock.fail(status, times=None)
    with judging(way, llmock, add, retries=0) as agent, pytest.raises(EndpointError) as caught:
        way.ask(agent)
    assert isinstance(caught.value, (RefusedError, ServerError))
    assert len({(request.path, json.dumps(request.body)) for request in llmock.requests}) == len(llmock.requests)


@each_route
@pytest.mark.parametrize(("status", "kind"), [(429, RateLimitedError), (503, ServerError)])
def test_an_outage_is_given_up_in_the_end(way, llmock, status, kind):
    llmock.fail(status, times=None, retry_after=20)
    with judging(way, llmock, add, retries=2) as agent, ours(kind, "sent 3 times"):
        way.ask(agent)


@both_wires
def test_a_conversation_that_is_too_long_is_an_error_of_its_own(way, llmock):
    llmock.limits(context_window=2)
    with judging(way, llmock, add) as agent, ours(ContextOverflowError):
        way.ask(agent, "What is the sum of one and one, if you please?")


@each_route
def test_a_reply_that_never_comes_is_given_up_and_asked_for_again(way, llmock):
    llmock.delay(DELAY_SECONDS)
    with judging(way, llmock, add) as agent:
        assert way.ask(agent).stop_reason == "answered"
    assert RAN == [(1, 1)]


@both_wires
@pytest.mark.parametrize("kind", ["malformed_arguments", "unknown_tool"])
def test_a_broken_call_is_told_to_the_model(way, llmock, kind):
    llmock.break_tool_call(kind)
    with judging(way, llmock, add) as agent:
        result = way.ask(agent)
    [told] = [item for item in result.items if isinstance(item, ToolResult)]
    assert (result.stop_reason, RAN, told.ok) == ("answered", [], False)


@both_wires
def test_a_reply_that_was_cut_short_is_said_to_be(way, llmock):
    llmock.add(Reply(text="One and one is", finish_reason="length"))
    with judging(way, llmock) as agent:
        result = way.ask(agent)
    assert (result.stop_reason, result.text) == ("truncated", "One and one is")


FAULTS = {
    "disconnect": lambda llmock, at: llmock.disconnect(after_chunks=at),
    "truncate": lambda llmock, at: llmock.truncate(after_chunks=at),
    "malformed": lambda llmock, at: llmock.corrupt(after_chunks=at).pace(PACE_MILLISECONDS),
}
each_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
WORDS = "one two three four five six seven"


@streaming
@each_fault
@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_stream_that_breaks_in_a_call_is_asked_for_again_and_the_call_runs_once(way, llmock, fault, at):
    fault(llmock, at)
    with judging(way, llmock, add, held_at=at + 1) as agent:
        assert way.ask(agent).stop_reason == "answered"
    assert (RAN, len(llmock.requests)) == ([(1, 1)], 3)


@streaming
@each_fault
@pytest.mark.parametrize("at", [0, 1])
def test_a_stream_that_breaks_before_any_text_is_asked_for_again(way, llmock, fault, at):
    fault(llmock.reply(WORDS, times=None), at)
    with judging(way, llmock, held_at=at + 1) as agent:
        assert way.ask(agent).text == WORDS
    assert len(llmock.requests) == 2


@streaming
@each_fault
def test_a_stream_that_breaks_after_text_was_shown_is_an_error_and_whoever_sees_it_may_ask_again(way, llmock, fault):
    fault(llmock.reply(WORDS, times=None), 6)
    events = []
    with judging(way, llmock, held_at=7) as agent:
        with pytest.raises((StreamCutError, UnreachableError)):
            way.ask(agent, events=events)
        shown = "".join(event.text for event in events if isinstance(event, TextDelta))
        assert shown
        assert WORDS.startswith(shown)
        assert len(llmock.requests) == 1, "so the server has seen the end of it, too"
        assert way.ask(agent).text == WORDS


@streaming
def test_a_stream_that_stalls_is_given_up_and_asked_for_again(way, llmock):
    llmock.stall(after_chunks=1, seconds=STALL_SECONDS)
    with judging(way, llmock, add) as agent:
        assert way.ask(agent).stop_reason == "answered"
    assert RAN == [(1, 1)]

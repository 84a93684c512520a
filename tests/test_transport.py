import asyncio
import gzip
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from agentloop.agent import Agent
from agentloop.endpoint.transport import HttpTransport, RetryPolicy, Transport, is_retryable
from agentloop.errors import (
    AuthenticationError,
    ConfigurationError,
    ContextOverflowError,
    EmptyReplyError,
    EndpointError,
    EndpointTimeoutError,
    NotFoundError,
    OutputError,
    RateLimitedError,
    RefusedError,
    ReplyError,
    ServerError,
    StreamCutError,
    UnreachableError,
)
from agentloop.events import Notice, Retrying
from agentloop.wire.profile import Endpoint
from clock import stop_clock
from loopback import (
    CUT,
    Gate,
    Loopback,
    Reply,
    busy_reply,
    damaged_gzip,
    error_reply,
    html_reply,
    json_reply,
    loop_in_thread,
    sse_reply,
    text_body,
)

BODY = b'{"model":"m","stream":false}'
NOBODY_THERE = "http://127.0.0.1:1/v1"  # no server listens on the TCP port multiplexer's port


# --- when a failed request is sent again ---


@dataclass
class Clock:
    """Time that passes only when something waits."""

    now: float = 100.0
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@dataclass
class Attempts:
    """Fails with each of these errors in turn, taking `seconds` each, and then succeeds."""

    failures: list[Exception]
    clock: Clock = field(default_factory=Clock)
    seconds: float = 0.0
    starts: list[float] = field(default_factory=list)
    told: list[Retrying] = field(default_factory=list)

    async def __call__(self) -> str:
        self.starts.append(self.clock.now)
        self.clock.now += self.seconds
        if self.failures:
            raise self.failures.pop(0)
        return "done"

    async def tell(self, event: Retrying) -> None:
        assert len(self.told) == len(self.clock.waits), "the event comes before the wait"
        self.told.append(event)

    async def run(self, retryable: Callable[[EndpointError], bool] = is_retryable, **policy: float) -> str:
        retries = RetryPolicy(sleep=self.clock.sleep, clock=self.clock, **policy)
        return await retries.call(self, self.tell, retryable)


def refused(status: int, retry_after: float | None = None) -> RateLimitedError | ServerError | RefusedError:
    error = RateLimitedError if status == 429 else ServerError if status >= 500 else RefusedError
    return error(f"the endpoint answered {status}.", status=status, retry_after=retry_after)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnreachableError("x"), True),
        (EndpointTimeoutError("x"), True),
        (StreamCutError("x"), True),
        (RateLimitedError("x", status=429), True),
        (ServerError("x", status=503), True),
        (ServerError("failed within a 200"), True),
        (RefusedError("x", status=408), True),
        (RefusedError("x", status=400, code="tool_use_failed"), True),
        (RefusedError("x", status=409), True),
        (RefusedError("x", status=400), False),
        (RefusedError("a quota that is used up", status=429), False),
        (ContextOverflowError("x", status=500), False),
        (AuthenticationError("x", status=401), False),
        (NotFoundError("x", status=404), False),
        (ReplyError("a web page with a 200"), True),
        (ReplyError("a redirect", status=307), False),
        (OutputError("x"), False),
        (EmptyReplyError("x"), False),
    ],
)
def test_what_is_retryable(error, expected):
    assert is_retryable(error) is expected


async def test_an_attempt_that_succeeds_is_made_once_and_nothing_is_told():
    attempts = Attempts([])
    assert await attempts.run() == "done"
    assert (len(attempts.starts), attempts.told) == (1, [])


async def test_each_retry_is_told_before_its_wait_and_counted_from_one():
    attempts = Attempts([UnreachableError("broke"), refused(503), refused(429, retry_after=20)])
    assert await attempts.run() == "done"
    assert [(event.reason, event.attempt) for event in attempts.told] == snapshot(
        [("broke", 1), ("the endpoint answered 503.", 2), ("the endpoint answered 429.", 3)]
    )
    assert [event.seconds for event in attempts.told] == attempts.clock.waits


async def test_waits_double_from_half_a_second_to_eight_with_jitter():
    attempts = Attempts([UnreachableError("x") for _ in range(7)])
    await attempts.run(retries=7, give_up_after_seconds=1000)
    for wait, least in zip(attempts.clock.waits, [0.5, 1, 2, 4, 8, 8, 8], strict=True):
        assert least <= wait <= min(least + 0.5, 8)


async def test_a_wait_that_the_server_asks_for_is_kept_and_not_counted():
    attempts = Attempts([refused(429, retry_after=100) for _ in range(4)])
    assert await attempts.run() == "done"
    assert all(100 <= wait <= 100.5 for wait in attempts.clock.waits)


async def test_a_server_that_asks_for_no_wait_is_asked_again_at_once():
    attempts = Attempts([refused(429, retry_after=0) for _ in range(4)])
    assert await attempts.run() == "done"
    assert all(wait <= 0.5 for wait in attempts.clock.waits)


async def test_two_minutes_is_the_longest_wait_that_is_kept():
    assert await Attempts([refused(429, retry_after=120)]).run() == "done"
    attempts = Attempts([refused(429, retry_after=121)])
    with pytest.raises(RateLimitedError) as raised:
        await attempts.run()
    assert raised.value.message == snapshot(
        "the endpoint answered 429 (the server asks for a wait of 121 s, and 120 s is the most)"
    )
    assert attempts.clock.waits == []


async def test_the_last_failure_is_raised_and_says_that_retries_did_not_help():
    last = refused(500)
    attempts = Attempts([refused(503), UnreachableError("x"), last, UnreachableError("never reached")], seconds=2)
    with pytest.raises(ServerError) as raised:
        await attempts.run(retries=2)
    assert raised.value is last
    assert raised.value.message.startswith("the endpoint answered 500 (sent 3 times, the last ")
    assert len(attempts.starts) == 3


async def test_no_retry_starts_later_than_the_deadline_after_the_first_failure():
    attempts = Attempts([UnreachableError("x") for _ in range(99)], seconds=10)
    with pytest.raises(UnreachableError):
        await attempts.run(retries=99)
    assert len(attempts.starts) == 4  # failures at 0, 10, 21 and 33 seconds, waits included


async def test_without_retries_the_failure_comes_out_as_it_is():
    attempts = Attempts([refused(503)])
    with pytest.raises(ServerError, match=r"^the endpoint answered 503\.$"):
        await attempts.run(retries=0)


@pytest.mark.parametrize("before", [0, 1])
async def test_a_failure_that_waiting_can_not_mend_is_raised_at_once(before):
    attempts = Attempts([*[refused(503)] * before, refused(400)])
    with pytest.raises(RefusedError, match=r"^the endpoint answered 400\.$"):
        await attempts.run()
    assert len(attempts.starts) == before + 1


@pytest.mark.parametrize("before", [0, 1])
async def test_an_error_that_is_not_the_endpoints_passes_through(before):
    attempts = Attempts([*[refused(503)] * before, KeyError("a mistake of ours")])
    with pytest.raises(KeyError):
        await attempts.run()


async def test_the_caller_may_forbid_a_retry():
    attempts = Attempts([refused(503), refused(503)])
    with pytest.raises(ServerError):
        await attempts.run(lambda _: len(attempts.starts) < 2)
    assert len(attempts.starts) == 2


async def test_cancelling_ends_the_wait():
    waiting = asyncio.Event()

    async def sleep(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    attempts = Attempts([refused(503)])
    call = asyncio.create_task(RetryPolicy(sleep=sleep).call(attempts, attempts.tell))
    await asyncio.wait_for(waiting.wait(), 10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(attempts.starts) == 1


def test_an_endpoints_settings_make_its_policy():
    policy = RetryPolicy.of(Endpoint(NOBODY_THERE, retries=7, give_up_after_seconds=3))
    assert (policy.retries, policy.give_up_after_seconds) == (7, 3)


failures = st.lists(
    st.one_of(
        st.just(None).map(lambda _: UnreachableError("x")),
        st.floats(0, 130).map(lambda seconds: refused(429, retry_after=seconds)),
        st.just(400).map(refused),
    ),
    max_size=12,
)


@given(failures, st.integers(0, 8), st.floats(0, 100, allow_nan=False), st.floats(0, 20, allow_nan=False))
async def test_whatever_fails_the_promises_hold(errors, retries, give_up_after_seconds, seconds):
    attempts = Attempts(list(errors), seconds=seconds)
    try:
        await attempts.run(retries=retries, give_up_after_seconds=give_up_after_seconds)
        raised = None
    except EndpointError as error:
        raised = error
    assert raised is [*errors, None][len(attempts.starts) - 1]
    tried = errors[: len(attempts.starts) - 1]
    asked = [error.retry_after or 0 for error in tried]
    assert len(attempts.starts) <= retries + 1
    assert all(map(is_retryable, tried))
    assert all(wait >= least for wait, least in zip(attempts.clock.waits, asked, strict=True))
    if tried:
        last_start = attempts.starts[-1] - attempts.starts[0] - seconds
        assert last_start - sum(asked) <= give_up_after_seconds + 1e-6
    assert all(later >= earlier for earlier, later in pairwise(attempts.starts))


# --- bytes over a real connection ---

ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-not-for-this-endpoint",
    "OPENAI_ADMIN_KEY": "sk-admin",
    "OPENAI_ORG_ID": "org-1",
    "OPENAI_PROJECT_ID": "proj-1",
    "OPENAI_BASE_URL": "http://127.0.0.1:2/v1",
    "OPENAI_CUSTOM_HEADERS": "X-Team: secret\nAuthorization: Bearer sk-custom",
    "OPENAI_WEBHOOK_SECRET": "whsec",
}


async def close(transport: Transport) -> None:
    await asyncio.wait_for(transport.aclose(), 10)


@pytest.fixture(params=["httpx", "aiohttp"])
def http(request) -> str:
    """Each of the HTTP clients, which must not be told apart."""
    return request.param


@pytest.fixture
async def connect(http):
    transports: list[Transport] = []

    def make(base_url: str, **settings) -> HttpTransport:
        transports.append(transport := HttpTransport(Endpoint(base_url, http=http, **settings)))
        return transport

    yield make
    for transport in transports:
        await close(transport)


def opened(transport: Transport) -> aclosing[AsyncGenerator[bytes]]:
    return aclosing(transport.stream("/responses", BODY))


async def read(transport: Transport) -> list[bytes]:
    async with opened(transport) as chunks:
        return [chunk async for chunk in chunks]


async def send(transport: Transport) -> bytes:
    return await transport.send("/responses", BODY)


both_ways = pytest.mark.parametrize("ask", [send, read])


async def test_the_body_is_posted_as_it_is_and_the_reply_comes_back_as_it_is(connect):
    async with Loopback([Reply((b'{"as":"it\\u0020is"}',))]) as server:
        assert await send(connect(server.base_url)) == b'{"as":"it\\u0020is"}'
    (request,) = server.requests
    assert (request.method, request.path, request.body) == ("POST", "/v1/responses", BODY)


@both_ways
async def test_an_anonymous_request_has_no_key_and_nothing_from_the_environment(connect, monkeypatch, ask):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    async with Loopback([text_body("hi")]) as server:
        await ask(connect(server.base_url))
    headers = {name: value for name, value in server.requests[0].headers.items() if name != "host"}
    assert headers == snapshot(
        {
            "accept-encoding": "gzip, deflate",
            "connection": "keep-alive",
            "accept": "application/json",
            "user-agent": "agentloop",
            "content-type": "application/json",
            "content-length": "28",
        }
    )


async def test_the_key_and_the_endpoints_headers_are_sent(connect):
    async with Loopback([text_body("hi")]) as server:
        await send(connect(server.base_url, api_key="sk-1", headers={"X-Team": "blue", "user-agent": "mine"}))
    headers = server.requests[0].headers
    assert (headers["authorization"], headers["x-team"], headers["user-agent"]) == ("Bearer sk-1", "blue", "mine")


async def test_an_endpoint_may_bring_an_authorization_header_of_its_own(connect):
    async with Loopback([text_body("hi")]) as server:
        await send(connect(server.base_url, headers={"authorization": "Basic abc"}))
    assert server.requests[0].headers["authorization"] == "Basic abc"


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"api_key": "sk-1\n"}, "api_key"),
        ({"api_key": "clé"}, "api_key"),
        ({"headers": {"X-Team": "a\r\nb: c"}}, "X-Team"),
    ],
)
def test_a_key_or_header_that_can_not_be_sent_is_refused_without_being_shown(settings, name):
    with pytest.raises(ConfigurationError, match=f"^{name} holds a character") as raised:
        HttpTransport(Endpoint(NOBODY_THERE, **settings))
    assert "sk-1" not in str(raised.value)


def test_a_transport_says_where_it_leads():
    endpoint = Endpoint(NOBODY_THERE)
    assert HttpTransport(endpoint).endpoint is endpoint


async def test_connections_are_kept_between_requests(connect):
    async with Loopback(lambda _: text_body("hi")) as server:
        transport = connect(server.base_url)
        for ask in (send, read, send):
            await ask(transport)
    assert server.connections == 1


async def test_a_stream_comes_as_it_is_sent(connect):
    gate = Gate()
    async with (
        Loopback([sse_reply([("a", "1"), gate, ("b", "2")])]) as server,
        opened(connect(server.base_url)) as chunks,
    ):
        assert await anext(chunks) == b"event: a\ndata: 1\n\n"
        await gate.was_reached()
        gate.open()
        assert [chunk async for chunk in chunks] == [b"event: b\ndata: 2\n\n"]


@both_ways
async def test_a_compressed_reply_is_decompressed(connect, ask):
    reply = Reply((gzip.compress(b"data: 1\n\n"),), headers={"content-encoding": "gzip"})
    async with Loopback([reply]) as server:
        assert await ask(connect(server.base_url)) in (b"data: 1\n\n", [b"data: 1\n\n"])


async def test_html_with_a_200_is_left_to_the_dialect(connect):
    async with Loopback([html_reply()]) as server:
        assert (await send(connect(server.base_url))).startswith(b"<!DOCTYPE html>")


# --- what goes wrong ---


@both_ways
@pytest.mark.parametrize(
    ("reply", "error", "status"),
    [
        (error_reply(400, "no such field"), RefusedError, 400),
        (error_reply(401, "who are you", shape="message"), AuthenticationError, 401),
        (error_reply(404, "no such model", shape="detail string"), NotFoundError, 404),
        (error_reply(500, "out of memory", shape="error string"), ServerError, 500),
        (html_reply(502), ServerError, 502),
        (busy_reply(), RateLimitedError, 429),
        (busy_reply("7"), RateLimitedError, 429),
        (Reply(status=503), ServerError, 503),
        (Reply((b"not ", b"whole", b"!"), status=503), ServerError, 503),
    ],
)
async def test_a_refusal_is_read_into_one_of_our_errors(connect, ask, reply, error, status):
    async with Loopback([reply]) as server:
        with pytest.raises(error) as raised:
            await ask(connect(server.base_url))
    assert raised.value.status == status
    assert raised.value.retry_after == (7 if "retry-after" in reply.headers else None)
    assert raised.value.hint


@both_ways
async def test_a_redirect_is_an_error_that_says_where_to(connect, ask):
    async with Loopback([json_reply({}, 307, {"location": "https://elsewhere.example/v1"})]) as server:
        with pytest.raises(ReplyError, match=r"redirects to https://elsewhere\.example/v1") as raised:
            await ask(connect(server.base_url, headers={"api-key": "sk-1"}))
    assert raised.value.status == 307
    assert not is_retryable(raised.value)


@both_ways
@pytest.mark.parametrize(
    "reply",
    [
        Reply(before=(CUT,)),
        Reply((b"half", CUT)),
        Reply((damaged_gzip(b"half"),), headers={"content-encoding": "gzip"}),
    ],
    ids=["before a word", "in the body", "garbled"],
)
async def test_a_connection_that_breaks_is_unreachable(connect, ask, reply):
    async with Loopback([reply]) as server:
        with pytest.raises(UnreachableError) as raised:
            await ask(connect(server.base_url))
    assert raised.value.message.startswith(f"the connection to {server.base_url} failed: ")


@both_ways
async def test_a_server_that_is_not_there_is_unreachable_and_the_url_shows_no_password(connect, ask):
    with pytest.raises(UnreachableError) as raised:
        await ask(connect("http://me:secret@127.0.0.1:1/v1"))
    assert raised.value.message.startswith("the connection to http://127.0.0.1:1/v1 failed: ")
    assert raised.value.hint == "check that the server is running and that base_url is right"
    assert "secret" not in str(raised.value)


async def test_what_was_streamed_before_the_connection_broke_is_handed_out(connect):
    async with Loopback([sse_reply([("a", "1"), CUT])]) as server, opened(connect(server.base_url)) as chunks:
        assert await anext(chunks) == b"event: a\ndata: 1\n\n"
        with pytest.raises(UnreachableError):
            await anext(chunks)


@both_ways
async def test_a_stalled_server_is_timed_out(connect, ask):
    gate, clock = Gate(), stop_clock()
    async with Loopback([Reply(before=(gate,))]) as server:
        asking = asyncio.create_task(ask(connect(server.base_url, timeout_seconds=5)))
        await gate.was_reached()
        clock.advance(5)
        with pytest.raises(EndpointTimeoutError, match=r"gave no whole reply within 5 s"):
            await asking
        await gate.was_left()


@both_ways
async def test_a_reply_that_stalls_in_the_middle_is_timed_out(connect, ask):
    gate, clock = Gate(), stop_clock()
    async with Loopback([sse_reply([("a", "1"), gate])]) as server:
        asking = asyncio.create_task(ask(connect(server.base_url, timeout_seconds=5)))
        await gate.was_reached()
        clock.advance(5)
        with pytest.raises(EndpointTimeoutError):
            await asking


async def test_the_time_is_up_only_while_the_endpoint_is_waited_for(connect):
    clock = stop_clock()
    async with Loopback([text_body("warm"), sse_reply([("a", "1"), Gate()])]) as server:
        transport = connect(server.base_url, timeout_seconds=5)
        await send(transport)
        async with opened(transport) as chunks:
            await anext(chunks)
            clock.advance(6)
            for _ in range(10):  # a task that is cancelled when the time is up would end here
                await asyncio.sleep(0)
            with pytest.raises(EndpointTimeoutError):
                await anext(chunks)


async def test_cancelling_hangs_up_and_the_transport_can_be_used_again(connect):
    gate = Gate()
    async with Loopback([Reply(before=(gate,)), text_body("hi")]) as server:
        transport = connect(server.base_url)
        request = asyncio.create_task(send(transport))
        await gate.was_reached()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await gate.was_left()
        assert asyncio.all_tasks() - {asyncio.current_task(), *server.tasks} == set()
        await send(transport)


async def test_closing_a_stream_early_hangs_up(connect):
    gate = Gate()
    async with Loopback([sse_reply([("a", "1"), gate])]) as server:
        async with opened(connect(server.base_url)) as chunks:
            await anext(chunks)
        await gate.was_left()


@both_ways
async def test_a_client_that_can_not_be_made_is_the_users_mistake(connect, ask, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "carrier-pigeon://loft")
    transport = connect("http://model.invalid/v1")
    with pytest.raises(ConfigurationError, match="carrier-pigeon") as raised:
        await ask(transport)
    assert "proxy" in raised.value.hint


@both_ways
async def test_certificates_are_read_once_until_other_files_are_named(connect, ask, monkeypatch, tmp_path):
    file = tmp_path / "certificates.pem"
    file.write_text(certifi.contents())
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with Loopback([json_reply({})] * 2) as server:
        await ask(connect(server.base_url))
        file.unlink()
        await ask(connect(server.base_url))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(ConfigurationError, match="No such file") as raised:
        await ask(connect(NOBODY_THERE))
    assert "SSL_CERT" in raised.value.hint


# --- event loops ---


async def test_requests_that_start_together_share_one_pool_and_can_be_cancelled_one_by_one(connect):
    async with Loopback(lambda _: text_body("hi")) as server:
        transport = connect(server.base_url)
        first, *others = [asyncio.create_task(send(transport)) for _ in range(5)]
        asyncio.get_running_loop().call_soon(first.cancel)
        with pytest.raises(asyncio.CancelledError):
            await first
        assert len(await asyncio.gather(*others)) == 4
        assert len(transport._pool._connections) == 1


def test_each_event_loop_has_a_pool_which_closes_with_it(http):
    with Loopback.in_thread(lambda _: text_body("hi")) as server:
        transport = HttpTransport(Endpoint(server.base_url, http=http))
        clients = []

        async def twice() -> None:
            await send(transport)
            await send(transport)
            clients.append((await transport._pool.connect())._client)

        asyncio.run(twice())
        asyncio.run(twice())
        assert server.connections == 2
        assert all(client.is_closed() for client in clients)
        assert len(transport._pool._connections) == 1, "the first loop has been forgotten"
        asyncio.run(close(transport))  # the loops of before are gone: there is nothing to do


def test_closing_reaches_the_pools_of_other_loops_and_the_next_request_opens_a_new_one(http):
    with Loopback.in_thread(lambda _: text_body("hi")) as server, loop_in_thread() as other:
        transport = HttpTransport(Endpoint(server.base_url, http=http))
        asyncio.run_coroutine_threadsafe(send(transport), other).result(10)
        asyncio.run(send(transport))
        client = transport._pool._connections[other].result()._client
        asyncio.run(close(transport))
        assert client.is_closed()
        asyncio.run(send(transport))
        assert server.connections == 3


async def test_a_pool_whose_opening_was_cancelled_is_opened_anew(connect):
    async with Loopback([text_body("hi")]) as server:
        transport = connect(server.base_url)
        request = asyncio.create_task(send(transport))
        while not transport._pool._connections:
            await asyncio.wait({request}, timeout=0)
        transport._pool._connections[asyncio.get_running_loop()].cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await send(transport)


# --- imports ---


def test_importing_the_transport_imports_neither_the_sdk_nor_tenacity():
    code = "import sys, agentloop.endpoint.transport; print({'openai', 'httpx2', 'tenacity'} & sys.modules.keys())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=90)
    assert out.stdout == "set()\n"


# --- warnings ---


def warned(*texts: str) -> list[Reply]:
    return [json_reply(text_body("hi"), headers={"x-warning": text} if text else {}) for text in texts]


async def test_a_warning_of_the_endpoint_is_kept_once_in_a_process(http):
    deprecated = f"the model is deprecated on {http}"  # a port may be one that the other client has had
    answers = warned(deprecated, "", deprecated, f"it ends in May on {http}", f"{http}{'x' * 1000}")
    async with Loopback(answers) as server:
        first, second = (HttpTransport(Endpoint(server.base_url, http=http)) for _ in range(2))
        for transport in (first, first, second, second):
            await transport.send("/responses", BODY)
        told = [f"the endpoint warns: {text}" for text in (deprecated, f"it ends in May on {http}")]
        assert first.take_warnings() == told
        assert second.take_warnings() == first.take_warnings() == [], "they share the connections, and so the warnings"
        assert [chunk async for chunk in second.stream("/responses", BODY)]
        assert second.take_warnings() == ["the endpoint warns: " + f"{http}{'x' * 1000}"[:500]]
        await first.aclose()
        await second.aclose()


def test_an_agent_tells_of_it_in_an_event():
    with Loopback.in_thread(warned("the model is deprecated", "the model is deprecated")) as server:
        agent = Agent("m", endpoint=Endpoint(server.base_url))
        first, second = (list(agent.stream_sync("go")) for _ in range(2))
        agent.close()
    assert [event for event in first if isinstance(event, Notice)] == [
        Notice("warning", "the endpoint warns: the model is deprecated")
    ]
    assert not [event for event in second if isinstance(event, Notice)]

"""A reply ends where it says so: not where its connection ends, and whether or not it was to be a stream."""

import asyncio
import json
from contextlib import aclosing
from itertools import chain

import pytest

from agentloop import Agent, Endpoint, EndpointTimeoutError, ReplyError, Retrying, TextDelta, UnreachableError, tool
from agentloop.endpoint.transport import HttpTransport, retry
from agentloop.wire.streams.ending import WholeBody
from clock import stop_clock
from loopback import (
    CUT,
    Gate,
    Loopback,
    Reply,
    call_body,
    chunks_of,
    completion_of,
    error_reply,
    events_of,
    html_reply,
    json_reply,
    sse_reply,
    text_body,
)
from ways import CHAT, NATIVE, PROFILES, STREAM, Way

FOREVER = 1e9
PATIENCE_SECONDS = 60
ANSWER = text_body("all of it")
BOTH_ROUTES = pytest.mark.parametrize("dialect", ["native", "chat"])
BOTH_CLIENTS = pytest.mark.parametrize("http", ["httpx", "aiohttp"])
ways = pytest.mark.parametrize("way", [*NATIVE, *CHAT], ids=lambda way: f"{way.name}-{way.dialect}")


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    """Send requests again at once."""
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0)
    monkeypatch.setattr(retry, "JITTER_SECONDS", 0)


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def sse(events) -> bytes:
    return b"".join(
        (f"event: {name}\n".encode() if name else b"")
        + b"data: "
        + (data if isinstance(data, str) else json.dumps(data)).encode()
        + b"\n\n"
        for name, data in events
    )


def chat_stream(body=ANSWER, *, without=0) -> bytes:
    """Return a chat stream, without so many of its last events: 1 is [DONE], 2 the usage, 3 the finish_reason."""
    events = chunks_of(completion_of(body))
    return sse(events[: len(events) - without])


def response_stream(body=ANSWER) -> bytes:
    return sse(events_of(body))


def stream_in(dialect, body=ANSWER) -> bytes:
    return response_stream(body) if dialect == "native" else chat_stream(body)


def whole_in(dialect, body=ANSWER) -> bytes:
    return json.dumps(body if dialect == "native" else completion_of(body)).encode()


# --- the connection stays open ---

ENDS = {
    "response.completed": ("native", response_stream()),
    "[DONE]": ("chat", chat_stream()),
    "usage": ("chat", chat_stream(without=1)),
    "finish_reason": ("chat", chat_stream(without=2)),
    "a body for a stream": ("chat", whole_in("chat")),
    "a response for a stream": ("native", whole_in("native")),
    "a body and [DONE]": ("chat", whole_in("chat") + b"\n\ndata: [DONE]\n\n"),
}


async def tick(task, clock, step=1.0):
    """Let time pass until a task is done. It has no other limit, so nothing depends on how often that is."""
    async with asyncio.timeout(FOREVER * 0.9):
        while not task.done():
            clock.advance(step)
            await asyncio.sleep(0)


async def play(agent, how):
    if how == "run":
        return await agent.run("go"), []
    events = [event async for event in agent.stream("go")]
    return events[-1].result, events


@BOTH_CLIENTS
@pytest.mark.parametrize("how", ["run", "stream"])
@pytest.mark.parametrize(("dialect", "sent"), ENDS.values(), ids=ENDS)
async def test_a_whole_reply_is_taken_though_the_connection_stays_open(http, how, dialect, sent):
    clock, gate = stop_clock(), Gate()
    reply = Reply((sent, gate), content_type="text/event-stream")
    async with Loopback([reply]) as server:
        endpoint = Endpoint(
            server.base_url,
            profile=PROFILES[dialect],
            http=http,
            timeout_seconds=FOREVER,
            idle_timeout_seconds=FOREVER,
        )
        async with Agent("any", endpoint=endpoint) as agent:
            playing = asyncio.create_task(play(agent, how))
            await gate.was_reached()
            await tick(playing, clock)
            result, events = await playing
            assert result.text == "all of it"
            assert "".join(event.text for event in events if isinstance(event, TextDelta)) == (
                "all of it" if how == "stream" else ""
            )
            await gate.was_left()


async def test_what_is_late_after_the_finish_reason_is_still_read():
    clock, gate = stop_clock(), Gate()
    events = chunks_of(completion_of(ANSWER))
    async with Loopback([sse_reply([*events[:-2], gate, *events[-2:]])]) as server:
        endpoint = Endpoint(server.base_url, profile=PROFILES["chat"])
        async with Agent("any", endpoint=endpoint) as agent:
            playing = asyncio.create_task(play(agent, "stream"))
            await gate.was_reached()
            clock.advance(4)
            gate.open()
            result, _ = await playing
    assert result.usage.total_tokens == 15


async def test_a_call_runs_though_the_connection_stays_open():
    clock, gate = stop_clock(), Gate()
    reply = Reply((chat_stream(call_body(("add", {"a": 1, "b": 2}))), gate))
    async with Loopback([reply, text_body("3")]) as server:
        endpoint = Endpoint(
            server.base_url, profile=PROFILES["chat"], timeout_seconds=FOREVER, idle_timeout_seconds=FOREVER
        )
        async with Agent("any", endpoint=endpoint, tools=[add]) as agent:
            playing = asyncio.create_task(play(agent, "stream"))
            await gate.was_reached()
            await tick(playing, clock)
            assert (await playing)[0].text == "3"
    assert server.requests[1].json["messages"][-1]["content"] == "3"


@BOTH_ROUTES
@BOTH_CLIENTS
async def test_a_connection_that_ends_after_the_reply_is_used_again(http, dialect):
    replies = [Reply((stream_in(dialect),), chunked=True) for _ in range(3)]
    async with Loopback(replies) as server:
        async with Agent("any", endpoint=Endpoint(server.base_url, profile=PROFILES[dialect], http=http)) as agent:
            for _ in range(3):
                await play(agent, "stream")
        assert server.connections == 1


# --- the connection breaks ---


@ways
@pytest.mark.parametrize("http", ["httpx", "aiohttp"])
def test_a_whole_reply_is_taken_though_the_connection_breaks(way: Way, http):
    sent = stream_in(way.dialect) if way.streams else whole_in(way.dialect)
    events = []
    with way.serving([Reply((sent, CUT))], endpoint={"http": http, "retries": 0}) as (agent, _):
        assert way.ask(agent, events=events).text == "all of it"
    assert not [event for event in events if isinstance(event, Retrying)]


@pytest.mark.parametrize(("dialect", "sent"), ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("sync", [False, True])
def test_each_end_counts_when_the_connection_breaks(dialect, sent, sync):
    way = Way("any", streams=True, play=STREAM.play, dialect=dialect) if not sync else NATIVE[1]
    with Loopback.in_thread([Reply((sent, CUT))]) as server:
        agent = Agent("any", endpoint=Endpoint(server.base_url, profile=PROFILES[dialect], retries=0))
        assert way.ask(agent).text == "all of it"
        agent.close()


@ways
def test_a_reply_that_is_not_whole_is_asked_for_again(way: Way):
    half = (stream_in(way.dialect) if way.streams else whole_in(way.dialect))[:30]
    with way.serving([Reply((half, CUT)), ANSWER]) as (agent, server):
        assert way.ask(agent).text == "all of it"
        assert len(server.requests) == 2


def test_a_call_does_not_run_when_the_connection_breaks_before_the_reply_is_whole():
    way = CHAT[1]
    half = chat_stream(call_body(("add", {"a": 1, "b": 2})), without=3)
    with way.serving([Reply((half, CUT))], add, endpoint={"retries": 0}) as (agent, _):
        with pytest.raises(UnreachableError) as raised:
            way.ask(agent)
        assert raised.value.run.tally.tool_calls == 0


def test_a_failure_after_text_is_raised_though_the_connection_stays_open():
    sent = chat_stream(without=3) + sse([("", {"error": {"message": "the worker died", "code": 500}})])
    way, gate = CHAT[1], Gate()
    with way.serving([Reply((sent, gate))]) as (agent, _), pytest.raises(Exception, match="the worker died"):
        way.ask(agent)
    gate.left.result(PATIENCE_SECONDS)


# --- silence ---


@BOTH_CLIENTS
@pytest.mark.parametrize("how", ["run", "stream"])
async def test_a_silence_within_a_reply_ends_the_request(http, how):
    clock, gate = stop_clock(), Gate()
    async with Loopback([Reply((b": hello\n\n", gate))]) as server:
        endpoint = Endpoint(server.base_url, http=http, retries=0, timeout_seconds=FOREVER)
        async with Agent("any", endpoint=endpoint) as agent:
            playing = asyncio.create_task(play(agent, how))
            await gate.was_reached()
            await tick(playing, clock)
            with pytest.raises(EndpointTimeoutError, match="sent nothing for 60 s within its reply") as raised:
                await playing
            assert "idle_timeout_seconds" in raised.value.hint
            await gate.was_left()


@BOTH_CLIENTS
async def test_comments_end_a_silence_and_the_time_before_the_first_byte_is_none(http):
    clock, gates = stop_clock(), [Gate() for _ in range(4)]
    alive = chain.from_iterable((gate, b": alive\n\n") for gate in gates[1:])
    async with Loopback([Reply((b": hello\n\n", *alive, response_stream()), before=(gates[0],))]) as server:
        endpoint = Endpoint(server.base_url, http=http, retries=0)
        async with Agent("any", endpoint=endpoint) as agent:
            playing = asyncio.create_task(play(agent, "stream"))
            for gate in gates:
                await gate.was_reached()
                clock.advance(59 if gate is not gates[0] else 300)
                await asyncio.sleep(0)
                gate.open()
            assert (await playing)[0].text == "all of it"


async def test_a_total_limit_that_is_shorter_than_the_silence_is_the_one_that_is_named():
    clock, gate = stop_clock(), Gate()
    async with Loopback([Reply((b": hello\n\n", gate))]) as server:
        endpoint = Endpoint(server.base_url, retries=0, timeout_seconds=30)
        async with Agent("any", endpoint=endpoint) as agent:
            playing = asyncio.create_task(play(agent, "stream"))
            await gate.was_reached()
            await tick(playing, clock)
            with pytest.raises(EndpointTimeoutError, match="gave no whole reply within 30 s"):
                await playing


# --- another form than was asked for ---


@ways
@pytest.mark.parametrize("kind", ["text/event-stream", "application/json", "text/plain"])
def test_events_and_bodies_are_read_as_what_they_are(way: Way, kind):
    sent = (whole_in if way.streams else stream_in)(way.dialect)
    events = []
    with way.serving([Reply((sent,), content_type=kind)]) as (agent, server):
        assert way.ask(agent, events=events).text == "all of it"
        assert len(server.requests) == 1
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == ("all of it" if events else "")


@ways
def test_a_call_in_another_form_runs(way: Way):
    sent = (whole_in if way.streams else stream_in)(way.dialect, call_body(("add", {"a": 1, "b": 2})))
    with way.serving([Reply((sent,)), text_body("3")], add) as (agent, server):
        assert way.ask(agent).text == "3"
        assert len(server.requests) == 2


@ways
@pytest.mark.parametrize(
    "wrap",
    [
        lambda sent: b"\xef\xbb\xbf" + sent,
        lambda sent: b"\r\n \n" + sent,
        lambda sent: sent + b"\n\ndata: [DONE]\n\n",
        lambda sent: sent + b"[DONE]",
    ],
    ids=["byte order mark", "blank lines", "the mark of a stream", "the bare mark"],
)
def test_a_body_with_something_around_it_is_read(way: Way, wrap):
    with way.serving([Reply((wrap(whole_in(way.dialect)),))]) as (agent, _):
        assert way.ask(agent).text == "all of it"


@pytest.mark.parametrize("before", [b": waiting\n\n", b"retry: 1000\n\n", b"\xef\xbb\xbf", b"\r\n\r\n", b"id: 7\n"])
def test_events_that_were_not_asked_for_are_known_by_any_first_line(before):
    way = CHAT[0]
    with way.serving([Reply((before + chat_stream(),))]) as (agent, _):
        assert way.ask(agent).text == "all of it"


def test_events_that_were_not_asked_for_and_are_cut_off_are_asked_for_again():
    way = CHAT[0]
    with way.serving([Reply((chat_stream(without=3),)), ANSWER]) as (agent, server):
        assert way.ask(agent).text == "all of it"
        assert len(server.requests) == 2


@ways
def test_a_whole_body_may_come_as_one_event(way: Way):
    events = []
    with way.serving([Reply((b"data: " + whole_in(way.dialect) + b"\n\n",))]) as (agent, _):
        assert way.ask(agent, events=events).text == "all of it"
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == ("all of it" if events else "")


def test_text_that_speaks_of_the_mark_is_kept():
    says = text_body("The stream ends with data: [DONE]")
    for way in NATIVE:
        with way.serving([Reply((whole_in("native", says),))]) as (agent, _):
            assert way.ask(agent).text == "The stream ends with data: [DONE]"


# --- replies that are none ---

NOTHING = {
    "empty": Reply((b"",)),
    "blank": Reply((b" \n",)),
    "null": Reply((b"null",)),
    "no choices": json_reply({"id": "gen-1", "choices": []}),
    "choices null": json_reply({"id": "gen-1", "choices": None}),
    "a choice that is null": json_reply({"choices": [None]}),
    "an empty object": json_reply({}),
    "cut short": Reply((b'{"id": "r1", "output": [{"type": "mess',)),
    "a list": json_reply([]),
    "HTML": html_reply(),
    "plain words": Reply((b"upstream connect error",), content_type="text/plain"),
    "half a stream": sse_reply([("", {"id": "c1", "choices": []}), ("", "[DONE]")]),
}


@ways
@pytest.mark.parametrize("reply", NOTHING.values(), ids=NOTHING)
def test_a_200_that_is_no_reply_is_asked_for_again_and_then_an_error(way: Way, reply):
    with way.serving([reply, reply, ANSWER]) as (agent, server):
        assert way.ask(agent).text == "all of it"
        assert len(server.requests) == 3
    with way.serving([reply, reply], endpoint={"retries": 1}) as (agent, _), pytest.raises(ReplyError) as raised:
        way.ask(agent)
    assert "sent 2 times" in raised.value.message


def test_a_refusal_is_not_asked_for_again():
    with CHAT[0].serving([error_reply(418)]) as (agent, server), pytest.raises(Exception, match="418"):
        CHAT[0].ask(agent)
    assert len(server.requests) == 1


# --- whether a body is whole ---


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1}', True),
        (b'{"a": 1', False),
        (b"", False),
        (b"[1]", False),
        (b"<html>", False),
        (b'{"a": "[DONE]', False),
        (b"data: 1\n\n", False),
        (b"data: 1\n\ndata: [DONE]\n\n", True),
        (b'event: response.completed\ndata: {"x": 1}\n\n', True),
        (b'data: {"choices":[{"finish_reason":"stop"}]}\n\n', True),
        (b'data: {"choices":[{"finish_reason":null}]}\n\n', False),
    ],
)
def test_whether_a_body_is_whole(body, expected):
    whole = WholeBody()
    for at in range(len(body)):
        whole.feed(body[at : at + 1])
    assert whole.is_whole() is expected
    assert whole.join() == body


# --- a connection that stays open and is kept alive, and one that breaks before anything was read ---


@pytest.mark.parametrize("how", ["run", "stream"])
@pytest.mark.parametrize(("dialect", "sent"), ENDS.values(), ids=ENDS)
async def test_comments_after_the_end_do_not_keep_a_reply_open(how, dialect, sent):
    clock, comments = stop_clock(), []

    def keep_alive():
        yield sent
        while len(comments) < 1000:
            clock.advance(0.4)
            gate = Gate()
            gate.open()
            yield gate  # lets the client read
            comments.append(b"\n" if sent.startswith(b"{") else b": keep-alive\n\n")
            yield comments[-1]

    async with Loopback([Reply(keep_alive(), chunked=True)]) as server:
        endpoint = Endpoint(server.base_url, profile=PROFILES[dialect], retries=0)
        async with Agent("any", endpoint=endpoint) as agent:
            result, _ = await play(agent, how)
    assert result.text == "all of it"
    assert len(comments) < 200


@BOTH_CLIENTS
async def test_what_came_before_the_connection_broke_is_read(http):
    gate = Gate()
    async with Loopback([Reply((b"data: 1\n\n", gate, b"data: 2\n\n", CUT))]) as server:
        transport = HttpTransport(Endpoint(server.base_url, http=http))
        async with aclosing(transport.stream("/responses", b"{}")) as chunks:
            assert await anext(chunks) == b"data: 1\n\n"
            await gate.was_reached()
            gate.open()
            await asyncio.gather(*server.tasks)
            for _ in range(50):  # the client's side of the connection breaks too
                await asyncio.sleep(0)
            assert await anext(chunks) == b"data: 2\n\n"
            with pytest.raises(UnreachableError):
                await anext(chunks)
        await transport.aclose()

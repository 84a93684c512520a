"""Requests that are recorded to a file and replayed from it: what is recorded is what a later run gets."""

import asyncio
import json
import os
import threading
from contextlib import aclosing

import pytest

from agentloop import (
    Agent,
    AgentloopError,
    AuthenticationError,
    Endpoint,
    Finished,
    Limits,
    Profile,
    RateLimitedError,
    TextDelta,
    ToolFinished,
    TurnFinished,
    UserError,
    tool,
)
from agentloop.endpoint.interception import RECORDERS
from agentloop.ext import local
from agentloop.testing import CassetteError, ScriptedEndpoint, assert_called, forbid_requests, use_cassette
from agentloop.testing.cassette_file import Interaction, read_cassette, write_cassette
from agentloop.testing.masking import Mask
from agentloop.wire.profile.lessons import LESSONS, Lesson
from loopback import CUT, Gate, Loopback, Reply, call_body, error_reply, html_reply, json_reply, text_body


@tool
def find_order(number: int, email: str = "") -> str:
    """Find an order."""
    return f"order {number}"


ORDER = [call_body(("find_order", {"number": 4, "email": "ada@example.org"})), text_body("Order 4 is on its way: 🚚.")]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cassettes" / "order.json"


def make(url, **options):
    return Agent("m", endpoint=Endpoint(url, **options), tools=[find_order])


NOWHERE = "http://127.0.0.1:9/v1"
"""Nothing listens there, and nobody asks."""


def record(path, script, ask, dialect="native", **options):
    """Return what came of it, and what the server saw."""
    with Loopback.in_thread(script, dialect) as server:
        agent = make(server.base_url, **options)
        with use_cassette(path, record=True):
            got = ask(agent)
        agent.close()
    return got, server.requests


def replay(path, ask, **options):
    with forbid_requests(), use_cassette(path):
        return ask(make(NOWHERE, **options))


def run(agent):
    return agent.run_sync("Where is order 4?")


def stream(agent):
    """Return the events without the seconds that they took."""
    events = []
    for event in agent.stream_sync("Where is order 4?"):
        match event:
            case TurnFinished(turn=turn, usage=usage):
                events.append((turn, usage))
            case ToolFinished(call=call, result=result):
                events.append((call, result))
            case Finished(result=result):
                events.append((result.items, result.usage, result.stop_reason))
            case _:
                events.append(event)
    return events


@pytest.mark.parametrize("dialect", ["native", "message", "chat", "prompted"])
def test_a_replayed_run_has_the_same_result(path, dialect):
    profile = Profile(
        route="chat" if dialect in {"chat", "prompted"} else "responses",
        tool_calling="prompted" if dialect == "prompted" else "native",
    )
    recorded, requests = record(path, ORDER, run, dialect, profile=profile)
    replayed = replay(path, run, profile=profile)
    assert (replayed.items, replayed.usage, replayed.text) == (recorded.items, recorded.usage, recorded.text)
    assert recorded.text == "Order 4 is on its way: 🚚."
    assert len(requests) == 2


@pytest.mark.parametrize("dialect", ["native", "chat"])
def test_a_replayed_stream_has_the_same_events(path, dialect):
    profile = Profile(route="chat" if dialect == "chat" else "responses")
    recorded, _ = record(path, ORDER, stream, dialect, profile=profile)
    assert replay(path, stream, profile=profile) == recorded
    assert len(recorded) > 8


async def test_async_runs_are_replayed_too(path):
    async with Loopback(ORDER) as server:
        with use_cassette(path, record=True):
            async with make(server.base_url) as agent:
                recorded = await agent.run("go")
    with use_cassette(path):
        async with make(NOWHERE) as agent:
            assert (await agent.run("go")).items == recorded.items


def test_the_file_can_be_read_by_people(path):
    _, requests = record(path, ORDER, run)
    text = path.read_text("utf-8")
    content = json.loads(text)
    assert [each["request"] for each in content["interactions"]] == [
        {"path": "/responses", "body": request.json} for request in requests
    ]
    assert (
        content["interactions"][1]["reply"]["json"]["output"][0]["content"][0]["text"] == "Order 4 is on its way: 🚚."
    )
    assert "🚚" in text


async def test_a_stream_is_recorded_with_its_chunks(path):
    event = json.dumps({"type": "response.completed", "response": text_body("Hello.")}).encode()
    first, second = b"event: response.completed\ndata: ", event + b"\n\n"
    gate = Gate()
    async with Loopback([Reply((first, gate, second), content_type="text/event-stream")]) as server:
        with use_cassette(path, record=True):
            agent = make(server.base_url)
            asking = asyncio.create_task(collect(agent))
            await gate.was_reached()
            gate.open()
            recorded = await asking
            await agent.aclose()
    [interaction] = json.loads(path.read_text("utf-8"))["interactions"]
    assert "".join(interaction["reply"]["chunks"]).encode() == first + second
    with use_cassette(path):
        assert await collect(make(NOWHERE)) == recorded == ["Hello."]


async def collect(agent):
    return [event.text async for event in agent.stream("go") if isinstance(event, TextDelta)]


def test_a_chunk_may_end_within_a_character(path):
    body = json.dumps(text_body("größer 🚚"), ensure_ascii=False).encode()
    at = body.index("ö".encode()) + 1
    recorded, _ = record(path, [Reply((body[:at], body[at : at + 9], body[at + 9 :]))], stream)
    assert replay(path, stream) == recorded
    assert recorded[-1][0][-1].text == "größer 🚚"


@pytest.mark.parametrize("is_stream", [True, False])
def test_every_byte_of_a_reply_comes_back(path, is_stream):
    given = Interaction("/responses", {"text": "\ud83d"}, is_stream=is_stream)
    odd = b"\xff\xed\xa0\x80\r\n\x00"
    given.set_chunks(["ö".encode()[:1], "ö".encode()[1:] + odd, b"\\udc80"], Mask(Endpoint(NOWHERE)))
    write_cassette(path, [given])
    [read] = read_cassette(path)
    assert (read.path, read.body, read.is_stream) == (given.path, given.body, is_stream)
    assert b"".join(read.chunks) == "ö".encode() + odd + b"\\udc80"
    assert len(read.chunks) == (3 if is_stream else 1)


def test_the_same_request_twice_gets_its_replies_in_order(path):
    def ask_twice(agent):
        return [agent.run_sync("go").text for _ in range(2)]

    recorded, _ = record(path, [text_body("one"), text_body("two")], ask_twice)
    assert replay(path, ask_twice) == recorded == ["one", "two"]


def test_runs_at_the_same_time_get_their_own_replies_in_any_order(path):
    async def ask_all(agent, names):
        results = await asyncio.gather(*(agent.run(name) for name in names))
        return dict(zip(names, [result.text for result in results], strict=True))

    def answer(request):
        return text_body(f"hello {request.json['input'][-1]['content']}")

    recorded, _ = record(path, answer, lambda agent: asyncio.run(ask_all(agent, "abc")))
    assert replay(path, lambda agent: asyncio.run(ask_all(agent, "cab"))) == recorded
    assert recorded["a"] == "hello a"


def test_threads_are_replayed_too(path):
    record(path, [text_body("hi")], run)
    said = []
    with use_cassette(path):
        thread = threading.Thread(target=lambda: said.append(run(make(NOWHERE)).text))
        thread.start()
        thread.join(60)
    assert said == ["hi"]


FAILURES = {
    "refused": (error_reply(401, "the key is wrong"), AuthenticationError),
    "a page": (html_reply(403), AgentloopError),
    "cut": (Reply((b'{"id": "r",', CUT)), AgentloopError),
    "hung up": (Reply(before=(CUT,)), AgentloopError),
}


@pytest.mark.parametrize(("reply", "kind"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("ask", [run, stream])
def test_an_error_is_replayed(path, reply, kind, ask):
    def fail(agent):
        with pytest.raises(kind) as raised:
            ask(agent)
        error = raised.value
        return type(error), error.message, error.hint, error.status, error.code, error.retry_after

    recorded, _ = record(path, [reply], fail, retries=0)
    assert replay(path, fail, retries=0) == recorded


def test_a_retry_is_replayed_without_its_wait(path):
    recorded, requests = record(path, [error_reply(503, "busy", headers={"retry-after": "0"}), text_body("hi")], run)
    assert len(requests) == 2
    content = json.loads(path.read_text("utf-8"))
    content["interactions"][0]["reply"]["error"] |= {"type": "RateLimitedError", "status": 429, "retry_after": 100}
    path.write_text(json.dumps(content))
    assert replay(path, run).items == recorded.items


def test_the_rate_limit_is_not_kept_where_no_server_is(path):
    def ask_often(agent):
        return [agent.run_sync(f"{number}").text for number in range(5)]

    record(path, lambda _: text_body("hi"), ask_often)
    slow = Profile(anonymous_requests_per_minute=1)
    assert replay(path, ask_often, profile=slow) == ["hi"] * 5


def test_a_stream_that_is_left_early_is_recorded_as_far_as_it_was_read(path):
    def leave(agent):
        async def leave():
            async with aclosing(agent.stream("go")) as events:
                return [event async for event in events if type(event).__name__ == "TextDelta"][:1]

        return asyncio.run(leave())

    recorded, _ = record(path, [text_body("one two three")], leave)
    assert replay(path, leave) == recorded


# --- a request that was not recorded ---


def test_a_changed_request_fails_and_shows_how_it_differs(path):
    record(path, [text_body("hi")], lambda agent: agent.run_sync("first line\nWhere is order 4?\nlast line"))
    with pytest.raises(CassetteError) as raised:
        replay(path, lambda agent: agent.run_sync("first line\nWhere is order 5?\nlast line"))
    told = str(raised.value)
    assert isinstance(raised.value, UserError)
    assert str(path) in told
    changed = [line.replace(" ", "") for line in told.splitlines() if line.startswith(("-", "+"))]
    assert changed == ["---recorded", "+++sent", '-"Whereisorder4?",', '+"Whereisorder5?",']
    assert "--agentloop-record" in told


def test_a_change_far_within_a_long_line_is_shown(path):
    record(path, [text_body("hi")], lambda agent: agent.run_sync("x" * 5_000 + "old" + "x" * 5_000))
    with pytest.raises(CassetteError) as raised:
        replay(path, lambda agent: agent.run_sync("x" * 5_000 + "new" + "x" * 5_000))
    assert any(line.startswith("+") and "new" in line for line in str(raised.value).splitlines())
    assert len(str(raised.value)) < 3_000


def test_another_path_is_another_request(path):
    record(path, [text_body("hi")], run)
    with pytest.raises(CassetteError, match=r"(?s)-POST /responses.*\+POST /chat/completions"):
        replay(path, run, profile=Profile(route="chat"))


def test_one_request_too_many_says_so(path):
    record(path, [text_body("hi")], run)
    with pytest.raises(CassetteError, match=r"(?s)number 2.*one more.*Where is order 4"):
        replay(path, lambda agent: [run(agent), run(agent)])


def test_an_error_that_the_code_under_test_handles_is_raised_at_the_end_of_the_block(path):
    record(path, [text_body("hi")], run)

    def handle(agent):
        try:
            agent.run_sync("another question")
        except AgentloopError:
            return "sorry"

    with pytest.raises(CassetteError, match="another question"):
        replay(path, handle)


def test_what_the_block_itself_raises_comes_first(path):
    def ask_and_fail(agent):
        with pytest.raises(CassetteError):
            agent.run_sync("another question")
        raise KeyError

    record(path, [text_body("hi")], run)
    with pytest.raises(KeyError):
        replay(path, ask_and_fail)
    assert RECORDERS == []


def test_fewer_requests_than_recorded_are_no_error(path):
    record(path, ORDER, run)
    with use_cassette(path) as cassette:
        pass
    assert cassette.requests == []


def test_the_address_and_the_key_may_be_others(path):
    record(path, ORDER, run, api_key="sk-recorded-0123456789")
    assert replay(path, run, api_key="test").text


def test_the_requests_can_be_asked(path):
    record(path, ORDER, run)
    with use_cassette(path) as cassette:
        assert_called(run(make(NOWHERE)), "find_order", number=4)
    assert cassette.requests[1]["input"][-1]["output"] == "order 4"


# --- files ---


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no cassette"),
        ("{", "is no cassette"),
        ("[]", "is no cassette"),
        ("{}", "is no cassette"),
        ('{"version": 99, "interactions": []}', "another version"),
        ('{"version": 1, "interactions": [{"request": {}}]}', "is no cassette"),
        ('{"version": 1, "interactions": [{"request": {"path": "/", "body": {}}, "reply": []}]}', "is no cassette"),
        ('{"version": 1, "interactions": [{"request": {"path": "/", "body": {}}, "reply": {"chunks": 4}}]}', "is no"),
    ],
)
def test_a_file_that_is_none_is_an_error_at_once(tmp_path, content, words):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CassetteError, match=f"(?s){words}.*--agentloop-record"), use_cassette(path):
        pytest.fail("the block was entered")
    assert RECORDERS == []


def test_recording_writes_the_file_anew(path):
    record(path, [text_body("one"), text_body("one")], lambda agent: [run(agent), run(agent)])
    record(path, [text_body("two")], run)
    assert replay(path, run).text == "two"
    assert len(json.loads(path.read_text("utf-8"))["interactions"]) == 1


def test_what_was_recorded_before_an_error_is_kept(path):
    def fail(agent):
        run(agent)
        raise KeyError

    with pytest.raises(KeyError):
        record(path, [text_body("hi")], fail)
    assert replay(path, run).text == "hi"


# --- what surrounds it ---


def test_a_script_answers_by_itself_and_is_not_recorded(path):
    with use_cassette(path, record=True):
        assert Agent("m", endpoint=ScriptedEndpoint(["hi"])).run_sync("go").text == "hi"
    assert json.loads(path.read_text("utf-8"))["interactions"] == []


def test_recording_is_no_forbidden_request(path):
    with Loopback.in_thread([text_body("hi")]) as server, forbid_requests(), use_cassette(path, record=True):
        agent = make(server.base_url)
        assert run(agent).text == "hi"
        agent.close()


def test_the_inner_block_gets_the_requests(path, tmp_path):
    record(path, [text_body("inner")], run)
    other = tmp_path / "other.json"
    record(other, [text_body("outer")], run)
    with use_cassette(other):
        with use_cassette(path):
            assert run(make(NOWHERE)).text == "inner"
        assert run(make(NOWHERE)).text == "outer"


def test_what_was_learned_outside_does_not_count_inside_and_is_there_again(path, tmp_path, monkeypatch):
    record(path, [text_body("hi")], run)
    monkeypatch.setenv("AGENTLOOP_CACHE", str(tmp_path / "learned.json"))
    key = (NOWHERE, "m")
    LESSONS[key] = (Lesson("route", "responses", "chat", "it was so"),)
    assert replay(path, run).text == "hi"
    assert LESSONS[key][0].now == "chat"
    assert os.environ["AGENTLOOP_CACHE"] == str(tmp_path / "learned.json")
    monkeypatch.delenv("AGENTLOOP_CACHE")
    assert replay(path, run).text == "hi"
    assert "AGENTLOOP_CACHE" not in os.environ


def test_what_is_learned_within_the_block_is_learned_again_in_the_replay(path):
    def learn(agent):
        events = list(agent.stream_sync("Where is order 4?"))
        return [event.text for event in events if getattr(event, "topic", "") == "learned"], events[-1].result.items

    refusal = json_reply({"error": {"message": "Unknown parameter: 'strict'."}}, 400)
    recorded, requests = record(path, [refusal, text_body("hi")], learn)
    assert len(requests) == 2
    assert replay(path, learn) == recorded
    assert LESSONS == {}


def test_an_agent_can_be_used_before_within_and_after(path):
    with Loopback.in_thread(lambda _: text_body("real")) as server:
        record(path, [text_body("recorded")], run)
        agent = make(server.base_url)
        said = [run(agent).text]
        with use_cassette(path):
            said.append(run(agent).text)
        said.append(run(agent).text)
        agent.close()
    assert said == ["real", "recorded", "real"]


def test_limits_count_as_in_the_recorded_run(path):
    def ask(agent):
        return agent.run_sync("go", limits=Limits(tool_calls=0)).stop_reason

    recorded, _ = record(path, ORDER, ask)
    assert replay(path, ask) == recorded == "tool_call_limit"


def test_a_rate_limit_is_an_error_of_its_kind(path):
    def fail(agent):
        with pytest.raises(RateLimitedError) as raised:
            run(agent)
        return raised.value.retry_after

    recorded, _ = record(path, [error_reply(429, "slow down", headers={"retry-after": "7"})], fail, retries=0)
    assert replay(path, fail, retries=0) == recorded == 7


# --- the embedded model ---


@pytest.mark.usefixtures("new_model")
def test_the_embedded_model_is_recorded_once_and_replayed_without_it(path, monkeypatch):
    def make_local():
        return Agent("local:smollm2", tools=[find_order], limits=Limits(turns=3))

    agent = make_local()
    with use_cassette(path, record=True):
        recorded = stream(agent)
    agent.close()
    local.stop()
    monkeypatch.setattr("agentloop.ext.local.start", lambda _: pytest.fail("the model was started"))
    with use_cassette(path), forbid_requests():
        replaying = make_local()
        assert stream(replaying) == recorded
        replaying.close()
    assert any(isinstance(event, TextDelta) for event in recorded)

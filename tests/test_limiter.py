import asyncio
import heapq
import itertools
import threading
from collections.abc import Awaitable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop import Event, Limits, RunResult, tool
from agentloop.endpoint.transport import limiter as module
from agentloop.endpoint.transport.limiter import Pace, RateLimiter
from agentloop.errors import RateLimitedError
from agentloop.events import Notice
from agentloop.wire.profile import Endpoint, Profile
from clock import stop_clock
from loopback import Answer, Request, busy_reply, call_body, text_body
from ways import RUN, STREAM_SYNC, serving

EPSILON = 1e-6


@dataclass
class Clock:
    """Time that passes only when all who wait have been let go in the order of their waits."""

    now: float = 1000.0
    waits: list[float] = field(default_factory=list)
    sleepers: list[tuple[float, int, asyncio.Future[None]]] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleepers, (self.now + seconds, next(self.numbers), woken))
        await woken

    async def run(self, *work: Awaitable[object]) -> None:
        """Run to the end of all, moving on to the next who wakes whenever nothing else can go on."""
        tasks = [asyncio.ensure_future(each) for each in work]
        while not all(task.done() for task in tasks):
            for _ in range(10):
                await asyncio.sleep(0)
            self.wake_next()
        await asyncio.gather(*tasks, return_exceptions=True)

    def wake_next(self) -> None:
        while self.sleepers:
            at, _, woken = heapq.heappop(self.sleepers)
            self.now = max(self.now, at)
            if not woken.done():
                woken.set_result(None)
                return


def limiter_with(clock: Clock) -> RateLimiter:
    return RateLimiter(clock=clock, sleep=clock.sleep)


async def silent(seconds: float, asked: bool) -> None:  # noqa: FBT001 - called by position
    """Hear of a wait."""


async def send(limiter: RateLimiter, per_minute: float, sent: list[float], clock: Clock) -> None:
    await limiter.wait(per_minute, silent)
    sent.append(clock.now)


async def test_requests_go_as_they_come_until_there_are_too_many():
    clock, sent = Clock(), []
    limiter = limiter_with(clock)
    await clock.run(*(send(limiter, 2, sent, clock) for _ in range(5)))
    assert [at - 1000 for at in sent] == [0, 0, 61, 61, 122]


async def test_a_minute_later_all_is_forgotten():
    clock, sent = Clock(), []
    limiter = limiter_with(clock)
    await clock.run(send(limiter, 1, sent, clock))
    clock.now += 61
    await clock.run(send(limiter, 1, sent, clock))
    assert clock.waits == []
    assert limiter._starts == [1061]


async def test_less_than_one_a_minute_is_one_in_more_than_a_minute():
    clock, sent = Clock(), []
    limiter = limiter_with(clock)
    await clock.run(*(send(limiter, 0.5, sent, clock) for _ in range(3)))
    assert [at - 1000 for at in sent] == [0, 121, 242]


@given(
    st.lists(st.tuples(st.floats(0, 90), st.sampled_from(["send", "send", "send", "cancel", "hold"])), max_size=30),
    st.sampled_from([1, 2, 3, 2.5, 10]),
)
def test_in_no_minute_are_there_more_requests_than_allowed(script, per_minute):
    async def play() -> list[float]:
        clock, sent, cancelled = Clock(), list[float](), list[asyncio.Task[None]]()
        limiter = limiter_with(clock)

        async def arrive(after: float, what: str) -> None:
            await clock.sleep(after)
            if what == "hold":
                limiter.hold(after)
                return
            task = asyncio.ensure_future(send(limiter, per_minute, sent, clock))
            if what == "cancel":
                cancelled.append(task)
                await clock.sleep(after / 2)
                task.cancel()
            await asyncio.wait([task])

        await clock.run(*(arrive(after, what) for after, what in script))
        certain = sum(what == "send" for _, what in script)
        assert certain <= len(sent) <= certain + len(cancelled), "nobody waits for ever"
        return sent

    sent = asyncio.run(play())
    for at, start in enumerate(sent):
        assert sum(start <= other < start + 60 - EPSILON for other in sent[at:]) <= per_minute
    assert sent == sorted(sent)


async def test_a_cancelled_wait_gives_its_place_back():
    clock, sent = Clock(), []
    limiter = limiter_with(clock)
    await clock.run(send(limiter, 1, sent, clock))
    waiting = asyncio.ensure_future(send(limiter, 1, sent, clock))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    await clock.run(send(limiter, 1, sent, clock))
    assert [at - 1000 for at in sent] == [0, 61]


async def test_a_wait_whose_event_fails_gives_its_place_back():
    clock = Clock()
    limiter = limiter_with(clock)
    await limiter.wait(1, silent)

    async def fail(seconds: float, asked: bool) -> None:  # noqa: FBT001 - called by position
        raise RuntimeError(f"{seconds:.0f} {asked}")

    with pytest.raises(RuntimeError, match="61 False"):
        await limiter.wait(1, fail)
    assert limiter._starts == [1000]


async def test_what_the_server_asks_for_beats_the_count_and_holds_for_those_who_wait_already():
    clock, sent = Clock(), []
    limiter = limiter_with(clock)
    await limiter.wait(1, silent)
    waiting = asyncio.ensure_future(send(limiter, 1, sent, clock))
    await asyncio.sleep(0)
    limiter.hold(100)
    limiter.hold(10)
    await clock.run(waiting, send(limiter, 1, sent, clock))
    assert [at - 1000 for at in sent] == [122, 183]


async def test_a_server_that_has_no_room_for_hours_holds_nobody_back():
    clock, sent = Clock(), []
    limiter = limiter_with(clock)
    limiter.hold(3600)
    await clock.run(send(limiter, 1, sent, clock))
    assert clock.waits == []


def test_threads_with_loops_of_their_own_share_the_limit():
    limiter, clock = limiter_with(Clock()), Clock()
    limiter.clock = clock
    reserved: list[float] = []

    async def note(seconds: float) -> None:
        reserved.append(seconds)

    limiter.sleep = note
    threads = [threading.Thread(target=lambda: asyncio.run(limiter.wait(2, silent))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(reserved) == [61, 61, 122, 122, 183, 183]


# --- the pace of an endpoint ---

SLOW = Profile(requests_per_minute=400, anonymous_requests_per_minute=2)
ANONYMOUS, KEYED = Endpoint("http://a/v1"), Endpoint("http://a/v1", api_key="k")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give all new limiters a clock of ours, and forget those that there are."""
    clock = Clock()
    monkeypatch.setattr(module, "_LIMITERS", {})
    monkeypatch.setattr(module, "RateLimiter", lambda: limiter_with(clock))
    return clock


@dataclass
class Asking:
    """Asks at a pace, and hears what there is to hear."""

    pace: Pace
    told: list[Notice] = field(default_factory=list)
    sent: int = 0

    async def __call__(self) -> int:
        return await self.pace.call(self.send, self.emit)

    async def send(self) -> int:
        self.sent += 1
        return self.sent

    async def emit(self, notice: Notice) -> None:
        self.told.append(notice)


def test_the_limit_is_another_with_a_key_than_without():
    anonymous, keyed = Pace.of(ANONYMOUS, "m", SLOW), Pace.of(KEYED, "m", SLOW)
    assert (anonymous.per_minute, anonymous.terms) == (2, "2 requests a minute without a key")
    assert (keyed.per_minute, keyed.terms) == (400, "400 requests a minute with this key")


@pytest.mark.parametrize("profile", [Profile(), Profile(requests_per_minute=2)])
async def test_where_no_limit_is_known_nothing_is_counted(clock, profile):
    ask = Asking(Pace.of(ANONYMOUS, "m", profile))
    assert [await ask() for _ in range(3)] == [1, 2, 3]
    assert (ask.pace.limiter._starts, clock.waits) == ([], [])


def test_the_endpoint_the_model_and_the_key_have_a_count_of_their_own(clock):
    pace = Pace.of(ANONYMOUS, "m", SLOW)
    assert pace.limiter is Pace.of(ANONYMOUS, "m", SLOW).limiter
    others = [
        Pace.of(ANONYMOUS, "other", SLOW),
        Pace.of(KEYED, "m", SLOW),
        Pace.of(Endpoint("http://b/v1"), "m", SLOW),
    ]
    assert len({id(pace.limiter) for pace in [pace, *others]}) == 4


async def test_a_wait_is_told_with_its_length_and_its_reason(clock):
    ask = Asking(Pace.of(ANONYMOUS, "m", SLOW))
    await clock.run(ask(), ask())
    assert ask.told == []
    clock.now += 48.6
    await clock.run(ask())
    ask.pace.limiter.hold(70)
    await clock.run(ask())
    assert ask.told == [
        Notice("waiting", "waiting 12 s before the next request: the limit is 2 requests a minute without a key"),
        Notice("waiting", "waiting 70 s before the next request: the server asked for it"),
    ]


async def test_a_short_wait_is_not_worth_a_word(clock):
    ask = Asking(Pace.of(ANONYMOUS, "m", SLOW))
    ask.pace.limiter.hold(0.4)
    await clock.run(ask())
    assert (len(clock.waits), ask.told) == (1, [])


@pytest.mark.parametrize(("asked", "held"), [(None, 15), (0, 0), (7, 7), (3600, 0)])
async def test_a_request_that_comes_too_soon_in_spite_of_it_all_holds_the_others_back(clock, asked, held):
    pace, refusal = Pace.of(KEYED, "m", SLOW), RateLimitedError("busy", retry_after=asked)

    async def refuse() -> None:
        raise refusal

    async def emit(notice: Notice) -> None:
        """Hear nothing."""

    with pytest.raises(RateLimitedError):
        await pace.call(refuse, emit)
    assert refusal.retry_after == (15 if asked is None else asked)
    await clock.run(Asking(pace)())
    assert sum(clock.waits) == held


# --- whole runs ---


@tool
def note(text: str) -> str:
    """Keep a note."""
    return text


class StrictServer:
    """Answers two requests a minute, and refuses all others; every third answer ends a run."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.times: list[float] = []
        self.refused = 0

    def __call__(self, request: Request) -> Answer:
        if sum(at > self.clock.now - 60 for at in self.times) >= 2:
            self.refused += 1
            return busy_reply()
        self.times.append(self.clock.now)
        turn = sum(item["type"] == "function_call_output" for item in request.json["input"]) + 1
        return text_body("done") if turn == 3 else call_body(("note", {"text": str(turn)}), first=turn)


def test_a_run_on_an_endpoint_with_two_requests_a_minute_waits_and_is_never_refused(clock, monkeypatch):
    async def pass_by(seconds: float) -> None:
        clock.waits.append(seconds)
        clock.now += seconds

    monkeypatch.setattr(clock, "sleep", pass_by)
    server = StrictServer(clock)
    with serving(server, note, endpoint={"profile": SLOW}) as (agent, _):
        events: list[Event] = []
        first = STREAM_SYNC.ask(agent, events=events)
        second = RUN.ask(agent)
    assert (first.text, second.text, server.refused) == ("done", "done", 0)
    assert [round(at - 1000) for at in server.times] == [0, 0, 61, 61, 122, 122]
    waits = [event.text for event in events if isinstance(event, Notice)]
    assert waits == ["waiting 61 s before the next request: the limit is 2 requests a minute without a key"]


def test_time_spent_in_the_queue_counts_against_the_runs_own_time(monkeypatch):
    monkeypatch.setattr(module, "_LIMITERS", {})
    profile = Profile(anonymous_requests_per_minute=1)
    calls = [call_body(("note", {"text": "a"}))]

    async def run() -> RunResult:
        clock = stop_clock()

        async def wait(seconds: float) -> None:
            clock.advance(30)
            await asyncio.sleep(seconds)

        monkeypatch.setattr(module, "RateLimiter", lambda: RateLimiter(clock=clock, sleep=wait))
        return await agent.run("go")

    with serving(calls, note, endpoint={"profile": profile}, limits=Limits(seconds=30)) as (agent, server):
        result = asyncio.run(run())
        [limiter] = module._LIMITERS.values()
    assert (result.stop_reason, result.tally.seconds) == ("time_limit", 60)
    assert len(server.requests) == 1
    assert len(limiter._starts) == 1, "its place was given back"

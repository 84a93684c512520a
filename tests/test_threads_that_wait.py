"""Sync tools that wait for a thread, or for each other."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentloop import Agent, Limits, Notice, ToolFinished, ToolResult, tool
from agentloop.runtime.threads import DaemonThreads
from agentloop.testing import ScriptedEndpoint, call
from clock import stop_clock

PATIENCE_SECONDS = 60  # for what would never end


@pytest.fixture
def one_thread(monkeypatch):
    """Leave one thread for the sync tools of all runs, and let no other be started while calls wait."""
    monkeypatch.setattr("agentloop.runtime.invoke.THREADS", DaemonThreads(1, 10 * PATIENCE_SECONDS))


def results_of(result):
    return [item.content for item in result.items if isinstance(item, ToolResult)]


def agent_that_calls(*tools, **options):
    endpoint = ScriptedEndpoint([[call(each.name) for each in tools], "ok"])
    return Agent("any", endpoint=endpoint, tools=tools, **options)


class Holder:
    """A tool that holds the only thread until it is released."""

    def __init__(self):
        self.release, self.started = threading.Event(), threading.Event()

    def tool(self):
        @tool
        def hold() -> str:
            """Hold a thread."""
            self.started.set()
            assert self.release.wait(PATIENCE_SECONDS)
            return "held"

        return hold


async def test_the_time_of_a_tool_counts_from_when_it_begins_and_its_wait_is_said(one_thread):
    clock, holder, loop = stop_clock(), Holder(), asyncio.get_running_loop()

    async def take_turns():
        for _ in range(10):
            await asyncio.sleep(0)

    @tool(timeout=9)
    def look() -> str:
        """Look, while the event loop goes on."""
        asyncio.run_coroutine_threadsafe(take_turns(), loop).result(PATIENCE_SECONDS)
        return "seen"

    notices = []
    result = None
    async for event in agent_that_calls(holder.tool(), look).stream("go"):
        if isinstance(event, Notice):
            notices.append((event.topic, event.text))
            clock.advance(100)
            asyncio.get_running_loop().call_soon(holder.release.set)
        result = getattr(event, "result", result)
    assert results_of(result) == ["held", "seen"]
    assert notices == [("waiting", "look waits for a thread: 1 sync tools run already")]


async def test_a_tool_that_had_to_wait_has_its_whole_time_and_no_more(one_thread):
    clock, holder, stuck = stop_clock(), Holder(), threading.Event()

    @tool(timeout=9)
    def look() -> str:
        """Look, and find no end."""
        clock.advance(9)
        stuck.wait(PATIENCE_SECONDS)
        return "too late"

    async for event in agent_that_calls(holder.tool(), look).stream("go"):
        if isinstance(event, Notice) and event.topic == "waiting":
            clock.advance(100)
            holder.release.set()
        if isinstance(event, ToolFinished) and event.call.name == "look":
            told = event.result.content
            stuck.set()
    assert told == "look did not return within 9 s and could not be stopped; it may still take effect."


async def test_the_time_of_an_async_tool_goes_on_while_its_result_waits_for_a_thread(one_thread):
    clock, holder, stuck = stop_clock(), Holder(), threading.Event()

    def find(number):
        clock.advance(5)
        stuck.wait(PATIENCE_SECONDS)
        return number

    @tool(timeout=9)
    async def count() -> list[int]:
        """Count."""
        await asyncio.to_thread(holder.started.wait, PATIENCE_SECONDS)
        return map(find, [1])

    async for event in agent_that_calls(holder.tool(), count).stream("go"):
        if isinstance(event, Notice) and event.topic == "waiting":
            clock.advance(5)
            asyncio.get_running_loop().call_soon(holder.release.set)
        if isinstance(event, ToolFinished) and event.call.name == "count":
            told = event.result.content
            stuck.set()
    assert told.startswith("count did not return within 9 s")


async def test_the_time_of_the_run_holds_for_a_tool_that_waits(one_thread):
    clock, holder, ran = stop_clock(), Holder(), []

    @tool
    def look() -> str:
        """Look."""
        ran.append(1)
        return "seen"

    holding = asyncio.create_task(agent_that_calls(holder.tool()).run("go"))
    await asyncio.to_thread(holder.started.wait, PATIENCE_SECONDS)
    async for event in agent_that_calls(look, limits=Limits(seconds=30)).stream("go"):
        if isinstance(event, Notice) and event.topic == "waiting":
            clock.advance(30)
        result = getattr(event, "result", None)
    holder.release.set()
    await holding
    assert results_of(result) == ["look did not begin in time: no thread was free."]
    assert not ran


async def test_a_run_that_is_cancelled_while_its_tool_waits_ends_and_the_tool_never_runs(one_thread):
    holder, ran = Holder(), []

    @tool
    def look() -> str:
        """Look."""
        ran.append(1)
        return "seen"

    holding = asyncio.create_task(agent_that_calls(holder.tool()).run("go"))
    await asyncio.to_thread(holder.started.wait, PATIENCE_SECONDS)
    waiting = asyncio.create_task(agent_that_calls(look).run("go"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    holder.release.set()
    await holding
    assert not ran


def ask_in_place(agent):
    return agent.run_sync("go").text


def ask_on_a_loop_of_its_own(agent):
    return asyncio.run(agent.run("go")).text


def ask_to_the_end_of_a_stream(agent):
    *_, finished = agent.stream_sync("go")
    return finished.result.text


@pytest.mark.parametrize("ask", [ask_in_place, ask_on_a_loop_of_its_own, ask_to_the_end_of_a_stream])
@pytest.mark.parametrize("depth", [1, 3])
async def test_tools_that_ask_other_agents_need_no_free_thread(one_thread, ask, depth):
    @tool
    def look() -> str:
        """Look."""
        return "seen"

    asked = agent_that_calls(look)
    for _ in range(depth):
        asked = agent_that_calls(expert_of(asked, ask))
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await asked.run("go")).text == "ok"


def expert_of(agent, ask):
    @tool
    def ask_expert() -> str:
        """Ask another agent."""
        return ask(agent)

    return ask_expert


async def test_tools_that_wait_for_each_other_all_get_a_thread(monkeypatch):
    """In code of their own threads nobody can know that a call is made for a tool that runs."""
    monkeypatch.setattr("agentloop.runtime.invoke.THREADS", DaemonThreads(2, 0))
    barrier = threading.Barrier(9)

    @tool
    def meet(who: int) -> str:
        """Wait until all have come."""
        barrier.wait(PATIENCE_SECONDS)
        return "met"

    endpoint = ScriptedEndpoint([[call("meet", {"who": number}, f"c{number}") for number in range(9)], "ok"])
    async with asyncio.timeout(PATIENCE_SECONDS):
        result = await Agent("any", endpoint=endpoint, tools=[meet]).run("go")
    assert results_of(result) == ["met"] * 9


async def test_a_tool_that_asks_in_threads_of_its_own_is_answered(monkeypatch):
    monkeypatch.setattr("agentloop.runtime.invoke.THREADS", DaemonThreads(1, 0))

    @tool
    def look() -> str:
        """Look."""
        return "seen"

    @tool
    def ask_experts() -> list[str]:
        """Ask three agents at once."""
        with ThreadPoolExecutor(3) as pool:
            return [*pool.map(lambda _: agent_that_calls(look).run_sync("go").text, range(3))]

    async with asyncio.timeout(PATIENCE_SECONDS):
        result = await agent_that_calls(ask_experts).run("go")
    assert results_of(result) == ['["ok","ok","ok"]']


class Pool(DaemonThreads):
    def hand(self, function):
        returned = []
        done = threading.Event()

        def deliver(outcome):
            returned.append(outcome.result)
            done.set()

        self.submit(function, "any", deliver)
        return done, returned


def test_threads_beyond_the_size_end_when_nothing_waits():
    pool, gate = Pool(1, 0), threading.Barrier(5)
    handed = [pool.hand(lambda: (gate.wait(PATIENCE_SECONDS), threading.current_thread())[1]) for _ in range(5)]
    assert all(done.wait(PATIENCE_SECONDS) for done, _ in handed)
    threads = {thread for _, [thread] in handed}
    assert len(threads) == 5
    ended = threading.Semaphore(0)
    for thread in threads:
        threading.Thread(target=lambda each=thread: (each.join(PATIENCE_SECONDS), ended.release()), daemon=True).start()
    for _ in range(4):
        assert ended.acquire(timeout=PATIENCE_SECONDS)
    assert [thread.is_alive() for thread in threads].count(True) == 1


def test_calls_wait_on_where_the_system_allows_no_more_threads(monkeypatch):
    pool, release, tried = Pool(1, 0), threading.Event(), threading.Semaphore(0)
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == "agentloop-idle":
            tried.release()
            raise RuntimeError("can't start new thread")
        start(thread)

    holding, _ = pool.hand(lambda: release.wait(PATIENCE_SECONDS))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    waiting, returned = pool.hand(lambda: "next")
    assert tried.acquire(timeout=PATIENCE_SECONDS)
    assert tried.acquire(timeout=PATIENCE_SECONDS)
    release.set()
    assert holding.wait(PATIENCE_SECONDS)
    assert waiting.wait(PATIENCE_SECONDS)
    assert returned == ["next"]

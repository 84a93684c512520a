"""A process that has used agentloop may fork: the child's runs work, and the parent's go on."""

import itertools
import os
import subprocess
import sys
from weakref import WeakSet

import pytest

from agentloop import Agent, Endpoint, forking
from agentloop.endpoint.transport.limiter import RateLimiter
from agentloop.forking import begin_anew
from agentloop.runtime.portal import Portal
from agentloop.runtime.threads import DaemonThreads
from loopback import Loopback, text_body

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

BEGIN = """
import asyncio, gc, multiprocessing, os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, from Python 3.12 on
from agentloop import Agent, Endpoint, tool
from agentloop.testing import ScriptedEndpoint, call
url, http = sys.argv[1:]

@tool
def look() -> str:
    "Look."
    return "seen"

def script(request):
    return "ok" if any(item.get("type") == "function_call_output" for item in request["input"]) else call("look")

agent = Agent("m", endpoint=ScriptedEndpoint(script), tools=[look])
served = Agent("m", endpoint=Endpoint(url, http=http), tools=[look])

def ask_sync():
    assert agent.run_sync("go").text == "ok"
    assert served.run_sync("go").text == "hi"
    *_, last = served.stream_sync("go")
    assert last.result.text == "hi"

async def ask():
    assert (await agent.run("go")).text == "ok"
    assert (await served.run("go")).text == "hi"

def in_child(work):
    child = os.fork()
    if not child:
        work()
        gc.collect()
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
"""

PROGRAMS = {
    "sync": """
ask_sync()
def work():
    ask_sync()
    served.close()
    asyncio.run(ask())
in_child(work)
ask_sync()
""",
    "async": """
async def main():
    await ask()
    in_child(lambda: (asyncio.run(ask()), asyncio.run(served.aclose()), ask_sync(), os._exit(0)))
    await ask()
asyncio.run(main())
""",
    "a child of a child": """
ask_sync()
in_child(lambda: (ask_sync(), in_child(ask_sync), ask_sync()))
ask_sync()
""",
    "multiprocessing": """
ask_sync()
context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    pool.apply(ask_sync)
    pool.close()
    pool.join()
ask_sync()
""",
    "pools": """
import concurrent.futures
ask_sync()
context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    pool.starmap(ask_sync, [()] * 4)
with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
    for future in [executor.submit(ask_sync) for _ in range(4)]:
        future.result()
ask_sync()
""",
    "from a thread of a tool": """
@tool
def fork() -> str:
    "Fork."
    in_child(lambda: (ask_sync(), os._exit(0)))
    return "forked"
forking = Agent("m", endpoint=ScriptedEndpoint([call("fork"), "ok"]), tools=[fork])
result = forking.run_sync("go")
assert [item.content for item in result.items if hasattr(item, "ok")] == ["forked"], result.items
ask_sync()
""",
}


@pytest.mark.parametrize(
    ("name", "http"),
    [
        *itertools.product(("sync", "async"), ("httpx", "aiohttp")),
        ("a child of a child", "httpx"),
        ("multiprocessing", "aiohttp"),
        ("pools", "httpx"),
        ("from a thread of a tool", "httpx"),
    ],
)
def test_runs_work_in_a_forked_process_and_go_on_in_its_parent(name, http):
    with Loopback.in_thread(lambda _: text_body("hi")) as server:
        command = [sys.executable, "-c", BEGIN + PROGRAMS[name], server.base_url, http]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def nothing_else_begins_anew(monkeypatch):
    """Let only what the test makes begin anew: no other test is to lose its server of an embedded model."""
    monkeypatch.setattr(forking, "_THINGS", WeakSet())


@pytest.mark.usefixtures("nothing_else_begins_anew")
def test_what_was_held_by_a_thread_of_the_parent_is_free():
    pool, portal, limiter = DaemonThreads(1), Portal(), RateLimiter()
    for each in (pool, portal, limiter):
        each._lock.acquire()
    begin_anew()
    assert not any(each._lock.locked() for each in (pool, portal, limiter))


@pytest.mark.usefixtures("nothing_else_begins_anew")
async def test_connections_of_the_parent_are_neither_used_nor_closed():
    async with (
        Loopback(lambda _: text_body("hi")) as server,
        Agent("m", endpoint=Endpoint(server.base_url)) as agent,
    ):
        await agent.run("go")
        transport, _ = await agent._prepared._served.connect()
        of_parent = dict(transport._pool._connections)
        begin_anew()
        assert (await agent.run("go")).text == "hi"
        await agent.aclose()
        assert server.connections == 2
        assert of_parent in transport._pool._inherited, "as garbage they would be closed"
        transport._pool._connections.update(of_parent)
        await agent.run("go")
        assert server.connections == 2, "the parent's connection is still open"

"""Tools that misbehave: the run survives each of them, and the model is told."""

import _thread
import ctypes
import subprocess
import sys
import threading
import tracemalloc

import pytest

from agentloop import Agent, Limits, tool
from agentloop.testing import ScriptedEndpoint, call
from clock import stop_clock

PATIENCE_SECONDS = 60


async def told_of(function, **options):
    """Return what the model is told of a call, in a run that has to go on to its end."""
    endpoint = ScriptedEndpoint([call(function.name), "done"])
    result = await Agent("m", endpoint=endpoint, tools=[function], **options).run("go")
    assert result.text == "done"
    [output] = [item for item in endpoint.requests[1]["input"] if item.get("type") == "function_call_output"]
    return output["output"]


@pytest.mark.parametrize("make", [lambda n: "x" * n, bytes, bytearray], ids=["text", "bytes", "bytearray"])
async def test_a_hundred_megabytes_are_cut_without_a_second_copy(make):
    @tool
    def overdo() -> str:
        """Return too much."""
        return make(100_000_000)

    tracemalloc.start()
    told = await told_of(overdo)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(told) <= 20_000
    assert "characters cut here" in told
    assert peak < 120_000_000


@pytest.mark.parametrize("parallel", [True, False])
async def test_one_that_never_returns_is_given_up(parallel):
    clock, never = stop_clock(), threading.Event()

    @tool(timeout=90, parallel=parallel)
    def hang() -> str:
        """Hang."""
        clock.advance(90)
        never.wait(PATIENCE_SECONDS)
        return ""

    told = await told_of(hang)
    never.set()
    assert told == "hang did not return within 90 s and could not be stopped; it may still take effect."


async def test_one_that_never_returns_ends_with_the_runs_time():
    clock, never = stop_clock(), threading.Event()

    @tool
    def hang() -> str:
        """Hang."""
        clock.advance(90)
        never.wait(PATIENCE_SECONDS)
        return ""

    endpoint = ScriptedEndpoint([call("hang"), "done"])
    result = await Agent("m", endpoint=endpoint, tools=[hang], limits=Limits(seconds=90)).run("go")
    never.set()
    assert (result.stop_reason, result.text) == ("time_limit", "done")


async def test_one_that_prints_disturbs_nothing(capfd):
    @tool
    def chat() -> str:
        """Print and answer."""
        print("to whom it may concern")  # noqa: T201 - what is tested
        sys.stdout.write("{not json\n")
        return "answer"

    assert await told_of(chat) == "answer"
    assert "to whom" in capfd.readouterr().out


@tool
def leave() -> str:
    """Exit."""
    sys.exit("I am off")


@tool
async def leave_async() -> str:
    """Exit."""
    sys.exit("I am off")


@tool
def end_thread() -> str:
    """End the thread."""
    _thread.exit()


@tool
def kill_thread() -> str:
    """Let the thread be killed from outside."""
    ident = ctypes.c_ulong(threading.get_ident())
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(SystemExit))
    return "".join(str(n) for n in range(100))  # some bytecode, in which it strikes


@pytest.mark.parametrize("function", [leave, leave_async, end_thread, kill_thread], ids=lambda each: each.name)
async def test_one_that_exits_ends_neither_the_process_nor_the_run(function):
    assert "SystemExit" in await told_of(function)


async def test_one_that_starts_children_is_not_waited_for():
    children = []

    @tool
    def spawn() -> str:
        """Start a process."""
        children.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        return f"started {len(children)}"

    assert await told_of(spawn) == "started 1"
    for child in children:
        child.kill()
        child.wait(PATIENCE_SECONDS)

"""The background event loop behind the sync calls."""

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest

from agentloop import RunStateError
from agentloop.runtime.portal import Portal


async def answer():
    return threading.current_thread().name


def press_ctrl_c():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def test_all_calls_share_one_background_thread():
    portal = Portal()
    assert [portal.call(answer) for _ in range(2)] == ["agentloop-loop", "agentloop-loop"]


def test_an_error_is_raised_where_the_call_was_made():
    async def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Portal().call(fail)


def test_a_sync_call_on_the_background_loop_itself_is_refused_before_it_hangs():
    portal = Portal()

    async def call_again():
        portal.call(answer)

    with pytest.raises(RunStateError, match=r"await agent\.run"):
        portal.call(call_again)


def test_an_iterator_yields_what_the_generator_yields():
    async def count():
        for number in range(3):
            yield number

    assert list(Portal().iterate(count)) == [0, 1, 2]


def test_an_error_in_a_generator_comes_after_what_it_yielded():
    async def fail():
        yield 1
        raise ValueError("no")

    iterator = Portal().iterate(fail)
    assert next(iterator) == 1
    with pytest.raises(ValueError, match="no"):
        next(iterator)


def test_ctrl_c_ends_the_coroutine_first_and_carries_its_run():
    ended = threading.Event()

    async def hang():
        press_ctrl_c()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            vars(error)["run"] = "the run"
            ended.set()
            raise

    with pytest.raises(KeyboardInterrupt) as caught:
        Portal().call(hang)
    assert ended.is_set()
    assert caught.value.run == "the run"


def test_a_coroutine_that_ends_well_in_spite_of_ctrl_c_leaves_it_at_that():
    async def finish():
        press_ctrl_c()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    with pytest.raises(KeyboardInterrupt) as caught:
        Portal().call(finish)
    assert not hasattr(caught.value, "run")


def test_ctrl_c_before_anything_was_started_starts_nothing(monkeypatch):
    portal, started = Portal(), []
    portal.call(answer)

    class Interrupting:
        def __init__(self, loop):
            self.loop, self.first = loop, True

        def call_soon_threadsafe(self, callback):
            if self.first:
                self.first = False
                raise KeyboardInterrupt
            self.loop.call_soon_threadsafe(callback)

    async def work():
        started.append(1)

    monkeypatch.setattr(portal, "_loop", Interrupting(portal._loop))
    with pytest.raises(KeyboardInterrupt):
        portal.call(work)
    assert started == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_loop_starts_again_in_a_forked_child():
    program = (
        "import os, warnings\n"
        "from agentloop.runtime.portal import PORTAL\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"
        "async def answer(): return 7\n"
        "assert PORTAL.call(answer) == 7\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(PORTAL.call(answer))\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=90)

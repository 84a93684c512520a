"""Daemon threads for sync tools."""

import threading
from concurrent.futures import Future

import pytest

from agentloop.runtime.threads import DaemonThreads, Outcome, ThreadCall

PATIENCE_SECONDS = 60  # for what would never end


class Pool(DaemonThreads):
    """Threads whose calls are futures, too, for a test to wait for."""

    def hand(self, function, name="any") -> tuple[ThreadCall, Future[Outcome]]:
        came: Future[Outcome] = Future()
        return self.submit(function, name, came.set_result), came

    def result(self, function, name="any"):
        return self.hand(function, name)[1].result(PATIENCE_SECONDS).result


def test_a_call_returns_in_a_daemon_thread_that_bears_its_name():
    pool = Pool(2)
    assert pool.result(threading.current_thread, "add-c1").daemon
    assert pool.result(lambda: threading.current_thread().name, "add-c2") == "agentloop-add-c2"


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), StopIteration()])
def test_whatever_a_call_raises_is_its_callers(error):
    def fail():
        raise error

    _, came = Pool(1).hand(fail)
    assert came.result(PATIENCE_SECONDS).error is error


def hold_until(release, started):
    def hold():
        started.release()
        assert release.wait(PATIENCE_SECONDS)
        return threading.get_ident()

    return hold


def test_no_more_threads_run_than_there_are_places():
    pool = Pool(2)
    release, started = threading.Event(), threading.Semaphore(0)
    held = [pool.hand(hold_until(release, started))[1] for _ in range(3)]
    assert started.acquire(timeout=PATIENCE_SECONDS)
    assert started.acquire(timeout=PATIENCE_SECONDS)
    assert not started.acquire(blocking=False)
    release.set()
    assert len({came.result(PATIENCE_SECONDS).result for came in held}) == 2


def test_a_thread_that_is_free_is_used_again():
    pool = Pool(1)
    assert len({pool.result(threading.get_ident) for _ in range(20)}) == 1


def test_an_abandoned_call_gives_its_place_to_another_and_is_not_delivered():
    pool = Pool(1)
    release, started = threading.Event(), threading.Semaphore(0)
    hanging, never = pool.hand(hold_until(release, started))
    assert started.acquire(timeout=PATIENCE_SECONDS)
    _, waiting = pool.hand(lambda: "next")
    assert pool.abandon(hanging)
    assert waiting.result(PATIENCE_SECONDS).result == "next"
    release.set()
    assert pool.result(lambda: "after") == "after"
    assert not never.done()
    assert not pool.abandon(hanging)


def test_a_call_that_has_not_begun_never_does_once_it_is_abandoned_and_one_that_has_ended_is_let_be():
    pool = Pool(1)
    release, started = threading.Event(), threading.Semaphore(0)
    holding, held = pool.hand(hold_until(release, started))
    assert started.acquire(timeout=PATIENCE_SECONDS)
    queued, never = pool.hand(lambda: "never")
    assert not pool.abandon(queued)
    release.set()
    held.result(PATIENCE_SECONDS)
    assert pool.result(lambda: "more") == "more"
    assert not pool.abandon(holding)
    assert not never.done()


def test_abandoning_with_nothing_queued_starts_no_thread():
    pool = Pool(1)
    release, started = threading.Event(), threading.Semaphore(0)
    hanging, _ = pool.hand(hold_until(release, started))
    assert started.acquire(timeout=PATIENCE_SECONDS)
    before = set(threading.enumerate())
    assert pool.abandon(hanging)
    assert set(threading.enumerate()) <= before
    release.set()

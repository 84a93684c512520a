"""Daemon threads for sync tools, because a thread that hangs must not keep the process alive.

The pools of the standard library join their threads at exit, and asyncio's default pool has 6 threads on 2 cores. Each
future of theirs has a lock and a condition, which would make it twice as expensive to pass a call to a thread and back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from time import sleep
from typing import Any, Literal, NamedTuple, TypeAlias

from agentloop.forking import begin_anew_after_fork

PATIENCE_SECONDS = 0.05

_IN_THREAD: ContextVar[bool] = ContextVar("in_thread", default=False)


class Outcome(NamedTuple):
    """The outcome of a call: its result, or what it raised."""

    result: Any
    error: BaseException | None


Deliver: TypeAlias = Callable[[Outcome], None]


@dataclass(slots=True, eq=False)
class ThreadCall:
    """A function call that a thread carries out.

    Attributes:
        function: The function to call.
        name: The name of the thread during the call.
        deliver: Called in the thread with the outcome, unless the call was abandoned. It must not block.
        begin: Called in the thread before a call that had to wait. It must not block.
        waits: Whether the call had to wait for a thread.
        begun: Whether a thread has begun with it.
        state: The progress of the call.
    """

    function: Callable[[], Any]
    name: str
    deliver: Deliver
    begin: Callable[[], None]
    waits: bool = False
    begun: bool = False
    state: Literal["queued", "running", "ended", "abandoned"] = "queued"


class DaemonThreads:
    """Runs functions in daemon threads, which are started when they are needed.

    `size` functions run at the same time, and the others wait. Functions may wait for each other, so no wait lasts for
    ever: a call that is made within a function gets a thread at once, and as long as calls wait and none begins, one
    more thread is started every `patience_seconds`.

    A function that is abandoned keeps its thread until it returns. Another thread may be started in its place.
    """

    def __init__(self, size: int, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.size = size
        self._patience_seconds = patience_seconds
        self.begin_anew()
        begin_anew_after_fork(self)

    def begin_anew(self) -> None:
        """Forget all threads and calls."""
        self._free_places = self.size
        self._idle = 0
        self._waiting = 0
        self._begun = 0
        self._watched = False
        self._calls: SimpleQueue[ThreadCall] = SimpleQueue()
        self._lock = threading.Lock()

    def submit(
        self, function: Callable[[], Any], name: str, deliver: Deliver, begin: Callable[[], None] = lambda: None
    ) -> ThreadCall:
        """Call a function in a thread, which has this name during the call, with the caller's context variables."""
        context = copy_context()
        is_nested = context.run(_enter)
        call = ThreadCall(partial(context.run, function), name, deliver, begin)
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif self._free_places > 0 or is_nested:
                self._start_thread(call)
                return call
            else:
                call.waits = True
                self._waiting += 1
                self._watch()
        self._calls.put(call)  # after the lock is released, because the thread that it wakes needs the lock
        return call

    def abandon(self, call: ThreadCall) -> bool:
        """Abandon a call, and return whether it was running. If so, its thread can't be stopped."""
        with self._lock:
            running = call.state == "running"
            if call.state != "ended":
                call.state = "abandoned"
            if running:
                self._free_places += 1
                if self._waiting and self._free_places > 0:
                    self._waiting -= 1
                    self._start_thread()
        return running

    def _start_thread(self, call: ThreadCall | None = None) -> None:
        threading.Thread(target=self._work, args=(call,), name="agentloop-idle", daemon=True).start()
        self._free_places -= 1

    def _work(self, first: ThreadCall | None) -> None:
        if first is None or self._carry_out(first):
            while self._carry_out(self._calls.get()):
                pass

    def _carry_out(self, call: ThreadCall) -> bool:
        """Carry out a call that was not abandoned, and return whether the thread still belongs to the pool."""
        with self._lock:
            wanted = call.state == "queued"
            if wanted:
                call.state, call.begun = "running", True
                self._begun += 1
        outcome = _call(call) if wanted else None
        with self._lock:
            if wanted and call.state == "abandoned":
                return False
            call.state = "ended"
            stays = self._waiting > 0 or self._free_places >= 0
            if self._waiting:
                self._waiting -= 1
            elif stays:
                self._idle += 1
            else:
                self._free_places += 1
        if outcome is not None:
            call.deliver(outcome)  # at the very end: it wakes a thread that needs the lock and the interpreter
        return stays

    # --- calls that wait ---

    def _watch(self) -> None:
        if not self._watched:
            threading.Thread(target=self._grow, name="agentloop-watch", daemon=True).start()
            self._watched = True

    def _grow(self) -> None:
        """Start one more thread whenever calls have waited for a while and none has begun."""
        begun = -1
        while True:
            with self._lock:
                if not self._waiting:
                    self._watched = False
                    return
                if begun == self._begun:
                    with suppress(RuntimeError):  # the system allows no more threads
                        self._start_thread()
                        self._waiting -= 1
                begun = self._begun
            sleep(self._patience_seconds)


def _enter() -> bool:
    """Note that the code of this context runs in a thread, and return whether it did before."""
    before = _IN_THREAD.get()
    _IN_THREAD.set(True)
    return before


def _call(call: ThreadCall) -> Outcome:
    thread = threading.current_thread()
    thread.name = f"agentloop-{call.name}"
    try:
        if call.waits:
            call.begin()
        return Outcome(call.function(), None)
    except BaseException as error:  # noqa: BLE001 - the caller gets all that the function raises, sys.exit() included
        return Outcome(None, error)
    finally:
        thread.name = "agentloop-idle"

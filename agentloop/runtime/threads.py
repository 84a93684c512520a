"""Daemon threads for sync tools, because a thread that hangs must not keep the process alive.

The pools of the standard library join their threads at exit, and asyncio's default pool has 6 threads on 2 cores. Each
future of theirs has a lock and a condition, which would make it twice as expensive to pass a call to a thread and back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Literal, NamedTuple, TypeAlias


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
        state: The progress of the call.
    """

    function: Callable[[], Any]
    name: str
    deliver: Deliver
    state: Literal["queued", "running", "ended", "abandoned"] = "queued"


class DaemonThreads:
    """Runs functions in at most `size` daemon threads, which are started when they are needed.

    A function that is abandoned keeps its thread until it returns. Another thread may be started in its place.
    """

    def __init__(self, size: int) -> None:
        self._free_places = size
        self._idle = 0
        self._waiting = 0
        self._calls: SimpleQueue[ThreadCall] = SimpleQueue()
        self._lock = threading.Lock()

    def submit(self, function: Callable[[], Any], name: str, deliver: Deliver) -> ThreadCall:
        """Call a function in a thread, which has this name during the call."""
        call = ThreadCall(function, name, deliver)
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif self._free_places:
                self._start_thread()
            else:
                self._waiting += 1
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
                if self._waiting:
                    self._waiting -= 1
                    self._start_thread()
        return running

    def _start_thread(self) -> None:
        self._free_places -= 1
        threading.Thread(target=self._work, name="agentloop-idle", daemon=True).start()

    def _work(self) -> None:
        while self._carry_out(self._calls.get()):
            pass

    def _carry_out(self, call: ThreadCall) -> bool:
        """Carry out a call that was not abandoned, and return whether the thread still belongs to the pool."""
        with self._lock:
            wanted = call.state == "queued"
            if wanted:
                call.state = "running"
        outcome = _call(call) if wanted else None
        with self._lock:
            if wanted and call.state == "abandoned":
                return False
            call.state = "ended"
            if self._waiting:
                self._waiting -= 1
            else:
                self._idle += 1
        if outcome is not None:
            call.deliver(outcome)  # at the very end: it wakes a thread that needs the lock and the interpreter
        return True


def _call(call: ThreadCall) -> Outcome:
    thread = threading.current_thread()
    thread.name = f"agentloop-{call.name}"
    try:
        return Outcome(call.function(), None)
    except BaseException as error:  # noqa: BLE001 - the caller gets all that the function raises, sys.exit() included
        return Outcome(None, error)
    finally:
        thread.name = "agentloop-idle"

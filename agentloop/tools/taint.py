"""Lets a tool know whether its run has read untrusted text, and say that the result of this call is untrusted.

`Effects(open_world=True)` says so for all calls of a tool. These functions are for a tool whose results are sometimes
untrusted: what it reads may have been written by a run that had read untrusted text.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class CallTaint:
    """What one call knows and says about untrusted text.

    Attributes:
        run_is_tainted: Tells whether the run has read untrusted text.
        untrusted: Whether the result of the call may hold untrusted text.
    """

    run_is_tainted: Callable[[], bool]
    untrusted: bool = False


_CALL: ContextVar[CallTaint | None] = ContextVar("call_taint", default=None)


@contextmanager
def following_taint(run_is_tainted: Callable[[], bool]) -> Generator[CallTaint]:
    """Yield what the call in the block says about its result."""
    call = CallTaint(run_is_tainted)
    token = _CALL.set(call)
    try:
        yield call
    finally:
        _CALL.reset(token)


def run_is_tainted() -> bool:
    """Return whether the run that calls this tool has read untrusted text; False outside of a run."""
    call = _CALL.get()
    return call is not None and call.run_is_tainted()


def mark_untrusted() -> None:
    """Say that the result of this call may hold untrusted text. Outside of a run this does nothing."""
    call = _CALL.get()
    if call is not None:
        call.untrusted = True

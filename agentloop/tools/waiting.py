"""Lets a preview know whether its call has waited for a person while the run was paused.

A pack is opened anew when a run is resumed, so what its tools knew of the run is gone. A decision that was made
meanwhile holds only if today's preview is the one that was decided on.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

_HAS_WAITED: ContextVar[bool] = ContextVar("has_waited", default=False)


@contextmanager
def making_preview(*, has_waited: bool) -> Generator[None]:
    """Let `call_has_waited` return this in the block."""
    token = _HAS_WAITED.set(has_waited)
    try:
        yield
    finally:
        _HAS_WAITED.reset(token)


def call_has_waited() -> bool:
    """Return, in a preview, whether its call has waited for a person while the run was paused; otherwise False."""
    return _HAS_WAITED.get()

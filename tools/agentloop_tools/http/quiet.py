"""Silence of the HTTP client's own log, which at its lowest level tells what headers a server answers with."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
_LOGGERS = tuple(f"httpcore2.{name}" for name in ("connection", "http11", "http2", "proxy", "socks"))


def _is_heard(_record: logging.LogRecord) -> bool:
    return not _QUIET.get()


@contextmanager
def quiet() -> Generator[None]:
    """Keep what this task does meanwhile out of that log, and nothing that others do."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_heard)  # once; to add it again changes nothing
    token = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(token)

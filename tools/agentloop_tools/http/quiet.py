"""Switches off the HTTP client's own log, which at its lowest level writes the headers of an answer."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
_LOGGERS = tuple(f"httpcore2.{name}" for name in ("connection", "http11", "http2", "proxy", "socks"))


def _is_logged(_record: logging.LogRecord) -> bool:
    return not _QUIET.get()


@contextmanager
def quiet() -> Generator[None]:
    """Keep the requests of this task out of that log during the block. Those of other tasks are still logged."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_logged)  # a filter is added only once, however often this is called
    token = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(token)

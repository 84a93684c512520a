"""Hides secrets in the own logs of clients, for HTTP and for MCP: they hold URLs, and at their lowest level headers.

The MCP client also logs messages, so its log is written only if AGENTLOOP_LOG_CONTENT is set.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

_HIDE: ContextVar[Callable[[str], str] | None] = ContextVar("hide", default=None)
_PARTS = ("connection", "http11", "http2", "proxy", "socks")
_LOGGERS = ("httpx2", *(f"httpcore2.{name}" for name in _PARTS))
_QUOTING = (
    *("client", "mcp.client.client", "mcp.client.streamable_http"),
    *("mcp.shared.dispatcher", "mcp.shared.jsonrpc_dispatcher"),
)


def _hide(record: logging.LogRecord) -> bool:
    hide = _HIDE.get()
    if hide is not None:
        if record.name in _QUOTING:
            if not os.environ.get("AGENTLOOP_LOG_CONTENT"):
                return False
            record.exc_info = None
        record.msg, record.args = hide(record.getMessage()), ()
    return True


@cache
def _add_filters() -> None:
    for name in (*_LOGGERS, *_QUOTING):
        logging.getLogger(name).addFilter(_hide)


@contextmanager
def hiding_in_log(hide: Callable[[str], str]) -> Generator[None]:
    """Let a function hide secrets in what a client logs about a request of this task, or of a task that it starts."""
    _add_filters()
    token = _HIDE.set(hide)
    try:
        yield
    finally:
        _HIDE.reset(token)

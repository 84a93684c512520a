"""Hides an endpoint's secrets in the HTTP client's own log, which holds URLs, and at its lowest level headers."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from agentloop.endpoint.transport.secrets import hide_secrets
from agentloop.wire.profile import Endpoint

_ENDPOINT: ContextVar[Endpoint | None] = ContextVar("endpoint", default=None)
_PARTS = ("connection", "http11", "http2", "proxy", "socks")
_LOGGERS = ("httpx2", *(f"httpcore2.{name}" for name in _PARTS))


def _hide(record: logging.LogRecord) -> bool:
    endpoint = _ENDPOINT.get()
    if endpoint is not None:
        record.msg, record.args = hide_secrets(record.getMessage(), endpoint), ()
    return True


@cache
def _add_filters() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_hide)


@contextmanager
def hiding_in_log(endpoint: Endpoint) -> Generator[None]:
    """Hide the secrets of an endpoint in what the client logs about a request of this task."""
    _add_filters()
    token = _ENDPOINT.set(endpoint)
    try:
        yield
    finally:
        _ENDPOINT.reset(token)

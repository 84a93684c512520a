"""Hides keys, the values of headers and the credentials of a URL in what a server says, because servers repeat them."""

from __future__ import annotations

import base64
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from agentloop.errors import EndpointError
from agentloop.wire.profile import Endpoint

HIDDEN: Final = "***"
_SHORTEST, _LONG = 2, 8
_MORE = r"[\w.~+/=-]*"  # what else a key may hold, after its first letters

# Keys by their form, whoever's they are.
_KEYS = (
    r"(?i:(?<=\bbearer )|(?<=\bbasic ))[\w.~+/=-]{6,}",
    r"\b(?:sk|pk|rk|gsk|xai|hf|nvapi|r8|ghp)[-_][\w-]{8,}",
    r"\bAIza[\w-]{20,}",
    r"\beyJ[\w-]{8,}\.[\w.-]+",
)


def hide_secrets(text: str, endpoint: Endpoint) -> str:
    """Return a text without anything that only the requests to an endpoint may hold, and without keys of others."""
    return _pattern(*_list_secrets(endpoint)).sub(HIDDEN, text)


@contextmanager
def hiding_secrets(endpoint: Endpoint) -> Generator[None]:
    """Let errors of the endpoint pass without its secrets in their message and code."""
    try:
        yield
    except EndpointError as error:
        error.message, error.code = hide_secrets(error.message, endpoint), hide_secrets(error.code, endpoint)
        error.args = (error.message,)
        raise


def _list_secrets(endpoint: Endpoint) -> Iterator[str]:
    """Yield the key, the values of headers, and what a URL holds besides its host and plain path."""
    url = urlsplit(endpoint.base_url)
    user, password = unquote(url.username or ""), unquote(url.password or "")
    if user or password:
        yield base64.b64encode(f"{user}:{password}".encode()).decode()
    values = [endpoint.api_key or "", *endpoint.headers.values(), password, user]
    for value in values:
        yield value
        yield from re.split(r"[\s;,=]+", value)
    yield from (value for _, value in parse_qsl(url.query))
    yield from (part for part in url.path.split("/") if len(part) >= _LONG and re.search(r"\d", part))


@lru_cache(maxsize=64)
def _pattern(*secrets: str) -> re.Pattern[str]:
    spellings = {spelling for secret in secrets for spelling in (secret, quote(secret, safe=""))}
    listed = sorted((each for each in spellings if len(each) >= _SHORTEST), key=len, reverse=True)
    # A short one is only found as a whole word. A long one may be cut off.
    whole = [re.escape(each) if len(each) >= _LONG else rf"(?<!\w){re.escape(each)}(?!\w)" for each in listed]
    begun = [rf"(?<!\w){re.escape(each[:_LONG])}{_MORE}" for each in listed if len(each) > _LONG]
    return re.compile("|".join([*whole, *begun, *_KEYS]))

"""Hides keys, the values of headers and the credentials of a URL in what a server says, because servers repeat them."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit
from urllib.request import getproxies

from agentloop.errors import ConfigurationError, EndpointError
from agentloop.wire.profile import Endpoint
from agentloop.wire.profile.profile import HIDDEN

_SHORTEST, _LONG = 2, 8
_LEAST_IN_RESULTS = 6  # a shorter one may be an ordinary word of a tool's result
_URL_SAFE = str.maketrans("+/", "-_")
_LOGIN = re.compile(r"(?:[\w+.-]+://)?(?P<user>[^:@/?#]*)(?::(?P<password>.*))?@", re.DOTALL)
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


def hide_values(text: str, values: Iterable[str]) -> str:
    """Return a text without these values, as far as they are long enough; what may be a part of them is left."""
    lower = text.lower()
    # A search for a text is far faster than one for a pattern, and mostly nothing is found.
    found = [each for each in _list_spellings(*values) if len(each) >= _LEAST_IN_RESULTS and each.lower() in lower]
    return re.sub("|".join(_match_whole(found)), HIDDEN, text) if found else text


@contextmanager
def hiding_secrets(endpoint: Endpoint) -> Generator[None]:
    """Let errors pass without the endpoint's secrets, which the errors that led to them do not hold either."""
    try:
        yield
    except (EndpointError, ConfigurationError) as error:
        for each in _list_causes(error):
            each.args = tuple(hide_secrets(part, endpoint) if isinstance(part, str) else part for part in each.args)
            if isinstance(each, OSError) and isinstance(each.strerror, str):  # it is shown in place of the arguments
                each.strerror = hide_secrets(each.strerror, endpoint)
        error.message, error.hint = hide_secrets(error.message, endpoint), hide_secrets(error.hint, endpoint)
        if isinstance(error, EndpointError):
            error.code = hide_secrets(error.code, endpoint)
        raise


def _list_causes(error: BaseException | None) -> list[BaseException]:
    """Return an error and those that led to it."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and each not in found:
            found.append(each)
            waiting += [each.__cause__, each.__context__]
    return found


def _list_secrets(endpoint: Endpoint) -> Iterator[str]:
    """Yield the key, the values of headers, the logins of proxies, and what a URL holds but its host and plain path."""
    url = urlsplit(endpoint.base_url)
    values = [endpoint.api_key or "", *endpoint.headers.values()]
    for address in (endpoint.base_url, endpoint.proxy or "", *getproxies().values()):
        login = _LOGIN.match(address)
        user, password = (unquote(login[name] or "") for name in ("user", "password")) if login else ("", "")
        if user or password:
            yield base64.b64encode(f"{user}:{password}".encode()).decode()
        values += [password, user]
    for value in values:
        yield value
        yield from re.split(r"[\s;,=]+", value)
    yield from (value for _, value in parse_qsl(url.query))
    yield from (part for part in url.path.split("/") if len(part) >= _LONG and re.search(r"\d", part))


def _spell(secret: str) -> Iterator[str]:
    """Yield a secret as it may stand in a URL, a header, HTML or JSON, or in base64 or hexadecimal."""
    escaped, quoted = quote(secret, safe=""), json.dumps(secret)[1:-1]
    yield from (secret, quote(secret), escaped, quote(escaped), quote_plus(secret), html.escape(secret))
    yield from (quoted, quoted.replace("/", "\\/"))
    if len(secret) >= _LONG:
        data = secret.encode("utf-8", "surrogatepass")
        yield data.hex()
        for before in range(3):  # of the text that is encoded; the characters at the ends depend on what is beside it
            encoded = base64.b64encode(bytes(before) + data).decode()[
                -(-8 * before // 6) : 8 * (before + len(data)) // 6
            ]
            yield from (encoded, encoded.translate(_URL_SAFE))


@lru_cache(maxsize=64)
def _pattern(*secrets: str) -> re.Pattern[str]:
    spellings = _list_spellings(*secrets)
    begun = [rf"(?<!\w)(?i:{re.escape(each[:_LONG])}){_MORE}" for each in spellings if len(each) > _LONG]
    return re.compile("|".join([*_match_whole(spellings), *begun, *_KEYS]))


@lru_cache(maxsize=64)
def _list_spellings(*secrets: str) -> list[str]:
    spellings = {spelling for secret in secrets for spelling in _spell(secret)}
    return sorted((each for each in spellings if len(each) >= _SHORTEST), key=len, reverse=True)


def _match_whole(spellings: Iterable[str]) -> list[str]:
    """Return patterns: a long text is found anywhere and in any case, a short one only as a whole word."""
    return [
        rf"(?i:{re.escape(each)})" if len(each) >= _LONG else rf"(?<!\w){re.escape(each)}(?!\w)" for each in spellings
    ]

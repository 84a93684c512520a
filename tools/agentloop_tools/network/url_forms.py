"""Reads a URL in every way in which a server may read it, for rules about paths and URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from posixpath import normpath
from urllib.parse import unquote, unquote_plus, urlsplit

from agentloop import read_host

# Characters that mean something else if they are not escaped, so that servers differ in how they read them.
_AMBIGUOUS = re.compile(r"%(?=2f|5c|3f|23|25|3b)", re.IGNORECASE)
_PARAMETERS = re.compile(r";[^/]*")
_QUERY = re.compile(r"[?#].*", re.DOTALL)
_MARKS = set("*?[]")  # of a rule's pattern
_MOST_LAYERS = 6


def read_path(path: str) -> list[str]:
    """Return the forms of a path: without escapes that mean nothing, unquoted, without parameters, without a query."""
    layers = [unquote_plainly(path), *_unquote_layers(path)]
    read = (form for layer in layers for form in (layer, _PARAMETERS.sub("", layer), _QUERY.sub("", layer)))
    return list(dict.fromkeys(map(tidy, read)))


def read_url(url: str) -> list[str]:
    """Return the forms of a URL, each with its host as rules write it.

    Raises:
        FetchError: it is not a URL that can be fetched.
    """
    from agentloop import Fetcher  # noqa: PLC0415 - it takes 0.15 s, and is needed only if there is such a rule

    parts = urlsplit(Fetcher.read_url(url))
    queries = dict.fromkeys(f"?{query}" for query in (parts.query, unquote_plus(parts.query)) if query) or ("",)
    return [f"{parts.scheme}://{parts.netloc}{path}{query}" for path in read_path(parts.path) for query in queries]


def read_url_pattern(pattern: str) -> str:
    """Return the pattern of a rule about URLs in the same form: its host in ASCII, and with a path."""
    scheme, mark, rest = pattern.partition("://")
    host, slash, path = rest.partition("/")
    if not mark:
        return pattern
    host = ".".join(label if _MARKS & set(label) else read_host(label) or label for label in host.split("."))
    if not slash:
        return f"{scheme}://{host}" + "/" * _MARKS.isdisjoint(host)
    return f"{scheme}://{host}/{path if path[:1] in _MARKS else tidy(unquote_plainly(path))[1:]}"


def unquote_plainly(path: str) -> str:
    """Return a path without the escapes of characters that mean the same with and without an escape."""
    return unquote(_AMBIGUOUS.sub("%25", path))


def tidy(path: str) -> str:
    """Return a path that begins with one slash, without empty segments, `.` and `..`; a slash at the end is kept."""
    path = path.replace("\\", "/")
    end = "/" if path.endswith(("/", "/.", "/..")) else ""
    plain = normpath("/" + path.lstrip("/"))
    return plain if plain == "/" else plain + end


def _unquote_layers(path: str) -> Iterator[str]:
    for _ in range(_MOST_LAYERS):
        path, before = unquote(path), path
        yield path
        if path == before:
            return

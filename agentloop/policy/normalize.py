"""Turns the value of an argument into the texts that rules are compared with.

A value has several such texts: a path can be written in many ways, and a list of words differs from the joined words.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from posixpath import normpath
from typing import Any, cast
from unicodedata import normalize
from urllib.parse import unquote

from agentloop.policy.hosts import guess_host, read_host

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<authority>[^/?#]*)(?P<path>[^?#]*)", re.IGNORECASE)


# The start of a URL that browsers read however many slashes it has.
_ODD_URL = re.compile(r"(https?|wss?|ftp):[/\\]*", re.IGNORECASE)
_NO_SCHEME = re.compile(r"[/\\]{2}")
_FILE_URL = re.compile(r"file:(?://[^/\\]*)?(?=[/\\])", re.IGNORECASE)
_CONTROLS_AND_SPACE = "".join(map(chr, range(33)))
_IGNORED = dict.fromkeys(map(ord, "\t\r\n"))
_MOST_LAYERS = 6


@dataclass(frozen=True, slots=True)
class NormalizedValue:
    """A value as texts.

    Attributes:
        whole: The forms of the whole value: a text as it is and as a normalized path or URL; any other value as JSON.
        words: The forms of each entry of a list, or None if the value is not a list.
        parts: The forms of every text inside the value, and the entries of a list joined with spaces, without and with
            shell quotes.
    """

    whole: tuple[str, ...]
    words: tuple[tuple[str, ...], ...] | None = None
    parts: tuple[str, ...] = ()


def normalize_value(value: Any) -> NormalizedValue:
    """Return the forms of a JSON value."""
    if not isinstance(value, list):
        return NormalizedValue(_normalize_whole(value), parts=tuple(_normalize_parts(value)))
    entries = cast("Sequence[Any]", value)
    texts = [entry if isinstance(entry, str) else _dump(entry) for entry in entries]
    parts = (*_normalize_parts(entries), " ".join(texts), shlex.join(texts))
    return NormalizedValue((_dump(entries),), tuple(_normalize_whole(entry) for entry in entries), parts)


def _normalize_whole(value: Any) -> tuple[str, ...]:
    if not isinstance(value, str):
        return (_dump(value),)
    bare = value.partition("\0")[0].strip(_CONTROLS_AND_SPACE)  # what many programs use of it
    texts = (value,) if bare == value else (value, bare)
    return (*texts, *map(normalize_text, texts), *_read_as_browser(value))


def _read_as_browser(url: str) -> Iterator[str]:
    """Yield the forms of a URL as browsers read it: without white space, with any slashes, unquoted several times."""
    text = url.strip(_CONTROLS_AND_SPACE).translate(_IGNORED)
    if file := _FILE_URL.match(text):
        yield _normalize_path(unquote(text[file.end() :]))
    for whole in (f"http:{text}", f"https:{text}") if _NO_SCHEME.match(text) else (text,):
        if start := _ODD_URL.match(whole):
            rest = whole[start.end() :]
            # To a browser a backslash is a slash; to others it is a part of the user.
            for each in dict.fromkeys((rest.replace("\\", "/"), rest)):
                yield from _unquote_layers(f"{start[1]}://{each}")


def _unquote_layers(url: str) -> Iterator[str]:
    for _ in range(_MOST_LAYERS):
        yield normalize_text(url)
        url, before = unquote(url), url
        if url == before:
            return


def _normalize_parts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = [part for pair in cast("dict[str, Any]", value).items() for part in pair]
    if isinstance(value, list):
        for part in cast("Sequence[Any]", value):
            yield from _normalize_parts(part)
    else:
        yield from _normalize_whole(value)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def normalize_text(text: str) -> str:
    """Return a text as a normalized path or URL: NFC, without `.` and `..`, a URL's path without percent escapes."""
    text = normalize("NFC", text)
    url = _URL.match(text)
    if url is None:
        return _normalize_path(text)
    path = unquote(url["path"])
    end = "/" if len(path) > 1 and path.endswith("/") else ""
    host = read_host(text) or guess_host(url["scheme"], url["authority"])
    return url["scheme"].lower() + host + _normalize_path(path) + end + text[url.end() :]


def _normalize_path(path: str) -> str:
    if not path:
        return ""
    plain = normpath(path.replace("\\", "/"))
    return plain[1:] if plain.startswith("//") else plain

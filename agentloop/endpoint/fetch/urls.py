"""Reads URLs, follows redirects, and shows URLs without their secrets."""

from __future__ import annotations

import httpx2

from agentloop.errors import FetchError
from agentloop.policy.hosts import read_host, read_numbers

_LAST_PORT = 65_535
SHOWN_CHARACTERS = 200
_PORTS = {"http": 80, "https": 443}


def parse(url: str) -> httpx2.URL:
    """Return the URL in a text.

    Raises:
        FetchError: the text is not an http or https URL, or it holds a user's name or password.
    """
    try:
        return _check(httpx2.URL(url))
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise FetchError(f"{_without_secrets(url)!r} is not a URL: {error}") from error


def follow(at: httpx2.URL, location: str) -> httpx2.URL:
    """Return the target of a redirect.

    Args:
        at: The URL that redirects.
        location: The Location header.

    Raises:
        FetchError: the target is not an allowed URL, or the redirect goes from https to http.
    """
    try:
        to = _check(at.join(location))
    except httpx2.InvalidURL as error:
        raise FetchError(f"{show(at)} redirects to {_without_secrets(location)!r}, which is not a URL") from error
    if (at.scheme, to.scheme) == ("https", "http"):
        raise FetchError(f"{show(at)} redirects from https to http")
    return to


def origin(url: httpx2.URL) -> tuple[str, str, int]:
    """Return the origin of a URL: scheme, host in ASCII, port."""
    return url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme]


def show(url: httpx2.URL) -> str:
    """Return a URL without its query, which may hold a key."""
    return str(url.copy_with(query=None, fragment=None))


def _check(url: httpx2.URL) -> httpx2.URL:
    """Return the URL with its host in the form that rules are compared with, if that can be determined."""
    if (
        url.scheme not in _PORTS
        or not url.host
        or not 0 < (_PORTS[url.scheme] if url.port is None else url.port) <= _LAST_PORT
    ):
        raise FetchError(f"{show(url)} is not an http or https URL")
    if url.userinfo:
        raise FetchError(f"the URL of {url.host} holds a user's name or password, which is not sent")
    name = url.raw_host.decode("ascii")
    host = read_host(f"http://[{name}]" if ":" in name else f"http://{name}")
    host = host or read_numbers(name)  # as the system's resolver does
    return url.copy_with(host=host) if host else url


def _without_secrets(text: str) -> str:
    """Return the part of an invalid URL that may be shown: without query, user's name and password."""
    return text.partition("?")[0].rpartition("@")[2][:SHOWN_CHARACTERS]

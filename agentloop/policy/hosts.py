"""Reads the host of a URL in one normal form, or reports that the host can't be determined.

Programs read unusual URLs in different ways. The host of such a URL is unknown here, and a call with an unknown host
needs approval. Rules, the fetcher and the packs all read hosts with `read_host`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any, cast
from unicodedata import normalize

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_START = re.compile(r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?P<authority>[^/?#]*)", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^:\[\]\s\\]+)(?::(?P<port>\d{0,5}))?", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|\d+)\Z")
_PART = re.compile(r"0x[0-9a-f]{1,20}|[0-9]{1,20}")  # of an address
_MOST_NUMBERS = 4
_OCTAL = frozenset("01234567")
_PATTERN = re.compile(r"(?:[a-z0-9_*-]+(?:\.[a-z0-9_*-]+)*|\[[0-9a-f:.]+\])(?::(?:\d{1,5}|\*))?")
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443, "ftp": 21}
_LONGEST_NAME = 253
_DIFFERENT = frozenset("ßς\u200c\u200d")  # IDNA 2003 replaces them, IDNA 2008 does not


def read_hosts(value: object) -> tuple[str, ...] | None:
    """Return the hosts of a URL or host, or of a list of them; None if one of them can't be determined."""
    texts = cast("Sequence[Any]", value) if isinstance(value, list) else (value,)
    hosts = tuple(read_host(text) if isinstance(text, str) else "" for text in texts)
    return hosts if hosts and all(hosts) else None


def read_host(text: str) -> str:
    """Return the host of a URL, of `host` or of `host:port`; "" if it can't be determined.

    The host is in lower case, as ASCII, without a user or a trailing dot. Its port is added unless it is the scheme's
    default port.
    """
    text = text.strip(" ")
    if _CONTROL.search(text):
        return ""
    start = cast("re.Match[str]", _START.match(text))
    scheme = (start["scheme"] or "").lower()
    matched = _HOST_AND_PORT.fullmatch(start["authority"].rpartition("@")[2])
    if matched is None or "\\" in start["authority"]:
        return ""
    host, port = _normalize_host(matched["host"]), int(matched["port"] or 0)
    # Some programs read `https:/host` as `https://host`.
    if not host or (not scheme and (host in _DEFAULT_PORTS or host == "file")):
        return ""
    return host if port in {0, _DEFAULT_PORTS.get(scheme)} else f"{host}:{port}"


def guess_host(scheme: str, authority: str) -> str:
    """Return the host that some program may read in an authority that `read_host` can't read, in lower case."""
    name = authority.rpartition("@")[2].lower()
    host, colon, port = name.partition(":")
    return read_host(f"{scheme}{read_numbers(host) or host}{colon}{port}") or name


def read_numbers(host: str) -> str:
    """Return the address that is written with fewer numbers, or in octal or hexadecimal, or ""."""
    parts = host.removesuffix(".").split(".")
    if len(parts) > _MOST_NUMBERS or not all(_PART.fullmatch(part) for part in parts):
        return ""
    *high, low = (
        int(part, 16 if "x" in part else 8 if set(part) <= _OCTAL and part[0] == "0" else 10) for part in parts
    )
    left = 8 * (_MOST_NUMBERS - len(high))
    if low >> left or any(number >> 8 for number in high):
        return ""
    return str(IPv4Address(sum(number << (24 - 8 * place) for place, number in enumerate(high)) + low))


def matches_host(host: str, patterns: Iterable[str]) -> bool:
    """Tell whether a host matches one of the patterns; `*` in a pattern matches any text."""
    return any(_compile(pattern).fullmatch(host) for pattern in patterns)


def is_host_pattern(pattern: str) -> bool:
    """Tell whether a text is a valid pattern for hosts."""
    return _PATTERN.fullmatch(_normalize_pattern(pattern)) is not None


@lru_cache(maxsize=1_000)
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, _normalize_pattern(pattern).split("*"))))


def _normalize_pattern(pattern: str) -> str:
    name, colon, port = pattern.rpartition(":") if re.search(r":(\d+|\*)\Z", pattern) else (pattern, "", "")
    return (_to_ascii(name.lower()).removesuffix(".") or name) + colon + port


def _normalize_host(host: str) -> str:
    if host.startswith("["):
        try:
            address = IPv6Address(host[1:-1])
        except AddressValueError:
            return ""
        return str(address.ipv4_mapped) if address.ipv4_mapped else f"[{address.compressed}]"
    host = _to_ascii(host.lower()).removesuffix(".")
    if not _NAME.fullmatch(host):
        return ""
    if _NUMBER.match(host.rpartition(".")[2]):
        # Some programs read `127.1` and `0x7f.1` as addresses, others as names.
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            return ""
    return host


def _to_ascii(name: str) -> str:
    """Return a host name as ASCII, as UTS 46 maps it: other dots and wide letters count as the plain ones.

    Return "" if there is no such name, or if programs encode it differently: `ß` may stay or become `ss`.
    """
    if name.isascii():
        return name
    mapped = normalize("NFKC", name).lower()
    if len(mapped) > _LONGEST_NAME or not _DIFFERENT.isdisjoint(mapped):
        return ""
    try:
        return mapped.encode("idna").decode("ascii")
    except UnicodeError:
        return ""

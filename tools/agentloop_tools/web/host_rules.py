"""HostRules: which hosts and ports may be fetched from. The fetcher checks the IP addresses of the hosts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Self

from agentloop import ConfigurationError, FetchError, read_host

if TYPE_CHECKING:
    import httpx2

_ENTRY = re.compile(r"(?P<host>\[[\da-fA-F:.]+\]|[\w.*-]+)(?::(?P<port>\d{1,5}))?")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Entry:
    """A host or a pattern of hosts, with or without a port."""

    host: str
    port: int | None

    @classmethod
    def read(cls, text: str) -> Self:
        matched = _ENTRY.fullmatch(text)
        if matched is None:
            raise _invalid_host(text)
        host = _normalize(matched["host"].strip("[]"))
        if not host.isascii():
            raise _invalid_host(text)
        return cls(host, int(matched["port"]) if matched["port"] else None)

    def matches(self, host: str, port: int) -> bool:
        return fnmatchcase(host, self.host) and self.port in {None, port}


@dataclass(frozen=True, slots=True)
class HostRules:
    """Which hosts may be fetched from.

    Attributes:
        allow: The allowed hosts. If there are none, any host is allowed.
        deny: The denied hosts, even if they are allowed too.
        ports: The ports of hosts that are allowed without a port.
    """

    allow: tuple[_Entry, ...]
    deny: tuple[_Entry, ...]
    ports: tuple[int, ...]

    @classmethod
    def of(cls, allow: Iterable[str], deny: Iterable[str], ports: Iterable[int]) -> Self:
        """Return the rules that a configuration describes."""
        return cls(tuple(map(_Entry.read, allow)), tuple(map(_Entry.read, deny)), tuple(ports))

    @property
    def private(self) -> frozenset[tuple[str, int]]:
        """The hosts that may be on a private network, because they were allowed with their port."""
        return frozenset((entry.host, entry.port) for entry in self.allow if entry.port and "*" not in entry.host)

    @property
    def known(self) -> tuple[str, ...]:
        """The allowed hosts as policies write them: with a port if it is not a scheme's default, and without `*`."""
        named = [entry for entry in self.allow if entry.host.strip("*.")]
        pairs = [(entry.host, port) for entry in named for port in ([entry.port] if entry.port else self.ports)]
        written = ((f"[{host}]" if ":" in host else host, port) for host, port in pairs)
        return tuple(dict.fromkeys(host if port in _PORTS.values() else f"{host}:{port}" for host, port in written))

    def vet(self, url: httpx2.URL) -> None:
        """Check that a URL may be fetched.

        Raises:
            FetchError: its host or port is not allowed.
        """
        host, port = _normalize(url.raw_host.decode("ascii")), url.port or _PORTS[url.scheme]
        for entry in self.deny:
            if entry.matches(host, port) or host.endswith(f".{entry.host}"):
                raise FetchError(f"{host} may not be fetched from")
        matching = [entry for entry in self.allow if entry.matches(host, port)]
        if self.allow and not matching:
            raise FetchError(f"{host}:{port} is not among the hosts that may be fetched from")
        if port not in self.ports and not any(entry.port for entry in matching):
            raise FetchError(f"port {port} is not among the ports that may be fetched from")


def _normalize(host: str) -> str:
    """Return a host in the form that rules compare, or in lower case if it has none: a pattern, or an odd address."""
    star = "*." * host.startswith("*.")
    plain = host.removeprefix(star)
    return star + (read_host(f"[{plain}]" if ":" in plain else plain).strip("[]") or plain.lower().rstrip("."))


def _invalid_host(text: str) -> ConfigurationError:
    return ConfigurationError(f"{text!r} is not a host", hint="write docs.example.org, *.example.org or wiki.corp:8080")

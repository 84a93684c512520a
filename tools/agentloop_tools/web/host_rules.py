"""HostRules: which hosts and ports may be fetched from. At which addresses hosts may be is the fetcher's to vet."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Self

from agentloop import ConfigurationError, FetchError

if TYPE_CHECKING:
    import httpx2

_ENTRY = re.compile(r"(?P<host>\[[\da-fA-F:.]+\]|[\w.*-]+)(?::(?P<port>\d{1,5}))?")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Entry:
    """A host, or a pattern of hosts, and perhaps a port."""

    host: str
    port: int | None

    @classmethod
    def read(cls, text: str) -> Self:
        matched = _ENTRY.fullmatch(text)
        if matched is None:
            raise _fault(text)
        try:
            host = _plain(matched["host"].strip("[]"))
        except UnicodeError as error:
            raise _fault(text) from error
        return cls(host, int(matched["port"]) if matched["port"] else None)

    def covers(self, host: str, port: int) -> bool:
        return fnmatchcase(host, self.host) and self.port in {None, port}


@dataclass(frozen=True, slots=True)
class HostRules:
    """Which hosts may be fetched from.

    Attributes:
        allow: Hosts that may; any, where there are none.
        deny: Hosts that may not, whatever is allowed.
        ports: Ports of hosts that are allowed without one.
    """

    allow: tuple[_Entry, ...]
    deny: tuple[_Entry, ...]
    ports: tuple[int, ...]

    @classmethod
    def of(cls, allow: Iterable[str], deny: Iterable[str], ports: Iterable[int]) -> Self:
        """Return the reach that a configuration describes."""
        return cls(tuple(map(_Entry.read, allow)), tuple(map(_Entry.read, deny)), tuple(ports))

    @property
    def private(self) -> frozenset[tuple[str, int]]:
        """Hosts that may be on a private network, since they were named with their port."""
        return frozenset((entry.host, entry.port) for entry in self.allow if entry.port and "*" not in entry.host)

    @property
    def known(self) -> tuple[str, ...]:
        """The allowed hosts as policies spell them, with a port where that is not a scheme's own; `*` is left out."""
        named = [entry for entry in self.allow if entry.host.strip("*.")]
        pairs = [(entry.host, port) for entry in named for port in ([entry.port] if entry.port else self.ports)]
        spelled = ((f"[{host}]" if ":" in host else host, port) for host, port in pairs)
        return tuple(dict.fromkeys(host if port in _PORTS.values() else f"{host}:{port}" for host, port in spelled))

    def vet(self, url: httpx2.URL) -> None:
        """Let a URL pass, or say why not.

        Raises:
            FetchError: its host or port is not to be fetched from.
        """
        host, port = _plain(url.raw_host.decode("ascii")), url.port or _PORTS[url.scheme]
        for entry in self.deny:
            if entry.covers(host, port) or host.endswith(f".{entry.host}"):
                raise FetchError(f"{host} is not to be fetched from")
        covering = [entry for entry in self.allow if entry.covers(host, port)]
        if self.allow and not covering:
            raise FetchError(f"{host}:{port} is not among the hosts that may be fetched from")
        if port not in self.ports and not any(entry.port for entry in covering):
            raise FetchError(f"port {port} is not among those that may be fetched from")


def _plain(host: str) -> str:
    """Return a host as it is compared: in ASCII and lower case, without the dot of the root."""
    host = host.lower().rstrip(".")
    if host.isascii():
        return host
    import idna  # noqa: PLC0415 - httpx2's own, for a few hosts only

    star, dot, rest = host.partition("*.")
    return f"*.{idna.encode(rest).decode()}" if dot and not star else idna.encode(host).decode()


def _fault(text: str) -> ConfigurationError:
    return ConfigurationError(f"{text!r} is no host", hint="write docs.example.org, *.example.org or wiki.corp:8080")

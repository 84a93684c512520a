"""Defines Effects, which the author of a tool declares. The policy decides what follows from them."""

from __future__ import annotations

from dataclasses import dataclass

from agentloop.options import FLAG, TEXT, TEXTS, check_options


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """The effects of a tool's calls, with the hints that MCP has for tools; `Effects()` means that it only computes.

    Attributes:
        read: It reads files or data of this machine.
        write: It changes something that lasts longer than the call, on this machine or elsewhere.
        network: It connects to other hosts.
        execute: It runs programs or code.
        destructive: Its changes can't be undone: it overwrites or deletes.
        idempotent: The same call again changes nothing more.
        open_world: Its output is untrusted, because other people wrote it, such as web pages.
        own_store: It writes only into its pack's own store, such as notes.
        hosts: The hosts that it connects to, if they are known before a call: `("api.example.com",)`.
        host_argument: The name of the argument that holds a URL or host, if the model chooses the host.
    """

    read: bool = False
    write: bool = False
    network: bool = False
    execute: bool = False
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False
    own_store: bool = False
    hosts: tuple[str, ...] = ()
    host_argument: str = ""

    def __post_init__(self) -> None:
        check_options("Effects", self, _KINDS)

    @property
    def read_only(self) -> bool:
        """Whether a call neither writes nor executes anything."""
        return not (self.write or self.execute)


_FLAGS = ("read", "write", "network", "execute", "destructive", "idempotent", "open_world", "own_store")
_KINDS = {
    **dict.fromkeys(_FLAGS, FLAG),
    "hosts": TEXTS,
    "host_argument": TEXT,
}

UNKNOWN = Effects(read=True, write=True, network=True, execute=True, destructive=True, open_world=True)

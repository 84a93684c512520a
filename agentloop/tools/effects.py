"""What a call of a tool does to the world, as its author declares it. What follows from it is the policy's to say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What a tool touches, and MCP's hints about it; `Effects()` is a tool that only computes.

    Attributes:
        read: It reads files or data of this machine.
        write: It changes something that outlives the call, here or elsewhere.
        network: It talks to other hosts.
        execute: It runs programs or code.
        destructive: What it changes can't be had back: it overwrites or deletes.
        idempotent: The same call again changes nothing more.
        open_world: What it returns was written by strangers, such as web pages; it is untrusted.
        own_store: It writes only into a store of its pack's own, such as notes.
        hosts: The hosts that it talks to, where they are known before a call: `("api.example.com",)`.
        host_argument: The argument whose URL or host says with whom it talks, where the model chooses that.
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

    @property
    def read_only(self) -> bool:
        """Whether nothing is changed or run by a call."""
        return not (self.write or self.execute)


UNKNOWN = Effects(read=True, write=True, network=True, execute=True, destructive=True, open_world=True)

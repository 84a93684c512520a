"""Stores the tool definitions that users have accepted, in a small file: trust on first use.

The content of the file can't be restored from elsewhere, so a damaged file is an error and is not changed.

    {"version": 1, "servers": {"files 0f3a...": {"read": {"since": "2026-11-02", "said": "{...}"}}}}
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import platformdirs

from agentloop.endpoint.shared_file import hold_file, replace_file
from agentloop.errors import ConfigurationError
from agentloop.items import JsonObject

VERSION = 1


@dataclass(frozen=True, slots=True)
class Pin:
    """The definition of a tool that a person has accepted.

    Attributes:
        said: The accepted definition as canonical text, or "" if none is accepted yet.
        since: The day on which it was accepted.
    """

    said: str = ""
    since: str = ""


Pins: TypeAlias = dict[str, Pin]

_KEPT: dict[str, Pins] = {}  # the pins of this process if the file is switched off
_WRITING = Lock()


def make_pin(said: str) -> Pin:
    """Return a pin for a definition that is accepted today."""
    return Pin(said, f"{datetime.now(UTC):%Y-%m-%d}")


def pins_path() -> Path | None:
    """Return the path of the file of pins: in the folder of AGENTLOOP_CACHE if that is set, None if it is empty."""
    named = os.environ.get("AGENTLOOP_CACHE")
    if named is not None:
        return Path(named).with_name("mcp_pins.json") if named else None
    return platformdirs.user_data_path("agentloop") / "mcp_pins.json"


def read_pins(identity: str) -> Pins | None:
    """Return the pins of a server by the names of its tools, or None if the server is new.

    Raises:
        ConfigurationError: the file is damaged.
    """
    path = pins_path()
    return _KEPT.get(identity) if path is None else _read(path).get(identity)


def keep_first_pins(identity: str, pins: Pins) -> Pins:
    """Keep the pins of a new server, and return its pins, which are others if another process was first.

    Raises:
        ConfigurationError: the file is damaged, or can't be written.
    """
    return _change(identity, lambda held: held or pins)


def add_pins(identity: str, pins: Pins) -> None:
    """Add pins for some tools of a server to its other pins.

    Raises:
        ConfigurationError: the file is damaged, or can't be written.
    """
    _change(identity, lambda held: {**held, **pins})


def _change(identity: str, change: Callable[[Pins], Pins]) -> Pins:
    """Change the pins of a server, while no other process reads or writes them to change them, and return them."""
    path = pins_path()
    with _WRITING:
        if path is None:
            _KEPT[identity] = change(_KEPT.get(identity, {}))
            return _KEPT[identity]
        try:
            with hold_file(path):
                servers = _read(path)
                servers[identity] = change(servers.get(identity, {}))
                replace_file(path, _write(servers))
                return servers[identity]
        except OSError as error:
            raise ConfigurationError(
                f"the accepted tools of MCP servers can't be saved in {path}: {error.strerror}",
                hint="set AGENTLOOP_CACHE to a file in a folder that can be written, or to an empty text",
            ) from None


def _read(path: Path) -> dict[str, Pins]:
    try:
        content: JsonObject = json.loads(path.read_text("utf-8"))
        servers: Any = content["servers"] if content["version"] == VERSION else None
        return {
            identity: {name: Pin(pin["said"], pin["since"]) for name, pin in pins.items()}
            for identity, pins in servers.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigurationError(
            f"{path}, which holds the accepted tools of MCP servers, can't be read: {error}",
            hint="delete it to accept the tools that the servers define now",
        ) from None


def _write(servers: Mapping[str, Pins]) -> str:
    held = {identity: {name: asdict(pin) for name, pin in pins.items()} for identity, pins in servers.items()}
    return json.dumps({"version": VERSION, "servers": held}, indent=1)

"""What servers said of their tools when they were first used, in a small file: trust on first use.

The file holds trust and not what can be had again, so a damaged one is an error and is left as it is.

    {"version": 1, "servers": {"files 0f3a...": {"read": {"since": "2026-11-02", "said": "{...}"}}}}
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
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
    """What a person has accepted of a tool, and what they have seen of it.

    Attributes:
        said: What its server said of it, as canonical text, or "" while nothing is accepted.
        since: The day on which that was accepted.
        shown: The digest of what they were shown last, so that a yes is to nothing else.
    """

    said: str = ""
    since: str = ""
    shown: str = ""


Pins: TypeAlias = Mapping[str, Pin]

_KEPT: dict[str, Pins] = {}  # where no file is wanted, this process remembers
_WRITING = Lock()


def make_pin(said: str) -> Pin:
    """Return the pin of what is accepted today."""
    return Pin(said, f"{datetime.now(UTC):%Y-%m-%d}")


def pins_path() -> Path | None:
    """Return the file of pins: beside the lessons where AGENTLOOP_CACHE names them, None where it is set to nothing."""
    named = os.environ.get("AGENTLOOP_CACHE")
    if named is not None:
        return Path(named).with_name("mcp_pins.json") if named else None
    return platformdirs.user_data_path("agentloop") / "mcp_pins.json"


def read_pins(identity: str) -> Pins | None:
    """Return what is pinned of a server by the names of its tools, or None when it is new.

    Raises:
        ConfigurationError: the file is damaged.
    """
    path = pins_path()
    return _KEPT.get(identity) if path is None else _read(path).get(identity)


def add_pins(identity: str, pins: Pins) -> None:
    """Pin what a server says of some tools, in addition to what is pinned of it.

    Raises:
        ConfigurationError: the file is damaged, or can't be written.
    """
    path = pins_path()
    with _WRITING:
        if path is None:
            _KEPT[identity] = {**_KEPT.get(identity, {}), **pins}
            return
        try:
            with hold_file(path):
                servers = _read(path)
                servers[identity] = {**servers.get(identity, {}), **pins}
                replace_file(path, _write(servers))
        except OSError as error:
            raise ConfigurationError(
                f"what MCP servers may offer can't be kept in {path}: {error.strerror}",
                hint="set AGENTLOOP_CACHE to a file in a folder that can be written, or to nothing",
            ) from None


def _read(path: Path) -> dict[str, Pins]:
    try:
        content: JsonObject = json.loads(path.read_text("utf-8"))
        servers: Any = content["servers"] if content["version"] == VERSION else None
        return {identity: {name: Pin(**pin) for name, pin in pins.items()} for identity, pins in servers.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigurationError(
            f"{path}, which says what MCP servers may offer, can't be read: {error}",
            hint="delete it to accept what they say now",
        ) from None


def _write(servers: Mapping[str, Pins]) -> str:
    held = {identity: {name: asdict(pin) for name, pin in pins.items()} for identity, pins in servers.items()}
    return json.dumps({"version": VERSION, "servers": held}, indent=1)

"""Defines `check_pack`, which the author of a pack calls in a test.

    def test_my_pack(tmp_path):
        (tmp_path / "a.txt").write_text("hello")
        check_pack(f"my_pack.files:Files:root={tmp_path}", examples={"read": {"path": "a.txt"}})

The check runs in a process of its own that has not imported the pack yet, because the effects of an import can be seen
only once, and an audit hook can't be removed. So the pack is named by its spec, as on a command line, or given as an
object, from whose class and configuration the other process creates a new one.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from agentloop.items import JsonObject
from agentloop.packs import ToolPack
from agentloop.testing.source import PackSource, find_source

Examples: TypeAlias = Mapping[str, JsonObject | Sequence[JsonObject]]

SECONDS = 60.0

# Standard output is redirected to standard error, so that what the pack prints does not mix with the faults.
_PROGRAM = """
import os, sys
verdict = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
from agentloop.testing.inspection import inspect_pack
verdict.write(inspect_pack(sys.stdin.buffer.read()))
verdict.close()
"""


class PackCheckError(AssertionError):
    """A pack has faults.

    Attributes:
        faults: One sentence per fault, each with its remedy.
    """

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        super().__init__(f"the pack {name} has faults:" + "".join(f"\n  - {fault}" for fault in faults))
        self.faults = tuple(faults)


def check_pack(pack: ToolPack[Any] | str, examples: Examples | None = None, *, seconds: float = SECONDS) -> None:
    """Check that a pack keeps the rules for packs, and that its tools have only the effects that they declare.

    Names, schemas, descriptions, declared effects and the configuration are checked. Then each tool is called with its
    example, twice. The first call loads what the tool needs; the effects of the second call must all be declared.

    Args:
        pack: The pack's spec, as on a command line; or the pack, whose class is at the top level of a module.
        examples: Arguments by the tool's own name, such as `{"read": {"path": "a.txt"}}`, in the order of the calls.
            Give two for a tool whose call can't be repeated. If None, no tool is called.
        seconds: The time limit for the whole check.

    Raises:
        PackCheckError: the pack has faults; each is listed with its remedy.
        ConfigurationError: the pack can't be created in another process.
    """
    source = PackSource(spec=pack) if isinstance(pack, str) else find_source(pack)
    tried = None if examples is None else {name: _list_calls(example) for name, example in examples.items()}
    faults = _inspect(pickle.dumps((source, tried)), seconds)
    if faults:
        raise PackCheckError(source.name, faults)


def _list_calls(example: JsonObject | Sequence[JsonObject]) -> list[JsonObject]:
    """Return the arguments of the call that loads what is needed, and of the call whose effects are recorded."""
    calls = [example] if isinstance(example, Mapping) else list(example)
    return [calls[0], calls[-1]]


def _inspect(request: bytes, seconds: float) -> list[str]:
    """Return the faults that another process finds."""
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-P", "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1"},
        start_new_session=True,
    )
    late: list[str] = []
    try:
        verdict, errors = process.communicate(request, timeout=seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        verdict, errors = process.communicate()
        late = [f"the process did not end within {seconds:g} s: make sure that imports, tools and threads end"]
    finally:
        _kill(process)
    if verdict:
        faults: list[str] = json.loads(verdict)
        return faults + late
    last = errors.decode(errors="replace").strip().rpartition("\n")[2]
    return late or [f"it ended the process with status {process.returncode}: a tool must return or raise ({last})"]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all processes that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()

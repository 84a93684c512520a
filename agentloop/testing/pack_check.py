"""`check_pack`: what the author of a pack runs in a test.

    def test_my_pack(tmp_path):
        (tmp_path / "a.txt").write_text("hello")
        check_pack(f"my_pack.files:Files:root={tmp_path}", examples={"read": {"path": "a.txt"}})

All of it happens in a process of its own, where nothing of the pack has been imported yet: what an import does can be
seen only once, and what watches a process can't be taken away again. So a pack gets there as it would on a command
line, by its spec; or, given as an object, by its class and its configuration, from which it is made anew.
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

# What the pack prints does not mix with the verdict.
_PROGRAM = """
import os, sys
verdict = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
from agentloop.testing.inspection import inspect_pack
verdict.write(inspect_pack(sys.stdin.buffer.read()))
verdict.close()
"""


class PackCheckError(AssertionError):
    """A pack does not keep its word.

    Attributes:
        faults: One sentence a fault, each with its remedy.
    """

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        super().__init__(f"the pack {name} has faults:" + "".join(f"\n  - {fault}" for fault in faults))
        self.faults = tuple(faults)


def check_pack(pack: ToolPack[Any] | str, examples: Examples | None = None, *, seconds: float = SECONDS) -> None:
    """Check that a pack is what it says it is.

    Names, schemas, descriptions, declared effects and the configuration are looked at. Then each tool is called with
    its example, twice: what it does the second time has to be within its effects, when what it needs has been loaded.

    Args:
        pack: Its spec, as on a command line; or the pack, whose class stands at the top of a module.
        examples: Arguments by the tool's own name, such as `{"read": {"path": "a.txt"}}`, in the order in which they
            are tried; two of them, where the same call can't be made again. Without any, no tool is called.
        seconds: How long all of it may take.

    Raises:
        PackCheckError: it is not; every fault is listed with its remedy.
        ConfigurationError: the pack can't be made anew elsewhere.
    """
    source = PackSource(spec=pack) if isinstance(pack, str) else find_source(pack)
    tried = None if examples is None else {name: _list_calls(example) for name, example in examples.items()}
    faults = _inspect(pickle.dumps((source, tried)), seconds)
    if faults:
        raise PackCheckError(source.name, faults)


def _list_calls(example: JsonObject | Sequence[JsonObject]) -> list[JsonObject]:
    """Return the arguments of the call that loads what is needed, and of the one that is watched."""
    calls = [example] if isinstance(example, Mapping) else list(example)
    return [calls[0], calls[-1]]


def _inspect(request: bytes, seconds: float) -> list[str]:
    """Return the faults that are found in another process."""
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
        verdict, told = process.communicate(request, timeout=seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        verdict, told = process.communicate()
        late = [f"the process did not end within {seconds:g} s: let imports, tools and threads come to an end"]
    finally:
        _kill(process)
    if verdict:
        faults: list[str] = json.loads(verdict)
        return faults + late
    last = told.decode(errors="replace").strip().rpartition("\n")[2]
    return late or [f"it ended the process with status {process.returncode}: a tool must return or raise ({last})"]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()

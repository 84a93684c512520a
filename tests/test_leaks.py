"""A test that leaves something open fails, and the one after it does not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
BEGINNING = """
import asyncio, gc, socket, subprocess, sys, threading
import pytest
import leaks

leaks.PATIENCE_SECONDS = 0.1
KEPT = []
GATE = threading.Event()

class Cycle:
    def __init__(self, thing):
        self.thing, self.itself = thing, self

@pytest.fixture
def cycle():
    return Cycle(socket.socket())

@pytest.fixture(scope="module", autouse=True)
def kept_by_the_module():
    with socket.socket() as kept:
        yield kept
    GATE.set()
"""
LEAKS = {
    "a socket": "def test_leak():\n    Cycle(socket.socket())",
    "a file": "def test_leak():\n    Cycle(open(__file__))",
    "an event loop": "def test_leak():\n    Cycle(asyncio.new_event_loop())",
    "a transport": """
async def test_leak():
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    Cycle(writer)
    server.close()
""",
    "a coroutine": "def test_leak():\n    Cycle(asyncio.sleep(0))",
    "a task": "async def test_leak():\n    KEPT.append(asyncio.create_task(asyncio.Event().wait()))",
    "a thread": "def test_leak():\n    KEPT.append(threading.Thread(target=GATE.wait))\n    KEPT[-1].start()",
    "a process": """
def test_leak():
    KEPT.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
""",
    "a folder of modules": "def test_leak():\n    sys.path.append('/nowhere')",
    "what a fixture holds": "def test_leak(cycle):\n    assert cycle.thing",
}
AFTER = "\ndef test_after():\n    gc.unfreeze()\n    gc.collect()\n"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What pytest says of a folder with a file for each leak, which has an innocent test after the one that leaks."""
    folder = tmp_path_factory.mktemp("leaks")
    for name, leak in LEAKS.items():
        (folder / f"test_{name.replace(' ', '_')}.py").write_text(f"{BEGINNING}\n{leak}\n{AFTER}")
    options = ["-c", TESTS.parent / "pyproject.toml", "--rootdir", ".", "-p", "leaks", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", *options, "."],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("name", LEAKS)
def test_what_is_left_open_fails_the_test_that_opened_it_and_no_other(name, report):
    file = f"test_{name.replace(' ', '_')}.py"
    said = re.findall(rf"^{file}::(\w+) (PASSED|FAILED|ERROR)", report, re.MULTILINE)
    assert {status for test, status in said if test == "test_leak"} & {"FAILED", "ERROR"}, report
    assert [status for test, status in said if test == "test_after"] == ["PASSED"], report

"""What an MCP server has started ends with it, though it has left the server's group, session and environment."""

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

import mcp_server_plain
from agentloop import ToolError
from agentloop.ext.mcp import McpConfig, McpServer, connection, process

PATIENCE = 90  # seconds, for what would never end

# Starts a process that is a stranger to the server, then becomes the server.
STRAY = """
import os, sys
stray, server = sys.argv[1], sys.argv[2:]
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open(stray + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(stray + ".new", stray)
        os.execve("/bin/sleep", ["sleep", "600"], {})
    os._exit(0)
while not os.path.exists(stray):
    os.sched_yield()
os.execv(sys.executable, [sys.executable, *server])
"""


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A busy machine may take its time to end a server that ends."""
    monkeypatch.setattr(process, "_DRAIN_SECONDS", PATIENCE)
    monkeypatch.setattr(process, "_REAP_SECONDS", PATIENCE)
    monkeypatch.setattr(connection, "_CLOSE_SECONDS", PATIENCE)


@pytest.fixture
def stray(tmp_path):
    return tmp_path / "stray"


def serving(stray, *words, **fields):
    command = (sys.executable, "-c", STRAY, str(stray), mcp_server_plain.__file__, *words)
    return McpConfig(command=command, start_timeout=PATIENCE, timeout=PATIENCE, **fields)


@asynccontextmanager
async def opened(config):
    async with asyncio.timeout(PATIENCE), McpServer(config).open() as tools:
        yield {tool.name: tool for tool in tools}


def is_gone(stray):
    """Whether the stray ends, however long one waits."""
    folder, ends = Path("/proc", stray.read_text()), monotonic() + PATIENCE
    while folder.exists() and monotonic() < ends:
        os.sched_yield()
    return not folder.exists()


def read_of(pid, name):
    return Path("/proc", str(pid), name).read_bytes()


def find_parent(stray):
    return int(read_of(stray.read_text(), "stat").rpartition(b")")[2].split()[1])


linux = pytest.mark.skipif(not process._KEEPS, reason="only Linux lets a process adopt others")


@linux
@pytest.mark.parametrize("words", [(), ("stubborn",), ("stubborn", "deaf")], ids=" ".join)
async def test_a_stray_ends_with_the_server_however_that_ends(stray, words, monkeypatch):
    monkeypatch.setattr(process, "_GRACE_SECONDS", 0.1 if words else PATIENCE)
    monkeypatch.setattr(process, "_TERMINATE_SECONDS", 0.1 if "deaf" in words else PATIENCE)
    async with opened(serving(stray, *words)) as tools:
        assert await tools["echo"](text="a") == "a"
        assert find_parent(stray) != os.getpid()
    assert is_gone(stray)


@linux
async def test_a_stray_ends_when_the_server_ends_by_itself(stray):
    async with opened(serving(stray)) as tools:
        with pytest.raises(ToolError, match="has ended"):
            await tools["crashes"]()
        assert is_gone(stray)


@linux
async def test_a_stray_ends_when_the_run_is_cancelled(stray):
    entered = asyncio.Event()

    async def run():
        async with opened(serving(stray, "stubborn")) as tools:
            entered.set()
            await tools["hangs"]()

    running = asyncio.create_task(run())
    async with asyncio.timeout(PATIENCE):
        await entered.wait()
    running.cancel()
    await asyncio.wait({running}, timeout=PATIENCE)
    assert is_gone(stray)

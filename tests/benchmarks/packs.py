"""What packs and many tools cost, one figure a process: `packs.py opening|tools|grep`."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from agentloop import Agent, Endpoint, Limits, ToolRegistry
from agentloop.packs import open_packs, part_packs

STEPS = 50
LIMITS = Limits(tool_calls=None, turns=None)
TEN = (
    "files:root={0}",
    "docs=files:root={0}",
    "search_files:root={0},index={0}",
    "web",
    "python",
    "sql:database={0}/data.db",
    "calculate",
    "time",
    "notes:folder={0}",
    "http:base_url=http://127.0.0.1:9",
)
FILES, FOLDERS = 50_000, 500
QUIET = {"stdout": subprocess.DEVNULL}
NEEDLE = "needle in the hay"


class Canned:
    """A transport that answers at once: calls first, then text."""

    endpoint = Endpoint("http://canned.invalid/v1")

    def __init__(self):
        self.asked = 0

    async def send(self, path, body):
        self.asked += 1
        if self.asked % (STEPS + 1) == 0:
            output = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]}
        else:
            output = {"type": "function_call", "call_id": "c", "name": "t0", "arguments": f'{{"n": {self.asked}}}'}
        return json.dumps({"id": "r", "object": "response", "status": "completed", "output": [output]}).encode()

    async def stream(self, path, body):
        yield await self.send(path, body)

    async def aclose(self):
        pass


def measure_tools():
    """Return the milliseconds that 1,000 tools add to a step: what a run takes with them, and with one of them."""

    def seconds_a_step(count):
        registry = ToolRegistry()
        for number in range(count):

            async def act(n: int, words: list[str] | None = None) -> str:
                """Act on a number, with words or without."""
                return ""

            registry.tool(name=f"t{number}")(act)
        agent = Agent("m", endpoint=Canned(), tools=registry, limits=LIMITS)
        asyncio.run(agent.run("go"))
        before = process_time()
        asyncio.run(agent.run("go"))
        return (process_time() - before) / STEPS

    one, many = seconds_a_step(1), seconds_a_step(1_000)
    return (many - one) * 1_000


async def complain(text):
    raise AssertionError(text)


async def open_all(specs):
    _, packs = part_packs(specs)
    async with open_packs(packs, complain) as tools:
        assert len(tools) > len(packs)


def measure_opening():
    """Return the seconds that ten packs add to the first run of a process: imported, configured, opened and left."""
    with tempfile.TemporaryDirectory() as folder:
        with closing(sqlite3.connect(f"{folder}/data.db")) as database:
            database.execute("create table t (a)")
        before = perf_counter()
        asyncio.run(open_all(spec.format(folder) for spec in TEN))
        return perf_counter() - before


def measure_grep():
    """Return how often the time of `grep -r` is taken by `files.grep`: over many small files, in turns, by medians."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(FILES):
            path = Path(folder, f"folder_{number % FOLDERS}", f"file_{number}.txt")
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"line of file {number}\n" * 40 + (NEEDLE + "\n") * (number % 5_000 == 0))
        ours, theirs = [], []
        for _ in range(5):
            theirs.append(seconds_of(lambda: subprocess.run(["grep", "-rn", NEEDLE, folder], check=True, **QUIET)))  # noqa: S607 - whichever grep is on the path
            ours.append(seconds_of(lambda: asyncio.run(grep(folder))))
        return median(ours) / median(theirs)


def seconds_of(work):
    before = perf_counter()
    work()
    return perf_counter() - before


async def grep(folder):
    _, packs = part_packs([f"files:root={folder}"])
    async with open_packs(packs, complain) as tools:
        [tool] = [tool for tool in tools if tool.label == "files.grep"]
        found = await asyncio.to_thread(tool.function, NEEDLE)
        assert found.count(NEEDLE) >= FILES // 5_000, found


MEASURES = {"tools": measure_tools, "opening": measure_opening, "grep": measure_grep}

if __name__ == "__main__":
    print(MEASURES[sys.argv[1]]())

"""What agentloop costs, as ratios to a loop written by hand.

Each client has a process of its own; the two are warmed up, take turns, and a figure is the median over the turns of
what one turn gave. So the machine's own speed, and what else it does, cancel out of the ratios; where a promise is in
milliseconds or seconds they do not.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent

DECORATE = """
import time, typing
from agentloop import tool
source = '''
def tool_{0}(name: str, count: int, ratio: float = 0.5, tags: typing.Optional[list[str]] = None,
             mode: typing.Literal["fast", "slow"] = "fast") -> str:
    \"\"\"Do thing number {0}.

    Args:
        name: The name of the thing.
        count: How many there are.
        ratio: The ratio of things.
        tags: Tags for the thing.
        mode: How to do it.

    Returns:
        What was done.
    \"\"\"
    return name
'''
space = {"typing": typing}
for index in range(1003):
    exec(source.format(index), space)
functions = [space[f"tool_{index}"] for index in range(1003)]
[tool(function).parameters for function in functions[1000:]]
before = time.process_time()
[tool(function).parameters for function in functions[:1000]]
print(time.process_time() - before)
"""
CPU_OF = "import time; before = time.process_time(); {}; print(time.process_time() - before)"


# A proxy would stand between the clients and the loopback server, and nobody compiles each module at each start.
LEFT_OUT = ("_proxy", "dontwritebytecode")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith(LEFT_OUT)}


@contextmanager
def worker(client, scenario, base_url):
    """Give a function that has the worker measure once."""
    command = [sys.executable, str(HERE / "measure.py"), client, scenario, base_url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, bufsize=1, env=ENVIRONMENT, **pipes) as process:

        def measure():
            process.stdin.write("\n")
            return json.loads(process.stdout.readline())

        try:
            yield measure
        finally:
            process.stdin.close()


def by_hand(scenario, route="", key=None):
    """Measure agentloop and the loop by hand in turn, on httpx and on aiohttp; the figure is the ratio on each."""
    names = [f"{who}_{http}{route}" for http in ("httpx", "aiohttp") for who in ("ours", "hand_written")]

    def figures(base_url, rounds):
        with ExitStack() as stack:
            workers = [stack.enter_context(worker(name, scenario, base_url)) for name in names]
            for _ in range(rounds):
                found = [measure() for measure in workers]
                one, loop, other, other_loop = [each[key] for each in found] if key else found
                yield one / loop, other / other_loop

    return figures


def in_turn(scenario, other_scenario, client="ours"):
    """Measure two scenarios in turn; the figure is the ratio."""

    def figures(base_url, rounds):
        with worker(client, scenario, base_url) as one, worker(client, other_scenario, base_url) as other:
            for _ in range(rounds):
                yield one() / other()

    return figures


def alone(scenario, client="ours", key=None):
    def figures(base_url, rounds):
        with worker(client, scenario, base_url) as ours:
            for _ in range(rounds):
                yield ours()[key] if key else ours()

    return figures


def afresh(scenario, key):
    """Measure in a new process each time, for what only happens once in one."""

    def figures(base_url, rounds):
        for _ in range(rounds):
            with worker("ours", scenario, base_url) as ours:
                yield ours()[key]

    return figures


def program(source):
    """Run a program that prints its figure."""

    def figures(_, rounds):
        for _ in range(rounds):
            done = subprocess.run([sys.executable, "-c", source], stdout=subprocess.PIPE, check=True, timeout=300)
            yield json.loads(done.stdout)

    return figures


def command(*arguments):
    """Run a command line and take the CPU of its process, the start of the interpreter included."""

    def figures(_, rounds):
        for _ in range(rounds):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            whole = [sys.executable, "-m", "agentloop", *arguments]
            subprocess.run(whole, stdout=subprocess.DEVNULL, check=True, timeout=300, env=ENVIRONMENT)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            yield after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return figures


def packs(what):
    """Run one of the measures in packs.py."""

    def figures(_, rounds):
        for _ in range(rounds):
            command = [sys.executable, str(HERE / "packs.py"), what]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=300, env=ENVIRONMENT)
            yield json.loads(done.stdout)

    return figures


# What is measured as a ratio to the loop by hand, the promises on httpx and on aiohttp, how it is measured, and in how
# many turns.
RATIOS = [
    ("CPU of a step, sync tool", "<=", 1.5, 3, by_hand("steps20"), 25),
    ("CPU of a step, async tool", "<=", 1.5, 3, by_hand("steps20_async"), 25),
    ("CPU of a request without tools", "<=", 1.5, 3, by_hand("text"), 25),
    ("CPU of a streamed delta", "<=", 1.5, 3, by_hand("stream"), 25),
    ("on chat, CPU of a step, sync tool", "<=", 1.5, 3, by_hand("steps20", "_chat"), 25),
    ("on chat, CPU of a step, async tool", "<=", 1.5, 3, by_hand("steps20_async", "_chat"), 25),
    ("on chat, CPU of a request without tools", "<=", 1.5, 3, by_hand("text", "_chat"), 25),
    ("on chat, CPU of a streamed delta", "<=", 1.5, 3, by_hand("stream", "_chat"), 25),
    ("throughput of 200 runs at once", ">=", 0.8, None, by_hand("many", key="requests_per_second"), 5),
]

# What, unit, promise, how it is measured, and in how many turns.
ROWS = [
    ("CPU of a request in 200 steps, to one in 20", "x", "<=", 1.3, in_turn("steps200", "steps20_async"), 15),
    (
        "on chat, CPU of a request in 200 steps, to one in 20",
        "x",
        "<=",
        1.3,
        in_turn("steps200", "steps20_async", "ours_chat"),
        15,
    ),
    ("writing the request of a step after 4 MB of history", "ms", "<=", 10, alone("long"), 5),
    ("on chat, writing the request of a step after 4 MB of history", "ms", "<=", 10, alone("long", "ours_chat"), 5),
    ("first delta seen after it was sent", "ms", "<=", 3, alone("delay"), 5),
    ("8 sync tools of 50 ms in one turn", "ms", "<=", 70, alone("batch_sync"), 15),
    ("8 async tools of 50 ms in one turn", "ms", "<=", 70, alone("batch_async"), 15),
    ("CPU of `import agentloop`", "s", "<=", 0.05, program(CPU_OF.format("import agentloop")), 5),
    (
        "CPU of `from agentloop import Agent, tool`",
        "s",
        "<=",
        0.35,
        program(CPU_OF.format("from agentloop import Agent, tool")),
        5,
    ),
    ("CPU of `agentloop --help`", "s", "<=", 0.3, command("--help"), 5),
    ("CPU of `agentloop --version`", "s", "<=", 0.5, command("--version"), 5),
    ("CPU of `agentloop packs`", "s", "<=", 0.5, command("packs"), 5),
    ("CPU of `agentloop packs --json`", "s", "<=", 0.5, command("packs", "--json"), 5),
    ("CPU of decorating 1,000 functions", "s", "<=", 0.7, program(DECORATE), 5),
    (
        "200 runs at once over aiohttp, requests a second",
        "",
        ">=",
        700,
        alone("many", "ours_aiohttp", "requests_per_second"),
        5,
    ),
    ("CPU that 1,000 tools add to a step", "ms", "<=", 1, packs("tools"), 5),
    ("opening ten packs, imports and all", "s", "<=", 0.2, packs("opening"), 5),
    ("files.grep over 50,000 files, to grep -r", "x", "<=", 3, packs("grep"), 1),
    ("200 runs at once, memory on top", "MB", "<=", 60, afresh("many", "megabytes"), 3),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=float, default=1, help="take so many times as many turns")
    parser.add_argument("--only", default="", help="measure only the rows that hold this text")
    options = parser.parse_args()
    with subprocess.Popen([sys.executable, str(HERE / "server.py")], stdout=subprocess.PIPE, text=True) as server:
        base_url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"

        def measure(rows):
            """Give each row that is asked for with its figures."""
            for row in rows:
                if options.only in row[0]:
                    *_, figures, turns = row
                    yield row, list(figures(base_url, max(1, round(turns * options.times))))

        try:
            missed = report_ratios(measure(RATIOS)) + report(measure(ROWS))
        finally:
            server.terminate()
    sys.exit(missed > 0)


def report_ratios(measured):
    spread = ("middle half", "promised", "")
    table = Table("to the loop by hand", "on httpx", *spread, "on aiohttp", *spread)
    missed = 0
    for (what, sign, *promises, _, _), found in measured:
        columns = zip(zip(*found, strict=True), promises, strict=True)
        cells = [judge(list(column), sign, promise) for column, promise in columns]
        missed += sum(cell[-1] == "MISSED" for cell in cells)
        table.add_row(what, *cells[0], *cells[1])
    return show(table, missed)


def report(measured):
    table = Table("what", "median", "middle half", "promised", "")
    missed = 0
    for (what, unit, sign, promise, *_), found in measured:
        cells = judge(found, sign, promise, unit)
        missed += cells[-1] == "MISSED"
        table.add_row(what, *cells)
    return show(table, missed)


def judge(found, sign, promise, unit="x"):
    """Give the median, the spread, the promise, and whether it is kept."""
    low, median, high = statistics.quantiles(found, n=4) if len(found) > 1 else found * 3
    spread = f"{low:.3g} to {high:.3g}"
    if promise is None:
        return f"{median:.3g} {unit}", spread, "", ""
    kept = median <= promise if sign == "<=" else median >= promise
    return f"{median:.3g} {unit}", spread, f"{sign} {promise} {unit}", "kept" if kept else "MISSED"


def show(table, missed):
    if table.rows:
        Console(width=150).print(table)
    return missed


if __name__ == "__main__":
    main()

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
from contextlib import contextmanager
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


def in_turn(scenario, other_client, other_scenario=None, key=None, client="ours"):
    """Measure agentloop and something else in turn; the figure is the ratio."""

    def figures(base_url, rounds):
        with (
            worker(client, scenario, base_url) as ours,
            worker(other_client, other_scenario or scenario, base_url) as other,
        ):
            for _ in range(rounds):
                one, another = ours(), other()
                yield one[key] / another[key] if key else one / another

    return figures


def on_chat(scenario, other_client="hand_written_chat", other_scenario=None):
    return in_turn(scenario, other_client, other_scenario, client="ours_chat")


def alone(scenario, client="ours"):
    def figures(base_url, rounds):
        with worker(client, scenario, base_url) as ours:
            for _ in range(rounds):
                yield ours()

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


# What, unit, promise, how it is measured, and in how many turns.
ROWS = [
    ("CPU of a step, sync tool, to the hand-written loop's", "x", "<=", 1.5, in_turn("steps20", "hand_written"), 25),
    (
        "CPU of a step, async tool, to the hand-written loop's",
        "x",
        "<=",
        1.5,
        in_turn("steps20_async", "hand_written"),
        25,
    ),
    ("CPU of a request in 200 steps, to one in 20", "x", "<=", 1.3, in_turn("steps200", "ours", "steps20_async"), 15),
    ("CPU of a request without tools, to the hand-written loop's", "x", "<=", 1.5, in_turn("text", "hand_written"), 25),
    ("CPU of a streamed delta, to the hand-written loop's", "x", "<=", 1.5, in_turn("stream", "hand_written"), 25),
    ("on chat, CPU of a step, sync tool, to the hand-written loop's", "x", "<=", 1.5, on_chat("steps20"), 25),
    ("on chat, CPU of a step, async tool, to the hand-written loop's", "x", "<=", 1.5, on_chat("steps20_async"), 25),
    (
        "on chat, CPU of a request in 200 steps, to one in 20",
        "x",
        "<=",
        1.3,
        on_chat("steps200", "ours_chat", "steps20_async"),
        15,
    ),
    ("on chat, CPU of a request without tools, to the hand-written loop's", "x", "<=", 1.5, on_chat("text"), 25),
    ("on chat, CPU of a streamed delta, to the hand-written loop's", "x", "<=", 1.5, on_chat("stream"), 25),
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
        "200 runs at once, to the hand-written loop's throughput",
        "x",
        ">=",
        0.8,
        in_turn("many", "hand_written", key="runs_per_second"),
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
    rows = [row for row in ROWS if options.only in row[0]]
    with subprocess.Popen([sys.executable, str(HERE / "server.py")], stdout=subprocess.PIPE, text=True) as server:
        base_url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        try:
            figures = [list(measure(base_url, max(1, round(turns * options.times)))) for *_, measure, turns in rows]
        finally:
            server.terminate()
    sys.exit(report(rows, figures))


def report(rows, figures):
    table = Table("what", "median", "middle half", "promised", "")
    missed = 0
    for (what, unit, sign, promise, *_), found in zip(rows, figures, strict=True):
        low, median, high = statistics.quantiles(found, n=4) if len(found) > 1 else found * 3
        kept = median <= promise if sign == "<=" else median >= promise
        missed += not kept
        spread = f"{low:.3g} to {high:.3g}"
        table.add_row(what, f"{median:.3g} {unit}", spread, f"{sign} {promise} {unit}", "kept" if kept else "MISSED")
    Console(width=130).print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    main()

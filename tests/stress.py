"""Run a test command again and again while the machine is busy, in random order, until it fails once.

    python tests/stress.py 10 "" pytest --numprocesses=2
    python tests/stress.py 1 4711 pytest --numprocesses=2

The second argument is the seed of the first order, so that an order in which a test failed can be had again; without
one it is random. Each round adds 1 to it.
"""

import random
import subprocess
import sys
from contextlib import ExitStack
from time import monotonic

BUSY_PROCESSES = 4
# Ends by itself too, should this program be killed.
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    pass"


def repeat(times: int, first_seed: int, command: list[str]) -> int:
    """Run the command so many times, or until it fails, and return its last status."""
    for number in range(times):
        seed = first_seed + number
        print(f"Round {number + 1} of {times}, SEED={seed}", flush=True)
        begin = monotonic()
        status = subprocess.run([*command, "-p", "randomly", f"--randomly-seed={seed}"], check=False).returncode
        print(f"Round {number + 1} of {times} took {monotonic() - begin:.0f} s, and its status is {status}", flush=True)
        if status:
            return status
    return 0


if __name__ == "__main__":
    _, times, seed, *command = sys.argv
    with ExitStack() as stack:
        for _ in range(BUSY_PROCESSES):
            busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", BUSY]))
            stack.callback(busy.kill)
        sys.exit(repeat(int(times), int(seed or random.getrandbits(31)), command))

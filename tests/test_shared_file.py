"""Files that several processes write: what one of them adds is not lost when another one writes at the same time."""

import json
import subprocess
import sys
from contextlib import ExitStack
from threading import Timer

import pytest

from agentloop.endpoint.profile_store import read_lessons
from agentloop.endpoint.shared_file import hold_file, replace_file
from agentloop.ext.mcp.pins import read_pins

PATIENCE_SECONDS = 100

REMEMBER = """
from agentloop.endpoint import profile_store as module
from agentloop.wire.profile.lessons import Lesson
reader = "read_lessons"
def add(name):
    assert module.remember("http://127.0.0.1:9/v1", name, [Lesson("route", "responses", "chat", "404")]) == ""
"""
PIN = """
from agentloop.ext.mcp import pins as module
reader = "_read"
def add(name):
    module.add_pins(name, {"tool": module.make_pin("said")})
"""
# One stops between reading and writing until it is told to go on. The other one tells when it waits for the lock.
SLOW = """
import sys
read = getattr(module, reader)
def read_and_wait(*arguments):
    content = read(*arguments)
    print("read", flush=True)
    sys.stdin.readline()
    return content
setattr(module, reader, read_and_wait)
add("slow")
print("done", flush=True)
"""
QUICK = """
import logging
class Waiting(logging.Handler):
    def emit(self, record):
        if "not acquired" in record.getMessage():
            print("waits", flush=True)
logging.getLogger("filelock").addHandler(Waiting())
logging.getLogger("filelock").setLevel(logging.DEBUG)
add("quick")
print("done", flush=True)
"""


def read_line(process):
    """Return the next line that a process writes, or "" when it has ended."""
    return process.stdout.readline().strip()


def names_of_lessons():
    known, trouble = read_lessons()
    assert trouble == []
    return {each.model for each in known}


def names_of_pins():
    return {name for name in ("slow", "quick") if read_pins(name)}


@pytest.mark.parametrize(("program", "find_names"), [(REMEMBER, names_of_lessons), (PIN, names_of_pins)])
def test_of_two_processes_that_write_at_once_neither_loses_what_the_other_one_adds(program, find_names):
    with ExitStack() as stack:

        def start(source):
            process = subprocess.Popen(
                [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
            stack.enter_context(process)
            patience = Timer(PATIENCE_SECONDS, process.kill)
            patience.start()
            stack.callback(patience.cancel)
            stack.callback(process.kill)
            return process

        slow = start(program + SLOW)
        assert read_line(slow) == "read"
        quick = start(program + QUICK)
        told = read_line(quick)
        slow.stdin.write("go on\n")
        slow.stdin.flush()
        assert read_line(slow) == "done"
        while told == "waits":
            told = read_line(quick)
        assert told == "done"
    assert find_names() == {"slow", "quick"}


def test_one_who_waits_too_long_is_told_for_what(tmp_path):
    path = tmp_path / "file.json"
    with hold_file(path), pytest.raises(TimeoutError, match=r"another program has held .*file\.json\.lock for 0 s"):
        hold_file(path, seconds=0).__enter__()
    with hold_file(path, seconds=0):  # it is free again
        pass


def test_a_file_is_replaced_as_a_whole_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "file.json"
    replace_file(path, json.dumps(1))
    replace_file(path, json.dumps(2))
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file.json", "2")]


def test_the_folder_is_made_when_it_is_not_there(tmp_path):
    path = tmp_path / "new" / "file.json"
    with hold_file(path):
        replace_file(path, "1")
    assert path.read_text() == "1"

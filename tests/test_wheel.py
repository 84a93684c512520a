"""What is in the wheel, and that it works where the repository is not."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import agentloop

WHEEL = os.environ.get("AGENTLOOP_WHEEL")
pytestmark = pytest.mark.skipif(WHEEL is None, reason="`make wheel` builds the wheel and runs this against it")


def test_the_wheel_holds_the_two_packages_and_nothing_else():
    with zipfile.ZipFile(WHEEL) as wheel:
        tops = {Path(name).parts[0] for name in wheel.namelist()}
    [metadata] = [top for top in tops if top.endswith(".dist-info")]
    assert tops == {"agentloop", "agentloop_tools", metadata}


def test_the_wheel_says_that_it_is_typed():
    with zipfile.ZipFile(WHEEL) as wheel:
        assert {"agentloop/py.typed", "agentloop_tools/py.typed"} <= set(wheel.namelist())


def test_it_is_the_wheel_that_is_tested():
    assert Path(agentloop.__file__).is_relative_to(sys.prefix)


def test_the_command_is_installed():
    command = Path(sys.executable).parent / "agentloop"
    shown = subprocess.run([command, "--help"], capture_output=True, text=True, check=True, timeout=30)
    assert "run" in shown.stdout


def test_the_packs_are_found_and_work():
    command = Path(sys.executable).parent / "agentloop"
    listed = subprocess.run([command, "packs"], capture_output=True, text=True, check=True, timeout=30)
    for pack in ("files", "search_files", "web", "http", "python", "shell", "sql", "calculate", "time", "notes", "mcp"):
        assert f"\n{pack} " in listed.stdout
    sum_of = ["tools", "call", "--pack", "calculate", "calculate.calculate", '{"expression": "0.1 + 0.2"}']
    called = subprocess.run([command, *sum_of], capture_output=True, text=True, check=True, timeout=30)
    assert called.stdout == "0.3\n"

"""What is in the wheel, and that it works where the repository is not."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import agentloop
from agentloop import Agent, tool
from agentloop.testing import ScriptedEndpoint, call
from loopback import Loopback, text_body

ROOT = Path(__file__).parents[1]
COMMAND = Path(sys.executable).parent / "agentloop"
PATIENCE_SECONDS = 60
WHEEL = os.environ.get("AGENTLOOP_WHEEL")
pytestmark = pytest.mark.skipif(WHEEL is None, reason="`make wheel` builds the wheel and runs this against it")


def test_the_wheel_holds_the_two_packages_and_nothing_else():
    with zipfile.ZipFile(WHEEL) as wheel:
        tops = {Path(name).parts[0] for name in wheel.namelist()}
    [metadata] = [top for top in tops if top.endswith(".dist-info")]
    assert tops == {"agentloop", "agentloop_tools", metadata}


def test_the_wheel_holds_every_module():
    sources = [(ROOT, "agentloop"), (ROOT / "tools", "agentloop_tools")]
    modules = {str(path.relative_to(root)) for root, name in sources for path in root.glob(f"{name}/**/*.py")}
    with zipfile.ZipFile(WHEEL) as wheel:
        assert {name for name in wheel.namelist() if name.endswith(".py")} == modules


def test_the_wheel_says_that_it_is_typed():
    with zipfile.ZipFile(WHEEL) as wheel:
        assert {"agentloop/py.typed", "agentloop_tools/py.typed"} <= set(wheel.namelist())


def test_it_is_the_wheel_that_is_tested():
    assert Path(agentloop.__file__).is_relative_to(sys.prefix)


def test_every_public_name_is_there():
    assert [name for name in agentloop.__all__ if not hasattr(agentloop, name)] == []


async def test_an_agent_runs():
    @tool
    def double(number: int) -> int:
        """Return twice the number."""
        return 2 * number

    endpoint = ScriptedEndpoint([call("double", {"number": 21}), "42 it is."])
    result = await Agent("any", endpoint=endpoint, tools=[double]).run("What is twice 21?")
    assert (result.text, result.items[-2].content) == ("42 it is.", "42")


def test_the_command_is_installed_and_runs_an_agent(tmp_path):
    with Loopback.in_thread([text_body("hello there")]) as server:
        said = command("run", "hello", "--base-url", server.base_url, "--model", "any", folder=tmp_path)
    assert said == "hello there\n"


def test_the_packs_are_found_and_work(tmp_path):
    listed = command("packs", folder=tmp_path)
    for pack in ("files", "search_files", "web", "http", "python", "shell", "sql", "calculate", "time", "notes", "mcp"):
        assert f"\n{pack} " in listed
    sum_of = ["tools", "call", "--pack", "calculate", "calculate.calculate", '{"expression": "0.1 + 0.2"}']
    assert command(*sum_of, folder=tmp_path) == "0.3\n"


def command(*arguments: str, folder: Path) -> str:
    """Return what the installed command says in this folder."""
    done = subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS, cwd=folder
    )
    return done.stdout

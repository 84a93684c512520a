"""What is logged, where, and what never is."""

import io
import logging
import subprocess
import sys

import pytest
import structlog

from agentloop import Agent, Notice, Retrying, ServerError, ToolCall, ToolError, ToolResult, tool
from agentloop.events import TextDelta, ToolFinished, ToolStarted
from agentloop.runtime.observe import open_log
from agentloop.testing import ScriptedEndpoint, call


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool
def fail() -> str:
    """Fail."""
    raise ValueError("broken")


SCRIPT = [[call("add", {"a": 170017, "b": 2}, "c1"), call("fail")], "The sum."]


def run():
    Agent("scripted", endpoint=ScriptedEndpoint(SCRIPT), tools=[add, fail]).run_sync("go")


@pytest.fixture
def bare(monkeypatch):
    """An application that has configured nothing."""
    monkeypatch.delenv("AGENTLOOP_LOG", raising=False)
    monkeypatch.delenv("AGENTLOOP_LOG_CONTENT", raising=False)
    structlog.reset_defaults()
    yield monkeypatch
    structlog.reset_defaults()


def test_nothing_is_written_when_nothing_was_configured(bare, capfd):
    bare.setattr(logging.getLogger(), "handlers", [])  # pytest put its own there
    run()
    assert open_log("r") is None
    assert capfd.readouterr() == ("", "")


def test_a_variable_of_the_environment_turns_the_log_on(bare, capfd):
    bare.setenv("AGENTLOOP_LOG", "debug")
    run()
    out, err = capfd.readouterr()
    assert out == ""
    assert [
        word
        for word in ("model_asked", "model_replied", "tool_started", "tool_finished", "run_finished")
        if word not in err
    ] == []
    assert "error='ValueError < " in err
    assert "in fail" in err
    assert "broken" not in err
    assert "170017" not in err
    assert "The sum." not in err


@tool
def look_up() -> str:
    """Look up."""
    raise ToolError("no record of ward-7b\r\x1b]0;mine\x07 \x9b2J")


@pytest.mark.parametrize("handlers", [[], [logging.StreamHandler(io.StringIO())]])
def test_the_text_of_a_tools_error_is_content_and_its_escapes_are_shown(bare, capfd, handlers):
    bare.setattr(logging.getLogger(), "handlers", handlers)
    bare.setenv("AGENTLOOP_LOG", "" if handlers else "debug")
    for content in ("", "1"):
        bare.setenv("AGENTLOOP_LOG_CONTENT", content)
        Agent("scripted", endpoint=ScriptedEndpoint([call("look_up"), "None."]), tools=[look_up]).run_sync("go")
        written = handlers[0].stream.getvalue() if handlers else capfd.readouterr().err
        assert ("ward-7b" in written) == bool(content)
        assert not set(written) & set("\r\x1b\x07\x9b")
    assert r"\u001b" in written
    assert "Traceback" in written


def test_the_level_of_the_log_is_kept(bare, capfd):
    bare.setenv("AGENTLOOP_LOG", "warning")
    run()
    err = capfd.readouterr().err
    assert "tool_finished" in err
    assert "model_replied" not in err


def test_arguments_and_results_are_logged_when_asked_for(bare, capfd):
    bare.setenv("AGENTLOOP_LOG", "any")
    bare.setenv("AGENTLOOP_LOG_CONTENT", "1")
    run()
    err = capfd.readouterr().err
    assert "170017" in err
    assert "result='170019'" in err or "result=170019" in err
    assert "ValueError: broken" in err
    assert "Traceback" in err


def test_an_applications_own_logging_gets_the_events(bare):
    stream = io.StringIO()
    bare.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(stream)])
    run()
    assert "event='tool_finished'" in stream.getvalue()
    assert "model_replied" not in stream.getvalue()


def test_an_applications_own_structlog_gets_the_events(bare):
    with structlog.testing.capture_logs() as entries:
        structlog.configure(processors=structlog.get_config()["processors"])
        run()
    names = [entry["event"] for entry in entries]
    assert names[:2] == ["model_asked", "model_replied"]
    [failed] = [entry for entry in entries if entry.get("tool") == "fail" and entry["event"] == "tool_finished"]
    assert failed["log_level"] == "warning"
    assert failed["error"].startswith("ValueError < ")
    assert len({entry["run_id"] for entry in entries}) == 1


def entries_of(*events):
    with structlog.testing.capture_logs() as entries:
        structlog.configure(processors=structlog.get_config()["processors"])
        write = open_log("r")
        for event in events:
            write(event)
    return entries


def test_waits_notices_and_repairs_are_logged_and_text_is_not(bare):
    tool_call = ToolCall("c", "add", "{}")
    entries = entries_of(
        Retrying("HTTP 500", 0.51234, 1),
        Notice("learned", "something"),
        TextDelta("secret"),
        ToolStarted(tool_call),
        ToolFinished(tool_call, ToolResult("c", "3"), 0.1, ("a fence was taken off",)),
    )
    assert [entry["event"] for entry in entries] == ["retrying", "learned", "tool_started", "tool_finished"]
    assert entries[0]["wait_seconds"] == 0.512
    assert entries[1]["text"] == "something"
    assert entries[3]["repairs"] == 1


def test_what_a_notice_or_a_repair_quotes_is_content(bare):
    events = [
        Notice("not_run", "ward-7b was refused"),
        Notice("repaired", "removed 'ward-7b'"),
        ToolFinished(ToolCall("c", "add", "{}"), ToolResult("c", "3"), 0.1, ("removed 'ward-7b' around the JSON",)),
    ]
    assert "ward-7b" not in str(entries_of(*events))
    bare.setenv("AGENTLOOP_LOG_CONTENT", "1")
    assert str(entries_of(*events)).count("ward-7b") == 3


def test_a_quiet_run_does_not_import_structlog():
    program = (
        "import sys\n"
        "from agentloop import Agent\n"
        "from agentloop.testing import ScriptedEndpoint\n"
        "Agent('scripted', endpoint=ScriptedEndpoint(['hi'])).run_sync('go')\n"
        "assert 'structlog' not in sys.modules and 'openai' not in sys.modules, sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=90)


def test_a_failed_run_logs_no_finish(bare):
    with structlog.testing.capture_logs() as entries:
        structlog.configure(processors=structlog.get_config()["processors"])
        endpoint = ScriptedEndpoint([ServerError("HTTP 500", status=500)])
        with pytest.raises(ServerError):
            Agent("scripted", endpoint=endpoint).run_sync("go")
    assert [entry["event"] for entry in entries] == ["model_asked"]

import base64
import errno
import io
import json
import re
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from agentloop import Run
from agentloop.cli import main
from agentloop.wire.profile.providers import PROVIDERS, Provider
from forking import PATIENCE_SECONDS, piped
from loopback import (
    CUT,
    Gate,
    Loopback,
    busy_reply,
    call_body,
    error_reply,
    events_of,
    json_reply,
    sse_reply,
    text_body,
)
from person import at_terminal

VAT = '''
from agentloop import tool

@tool
def get_vat_rate(country: str) -> str:
    """Return the VAT rate for a country."""
    return "20 %"
'''
ASK_VAT = call_body(("get_vat_rate", {"country": "France"}))


@pytest.fixture(autouse=True)
def _own_process_state(monkeypatch):
    """Keep what a command does to its process, and what this one's environment says, out of the other tests."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("AGENTLOOP_API_KEY", "AGENTLOOP_LOG", "FORCE_COLOR", *PROVIDERS["ovh"].keys):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def write(tmp_path):
    def write(source, name="vat.py"):
        path = tmp_path / name
        path.write_bytes(source if isinstance(source, bytes) else source.encode())
        return str(path)

    return write


def on(server, *arguments):
    return ("run", "What is the VAT rate in France?", "--base-url", server.base_url, "--model", "any", *arguments)


def spawn(arguments, **options):
    command = [sys.executable, "-m", "agentloop", *arguments]
    return subprocess.Popen(command, text=True, **options)


# --- the answer and its status ---


def test_the_answer_alone_is_on_stdout_and_what_was_done_for_it_on_stderr(invoke, write):
    with Loopback.in_thread([ASK_VAT, text_body("It is 20 %.")]) as server:
        status, out, err = invoke(*on(server, "--tools", write(VAT), "--instructions", "Be brief."))
    assert (status, out) == (0, "It is 20 %.\n")
    assert err == snapshot("""\
call: get_vat_rate {"country": "France"}
result: get_vat_rate 20 %
""")
    first = server.requests[0].json
    assert (first["model"], first["instructions"]) == ("any", "Be brief.")
    assert [tool["name"] for tool in first["tools"]] == ["get_vat_rate"]
    assert "authorization" not in server.requests[0].headers


def test_the_whole_result_is_one_json_object(invoke, write):
    with Loopback.in_thread([ASK_VAT, text_body("It is 20 %.")]) as server:
        status, out, err = invoke(*on(server, "--tools", write(VAT), "--json"))
    result = json.loads(out)
    assert status == 0
    assert list(result) == ["text", "output", "stop_reason", "stop_note", "tally", "usage", "items", "run"]
    assert (result["text"], result["stop_reason"]) == ("It is 20 %.", "answered")
    assert result["tally"]["tool_calls"] == 1
    assert result["usage"]["total_tokens"] == 30
    assert [item["kind"] for item in result["items"]] == ["message", "call", "result", "message"]
    assert Run.from_json(json.dumps(result["run"])).stop_reason == "answered"
    assert err.startswith("call: get_vat_rate")


PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def test_images_go_to_the_model_with_the_prompt(invoke, write):
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    with Loopback.in_thread([text_body("Two dots.")]) as server:
        status, out, err = invoke(*on(server, "--image", write(PNG, "dot.png"), "--image", url))
    [said] = server.requests[0].json["input"]
    assert (status, out, err) == (0, "Two dots.\n", "")
    assert [part.get("image_url") for part in said["content"]] == [None, url, url]


@pytest.mark.parametrize(
    ("image", "words"), [("nowhere.png", "nowhere.png"), ("http://127.0.0.1:1/dot.png", "127.0.0.1")]
)
def test_an_image_that_is_not_there_or_not_to_be_fetched_is_a_mistake_before_the_request(image, words, invoke):
    with Loopback.in_thread([]) as server:
        status, out, err = invoke(*on(server, "--image", image))
    assert (status, out, server.requests) == (2, "", [])
    assert words in err


COLOUR = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}


def test_with_a_schema_the_answer_is_json_that_follows_it(invoke, write):
    file = write(json.dumps(COLOUR), "colour.json")
    script = [text_body("It is red."), text_body('```json\n{"colour": "red"}\n```')] * 2
    with Loopback.in_thread(script) as server:
        status, out, _ = invoke(*on(server, "--output-schema", file))
        _, whole, _ = invoke(*on(server, "--output-schema", file, "--json"))
    assert (status, json.loads(out)) == (0, {"colour": "red"})
    assert json.loads(whole)["output"] == {"colour": "red"}


def test_a_run_that_ends_without_its_json_prints_what_the_model_said(invoke, write):
    file = write(json.dumps(COLOUR), "colour.json")
    cut = text_body("It is", status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    with Loopback.in_thread([cut] * 9) as server:
        status, out, _ = invoke(*on(server, "--output-schema", file))
    assert (status, out) == (3, "It is\n")


@pytest.mark.parametrize(("text", "words"), [(None, "No such file"), ("{", "colour.json"), ("[]", "not a JSON schema")])
def test_a_file_without_a_schema_is_a_mistake(text, words, invoke, write, tmp_path):
    file = str(tmp_path / "colour.json") if text is None else write(text, "colour.json")
    status, out, err = invoke("run", "x", "--output-schema", file)
    assert (status, out) == (2, "")
    assert words in err
    assert "hint: " in err


def test_a_limit_is_told_and_has_a_status_of_its_own(invoke, write):
    with Loopback.in_thread([ASK_VAT, text_body("I don't know.")]) as server:
        status, out, err = invoke(*on(server, "--tools", write(VAT), "--max-tool-calls", "0"))
    assert (status, out) == (3, "I don't know.\n")
    assert "stopped: tool_call_limit: the limit on tool calls is reached (tool_calls=0)" in err


def test_what_tools_and_the_programs_they_start_print_does_not_mix_with_the_result(invoke, write):
    file = write("""
import subprocess, sys
from agentloop import tool
print("on import")

@tool
def chatter() -> str:
    print("from Python")
    subprocess.run([sys.executable, "-c", "print('from a program')"], check=True)
    return "done"
""")
    with Loopback.in_thread([call_body(("chatter", {})), text_body("It is done.")]) as server:
        status, out, err = invoke(*on(server, "--tools", file, "--json"))
    assert (status, json.loads(out)["text"]) == (0, "It is done.")
    assert all(words in err for words in ("on import", "from Python", "from a program"))


def test_a_failing_tool_and_a_retry_are_shown_and_long_results_shortened(invoke, write):
    file = write("""
from agentloop import tool

@tool
def fail() -> str:
    raise ValueError("no such country")

@tool
def tell() -> str:
    return "long " * 1_000
""")
    script = [busy_reply("0"), call_body(("fail", {}), ("tell", {})), text_body("Sorry.")]
    with Loopback.in_thread(script) as server:
        status, _, err = invoke(*on(server, "--tools", file))
    assert status == 0
    assert re.search(r"^retry: 1 in \d\.\d s: .*too many requests$", err, re.MULTILINE)
    assert "failed: fail " in err
    assert "no such country" in err
    assert max(map(len, err.splitlines())) < 250
    assert "... (5,000 characters)" in err


def test_a_notice_is_shown(invoke, write):
    script = [ASK_VAT, error_reply(400, "unknown item type"), text_body("It is 20 %.")]
    with Loopback.in_thread(script) as server:
        status, _, err = invoke(*on(server, "--tools", write(VAT)))
    assert status == 0
    assert "note: the server refused tool results" in err


def test_a_prompt_is_read_from_stdin_whatever_its_bytes():
    with (
        Loopback.in_thread([text_body("Fine.")]) as server,
        piped(["run", "-", *on(server)[2:]]) as process,
    ):
        assert process.finish(b"caf\xe9 \xff?\n") == (0, "Fine.\n", "")
    assert "caf\ufffd \ufffd?" in json.dumps(server.requests[0].json["input"], ensure_ascii=False)


# --- which model ---


def test_with_a_key_the_hosted_model_is_asked(invoke, monkeypatch):
    monkeypatch.setenv(PROVIDERS["ovh"].keys[-1], "secret")
    with Loopback.in_thread([text_body("Hello.")]) as server:
        monkeypatch.setitem(PROVIDERS, "ovh", replace(PROVIDERS["ovh"], base_url=server.base_url))
        status, out, err = invoke("run", "Hello?")
    assert (status, out, err) == (0, "Hello.\n", "")
    assert server.requests[0].json["model"] == "gpt-oss-20b"
    assert server.requests[0].headers["authorization"] == "Bearer secret"


def test_without_a_key_the_embedded_model_is_asked_and_a_line_says_so(invoke, monkeypatch):
    with Loopback.in_thread([text_body("Hello.")]) as server:
        monkeypatch.setitem(PROVIDERS, "local", Provider(base_url=server.base_url))
        status, out, err = invoke("run", "Hello?")
    assert (status, out) == (0, "Hello.\n")
    assert server.requests[0].json["model"] == "smollm2"
    assert err.startswith("model: local:smollm2, ")
    assert "AI_ENDPOINT_API_KEY" in err
    assert err.count("\n") == 1


def test_the_key_for_a_server_in_no_table_comes_from_the_environment(invoke, monkeypatch):
    monkeypatch.setenv("AGENTLOOP_API_KEY", "secret")
    with Loopback.in_thread([text_body("Hello.")]) as server:
        assert invoke(*on(server))[0] == 0
    assert server.requests[0].headers["authorization"] == "Bearer secret"


# --- what goes wrong ---

MISTAKES = {
    "a model of no provider": (["run", "x", "--model", "nowhere:m"], "'nowhere:m' names no known provider"),
    "a model without a name": (["run", "x", "--model", ""], "the model '' has no provider prefix"),
    "a base URL that is none": (["run", "x", "--model", "m", "--base-url", "localhost"], "'localhost' is not an http"),
    "a base URL without a model": (["run", "x", "--base-url", "http://127.0.0.1:1/v1"], "was given without --model"),
    "a limit below zero": (["run", "x", "--max-tool-calls", "-1"], "--max-tool-calls -1 is below zero"),
    "an empty prompt": (["run", " "], "the prompt is empty"),
    "a file that is not there": (["run", "x", "--tools", "nowhere.py"], "there is no file "),
    "a file that is not there to check": (["tools", "check", "nowhere.py:name"], "/nowhere.py"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_in_a_sentence_with_what_to_do(case, invoke):
    arguments, words = MISTAKES[case]
    status, out, err = invoke(*arguments)
    error, hint = err.splitlines()
    assert (status, out) == (2, "")
    assert error.startswith("error: ")
    assert words in error
    assert hint.startswith("hint: ")


@pytest.mark.parametrize(
    "arguments", [["run", "x", "y"], ["fly"], ["run", "x", "--max-tool-calls", "many"], ["tools", "check"]]
)
def test_a_command_line_that_makes_no_sense_has_the_status_of_a_mistake(arguments, invoke):
    status, out, err = invoke(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("Usage: agentloop ")


def test_a_mistake_is_json_too_where_json_was_asked_for(invoke):
    status, out, err = invoke("run", "x", "--model", "nowhere:m", "--json")
    told = json.loads(out)
    assert status == 2
    assert told["error"]["type"] == "ConfigurationError"
    assert told["error"]["hint"] in err
    assert told["run"] is None


def test_an_endpoint_that_fails_after_tools_have_run_leaves_the_run_in_the_json(invoke, write):
    script = [ASK_VAT, *[error_reply(401, "the key is wrong")] * 2]
    with Loopback.in_thread(script) as server:
        status, out, err = invoke(*on(server, "--tools", write(VAT), "--json"))
    told = json.loads(out)
    assert status == 4
    assert told["error"]["type"] == "AuthenticationError"
    assert "the key is wrong" in told["error"]["message"]
    assert Run.from_json(json.dumps(told["run"])).items[-1].content == "20 %"
    assert "error: " in err
    assert "Traceback" not in err


# --- files of tools ---


def test_registries_and_decorated_functions_of_a_file_are_found_each_tool_once(invoke, write):
    file = write("""
from agentloop import ToolRegistry, tool
registry = ToolRegistry()

@registry.tool
def first(a: int) -> int: return a

@tool
def second(a: int) -> int: return a

def plain(a: int) -> int: return a
""")
    names = {
        spec: [tool["name"] for tool in json.loads(invoke("tools", "check", f"{file}{spec}")[1])]
        for spec in ("", ":registry", ":second", ":plain")
    }
    assert names == {"": ["first", "second"], ":registry": ["first"], ":second": ["second"], ":plain": ["plain"]}


def test_several_files_and_several_tools_of_one_file_are_offered_together(invoke, write):
    both = write("def one(a: int) -> int: return a\ndef two(a: int) -> int: return a\n", "both.py")
    with Loopback.in_thread([text_body("Hello.")]) as server:
        files = ("--tools", f"{both}:one", "--tools", f"{both}:two", "--tools", write(VAT))
        assert invoke(*on(server, *files))[0] == 0
    assert [tool["name"] for tool in server.requests[0].json["tools"]] == ["one", "two", "get_vat_rate"]


def test_a_file_imports_its_neighbours_when_it_is_imported_and_when_its_functions_run(invoke, write):
    write("RATE = '20 %'", "neighbour_at_import.py")
    write("NOTE = ' (since 2014)'", "neighbour_at_call.py")
    file = write("""
from neighbour_at_import import RATE
from agentloop import tool

@tool
def rate() -> str:
    from neighbour_at_call import NOTE
    return RATE + NOTE
""")
    with Loopback.in_thread([call_body(("rate", {})), text_body("It is 20 %.")]) as server:
        _, _, err = invoke(*on(server, "--tools", file))
    assert "result: rate 20 % (since 2014)" in err


def test_a_neighbour_does_not_hide_what_agentloop_has_yet_to_import(write):
    write("raise RuntimeError('the wrong one')", "openai.py")
    with Loopback.in_thread([text_body("Hello.")]) as server:
        process = spawn(on(server, "--tools", write(VAT)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out, err) == (0, "Hello.\n", "")


BAD_FILES = {
    "no Python": ("def (", "vat.py can't be read as Python: invalid syntax (vat.py, line 1)"),
    "bytes": (b"\xff\xfe\x00", "vat.py can't be read as Python: "),
    "raises": ("x = 1\nx / 0", "vat.py raised ZeroDivisionError: division by zero in line 2 when it was imported"),
    "raises without a word": ("raise KeyError", "vat.py raised KeyError in line 1 when it was imported"),
    "exits": ("import sys\nsys.exit(0)", "vat.py raised SystemExit: 0 in line 2 when it was imported"),
    "needs what is not there": ("import not_there_at_all", "raised ModuleNotFoundError: No module named"),
    "no function": ("x = 1", "vat.py defines no tool; it defines no function either"),
    "no tool": ("def add(a: int): ...\ndef sub(a: int): ...", "vat.py defines no tool; it defines add, sub"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_gives_no_tool_is_told_in_a_sentence_with_what_to_do(case, invoke, write):
    source, words = BAD_FILES[case]
    status, out, err = invoke("run", "x", "--tools", write(source))
    error, hint = err.splitlines()
    assert (status, out) == (2, "")
    assert words in error
    assert hint.startswith("hint: ")


def test_a_file_that_was_mended_is_read_again(invoke, write):
    assert invoke("tools", "check", write("1 / 0"))[0] == 2
    assert invoke("tools", "check", write(VAT))[0] == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "vat.py has no 'nothing'; the file defines get_vat_rate, plain"),
        ("number", "'number' in vat.py is not a function; the file defines get_vat_rate, plain"),
    ],
)
def test_a_name_that_is_no_tool_is_told_with_those_that_could_be(name, words, invoke, write):
    file = write(f"{VAT}\ndef plain(a: int) -> int: return a\nnumber = 1\n")
    status, out, err = invoke("tools", "check", f"{file}:{name}")
    assert (status, out) == (2, "")
    assert words in err


# --- tools check ---


def test_checking_prints_what_is_sent_for_each_tool(invoke, write):
    file = write(VAT)
    status, out, err = invoke("tools", "check", file)
    with Loopback.in_thread([text_body("Hello.")]) as server:
        invoke(*on(server, "--tools", file))
    assert (status, err) == (0, "")
    assert json.loads(out) == server.requests[0].json["tools"]
    assert json.loads(out)[0] | {"parameters": ...} == snapshot(
        {
            "type": "function",
            "name": "get_vat_rate",
            "description": "Return the VAT rate for a country.",
            "parameters": ...,
            "strict": True,
        }
    )


TWO_FAULTY = (
    VAT
    + """
@tool
def add(a, *args, **kwargs): ...
@tool
def multiply(b): ...
"""
)


def test_every_fault_of_every_function_is_told_beside_the_tools_that_have_none(invoke, write):
    status, out, err = invoke("tools", "check", write(TWO_FAULTY))
    assert status == 2
    assert [offered["name"] for offered in json.loads(out)] == ["get_vat_rate"]
    assert all(parameter in err for parameter in ("`a`", "`*args`", "`**kwargs`", "`b`"))
    assert "hint: " in err


def test_a_run_stops_at_the_first_faulty_tool_and_says_so(invoke, write):
    status, out, err = invoke("run", "go", "--tools", write(TWO_FAULTY))
    assert (status, out) == (2, "")
    assert "`a`" in err
    assert "note: the import of vat.py stopped there" in err


def test_a_plain_function_with_faults_did_not_stop_the_import(invoke, write):
    status, _, err = invoke("tools", "check", f"{write('def add(a): ...')}:add")
    assert status == 2
    assert "`a`" in err
    assert "stopped there" not in err


def test_a_tool_that_does_not_mean_to_be_strict_is_no_mistake_but_its_faults_are_told(invoke, write):
    file = write("from agentloop import tool\n@tool(strict=False)\ndef add(a): 'Add.'\n")
    status, out, err = invoke("tools", "check", file)
    assert (status, json.loads(out)[0]["strict"]) == (0, False)
    assert "note: add is declared as not strict: parameter `a` may hold anything" in err


# --- as a process ---


HELPS = [[], ["run"], ["models"], ["probe"], ["tools", "check"], ["profile", "show"], ["profile", "forget"]]


@pytest.mark.parametrize("command", HELPS, ids=" ".join)
def test_help_tells_the_exit_statuses(command, invoke):
    status, out, _ = invoke(*command, "--help")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[-5:]] == ["0", "2", "3", "4", "130"]


def test_on_a_terminal_text_is_shown_as_it_comes_and_the_rest_in_colour(write):
    gate = Gate()
    call, answer = events_of(ASK_VAT), events_of(text_body("It is\x1b[2J 20 %."))
    first_word = next(at for at, (name, _) in enumerate(answer) if name.endswith("text.delta")) + 1
    script = [sse_reply(call), sse_reply([*answer[:first_word], gate, *answer[first_word:]])]
    with (
        Loopback.in_thread(script) as server,
        at_terminal(on(server, "--tools", write(VAT)), TERM="xterm-256color", NO_COLOR="") as person,
    ):
        person.sees("\x1b[36mcall:\x1b[0m get_vat_rate")
        person.sees("It")
        gate.open()
        assert person.leaves_with(0) == " is\\u001b[2J 20 %.\r\n"


@pytest.mark.parametrize(
    ("script", "status", "words"),
    [
        ([sse_reply([*events_of(text_body("It is 20 %."))[:4], CUT])], 4, "  It\r\n\x1b[1merror:\x1b[0m "),
        ([json_reply(text_body("It is 20 %."))], 0, "  It is 20 %.\r\n"),
    ],
    ids=["an error begins a line of its own", "text that came in one piece is shown"],
)
def test_on_a_terminal(script, status, words):
    with Loopback.in_thread(script) as server, at_terminal(on(server), TERM="xterm-256color") as person:
        assert person.leaves_with(status).startswith(words)


def test_ctrl_c_ends_the_run_and_keeps_what_was_done(write):
    gate = Gate()
    script = [ASK_VAT, sse_reply([gate])]
    with (
        Loopback.in_thread(script) as server,
        piped(on(server, "--tools", write(VAT), "--json")) as process,
    ):
        gate.reached.result(PATIENCE_SECONDS)
        status, out, err = process.interrupt()
    told = json.loads(out)
    assert status == 130
    assert told["error"] == {"type": "KeyboardInterrupt", "message": "interrupted", "hint": ""}
    assert Run.from_json(json.dumps(told["run"])).stop_reason == "cancelled"
    assert told["run"]["items"][-1]["content"] == "20 %"
    assert err.endswith("error: interrupted\n")


def test_a_reader_that_has_gone_away_gets_no_traceback():
    gate = Gate()
    with (
        Loopback.in_thread([sse_reply([gate, *events_of(text_body("Hello."))])]) as server,
        piped(on(server)) as process,
    ):
        gate.reached.result(PATIENCE_SECONDS)
        process.stdout.close()
        gate.open()
        assert process.stderr.read() == b""
        assert process.wait() != 0


@pytest.mark.parametrize(("closed", "told"), [("<&-", "error: the prompt is empty"), ("<&- >&- 2>&-", "")])
def test_a_closed_input_is_as_good_as_an_empty_one(closed, told):
    options = ("--base-url", "http://127.0.0.1:9/v1", "--model", "any")
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "agentloop", "run", "-", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert (done.returncode, done.stderr.partition("\n")[0]) == (2, told)


@pytest.mark.parametrize(("closed", "out"), [({1}, ""), ({2}, "Hello.\n")], ids=["output", "errors"])
def test_a_closed_output_is_as_good_as_one_that_nobody_reads(closed, out):
    with Loopback.in_thread([text_body("Hello.")]) as server, piped(on(server), closed=closed) as process:
        assert process.finish() == (0, out, "")


def test_a_process_without_an_input_has_an_empty_prompt(invoke, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    status, _, err = invoke("run", "-")
    with closing(sys.stdin):
        assert (status, err.partition("\n")[0]) == (2, "error: the prompt is empty")


@pytest.mark.parametrize("arguments", [["--help"], ["models"], ["models", "--json"]])
def test_output_that_can_not_be_written_is_told_in_a_sentence(arguments):
    with Path("/dev/full").open("wb") as full:
        process = spawn(arguments, stdout=full, stderr=subprocess.PIPE)
        assert process.communicate(timeout=PATIENCE_SECONDS)[1] == (
            "error: the output can't be written: No space left on device\n"
        )
    assert process.returncode == 2


def test_a_full_disk_has_the_status_of_a_mistake(invoke, monkeypatch):
    class Full(io.StringIO):
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    assert invoke("--help") == (2, "", "error: the output can't be written: No space left on device\n")


def test_the_installed_command_is_this_one():
    [command] = entry_points(group="console_scripts", name="agentloop")
    assert command.load() is main

"""The commands in which a person has a say: approvals at a terminal, tools called by hand, and the chat."""

import asyncio
import io
import json
import os
import re
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from agentloop.cli import main
from agentloop.cli.approvals.approver import Approvals
from agentloop.cli.approvals.dialog import Dialog
from agentloop.items import ToolCall
from agentloop.policy import ApprovalRequest, Approve, Reject
from agentloop.testing import call
from forking import PATIENCE_SECONDS, piped
from loopback import Gate, Loopback, call_body, error_reply, events_of, sse_reply, text_body
from person import at_terminal

ASKS = "[e]dit the arguments? "
DESK = '''
from contextlib import asynccontextmanager
from dataclasses import replace
from agentloop import Effects, ToolPack, bound_tools, tool

class Desk(ToolPack):
    name = "desk"

    @asynccontextmanager
    async def open(self):
        look, write = bound_tools(self)
        yield [look, replace(write, preview=lambda path, text: f"--- nothing\\n+++ {path}\\n+{text}")]

    @tool(effects=Effects(read=True))
    def look(self) -> str:
        """Look at it."""
        return "it is tidy"

    @tool(effects=Effects(write=True))
    def write(self, path: str, text: str = "") -> str:
        """Write something."""
        return f"wrote {text!r} to {path}"
'''
WRITE = ("desk_write", {"path": "a.txt", "text": "hello"})


@pytest.fixture
def desk(tmp_path):
    path = tmp_path / "desk.py"
    path.write_text(DESK, encoding="utf-8")
    return f"--pack={path}"


def on(server, *arguments):
    return [*arguments, "--base-url", server.base_url, "--model", "any"]


@pytest.fixture(autouse=True)
def _own_process_state(monkeypatch):
    """Keep what a command does to its process, and what this one's environment says, out of the other tests."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("AGENTLOOP_API_KEY", "AGENTLOOP_LOG", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def invoke(capfd, monkeypatch, tmp_path):
    """Return a function that carries out a command line here, where nobody is, and returns its status and output."""
    monkeypatch.setattr("agentloop.cli.approvals.dialog.TERMINAL", tmp_path / "no terminal")

    def invoke(arguments, said=b""):
        with io.TextIOWrapper(io.BytesIO(said)) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            with pytest.raises(SystemExit) as exited:
                main(arguments)
        return exited.value.code, *capfd.readouterr()

    return invoke


def outputs(server):
    """Return what the model was told of its calls."""
    return [item["output"] for item in server.requests[-1].json["input"] if item.get("type") == "function_call_output"]


# --- a person is asked ---


def test_a_person_sees_the_call_and_what_it_would_do_and_says_yes(desk):
    with (
        Loopback.in_thread([call_body(WRITE), text_body("Done.")]) as server,
        at_terminal(on(server, "run", "Write hello.", desk)) as person,
    ):
        asked = person.sees(ASKS).replace("\r", "")
        assert server.requests[1:] == []
        person.types("y\n")
        person.sees("Done.")
        person.leaves_with(0)
    assert outputs(server) == ["wrote 'hello' to a.txt"]
    assert re.match(r"desk\.write wants to run: .*\bwrites\b", asked)
    assert '  path: "a.txt"\n' in asked
    assert '  text: "hello"\n' in asked
    assert "  what it would do:\n  | --- nothing\n  | +++ a.txt\n  | +hello\n" in asked


def test_a_no_goes_to_the_model_with_its_reason(desk):
    with (
        Loopback.in_thread([call_body(WRITE), text_body("Sorry.")]) as server,
        at_terminal(on(server, "run", "Write hello.", desk)) as person,
    ):
        person.sees(ASKS)
        person.types("what?\n")  # is neither
        person.sees(ASKS)
        person.types("n\n")
        person.sees("why, for the model")
        person.types("too tidy\n")
        person.sees("Sorry.")
        person.leaves_with(0)
    assert "too tidy" in outputs(server)[0]


def test_a_yes_for_the_run_is_not_asked_for_again(desk):
    other = ("desk_write", {"path": "b.txt", "text": "more"})
    with (
        Loopback.in_thread([call_body(WRITE, other), call_body(WRITE, first=3), text_body("Done.")]) as server,
        at_terminal(on(server, "run", "Write.", desk)) as person,
    ):
        person.sees(ASKS)
        person.types("a\n")
        assert ASKS not in person.sees("Done.")
        person.leaves_with(0)
    assert len(outputs(server)) == 3


def test_the_arguments_can_be_edited_and_the_model_is_told(desk, tmp_path):
    editor = tmp_path / "editor"
    editor.write_text("""#!/bin/sh\nsed 's/a.txt/b.txt/' "$1" > "$1.new" && mv "$1.new" "$1"\n""")
    editor.chmod(0o700)
    with (
        Loopback.in_thread([call_body(WRITE), text_body("Done.")]) as server,
        at_terminal(on(server, "run", "Write.", desk), VISUAL="", EDITOR=str(editor)) as person,
    ):
        person.sees(ASKS)
        person.types("e\n")
        person.sees("Done.")
        person.leaves_with(0)
    assert "wrote 'hello' to b.txt" in outputs(server)[0]
    assert "changed the arguments" in outputs(server)[0]


def test_ctrl_c_at_the_question_ends_the_run(desk):
    with (
        Loopback.in_thread([call_body(WRITE)]) as server,
        at_terminal(on(server, "run", "Write.", desk)) as person,
    ):
        person.sees(ASKS)
        person.interrupts("error: interrupted")
        person.leaves_with(130)


def test_a_person_is_asked_although_input_and_output_are_files(desk):
    with (
        Loopback.in_thread([call_body(WRITE), text_body("Done.")]) as server,
        at_terminal(on(server, "run", "-", desk), redirected=True) as person,
    ):
        person.process.stdin.write(b"Write hello.")
        person.process.stdin.close()
        person.sees(ASKS)
        person.types("y\n")
        assert person.process.stdout.read() == b"Done.\n"
        assert person.process.wait(PATIENCE_SECONDS) == 0
    assert outputs(server) == ["wrote 'hello' to a.txt"]


def test_what_was_typed_before_the_question_is_no_answer(desk):
    gate = Gate()
    with (
        Loopback.in_thread([sse_reply([gate, *events_of(call_body(WRITE))]), text_body("Sorry.")]) as server,
        at_terminal(on(server, "run", "Write.", desk)) as person,
    ):
        gate.reached.result(PATIENCE_SECONDS)
        person.types("y\n")
        person.sees("y\r\n")
        gate.open()
        person.sees(ASKS)
        person.types("n\n\n")
        person.sees("Sorry.")
        person.leaves_with(0)
    assert "wrote" not in outputs(server)[0]


# --- nobody is there ---


def test_without_a_terminal_a_call_that_needs_a_yes_is_refused_and_the_model_told(desk, invoke):
    with Loopback.in_thread([call_body(WRITE), text_body("I can't.")]) as server:
        status, out, err = invoke(on(server, "run", "Write.", desk))
    assert (status, out) == (0, "I can't.\n")
    assert "--yes 'desk.write'" in err
    [told] = outputs(server)
    assert (
        told
        == "This call was declined: there is no terminal to ask for approval; --yes 'desk.write' would allow the call"
    )


def test_a_pattern_is_a_yes_to_the_calls_that_it_covers(desk, invoke):
    other = ("desk_write", {"path": "b.md", "text": "more"})
    with Loopback.in_thread([call_body(WRITE, other), text_body("Done.")]) as server:
        status, _, _ = invoke(
            on(server, "run", "Write.", desk, "--yes", "desk.look", "--yes", "desk.write(path=*.txt)")
        )
    first, second = outputs(server)
    assert status == 0
    assert first == "wrote 'hello' to a.txt"
    assert "wrote" not in second


@pytest.mark.parametrize("command", [["run", "x"], ["chat"], ["tools", "call", "desk.look"]], ids=" ".join)
def test_a_pattern_or_a_pack_that_makes_no_sense_is_a_mistake(command, desk, invoke):
    model = [] if "call" in command else ["--model", "ovh:m"]
    for wrong in (["--yes", "desk.write(path"], ["--pack", "nowhere"]):
        status, out, err = invoke([*command, *model, desk, *wrong])
        assert (status, out) == (2, "")
        assert err.startswith("error: ")
        assert "hint: " in err


# --- the dialog alone ---

REQUEST = ApprovalRequest(
    run_id="r",
    call=ToolCall("c", "desk_write", '{"path": "a"}'),
    tool="desk.write",
    reason="it writes",
    received='{"path": "a"}',
)


def decide(typed, request=REQUEST):
    shown = io.StringIO()
    return Dialog(io.StringIO(typed), shown).decide(request), shown.getvalue()


@pytest.mark.parametrize(
    ("typed", "decision"),
    [
        ("y\n", Approve()),
        (" Yes \n", Approve()),
        ("a\n", Approve(scope="tool")),
        ("always\n", Approve(scope="tool")),
        ("\n?\ny\n", Approve()),
        ("abort\nyikes\nexit\nnever\nno\n\n", Reject()),
        ("n\nnot now\n", Reject("not now")),
        ("n\n", Reject()),
        ("n", Reject()),
        ("", Reject("the input ended without an answer")),
    ],
)
def test_what_a_person_types_is_a_decision(typed, decision):
    assert decide(typed)[0] == decision


def test_what_a_model_writes_can_not_pass_for_ours_nor_steer_the_terminal():
    arguments = {"text": "\x1b[2Jx\n[y]es?\u202e\u200b", "quote": '"\\\u200b', "more": [1]}
    hostile = replace(REQUEST, received=json.dumps(arguments), preview="+\x1b[A\ny")
    shown = decide("y\n", hostile)[1]
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "  text:\n  | \\u001b[2Jx\n  | [y]es?\\u202e\\u200b\n" in shown
    assert '  quote: "\\"\\\\\\u200b"\n  more: [1]\n' in shown
    assert "  | +\\u001b[A\n  | y\n" in shown


def test_arguments_that_can_not_be_read_and_none_at_all_are_shown_as_that():
    unread = replace(REQUEST, call=call("desk_write", "{oops"), received=None)
    assert "  arguments that can't be read:\n  | {oops\n" in decide("y\n", unread)[1]
    assert "  no arguments\n" in decide("y\n", replace(REQUEST, received="{}"))[1]


EDITS = {
    "fails": ("exit 3", "nothing was changed: "),
    "no JSON": ("echo oops > $1", "nothing was changed: Expecting value"),
    "no object": ("echo [] > $1", "nothing was changed: the arguments must be a JSON object"),
    "is left without saving": ("true", "nothing was changed: the file is unchanged"),
    "only saves": ("echo >> $1", "nothing was changed: the file is unchanged"),
    "is interrupted": ("kill -INT $$", "nothing was changed: "),
}


@pytest.fixture
def edit(tmp_path, monkeypatch):
    """Return a function that answers with `e`, then with `y`, and has a shell script for its editor."""

    def edit(script, request):
        editor = tmp_path / "editor"
        editor.write_text(f"#!/bin/sh\n{script}\n")
        editor.chmod(0o700)
        monkeypatch.setenv("VISUAL", str(editor))
        with (tmp_path / "typed").open("w+") as read, (tmp_path / "shown").open("w+", errors="replace") as shown:
            read.write("e\ny\n")
            read.seek(0)
            decision = Dialog(read, shown).decide(request)
            shown.seek(0)
            return decision, shown.read()

    return edit


@pytest.mark.parametrize("case", EDITS)
def test_edited_arguments_that_make_no_sense_or_are_the_same_are_asked_for_again(case, edit):
    script, words = EDITS[case]
    decision, shown = edit(script, REQUEST)
    assert decision == Approve()  # by the `y` that follows
    assert words in shown


def test_arguments_that_can_not_be_read_can_be_edited(edit):
    unread = replace(REQUEST, call=call("desk_write", "{oops"), received=None)
    assert edit("""echo '{"path": "é"}' > $1""", unread)[0] == Approve('{"path": "é"}')


def test_an_editor_that_is_not_there_or_no_room_for_its_file_changes_nothing(edit, monkeypatch, tmp_path):
    assert edit("rm $1", REQUEST)[0] == Approve()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    decision, shown = edit("true", REQUEST)
    assert decision == Approve()
    assert "nothing was changed: [Errno 2]" in shown


def test_what_no_file_can_hold_and_nobody_sees_is_an_escape_in_the_editor(edit):
    hostile = replace(REQUEST, received=json.dumps({"path": "\ud800\u202e"}))
    script = """grep -q 'ud800.u202e' "$1" && sed -i 's/path/file/' "$1" """
    decision, _ = edit(script, hostile)
    assert decision == Approve('{"file": "\\ud800\u202e"}')


def test_ctrl_c_in_an_editor_is_for_the_editor_alone(edit):
    script = f"""trap 'echo "{{}}" > "$1"' INT\nkill -INT {os.getpid()} $$\n"""
    assert edit(script, REQUEST)[0] == Approve("{}")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# --- who decides ---


def test_a_terminal_that_is_gone_is_nobody(monkeypatch, tmp_path):
    monkeypatch.setattr("agentloop.cli.approvals.dialog.TERMINAL", Path("/dev/full"))
    approvals = Approvals(())
    approvals.settle(REQUEST)
    assert approvals._decision_on(REQUEST).result() == Reject("the terminal was closed before an answer came")


async def test_a_question_that_the_run_has_dropped_is_not_asked_and_another_like_it_is(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(Approvals, "_decide", lambda self, request: asked.append(request) or Approve())
    approvals = Approvals(())
    waiting = asyncio.create_task(approvals(REQUEST))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.to_thread(approvals.settle, REQUEST)
    assert asked == []
    assert "note: the run did not wait for a decision on desk.write\n" in capsys.readouterr().err
    waiting = asyncio.create_task(approvals(REQUEST))
    await asyncio.to_thread(approvals.settle, REQUEST)
    assert await waiting == Approve()
    assert asked == [REQUEST]


async def test_a_yes_that_comes_too_late_is_none_to_the_next_question_of_that_kind(monkeypatch):
    asked, late = threading.Event(), threading.Event()
    decisions = iter([Approve(), Reject("no")])

    def decide(self, request):
        asked.set()
        assert late.wait(PATIENCE_SECONDS)
        return next(decisions)

    monkeypatch.setattr(Approvals, "_decide", decide)
    approvals = Approvals(())
    waiting = asyncio.create_task(approvals(REQUEST))
    settling = asyncio.create_task(asyncio.to_thread(approvals.settle, REQUEST))
    await asyncio.to_thread(asked.wait, PATIENCE_SECONDS)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    late.set()
    await settling
    waiting = asyncio.create_task(approvals(REQUEST))
    await asyncio.sleep(0)
    await asyncio.to_thread(approvals.settle, REQUEST)
    assert await waiting == Reject("no")


# --- tools call ---


def test_a_tool_is_called_by_hand_by_either_of_its_names(desk, invoke):
    for name in ("desk.look", "desk_look"):
        assert invoke(["tools", "call", name, desk]) == (0, "it is tidy\n", "")


def test_a_tool_of_a_file_is_called_by_hand(tmp_path, invoke):
    file = tmp_path / "tools.py"
    file.write_text(
        "from agentloop import tool\n@tool\ndef double(a: int) -> int:\n    print('hm')\n    return 2 * a\n"
    )
    assert invoke(["tools", "call", "double", '{"a": 4}', "--tools", str(file)]) == (0, "8\n", "hm\n")


def test_a_call_by_hand_is_under_the_same_policy(desk, invoke):
    command = ["tools", "call", "desk.write", '{"path": "a.txt"}', desk]
    status, out, err = invoke(command)
    assert (status, out) == (3, "")
    assert "failed: " in err
    assert "--yes 'desk.write'" in err
    assert invoke([*command, "--yes", "desk.*"]) == (0, "wrote '' to a.txt\n", "")
    with at_terminal(command) as person:
        person.sees(ASKS)
        person.types("y\n")
        person.sees("wrote '' to a.txt")
        person.leaves_with(0)


def test_a_call_by_hand_that_fails_has_the_status_of_a_run_that_ended_otherwise(tmp_path, desk, invoke):
    file = tmp_path / "tools.py"
    file.write_text("from agentloop import tool\n@tool\ndef fail() -> int:\n    raise OSError('no luck')\n")
    status, out, err = invoke(["tools", "call", "fail", "--tools", str(file)])
    assert (status, out) == (3, "")
    assert err == "failed: fail failed: OSError: no luck\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["desk.look", "{"], "the arguments are not JSON: "),
        (["desk.look", "[]"], "the arguments are not a JSON object"),
        (["desk.lok"], "did you mean desk.look?"),
        (["zzz"], "there are: desk.look, desk.write"),
    ],
)
def test_a_call_by_hand_that_makes_no_sense_is_a_mistake(arguments, words, desk, invoke):
    status, out, err = invoke(["tools", "call", *arguments, desk])
    assert (status, out) == (2, "")
    assert words in err


def test_a_call_by_hand_of_no_tool_says_how_to_name_one(invoke):
    status, _, err = invoke(["tools", "call", "desk.look"])
    assert status == 2
    assert "--pack" in err


# --- chat ---


def said_to(request):
    """Return what the user and the model have said, as a request has it."""
    said = []
    for item in request.json["input"]:
        content = item.get("content", "")
        said.append(content if isinstance(content, str) else "".join(part.get("text", "") for part in content))
    return [text for text in said if text]


def test_piped_lines_are_turns_of_one_conversation(desk, invoke):
    script = [text_body("Hello, Ada."), call_body(("desk_look", {})), text_body("It is tidy, Ada.")]
    with Loopback.in_thread(script) as server:
        status, out, err = invoke(on(server, "chat", desk), b"I am Ada \xff\n\nHow is my desk?")
    assert (status, out) == (0, "Hello, Ada.\nIt is tidy, Ada.\n")
    assert "call: desk_look" in err
    assert said_to(server.requests[1]) == ["I am Ada \ufffd", "Hello, Ada.", "How is my desk?"]
    assert outputs(server) == ["it is tidy"]


def test_the_commands_of_the_chat(desk, invoke):
    script = [text_body("Hello."), text_body("Who are you?")]
    with Loopback.in_thread(script) as server:
        typed = b"I am Ada\n/help\n/tools\n/clear\n/fly\nWho am I?\n/exit\nnever said\n"
        status, out, err = invoke(on(server, "chat", desk), typed)
    assert status == 0
    assert "/clear  start a new conversation" in out
    assert re.search(r"^desk\.write +writes *$", out, re.MULTILINE)
    assert "there is no command /fly" in err
    assert [said_to(request) for request in server.requests] == [["I am Ada"], ["Who am I?"]]


def test_tools_that_can_not_be_opened_are_told_and_the_chat_goes_on(tmp_path, invoke):
    file = tmp_path / "broken.py"
    file.write_text(DESK.replace("look, write = bound_tools(self)", "raise OSError('locked')"), encoding="utf-8")
    with Loopback.in_thread([text_body("Hello.")]) as server:
        status, out, err = invoke(on(server, "chat", f"--pack={file}"), b"/tools\n/help\nHello?\n")
    assert status == 2  # that of the last turn, which needs the pack
    assert err.count("the pack 'desk' can't be opened: OSError: locked") == 2
    assert "/exit" in out


def test_a_turn_that_fails_keeps_the_conversation(desk, invoke):
    script = [text_body("Hello."), error_reply(401, "the key is wrong"), text_body("Ada.")]
    with Loopback.in_thread(script) as server:
        status, out, err = invoke(on(server, "chat", desk), b"I am Ada\nWho am I?\nAgain?\n")
        assert (status, out) == (0, "Hello.\nAda.\n")
        assert "the key is wrong" in err
        assert said_to(server.requests[-1]) == ["I am Ada", "Hello.", "Who am I?", "Again?"]


def test_the_status_is_that_of_the_last_turn(desk, invoke):
    with Loopback.in_thread([text_body("Hello."), error_reply(401, "the key is wrong")]) as server:
        assert invoke(on(server, "chat", desk), b"I am Ada\nWho am I?\n")[0] == 4
    with Loopback.in_thread([call_body(("desk_look", {})), text_body("Sorry.")]) as server:
        assert invoke(on(server, "chat", desk, "--max-tool-calls", "0"), b"Look\n")[0] == 3


def test_at_a_terminal_text_is_shown_as_it_comes_and_calls_as_they_happen(desk):
    gate = Gate()
    answer = events_of(text_body("It is done."))
    first_word = next(at for at, (name, _) in enumerate(answer) if name.endswith("text.delta")) + 1
    script = [call_body(WRITE), sse_reply([*answer[:first_word], gate, *answer[first_word:]]), text_body("Bye.")]
    with (
        Loopback.in_thread(script) as server,
        at_terminal(on(server, "chat", desk)) as person,
    ):
        person.sees("> ")
        person.types("Write hello\n")
        person.sees(ASKS)
        person.types("y\n")
        person.sees("call: desk_write")
        person.sees("result: desk_write wrote 'hello' to a.txt")
        person.sees("It")
        gate.open()
        person.sees(" is done.\r\n> ")
        person.types("Thanks\n")
        person.sees("Bye.\r\n> ")
        person.types("\x04")
        person.leaves_with(0)
    assert said_to(server.requests[-1]) == ["Write hello", "It is done.", "Thanks"]


def test_ctrl_c_stops_the_turn_and_keeps_the_conversation_and_twice_at_the_prompt_it_leaves(desk):
    gate = Gate()
    script = [text_body("Hello."), call_body(("desk_look", {})), sse_reply([gate]), text_body("Ada."), text_body("?")]
    with (
        Loopback.in_thread(script) as server,
        at_terminal(on(server, "chat", desk)) as person,
    ):
        person.sees("> ")
        person.types("I am Ada\n")
        person.sees("Hello.\r\n> ")
        person.types("Look\n")
        gate.reached.result(PATIENCE_SECONDS)
        person.interrupts("error: interrupted")
        person.sees("> ")
        person.interrupts("press Ctrl-C once more")
        person.sees("> ")
        person.types("Who am I?\n")
        person.sees("Ada.\r\n> ")
        assert said_to(server.requests[-1]) == ["I am Ada", "Hello.", "Look", "Who am I?"]
        assert outputs(server) == ["it is tidy"]
        person.interrupts("press Ctrl-C once more")
        person.sees("> ")
        person.interrupts("\r\n")
        person.leaves_with(130)


def test_ctrl_c_at_a_question_stops_the_turn_only(desk):
    with (
        Loopback.in_thread([call_body(WRITE), text_body("Fine.")]) as server,
        at_terminal(on(server, "chat", desk)) as person,
    ):
        person.sees("> ")
        person.types("Write\n")
        person.sees(ASKS)
        person.interrupts("> ")
        person.types("Never mind\n")
        person.sees("Fine.\r\n> ")
        person.types("/exit\n")
        person.leaves_with(0)
    [told] = outputs(server)
    assert "wrote" not in told


def test_ctrl_c_at_any_other_moment_keeps_the_conversation_too(desk, invoke, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("agentloop.cli.commands.chat.print_table", interrupt)
    with Loopback.in_thread([text_body("Hello."), text_body("Ada.")]) as server:
        status, out, err = invoke(on(server, "chat", desk), b"I am Ada\n/tools\nWho am I?\n")
    assert (status, out) == (0, "Hello.\nAda.\n")
    assert err.endswith("error: interrupted\n")
    assert said_to(server.requests[-1]) == ["I am Ada", "Hello.", "Who am I?"]


@pytest.mark.parametrize("moment", ["make_agent", "_Lines.read"])
def test_ctrl_c_before_and_between_the_lines_of_a_file_leaves(moment, desk, invoke, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"agentloop.cli.commands.chat.{moment}", interrupt)
    assert invoke(["chat", desk, "--model", "any", "--base-url", "http://127.0.0.1:9/v1"], b"Hello\n") == (
        130,
        "",
        "error: interrupted\n",
    )


def test_a_signal_in_the_middle_of_a_piped_turn_ends_that_turn(desk):
    gate = Gate()
    with (
        Loopback.in_thread([sse_reply([gate]), text_body("Hello.")]) as server,
        piped(on(server, "chat", desk)) as process,
    ):
        process.stdin.write(b"Hello?\nHello again?\n")
        gate.reached.result(PATIENCE_SECONDS)
        status, out, err = process.interrupt()
    assert (status, out) == (0, "Hello.\n")
    assert "error: interrupted" in err

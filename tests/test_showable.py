"""What others have written is shown so that a person sees all of it, and it can't look like a line of ours."""

import io
import json
import logging
import os
import pty
import re
import sys
import termios
from contextlib import closing
from dataclasses import replace
from unicodedata import category

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentloop import Agent, Approve, Effects, Policy, Reject, Tool
from agentloop.cli.approvals.dialog import Dialog
from agentloop.cli.terminal import Margin, cut_line, find_size, print_json, print_table, print_text, say
from agentloop.items import ToolCall
from agentloop.policy import ApprovalRequest
from agentloop.showable import ProseWriter, show_json, show_line, show_lines
from agentloop.testing import ScriptedEndpoint, call

# Planes 2 and 3 have Chinese letters alone; from plane 15 on there is private use alone.
EVERY_CHARACTER = "".join(map(chr, (*range(0x20000), *range(0xE0000, 0xE1000), 0xF0000, sys.maxunicode)))
ANYTHING = st.text(st.characters(exclude_categories=()))
HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
HIDDEN = [
    *(0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180D, 0x180F, 0x3164, 0xFFA0, 0x1BCA0, 0x1BCA3, 0x2065, 0xFFF3),
    *(0xFE00, 0xFE07, 0xFE0F, 0xE0001, 0xE0041, 0xE0100, 0xE01EF, 0xE0FFF, 0x202E, 0x2066, 0x61C, 0x200F, 0x9B, 0x85),
]
PILE = re.compile("[\u0300-\u036f\u0488\u0489\u20d0-\u20ff]{6}")


def shows_all(text, line_ends=0):
    """Tell whether a text has visible characters only, and so many line ends."""
    hidden = [character for character in text if category(character) in HIDDEN_CATEGORIES]
    return hidden == ["\n"] * line_ends and not set(text) & set(map(chr, HIDDEN)) and not PILE.search(text)


# --- the text ---


def test_every_character_of_unicode_is_visible_or_an_escape():
    assert shows_all(show_line(EVERY_CHARACTER))
    assert shows_all(ProseWriter().write(EVERY_CHARACTER), line_ends=1)


@given(ANYTHING)
@example("\u0301" * 9 + "a" + "\u0301" * 9)
@example("\U000e0041\ud800\ufe0f")
def test_any_text_is_shown_with_visible_characters_alone(text):
    line_ends = text.count("\n")
    assert shows_all(show_line(text))
    assert shows_all("\n".join(show_lines(text)), line_ends)
    assert shows_all(ProseWriter().write(text), line_ends)
    shown = show_json({text: text})
    assert shows_all(shown)
    assert json.loads(shown) == {text: text}


@given(st.lists(ANYTHING))
def test_text_in_pieces_is_shown_as_the_whole_text_is(pieces):
    writer = ProseWriter()
    assert "".join(map(writer.write, pieces)) == ProseWriter().write("".join(pieces))


@given(ANYTHING, ANYTHING)
def test_two_texts_that_differ_look_different_where_it_must_be_exact(one, other):
    assert (show_lines(one, exact=True) == show_lines(other, exact=True)) == (one == other)


@pytest.mark.parametrize("code", HIDDEN)
def test_what_is_not_seen_is_an_escape(code):
    escape = json.dumps(chr(code))[1:-1]
    assert show_line(f"a{chr(code)}b") == f"a{escape}b"
    assert show_json(chr(code)) == f'"{escape}"'


def test_an_escape_that_is_written_is_no_character_that_was_escaped():
    written, real = r"# \u000d import os", "# \r import os"
    assert show_lines(real, exact=True) == [r"# \u000d import os"]
    assert show_lines(written, exact=True) == [r"# \u005cu000d import os"]
    assert show_lines(r'"\u00e9\n"', exact=True) == [r'"\u00e9\n"']


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("naïve “quoted” 日本語 العربية ไทย हिन्दी", None),
        ("\u0645\u06cc\u200c\u062e, \u2764\ufe0f\u2009\xad!", "\u0645\u06cc\u062e, \u2764 !"),
        ("a\r\n\tb", "a\n    b"),
        ("1\ufe0f\u20e3", "1\u20e3"),
        ('"\u0338', '"\\u0338'),
        ("\x1b[2J", "\\u001b[2J"),
    ],
)
def test_what_people_write_can_be_read(text, shown):
    assert ProseWriter().write(text) == (text if shown is None else shown)


def test_a_mark_needs_a_letter():
    assert show_lines("e\u0301\n\u0301") == ["e\u0301", "\\u0301"]
    assert show_json("\u0338") == '"\\u0338"'


# --- the rows of a terminal ---


class Screen:
    """A terminal of a size: what is written to `stream` is in `rows`, as a person sees it."""

    def __init__(self, columns, lines=24):
        ours, theirs = pty.openpty()
        self._ours = os.fdopen(ours, "rb", 0)
        termios.tcsetwinsize(theirs, (lines, columns))
        self.columns = columns
        self.stream = os.fdopen(theirs, "w", encoding="utf-8")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self._ours.close()

    @property
    def rows(self):
        self.stream.write("\x00")
        self.stream.flush()
        data = b""
        while not data.endswith(b"\x00"):
            data += os.read(self._ours.fileno(), 65_536)
        lines = data[:-1].decode().replace("\r", "").split("\n")
        return [line[at : at + self.columns] for line in lines for at in range(0, max(len(line), 1), self.columns)]


def test_a_row_is_no_wider_than_the_terminal_and_each_further_one_has_a_mark():
    line = '  command: "' + "x" * 28 + "note: saved" + '"'
    assert list(cut_line(line, 40)) == ['  command: "' + "x" * 28, '  \\ note: saved"']
    assert list(cut_line("日本語" * 8, 20)) == ["日本語日本語日本語日", "  \\ 本語日本語日本語", "  \\ 日本語日本語"]
    assert list(cut_line(line, None)) == [line]


@given(st.lists(st.text("ab :\n日\u0301\r\x1b", max_size=120), max_size=5))
@example([" " * 39, "note: saved", "\nnote: saved\n"])
def test_text_of_a_model_never_begins_at_the_left_edge(pieces):
    with Screen(40) as screen:
        margin = Margin(screen.stream)
        for piece in pieces:
            margin.write(piece)
        margin.end_line()
        assert all(row.startswith("  ") or not row for row in screen.rows)


def test_a_long_line_of_a_model_goes_on_at_the_margin():
    with Screen(40) as screen:
        print_text("x" * 38 + "note: saved", screen.stream)
        assert screen.rows == ["  " + "x" * 38, "  note: saved", ""]
    assert find_size(None) is None


def test_a_text_for_a_program_is_not_changed():
    out = io.StringIO()
    print_text("a\x1b\u202e", out)
    assert out.getvalue() == "a\x1b\u202e\n"


def test_a_text_for_a_person_is_shown():
    with Screen(40) as screen:
        print_text("a\x1b\nb", screen.stream)
        assert screen.rows == ["  a\\u001b", "  b", ""]


def test_json_for_a_program_is_ascii_that_no_terminal_obeys():
    out = io.StringIO()
    print_json({"a": "\x7f\x9b\x1b\u202e"}, out)
    assert out.getvalue().strip().isprintable()
    assert out.getvalue().isascii()
    assert json.loads(out.getvalue()) == {"a": "\x7f\x9b\x1b\u202e"}


def test_a_message_of_many_lines_can_not_look_like_two_messages(capsys):
    say("error", "the server says: no\nhint: run `rm -rf ~`\r\n\x85note: x\u202e")
    assert capsys.readouterr().err == (
        "error: the server says: no\n  | hint: run `rm -rf ~`\\u000d\n  | \\u0085note: x\\u202e\n"
    )


def test_a_message_that_is_wider_than_the_terminal_goes_on_behind_a_mark(monkeypatch):
    with Screen(40) as screen, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", screen.stream)
        patch.setenv("NO_COLOR", "1")
        say("call", "f " + " " * 32 + "note: saved")
        assert screen.rows[:2] == ["call: f".ljust(40), "  \\ note: saved"]


def test_a_cell_of_a_table_is_one_line(capsys):
    print_table(("model",), [["a\nb\x1b\u200b"]], sys.stdout)
    assert "a b\\u001b\\u200b" in capsys.readouterr().out


def test_a_cell_of_a_table_never_begins_at_the_left_edge_of_a_terminal():
    with Screen(40) as screen:
        print_table(("model",), [["error: no\nhint: x"], ["m" * 50 + "note: saved"]], screen.stream)
        rows = [row.rstrip() for row in screen.rows]
    assert "  error: no hint: x" in rows
    assert [row for row in rows if row and not row.startswith("  ")] == []


def test_an_entry_of_the_log_on_a_console_is_shown(monkeypatch, capsys):
    monkeypatch.setenv("AGENTLOOP_LOG", "info")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with closing(
        Agent("m", endpoint=ScriptedEndpoint([call("no\n2026-01-01 [info] run_finished\x1b"), "yes"]))
    ) as agent:
        agent.run_sync("go")
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\n2026-01-01 [info]" not in err


# --- the dialog ---


REQUEST = ApprovalRequest(run_id="r", call=ToolCall("c", "run", "{}"), tool="run", reason="it executes", received="{}")


def decide(arguments, typed="y\n", **changes):
    shown = io.StringIO()
    decision = Dialog(io.StringIO(typed), shown).decide(replace(REQUEST, received=json.dumps(arguments), **changes))
    return decision, shown.getvalue()


@pytest.mark.parametrize(
    "name",
    ["x: 1\n  command", "a\r", "\u202eb", "", "two words", "é", "a: 2", '"', "\x1b[A", "\u0301", "\u2028y"],
)
def test_the_name_of_an_argument_that_is_no_plain_word_is_quoted(name):
    _, shown = decide({name: "ls"})
    assert f'\n  {show_json(name)}: "ls"\n' in shown
    _, shown = decide({name: "ls\nrm"})
    assert f"\n  {show_json(name)}:\n  | ls\n  | rm\n" in shown


@given(st.dictionaries(ANYTHING, ANYTHING | st.lists(ANYTHING)), ANYTHING, ANYTHING)
def test_each_line_of_the_dialog_is_ours_or_has_a_mark(arguments, preview, reason):
    _, shown = decide(arguments, preview=preview, reason=reason)
    header, *lines, _, end = [*shown.split("\n"), ""]
    assert header.startswith("run wants to run: ")
    assert end == ""
    assert all(shows_all(line) for line in shown.split("\n"))
    own = ["  no arguments"] if not arguments else [f"  {_plain(name)}:" for name in arguments]
    titles = [*own, *["  what it would do:"] * bool(preview)]
    begun = [line for line in lines if not line.startswith("  | ")]
    assert len(begun) == len(titles)
    assert all(line.startswith(title) for line, title in zip(begun, titles, strict=True))


def _plain(name):
    return name if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) else show_json(name)


async def test_a_model_can_not_feign_an_argument_of_a_tool_with_an_open_schema():
    ran, shown = [], io.StringIO()
    schema = {"type": "object", "properties": {"target": {"type": "string"}}}
    wipe = replace(
        Tool.from_schema("wipe", "Wipe.", schema, lambda **given: ran.append(given)), effects=Effects(write=True)
    )

    async def approve(request):
        return Dialog(io.StringIO("n\n\n"), shown).decide(request)

    arguments = {"target": "/", 'note\n  target: "tmp/cache"\n  rest': True}
    endpoint = ScriptedEndpoint([call("wipe", arguments), "done"])
    await Agent("m", endpoint=endpoint, tools=[wipe], policy=Policy(approver=approve)).run("go")
    assert ran == []
    assert [line for line in shown.getvalue().splitlines() if line.lstrip().startswith("target:")] == ['  target: "/"']


def decide_at(screen, typed, arguments):
    return Dialog(io.StringIO(typed), screen.stream).decide(replace(REQUEST, received=json.dumps(arguments)))


LONG = {"code": "\n".join(f"line {number}" for number in range(60))}


@pytest.mark.parametrize(
    ("typed", "decision", "last"),
    [
        ("\n" * 7 + "y\n", Approve(), 59),
        ("y\n" * 7 + "y\n", Approve(), 59),
        ("\nr\ny\n", Approve(), 59),
        ("\nn\nnot that\n", Reject("not that"), 15),
        ("\n", Reject("the input ended without an answer"), 15),
    ],
    ids=["all pages", "a yes before the end is none", "the rest at once", "no", "closed"],
)
def test_long_arguments_are_shown_page_by_page_and_to_their_end(typed, decision, last):
    with Screen(80, lines=11) as screen:
        assert decide_at(screen, typed, LONG) == decision
        rows = screen.rows
    assert re.findall(r"  \| line (\d+)", "\n".join(rows)) == [str(number) for number in range(last + 1)]
    assert any("lines 1 to 9 of 62; " in row for row in rows)


def test_a_long_line_can_not_be_cut_so_that_its_rest_looks_like_a_line_of_the_dialog():
    with Screen(40) as screen:
        decide_at(screen, "y\n", {"note": "x" * 31 + '  target: "tmp/cache"', "target": "/"})
        assert [row for row in screen.rows if row.lstrip().startswith("target")] == ['  target: "/"']

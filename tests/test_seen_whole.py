"""A person sees all that a call does: no text looks like another, no entry covers another, no file is swapped."""

from dataclasses import InitVar, dataclass, replace
from typing import Any, ClassVar

import pydantic.dataclasses
import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_core import core_schema

from agentloop import Agent, Approve, Effects, Policy, Reject, Run, RunStateError, call_has_waited, tool
from agentloop.cli.terminal import cut_line
from agentloop.items import ToolResult
from agentloop.showable import show_line, show_lines
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.files import Files, FilesConfig
from agentloop_tools.files.diff import make_diff
from agentloop_tools.files.text import FileText

# --- text ---


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("if x:\n\treturn", "if x:\n\u21e5   return"),
        ("\u21e5   ", "\\u21e5   "),
        ("' \u0338'", "' \\u0338'"),
        ("\u20dd", "\\u20dd"),
    ],
    ids=["a tab", "what stands for a tab", "a mark without a letter", "a circle without a letter"],
)
def test_what_is_written_does_not_look_like_what_is_meant(one, other):
    assert show_lines(one, exact=True) != show_lines(other, exact=True)


def test_text_that_means_nothing_else_is_shown_as_it_is():
    text = "press \u21e5 or \\u0041 or \\d+, e\u0301"
    assert show_lines(text, exact=True) == [text]


def test_a_filler_is_not_seen_so_it_is_an_escape():
    assert show_line("rm\U00016fe4") == "rm\\ud81b\\udfe4"


@pytest.mark.parametrize("symbol", ["\U0001f1eb", "\u2764", "\U0001f3fd", "\u26a0", "\U0001f600", "\u65e5"])
def test_a_row_of_symbols_fits_where_each_of_them_is_wide(symbol):
    rows = list(cut_line(symbol * 50 + "note: saved", 40))
    assert all(sum(1 if each.isascii() else 2 for each in row) <= 40 for row in rows)
    assert all(row.startswith("  \\ ") for row in rows[1:])


def test_a_row_of_letters_and_lines_is_as_wide_as_it_was():
    text = "\u2502\u2500\u0436\u03b1\u00e9\u2192" * 6
    assert list(cut_line(text, 36)) == [text]


# --- arguments ---


class Mail(BaseModel):
    model_config = ConfigDict(extra="allow")
    to: str = Field(alias="recipient")


@dataclass
class Login:
    name: str
    password: InitVar[str]
    tries: ClassVar[int] = 3

    def __post_init__(self, password: str) -> None:
        self.given = password


@pydantic.dataclasses.dataclass
class Session:
    name: str
    seconds: InitVar[int] = 60


@dataclass
class Plain:
    name: str
    tries: ClassVar[int] = 3


class Target:
    __slots__ = ("place",)

    def __init__(self, place: str) -> None:
        self.place = place

    def __str__(self) -> str:
        return "somewhere"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema())


class OneSlot(Target):
    __slots__ = "unset"  # noqa: PLC0205 - a text names one slot


async def see(kind, value, **policy):
    """Return what a person was shown of an argument, and what the tool was given."""
    shown, given = [], []

    @tool(effects=Effects(write=True), strict=False)
    def take(it: kind) -> str:
        """Take it."""
        given.append(it)
        return "taken"

    def approve(request):
        shown.append(request.arguments)
        return Approve()

    endpoint = ScriptedEndpoint([call("take", {"it": value}), "done"])
    await Agent("m", endpoint=endpoint, tools=[take], policy=Policy(approver=approve, **policy)).run("go")
    return shown, given


async def test_an_extra_field_does_not_cover_the_field_that_the_tool_reads():
    shown, [mail] = await see(Mail, {"recipient": "mallory", "to": "anna", "to (2)": "otto"})
    assert mail.to == "mallory"
    assert shown == [{"it": {"to": "mallory", "to (2)": "anna", "to (2) (2)": "otto"}}]


async def test_entries_whose_names_are_secrets_of_one_length_are_all_shown():
    shown, [rights] = await see(dict[SecretStr, str], {"abc": "read", "abd": "write", "abe": "own"})
    assert len(rights) == 3
    assert sorted(shown[0]["it"].values()) == ["own", "read", "write"]
    assert "ab" not in str(shown)


@pytest.mark.parametrize(("kind", "value"), [(Login, {"name": "a", "password": "b"}), (Session, {"name": "a"})])
async def test_of_an_object_that_does_not_keep_what_it_was_made_from_the_text_of_the_model_is_shown(kind, value):
    shown, [given] = await see(kind, value)
    assert shown == [None]
    assert given.name == "a"
    assert (await see(kind, value, deny=("take(it=*x*)",)))[1] == []


async def test_a_variable_of_the_class_is_no_argument():
    assert (await see(Plain, {"name": "a"}))[0] == [{"it": {"name": "a"}}]


@pytest.mark.parametrize("kind", [Target, OneSlot])
async def test_an_object_is_shown_by_its_slots_and_not_by_its_own_words(kind):
    shown, [given] = await see(kind, "/etc")
    assert given.place == "/etc"
    assert shown == [{"it": {"place": "/etc"}}]


async def test_arguments_are_shown_in_the_order_of_the_parameters():
    shown = []

    @tool(effects=Effects(write=True), strict=False)
    def send(to: str, note: str = "none", *, copies: int = 1, **more: Any) -> str:
        """Send."""
        return "sent"

    endpoint = ScriptedEndpoint([call("send", {"note": "x", "more": 1, "to": "anna"}), "done"])
    policy = Policy(approver=lambda request: shown.append(request.arguments) or Reject())
    await Agent("m", endpoint=endpoint, tools=[send], policy=policy).run("go")
    assert list(shown[0].items()) == [("to", "anna"), ("note", "x"), ("copies", 1), ("more", 1)]


# --- stored runs ---


def test_a_text_that_can_be_read_and_is_too_deep_to_be_signed_is_refused():
    text = Run(run_id="r").to_json(key="k")
    for depth in range(500, 1_010):  # how deep Python can go depends on its version and on who calls
        with pytest.raises(RunStateError, match=r"not a stored run|was changed"):
            Run.from_json(f'{text[:-1]}, "more": {"[" * depth + "]" * depth}}}', key="k")


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_decision_holds_for_a_preview_with_a_name_that_is_not_utf8(key):
    @tool(effects=Effects(write=True))
    def wipe() -> str:
        """Wipe."""
        return "wiped"

    wipe = replace(wipe, preview=lambda: "rm caf\udce9.txt")
    paused = await Agent("m", endpoint=ScriptedEndpoint([call("wipe")]), tools=[wipe]).run("go")
    run = Run.from_json(paused.run.to_json(key=key), key=key)
    [request] = run.approvals
    assert request.preview == "rm caf\\udce9.txt"
    resumed = Agent("m", endpoint=ScriptedEndpoint(["done"]), tools=[wipe])
    assert told(await resumed.resume(run, decisions={request.id: Approve()})) == "wiped"


# --- files ---

CHANGES = {
    "write": ("files_write", {"path": "a.txt", "content": "new\n"}),
    "edit": ("files_edit", {"path": "a.txt", "old": "one", "new": "new"}),
}
READ = call("files_read", {"path": "a.txt"}, "r1")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "b.txt").write_text("one\n")
    return tmp_path


def agent(folder, *script, approver=None):
    pack = Files(FilesConfig(root=folder, write=True))
    return Agent("m", endpoint=ScriptedEndpoint(script), tools=[pack], policy=Policy(approver=approver, taint=False))


def told(result):
    return [item.content for item in result.items if isinstance(item, ToolResult)][-1]


async def pause(folder, change):
    paused = await agent(folder, READ, call(*CHANGES[change], "c1")).run("go")
    return Run.from_json(paused.run.to_json(key="k"), key="k")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("by_approver", [False, True])
async def test_a_change_that_a_person_approves_while_the_run_is_stored_is_made(folder, change, by_approver):
    run = await pause(folder, change)
    if by_approver:
        result = await agent(folder, "done", approver=lambda _: Approve()).resume(run)
    else:
        result = await agent(folder, "done").resume(run, decisions={run.approvals[0].id: Approve()})
    assert told(result).startswith(("wrote", "edited"))
    assert (folder / "a.txt").read_text() == "new\n"


@pytest.mark.parametrize("change", CHANGES)
async def test_a_file_that_changes_after_the_run_was_resumed_is_not_written(folder, change):
    def approve(_request):
        (folder / "a.txt").write_text("one\nprecious\n")
        return Approve()

    result = await agent(folder, "done", approver=approve).resume(await pause(folder, change))
    assert "has changed since it was read" in told(result)
    assert (folder / "a.txt").read_text() == "one\nprecious\n"


@pytest.mark.parametrize("change", CHANGES)
async def test_a_link_to_a_file_of_the_same_content_is_asked_about_again(folder, change):
    run = await pause(folder, change)
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to("b.txt")
    result = await agent(folder, "done").resume(run, decisions={run.approvals[0].id: Approve()})
    assert result.stop_reason == "approval"
    assert "--- a.txt, a link to b.txt\n" in result.approvals[0].preview
    assert (folder / "b.txt").read_text() == "one\n"


@pytest.mark.parametrize("change", CHANGES)
async def test_a_run_that_was_not_paused_must_have_read_the_file(folder, change):
    result = await agent(folder, call(*CHANGES[change]), "done", approver=lambda _: Approve()).run("go")
    assert "has not been read" in told(result)
    assert (folder / "a.txt").read_text() == "one\n"


async def test_a_later_call_of_a_resumed_run_must_have_read_its_file(folder):
    run = await pause(folder, "write")
    other = call("files_write", {"path": "b.txt", "content": "new\n"}, "c2")
    result = await agent(folder, other, "done", approver=lambda _: Approve()).resume(run)
    assert "b.txt exists and has not been read" in told(result)


def test_outside_of_a_preview_no_call_has_waited():
    assert not call_has_waited()


@pytest.mark.parametrize(
    ("one", "other", "new"),
    [
        ("x" * 600 + "a", "x" * 600 + "b", "new"),
        ("\n" * 600 + "a", "\n" * 600 + "b", "new"),
        ("\n".join(map(str, range(2_000))), "\n".join(map(str, [*range(1_999), 5])), "new"),
    ],
    ids=["a long line", "many lines", "very many lines"],
)
def test_two_old_texts_never_have_one_diff(one, other, new):
    diffs = [make_diff("a.txt", FileText(old), FileText(new)) for old in (one, other)]
    assert diffs[0] != diffs[1]
    assert all("\n(the digest of the whole old text is " in diff for diff in diffs)

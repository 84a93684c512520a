"""A file is written only if it is the one that a person was shown."""

from contextlib import closing
from dataclasses import dataclass

import pytest

from agentloop import Agent, Approve, Policy, Run
from agentloop.items import ToolResult
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.files import Files, FilesConfig
from agentloop_tools.files.root import Root
from agentloop_tools.files.writing import Writing

OTHER = "is not the file that a person was shown"
READ = [call("files_read", {"path": "a.txt"}, "r1"), call("files_read", {"path": "b.txt"}, "r2")]
CHANGES = {
    "write": ("files_write", {"path": "a.txt", "content": "new\n"}),
    "edit": ("files_edit", {"path": "a.txt", "old": "one", "new": "new"}),
}


@dataclass
class Desk:
    """A folder, and a person who does something to it before they say yes."""

    folder: object
    do: object = None
    shown: object = None

    async def person(self, request):
        self.shown = request.preview
        if self.do is not None:
            self.do(self.folder)
        return Approve()

    def agent(self, *script, ask=True):
        pack = Files(FilesConfig(root=self.folder, write=True))
        policy = Policy(approver=self.person if ask else None, taint=False)
        return Agent("m", endpoint=ScriptedEndpoint(script), tools=[pack], policy=policy)


@pytest.fixture
def desk(tmp_path):
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "b.txt").write_text("one\nprecious\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("one\n")
    return Desk(tmp_path)


def told(result):
    return [item.content for item in result.items if isinstance(item, ToolResult)][-1]


def link(folder):
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to("b.txt")


@pytest.mark.parametrize("change", CHANGES)
async def test_what_was_shown_is_written(desk, change):
    name, arguments = CHANGES[change]
    result = await desk.agent(READ, call(name, arguments), "done").run("go")
    assert "+new" in desk.shown
    assert told(result).startswith(("wrote", "edited"))
    assert (desk.folder / "a.txt").read_text() == "new\n"


@pytest.mark.parametrize("change", CHANGES)
async def test_a_link_that_appears_after_the_question_is_not_followed(desk, change):
    name, arguments = CHANGES[change]
    desk.do = link
    result = await desk.agent(READ, call(name, arguments), "done").run("go")
    assert OTHER in told(result)
    assert (desk.folder / "b.txt").read_text() == "one\nprecious\n"


async def test_a_folder_that_becomes_a_link_is_not_followed(desk):
    def swap(folder):
        (folder / "sub").rename(folder / "was")
        (folder / "other").mkdir()
        (folder / "sub").symlink_to("other")

    desk.do = swap
    result = await desk.agent(call("files_write", {"path": "sub/new.txt", "content": "x"}), "done").run("go")
    assert "is a link" in told(result)
    assert list((desk.folder / "other").iterdir()) == []


async def test_a_file_that_is_gone_is_not_made_anew(desk):
    desk.do = lambda folder: (folder / "a.txt").unlink()
    result = await desk.agent(READ, call("files_write", {"path": "a.txt", "content": "x"}), "done").run("go")
    assert OTHER in told(result)
    assert not (desk.folder / "a.txt").exists()


async def test_a_call_that_was_shown_as_failing_does_not_write_after_all(desk):
    (desk.folder / "c.txt").symlink_to("/etc/passwd")

    def mend(folder):
        (folder / "c.txt").unlink()
        (folder / "c.txt").symlink_to("b.txt")

    desk.do = mend
    result = await desk.agent(READ, call("files_write", {"path": "c.txt", "content": "x"}), "done").run("go")
    assert desk.shown.startswith("this call will fail: ")
    assert OTHER in told(result)
    assert (desk.folder / "b.txt").read_text() == "one\nprecious\n"


async def test_a_link_that_a_person_was_shown_is_followed_and_a_second_question_is_about_the_file_of_then(desk):
    desk.do = lambda folder: (setattr(desk, "do", None), link(folder))
    again = call("files_write", {"path": "a.txt", "content": "new\n"}, "w2")
    result = await desk.agent(READ, call(*CHANGES["write"]), again, "done").run("go")
    assert "-precious" in desk.shown
    assert told(result).startswith("wrote")
    assert (desk.folder / "b.txt").read_text() == "new\n"


def test_two_changes_of_a_file_that_were_shown_together_are_both_made(desk):
    edits = [("b.txt", "one", "1"), ("b.txt", "precious", "worthless")]
    with closing(Root(desk.folder, ())) as root:
        files = Writing(root, 1_000, ignore=False)
        files.read("b.txt")
        for edit in edits:
            files.preview_edit(*edit)
        for edit in edits:
            files.edit(*edit)
    assert (desk.folder / "b.txt").read_text() == "1\nworthless\n"


async def test_a_link_that_appears_while_the_run_is_stored_is_asked_about_again(desk):
    paused = await desk.agent(READ, call(*CHANGES["write"]), ask=False).run("go")
    run = Run.from_json(paused.run.to_json())
    link(desk.folder)
    result = await desk.agent("done", ask=False).resume(run, decisions={run.approvals[0].id: Approve()})
    assert result.stop_reason == "approval"
    assert "-precious" in result.approvals[0].preview
    assert (desk.folder / "b.txt").read_text() == "one\nprecious\n"

"""`check_pack`: a pack that keeps its word passes, and each way to break it is told with its remedy."""

import os
import threading
from pathlib import Path

import pytest

from agentloop import ConfigurationError
from agentloop.testing import PackCheckError, check_pack
from agentloop.testing.watch import _judge, recording_threads
from packs_to_check import (
    Broken,
    Deadly,
    Desk,
    DeskConfig,
    Leaky,
    Liar,
    Lingering,
    Nameless,
    Odd,
    Picky,
    Sloppy,
    Undead,
)

pytestmark = pytest.mark.usefixtures("measured_programs")

HERE = Path(__file__).parent
PATIENCE_SECONDS = 60


def faults(pack, examples=None, **options):
    with pytest.raises(PackCheckError) as caught:
        check_pack(pack, examples, **options)
    for fault in caught.value.faults:
        assert f"\n  - {fault}" in str(caught.value)
    return list(caught.value.faults)


@pytest.fixture
def desk(tmp_path):
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text(name)
    return tmp_path


EXAMPLES = {
    "read": {"path": "a.txt"},
    "remove": [{"path": "b.txt"}, {"path": "c.txt"}],
    "note": {"text": "x"},
    "run": {},
    "think": {},
}


def test_a_pack_that_keeps_its_word_passes(desk):
    check_pack(Desk(DeskConfig(root=desk, names=("Ann",))), EXAMPLES)
    assert sorted(path.name for path in desk.iterdir()) == ["a.txt", "notes.db"]


def test_a_pack_is_named_as_on_a_command_line(desk):
    (desk / "d.txt").write_text("d")
    spec = f"{HERE / 'packs_to_check.py'}:Desk:root={desk},loud=true"
    check_pack(spec, {**EXAMPLES, "remove": [{"path": "b.txt"}, {"path": "d.txt"}]})


def test_without_examples_no_tool_is_called(desk):
    assert faults(Desk(DeskConfig(root=desk))) == [
        "desk.think has no timeout: @tool(timeout=seconds), or an example that shows that it returns"
    ]
    assert len(list(desk.iterdir())) == 3


def test_examples_fit_the_tools(desk):
    found = faults(Desk(DeskConfig(root=desk)), {"raed": {"path": "a.txt"}, "think": {}, "zzz": {}})
    assert "there is an example for 'raed', which is not a tool: did you mean 'read'?" in found
    assert "there is an example for 'zzz', which is not a tool: its tools are read, remove, note, run, think" in found
    assert "desk.note has no example: add 'note' to examples" in found
    assert len(found) == 6


def test_an_example_that_fails_is_told(desk):
    found = faults(Desk(DeskConfig(root=desk)), {**EXAMPLES, "read": {"path": "z.txt"}, "note": {"wrong": 1}})
    assert [fault.partition(":")[0] for fault in found] == [
        "desk.read fails with its example, or takes too long",
        "desk.note fails with its example, or takes too long",
    ]


def test_a_name_an_api_and_tools_are_needed():
    assert faults(Nameless()) == [
        "its name '9 lives' is not valid: use letters, digits, `_` and `-`, at most 40, a letter first",
        "its api 99 is not supported: this version of agentloop supports 1 to 1",
        "it has no tools: mark its methods with @tool",
    ]


def test_what_tools_leave_unsaid_is_told():
    assert faults(Sloppy()) == [
        "sloppy.undescribed has no description: write a docstring",
        "sloppy.undescribed does not describe 'text': list it in the docstring under `Args:`",
        "sloppy.undescribed declares no effects: @tool(effects=Effects(...))",
        "sloppy.loose has a schema that is not strict: give its parameters types, without strict=False",
        "sloppy.loose has no timeout: @tool(timeout=seconds), or an example that shows that it returns",
        "2 of its tools are named sloppy_sloppy: give them different names",
    ]


def test_effects_that_are_not_declared_are_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    names = ("reads", "writes", "makes", "stores", "calls", "runs", "silent")
    assert faults(Liar(), {name: {} for name in names}) == [
        "liar.silent declares no effects: @tool(effects=Effects(...))",
        "liar.reads has an effect that it does not declare (open notes.txt): Effects(read=True)",
        "liar.writes has an effect that it does not declare (open notes.txt): Effects(write=True)",
        "liar.makes has an effect that it does not declare (os.mkdir folder): Effects(write=True)",
        "liar.stores has an effect that it does not declare (sqlite3.connect notes.db): Effects(read=True)",
        "liar.calls has an effect that it does not declare (socket.connect): Effects(network=True)",
        f"liar.runs has an effect that it does not declare (subprocess.Popen {running()}): Effects(execute=True)",
        "liar.silent has an effect that it does not declare (open notes.txt): Effects(write=True)",
    ]


def running():
    import sys  # noqa: PLC0415 - for its name alone

    return Path(sys.executable).name


def test_tools_that_fail_are_told():
    found = faults(Broken(), {"slow": {}, "large": {}, "strange": {}, "refuses": {"number": 3}})
    assert found == [
        found[0],
        "broken.large returns 300,000 characters, and 20,000 are shown: return fewer, in pages",
        found[2],
        "broken.refuses fails with its example, or takes too long: not 3",
    ]
    assert found[0].endswith("takes too long: broken_slow did not return within 0.05 s and was stopped.")
    assert "can't be written as JSON" in found[2]


def test_what_is_left_and_what_can_not_be_left_are_told():
    assert faults(Leaky()) == [
        "it can't be opened and closed: OSError: no way out",
        "it leaves tasks running when it is closed: cancel and await them in open(), after the yield",
    ]


def test_a_configuration_is_described_and_stays_what_it_is():
    assert faults(Odd()) == [
        "the field 'undescribed' of its configuration has no description: give Field(description=...)",
        "its configuration, made again from its own values, differs: validators must accept their own results",
        "its configuration can't be given as text, as on a command line: let fields take strings",
    ]
    assert faults(Picky()) == [
        "its configuration can't be given as text, as on a command line: let fields take strings"
    ]


def test_a_tool_that_ends_the_process_is_found_out():
    (fault,) = faults(Deadly(), {"die": {}})
    assert fault.startswith("it ended the process with status 3: a tool must return or raise")


def test_a_thread_that_stays_is_a_fault_of_the_tool_that_started_it():
    assert faults(Lingering(), {"stay": {}}) == [
        "lingering.stay leaves a thread running: end it before the tool returns"
    ]


@pytest.mark.skipif(os.name != "posix", reason="a process that has to be killed is killed with its group")
def test_a_process_that_does_not_end_is_ended():
    for seconds in (3, 10, 75):  # until the machine is fast enough to get as far as the tool
        found = faults(Undead(), {"stay": {}}, seconds=seconds)
        assert found.pop() == (
            f"the process did not end within {seconds} s: make sure that imports, tools and threads end"
        )
        if found:
            break
    assert found == ["undead.stay leaves a thread running: end it before the tool returns"]


HASTY = """
import os, threading
from pathlib import Path
from agentloop import Effects, ToolPack, tool

Path("made").write_text("by an import")
os.environ["HASTY"] = "1"
thread = threading.Thread(target=int)
thread.start()
thread.join()

class Hasty(ToolPack):
    name = "hasty"

    @tool(effects=Effects(), timeout=5)
    def fine(self) -> str:
        '''Work.'''
        return ""
"""


def test_what_an_import_does_is_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hasty.py").write_text(HASTY)
    assert faults("./hasty.py:Hasty") == [
        "its import has effects (write: open made): do that in open() or in the tool",
        "its import starts a thread: do that in open() or in the tool",
        "its import changes the environment: leave that to the user",
    ]


def test_a_thread_is_seen_that_has_not_come_so_far_as_to_put_itself_down():
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    with recording_threads() as started:
        threading.setprofile(None)
        thread.start()
    end.set()
    thread.join(PATIENCE_SECONDS)
    assert started == {thread}


def test_a_pack_that_can_not_be_imported_is_told(tmp_path):
    (tmp_path / "bad.py").write_text("1 / 0")
    (fault,) = faults(f"{tmp_path / 'bad.py'}:Bad")
    assert fault.startswith("it can't be loaded: bad.py raised ZeroDivisionError")
    (fault,) = faults("nonexistent-pack:secret=hunter2")
    assert fault.startswith("it can't be loaded:")


def test_an_import_that_never_ends_is_ended(tmp_path):
    (tmp_path / "endless.py").write_text("import threading\nthreading.Event().wait()")
    assert faults(f"{tmp_path / 'endless.py'}:X", seconds=1) == [
        "the process did not end within 1 s: make sure that imports, tools and threads end"
    ]


def test_what_can_not_be_made_anew_is_refused():
    class Local(Desk):
        pass

    for pack in (Local(), Desk().only("read")):
        with pytest.raises(ConfigurationError, match="can't be created"):
            check_pack(pack)


def test_what_events_show_is_known():
    folders = (f"{HERE}{os.sep}",)
    judged = {
        ("open", ("notes.txt", "w", os.O_WRONLY)): "write",
        ("open", (b"/elsewhere/notes.txt", "r", os.O_RDONLY)): "read",
        ("open", (str(HERE / "notes.txt"), "r", os.O_RDONLY)): None,
        ("open", ("/elsewhere/module.py", "r", os.O_RDONLY)): None,
        ("open", (3, "w", os.O_WRONLY)): None,
        ("open", ("/dev/null", "w", os.O_WRONLY)): None,
        ("sqlite3.connect", (":memory:",)): None,
        ("sqlite3.connect", ("/elsewhere/x.db",)): "read",
        ("os.listdir", (str(HERE),)): None,
        ("os.scandir", ("/elsewhere",)): "read",
        ("os.listdir", (3,)): "read",
        ("os.fork", ()): "execute",
        ("import", ("os",)): None,
    }
    assert {each: _judge(*each, folders) for each in judged} == judged

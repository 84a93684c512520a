"""The local file search: what it finds, what it never reads, and how its index keeps up."""

import asyncio
import io
import math
import os
import re
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import zlib
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agentloop import Agent, ConfigurationError, ToolError
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.files.beneath import open_by_kernel, open_by_name
from agentloop_tools.search_files import SearchFiles, pack, pdf, tree, update
from agentloop_tools.search_files.ignored import Ignored, is_left_out
from agentloop_tools.search_files.passages import MOST_CHARACTERS, decode, split_passages
from agentloop_tools.search_files.tree import open_tree
from agentloop_tools.storage.words import match_any, split_words

pytestmark = pytest.mark.unmeasured

PATIENCE_SECONDS = 60  # for what would never end


class Clock:
    """A clock that goes on when it is told to, and by so many seconds whenever it is looked at."""

    def __init__(self, step=0.0):
        self.now = 1_000.0
        self.step = step

    def __call__(self):
        self.now += self.step
        return self.now

    def pass_seconds(self, seconds):
        self.now += seconds


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def search(tmp_path, root):
    """The tool as a function, for a folder that is `root` and a clock that stands still unless it is said otherwise."""

    def open_search(clock=None, now=time.time, **options):
        config = SearchFiles.from_options({"root": root, "index": tmp_path / "index", **options}).config
        return open_pack(SearchFiles(config, clock=clock or Clock(), now=now))

    return open_search


def open_pack(made):
    async def enter():
        async with made.open() as tools:
            (only,) = tools
            return only.function

    function = asyncio.run(enter())
    function.__self__.stop.clear()  # the run goes on
    return function


def write(root, **files):
    for name, text in files.items():
        put(root, name.replace("__", "/").replace("_DOT_", "."), text)


def put(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())


def places(answer):
    """Return where the passages of an answer stand."""
    return re.findall(r"(?<=\n\n)\S.*:\d+-\d+(?=\n)", answer)


def index_file(tmp_path):
    (path,) = (tmp_path / "index").glob("*.agentloop-index")
    return path


# --- what is found ---


def test_a_model_finds_a_passage_with_its_path_and_lines(root, tmp_path):
    put(root, "docs/setup.md", "# Setup\n\nThe server listens on port 8080.\n")
    put(root, "docs/other.md", "# Other\n\nNothing to see.\n")
    made = SearchFiles.from_options({"root": str(root), "index": str(tmp_path / "index")})
    endpoint = ScriptedEndpoint([call("search_files_search", {"query": "which port does the server use"}), "8080"])
    result = Agent("scripted", endpoint=endpoint, tools=[made]).run_sync("Which port?")
    assert result.text == "8080"
    found = endpoint.requests[1]["input"][-1]["output"]
    assert found == ("1 passage, best first.\n\ndocs/setup.md:1-3\n# Setup\n\nThe server listens on port 8080.")


def test_what_fits_best_comes_first(root, search):
    put(root, "often.txt", "retry retry retry backoff")
    put(root, "once.txt", "retry " + "and other things " * 60)
    put(root, "none.txt", "nothing of it")
    assert places(search()("retry backoff")) == ["often.txt:1-1", "once.txt:1-1"]
    assert places(search()("retry backoff", limit=1)) == ["often.txt:1-1"]


@pytest.mark.parametrize(
    "query", ["readFile", "read_file", "read file", "READFILE", "reading files", "getHTTPServer", "http server"]
)
def test_names_in_code_are_found_by_their_parts(root, search, query):
    put(root, "a.py", "def readFile(): ...\ndef read_file(): ...\n\ngetHTTPServer()\n")
    assert places(search()(query)) == ["a.py:1-4"]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Überraschung für Größe", "grosse uberraschung"),
        ("全文検索エンジン", "検索"),
        ("naïve café", "cafe"),
        ("Привет мир", "привет"),
    ],
)
def test_other_scripts_are_found(root, search, text, query):
    put(root, "a.txt", text)
    assert "a.txt:1-1" in search()(query)


def test_a_file_is_found_by_its_path_even_when_it_holds_no_text(root, search):
    put(root, "assets/CompanyLogo.png", b"\x89PNG\0\0")
    put(root, "src/billing/invoice.py", "x = 1\n" * 100)
    assert "assets/CompanyLogo.png\n(found by its name" in search()("company logo")
    assert places(search()("billing"))[0].startswith("src/billing/invoice.py:1-")


def test_one_file_does_not_take_all_places(root, search):
    put(root, "long.txt", "needle\n" * 1_000)
    put(root, "short.txt", "a needle in " + "hay " * 200)
    assert places(search()("needle", limit=4)).count("short.txt:1-1") == 1


def test_nothing_is_found_in_words(root, search):
    assert search()("anything") == "Nothing was found."
    with pytest.raises(ToolError, match="no words"):
        search()("?!  --")


def test_passages_of_a_pdf_bear_its_pages(root, search):
    put(root, "paper.pdf", make_pdf("The first page", "Penguins cannot fly", "The last page"))
    answer = search()("penguins")
    assert "paper.pdf, page 2\nPenguins cannot fly" in answer


def test_only_what_is_included_is_searched(root, search):
    write(root, a_DOT_md="needle", b_DOT_py="needle", docs__c_DOT_py="needle")
    assert places(search(include="*.md docs/**")("needle")) == ["a.md:1-1", "docs/c.py:1-1"]


def test_large_files_are_found_by_name_only(root, search):
    put(root, "huge.txt", "needle " * 1_000)
    assert search(max_bytes=1_000)("needle") == "Nothing was found."
    assert "huge.txt" in search(max_bytes=1_000)("huge")


# --- what is never read ---


def test_links_pipes_devices_and_what_they_lead_to_are_left_out(root, tmp_path, search):
    put(tmp_path, "outside/secret.txt", "needle")
    (root / "file_link.txt").symlink_to(tmp_path / "outside/secret.txt")
    (root / "folder_link").symlink_to(tmp_path / "outside")
    (root / "up").symlink_to("..")
    (root / "loop").symlink_to(".")
    (root / "environment").symlink_to("/proc/self/environ")
    os.mkfifo(root / "pipe.txt")
    put(root, "inside.txt", "needle")
    assert places(search()("needle")) == ["inside.txt:1-1"]
    assert search()("environment pipe link outside secret") == "Nothing was found."
    with open_tree(root) as opened:
        assert [found.path for found in opened.walk(1_000, ignore=True, is_over=lambda: False)] == ["inside.txt"]


@pytest.mark.parametrize("opener", [open_by_kernel, open_by_name])
@given(
    path=st.text(max_size=30)
    | st.lists(st.sampled_from(["..", ".", "", "a", "link", "up", "f.txt", "/", "/etc/passwd"]), max_size=6).map(
        "/".join
    )
)
@example(path="../f.txt")
@example(path="a/../../f.txt")
@example(path="up/f.txt")
@example(path="/etc/passwd")
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_the_path_no_file_outside_is_opened(root, tmp_path, opener, path):
    if not (root / "link").is_symlink():
        put(root, "a/f.txt", "in")
        put(tmp_path, "f.txt", "out")
        (root / "link").symlink_to(tmp_path)
        (root / "up").symlink_to("..")
    inside = {each.stat().st_ino for each in root.rglob("f.txt")}
    with open_tree(root, opener) as opened:
        try:
            with opened.open(path) as file:
                assert os.fstat(file).st_ino in inside
        except (OSError, ValueError):
            pass


@pytest.mark.parametrize("opener", [open_by_kernel, open_by_name])
def test_a_folder_that_becomes_a_link_on_the_way_is_not_followed(root, tmp_path, opener, monkeypatch):
    put(tmp_path, "outside/deep/a.txt", "out")
    put(root, "inside/deep/a.txt", "in")

    def swap_first(*arguments):
        if (root / "inside").is_symlink():
            return opener(*arguments)
        (root / "inside").rename(tmp_path / "moved")
        (root / "inside").symlink_to(tmp_path / "outside")
        return opener(*arguments)

    with open_tree(root) as opened:
        walked = opened.walk(100, ignore=True, is_over=lambda: False)
        found = next(walked)
        assert found.path == "inside/deep/a.txt"
        monkeypatch.setattr(opened, "_opener", swap_first)
        assert opened.read(found.path, 100) == b""


def test_a_link_that_is_swapped_all_the_time_never_lets_anything_out(root, tmp_path, search):
    put(tmp_path, "outside/a.txt", "needle outside")
    put(tmp_path, "real/a.txt", "needle inside")
    link, over = root / "folder", threading.Event()
    (tmp_path / "real").rename(link)

    def swap():
        while not over.is_set():
            link.rename(tmp_path / "real")
            link.symlink_to(tmp_path / "outside")
            link.unlink()
            (tmp_path / "real").rename(link)

    swapping = threading.Thread(target=swap, daemon=True)
    swapping.start()
    try:
        answers = [search()("needle") for _ in range(60)]
    finally:
        over.set()
        swapping.join(PATIENCE_SECONDS)
    assert not any("outside" in answer for answer in answers)


def test_another_file_system_below_is_not_entered(root, search, monkeypatch):
    put(root, "mounted/a.txt", "needle")
    put(root, "b.txt", "needle")
    real = os.fstat

    def elsewhere(descriptor):
        status = real(descriptor)
        return os.stat_result([*status[:2], status.st_dev + 1, *status[3:]])

    monkeypatch.setattr(tree.os, "fstat", elsewhere)
    assert search()("needle") == "Nothing was found."


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".env.local",
        "prod.env",
        ".ENV",
        "server.pem",
        "id_rsa",
        "id_ed25519.pub",
        "key.p12",
        ".netrc",
        ".npmrc",
        ".git/config",
        ".ssh/config",
        ".aws/credentials",
        "node_modules/x/a.js",
        ".venv/lib/a.py",
        "__pycache__/a.txt",
    ],
)
def test_secrets_and_what_tools_keep_are_left_out(root, search, name):
    put(root, name, "needle")
    assert search(ignore=False)("needle") == "Nothing was found."


def test_what_ignore_files_name_is_left_out(root, search):
    put(root, ".gitignore", "*.log\n/build/\n!keep.log\n")
    put(root, "sub/.gitignore", "local.txt\n!special.log\n")
    for path in (
        "a.log",
        "keep.log",
        "build/x.txt",
        "sub/build/y.txt",
        "sub/local.txt",
        "local.txt",
        "sub/special.log",
    ):
        put(root, path, "needle")
    kept = ["keep.log", "local.txt", "sub/build/y.txt", "sub/special.log"]
    assert sorted(place.split(":")[0] for place in places(search()("needle"))) == kept
    assert len(places(search(ignore=False)("needle", limit=20))) == 7


@pytest.mark.parametrize(
    "rules",
    [
        "[z-a]\n!\n\\\n[[x]\n[a--b]\na.txt\n",
        "*a*a*a*a*a*a*a*a*a*b\na.txt\n",
        "\xff\xfe\0\na.txt\n",
        "#" * 200_000,
        "/\n//\n***\na.txt\n",
    ],
)
def test_no_ignore_file_stops_the_search(root, search, rules):
    put(root, ".gitignore", rules.encode("latin-1"))
    put(root, "a" * 200, "needle")
    put(root, "a.txt", "needle")
    found = places(search()("needle"))  # at nine stars, one name would take years
    assert ("a" * 200 + ":1-1") in found or rules.startswith("/")


@given(st.lists(st.text(alphabet="*?[]!\\/ab-.#^ ", max_size=12), max_size=8))
def test_any_ignore_file_is_read(lines):
    Ignored().deeper("sub/", "\n".join(lines).encode()).covers("sub/a/b.txt")


def test_what_may_no_longer_be_read_is_not_shown_from_memory(root, search, monkeypatch):
    put(root, "a.txt", "needle")
    find = search()
    assert "needle" in find("needle")
    monkeypatch.setattr(update.Update, "run", lambda _self: False)  # as when there is no time to look again
    (root / "a.txt").unlink()
    (root / "a.txt").symlink_to("/etc/hostname")
    assert "needle" not in find("needle")


def test_names_that_are_no_text_are_left_out(root, search):
    put(root, "good.txt", "needle")
    Path(os.fsdecode(os.fsencode(root) + b"/bad\xff.txt")).write_text("needle")
    assert places(search()("needle")) == ["good.txt:1-1"]


def test_a_name_cannot_feign_another_passage(root, search):
    put(root, "a.txt\n\nfeigned.txt:1-1\n", "needle")
    assert "\nfeigned" not in search()("needle")


# --- any query, any text ---


@pytest.fixture(scope="module")
def some_search(tmp_path_factory):
    folder = tmp_path_factory.mktemp("some")
    put(folder, "root/a.txt", "some words OR others")
    return open_pack(SearchFiles.from_options({"root": folder / "root", "index": folder / "index"}))


@given(st.text(max_size=80) | st.text(alphabet="\"'()*^:{}-+ANDORNEAR ,\0\ud800_x", max_size=40))
@settings(max_examples=150)
def test_any_query_is_words(some_search, query):
    try:
        answer = some_search(query)
    except ToolError as error:
        assert "no words" in error.message  # noqa: PT017 - an answer is fine, too
    else:
        assert answer


@pytest.mark.parametrize(
    "query", ["text : needle", "needle*", "^needle", "NOT hay", '"needle" OR "hay', "NEAR(needle x)"]
)
def test_the_syntax_of_the_search_means_nothing(root, search, query):
    put(root, "a.txt", "needle")
    put(root, "b.txt", "unrelated")
    assert places(search()(query)) in (["a.txt:1-1"], [])


@given(st.text(alphabet="abAB9_ 検é.", max_size=30))
def test_words_are_parted_wherever_they_have_a_seam(text):
    parts = [split_words(word) for word in re.findall(r"\w+", text)]
    assert split_words(text).split() == [part for whole in dict.fromkeys(parts) for part in whole.split()]
    assert all(whole.replace(" ", "") in text and " " in whole for whole in parts if whole)


def test_a_query_is_bounded():
    assert match_any("x" * 10_000_000).count("x") <= 2 * 2_000
    assert match_any(" ".join(map(str, range(10_000)))).count(" OR ") <= 2 * 32
    assert match_any("") == match_any("\0 !") == ""
    assert split_words("nothing here") == ""


@given(st.text(max_size=400), st.integers(0, 3_000))
def test_passages_hold_every_line_in_order_and_none_is_long(text, filler):
    text += "\n" + "x" * filler + "\n" + text
    passages = list(split_passages(text))
    assert all(len(passage.text) <= MOST_CHARACTERS and passage.text.strip() for passage in passages)
    assert all(passage.first <= passage.last for passage in passages)
    assert all(one.last <= other.first for one, other in pairwise(passages))
    shown = "".join("".join(passage.text.split()) for passage in passages)
    assert shown == "".join(text.split())
    lines = text.replace("\r\n", "\n").split("\n")
    for passage in passages:
        assert passage.text.split("\n")[0] in lines[passage.first - 1]


def test_a_passage_ends_where_a_text_does():
    text = "\n".join(["line"] * 22 + [""] + ["more"] * 5)
    assert [(passage.first, passage.last) for passage in split_passages(text)] == [(1, 22), (24, 28)]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"),
        (b"\xef\xbb\xbfmark", "mark"),
        ("wide".encode("utf-16"), "wide"),
        (b"caf\xe9", "café"),
        (b"a\0b", None),
        (b"", ""),
    ],
)
def test_bytes_are_read_as_what_they_are(data, text):
    assert decode(data) == text


# --- keeping up ---


def test_pdfs_come_last_and_wait_for_the_next_search_when_time_is_up(root, search, monkeypatch):
    put(root, "a.pdf", make_pdf("needle in a"))
    put(root, "b.pdf", make_pdf("needle in b"))
    put(root, "c.txt", "needle")
    settle(root)
    clock = Clock()
    real = pdf.read_pages
    monkeypatch.setattr(update, "read_pages", lambda *given: clock.pass_seconds(6) or real(*given))
    find = search(update_seconds=5, clock=clock)
    first, second = find("needle"), find("needle")
    assert ("a.pdf, page 1" in first, "b.pdf, page 1" in first, "not finished" in first) == (True, False, True)
    assert places(first) == ["c.txt:1-1"]
    assert ("b.pdf, page 1" in second, "not finished" in second) == (True, False)


def test_a_pdf_that_there_was_no_time_for_is_read_at_the_next_search(root, search, monkeypatch):
    put(root, "a.pdf", make_pdf("needle"))
    find = search()
    monkeypatch.setattr(update, "read_pages", lambda *_given: None)
    assert find("needle").endswith("may find more.")
    monkeypatch.undo()
    assert "a.pdf, page 1" in find("needle")


def test_a_pdf_that_is_gone_when_it_is_its_turn_is_found_by_nothing(root, search, monkeypatch):
    put(root, "a.pdf", make_pdf("needle"))
    monkeypatch.setattr(update, "can_read_pdf", lambda: (root / "a.pdf").unlink() is None)
    assert search()("needle a") == "Nothing was found."


def test_without_the_extra_and_above_a_size_pdfs_are_found_by_name(root, search, monkeypatch):
    put(root, "needle.pdf", make_pdf("needle"))
    monkeypatch.setattr(update, "MOST_BYTES", 10)
    assert "needle.pdf\n(found by its name" in search()("needle")
    monkeypatch.setattr(pdf, "find_spec", lambda _name: None)
    monkeypatch.setattr(update, "MOST_BYTES", 10_000)
    assert "needle.pdf\n(found by its name" in search(max_bytes=5)("needle")


def test_ending_a_run_kills_the_reader_of_a_pdf(tmp_path, monkeypatch):
    put(tmp_path, "worker.py", "import time\nwhile True: time.sleep(0.01)")
    monkeypatch.setattr(pdf, "_WORKER", tmp_path / "worker.py")
    stop, started = threading.Event(), []
    real = pdf._start
    monkeypatch.setattr(pdf, "_start", lambda *given: started.append(real(*given)) or stop.set() or started[0])
    with opened(tmp_path / "a.pdf", b"%PDF") as file:
        assert pdf.read_pages(file, stop, Clock()) is None
    assert started[0].returncode == -9


def test_changes_are_seen_at_the_next_search(root, search):
    find = search()
    put(root, "a.txt", "apple")
    put(root, "b.txt", "banana")
    assert places(find("apple banana cherry")) == ["a.txt:1-1", "b.txt:1-1"]
    put(root, "a.txt", "cherry")
    (root / "b.txt").unlink()
    put(root, "new/c.txt", "cherry pie")
    assert sorted(places(find("apple banana cherry"))) == ["a.txt:1-1", "new/c.txt:1-1"]
    put(root, ".gitignore", "new/\n")
    assert places(find("apple banana cherry")) == ["a.txt:1-1"]


def test_a_change_that_keeps_size_and_time_is_seen(root, search):
    find = search()
    put(root, "a.txt", "apple")
    settle(root)
    times = (root / "a.txt").stat()
    assert places(find("apple")) == ["a.txt:1-1"]
    put(root, "a.txt", "berry")
    os.utime(root / "a.txt", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert places(find("berry")) == ["a.txt:1-1"]


def test_a_change_within_a_tick_of_the_clock_is_seen(root, search, monkeypatch):
    monkeypatch.setattr(tree, "_found", lambda path, status: tree.Found(path, "the same", status.st_size, math.inf))
    find = search()
    put(root, "a.txt", "apple")
    assert places(find("apple")) == ["a.txt:1-1"]
    put(root, "a.txt", "berry")
    assert places(find("berry")) == ["a.txt:1-1"]


def test_a_change_while_a_new_file_is_slowly_read_is_seen(root, search, monkeypatch):
    changed, clock = 1_000.0, Clock()
    monkeypatch.setattr(tree, "_found", lambda path, status: tree.Found(path, "the same", status.st_size, changed))
    real = tree.Tree.read
    monkeypatch.setattr(tree.Tree, "read", lambda *given: (real(*given), clock.pass_seconds(1))[0])
    find = search(now=clock)
    put(root, "a.txt", "apple")
    assert places(find("apple")) == ["a.txt:1-1"]
    put(root, "a.txt", "berry")
    assert places(find("berry")) == ["a.txt:1-1"]


def test_what_has_not_changed_is_not_read_again_nor_written(root, search, monkeypatch):
    put(root, "a.txt", "apple")
    put(root, "b.txt", "berry")
    settle(root)
    find, read = search(), []
    find("apple")
    real = tree.Tree.read
    monkeypatch.setattr(tree.Tree, "read", lambda self, path, most: read.append(path) or real(self, path, most))
    find("apple")
    assert read == []
    (root / "a.txt").touch()
    monkeypatch.setattr("agentloop_tools.search_files.index.drop", pytest.fail)
    assert places(find("apple")) == ["a.txt:1-1"]
    assert read == ["a.txt"]


def settle(root):
    """Wait until the files are old enough for their times to tell."""
    newest = max(path.stat().st_ctime for path in root.rglob("*"))
    while time.time() - newest < 0.15:
        threading.Event().wait(0.02)


def test_a_large_tree_is_indexed_over_several_searches(root, search, monkeypatch):
    for number in range(60):
        put(root, f"{number:02}.txt", f"needle{number:02}")
    settle(root)
    clock = Clock()
    find = search(update_seconds=5, clock=clock)
    real = update.Update._read
    monkeypatch.setattr(update.Update, "_read", lambda self, found: clock.pass_seconds(0.25) or real(self, found))
    first = find("needle00 needle59")
    assert places(first) == ["00.txt:1-1"]
    assert first.endswith("Indexing is not finished: repeat the search to continue it; it may find more.")
    answers = [find("needle00 needle59") for _ in range(3)]
    assert sorted(places(answers[-1])) == ["00.txt:1-1", "59.txt:1-1"]
    assert "not finished" not in answers[-1]


def test_time_is_looked_at_where_no_file_is_found(root, search, monkeypatch):
    for number in range(60):
        put(root, f"{number:02}/.gitignore", "*")
    clock = Clock()
    real, read = Ignored.deeper, []

    def read_slowly(self, folder, text):
        read.append(folder)
        clock.pass_seconds(1)
        return real(self, folder, text)

    monkeypatch.setattr(Ignored, "deeper", read_slowly)
    assert search(update_seconds=5, clock=clock)("needle").endswith("may find more.")
    assert len(read) < 10


def test_a_path_that_is_very_long_is_compared_with_no_pattern():
    ignored = Ignored().deeper("", b"**/a/**/a/**/b\nx*\n")
    assert not ignored.covers("a/" * 100_000 + "c")  # it would take hours
    assert ignored.covers("xyz")


def test_more_files_than_wanted_are_left_out_and_that_is_said(root, search):
    for number in range(20):
        put(root, f"{number:02}/a.txt", "needle")
    answer = search(max_files=10)("needle", limit=20)
    assert len(places(answer)) < 10
    assert answer.endswith("Only the first 10 files and folders are searched.")


def test_a_folder_of_very_many_levels_is_left_out_below(root, search):
    put(root, "/".join(["d"] * 70) + "/deep.txt", "needle")
    put(root, "/".join(["d"] * 60) + "/less.txt", "needle")
    (found,) = places(search()("needle"))
    assert found.endswith("less.txt:1-1")


def test_two_settings_have_two_indexes_and_do_not_disturb_each_other(root, tmp_path, search):
    write(root, a_DOT_md="needle", b_DOT_py="needle")
    one, other = search(include="*.md"), search(include="*.py")
    for _ in range(2):
        assert places(one("needle")) == ["a.md:1-1"]
        assert places(other("needle")) == ["b.py:1-1"]
    assert len(list((tmp_path / "index").glob("*.agentloop-index"))) == 2


def test_an_index_within_the_folder_does_not_index_itself(root, search):
    put(root, "a.txt", "needle")
    find = search(index=root / "index")
    assert places(find("needle")) == places(find("needle")) == ["a.txt:1-1"]
    assert find("agentloop") == "Nothing was found."


def test_only_its_owner_can_read_the_index(root, tmp_path, search):
    put(root, "a.txt", "needle")
    search()("needle")
    assert stat.S_IMODE(index_file(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "index").stat().st_mode) == 0o700


def test_by_default_the_index_lies_in_the_users_cache(root, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    open_pack(SearchFiles.from_options({"root": root}))("x")
    assert list(tmp_path.rglob("*.agentloop-index"))


# --- when things go wrong ---


@pytest.mark.parametrize("damage", ["no database", "a damaged page", "a lost table"])
def test_a_damaged_index_is_made_anew(root, tmp_path, search, damage):
    put(root, "a.txt", "needle")
    for number in range(200):
        put(root, f"{number}.txt", f"hay {number} " * 50)
    find = search()
    find("needle")
    path = index_file(tmp_path)
    if damage == "no database":
        path.write_bytes(b"this is no database" * 1_000)
    elif damage == "a damaged page":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        data = path.read_bytes()
        path.write_bytes(data[:4_096] + os.urandom(len(data) - 4_096))
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DELETE FROM passages_data")
            connection.commit()
    assert places(find("needle")) == ["a.txt:1-1"]
    assert places(find("needle")) == ["a.txt:1-1"]


def test_processes_that_make_one_index_at_the_same_time_all_answer(root, tmp_path):
    for number in range(150):
        put(root, f"{number}.txt", f"needle {number} " * 30)
    program = """
import asyncio, sys
from agentloop_tools.search_files import SearchFiles, pack
pack._WAIT_SECONDS = 60
config = SearchFiles.from_options({"root": sys.argv[1], "index": sys.argv[2]}).config
async def main():
    async with SearchFiles(config, clock=lambda: 0.0).open() as tools:
        (search,) = tools
        print([search.function("needle 77").count("\\n77.txt:") for _ in range(3)])
asyncio.run(main())
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(root), str(tmp_path / "index")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    assert [process.communicate(timeout=PATIENCE_SECONDS) for process in started] == [(b"[1, 1, 1]\n", b"")] * 3
    with closing(sqlite3.connect(index_file(tmp_path))) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT path) FROM files").fetchone() == (150, 150)
        assert connection.execute("SELECT count(*) FROM passages WHERE path = '77.txt'").fetchone() == (1,)


def test_runs_at_the_same_time_in_one_process_all_answer(root, search):
    for number in range(50):
        put(root, f"{number}.txt", f"needle {number}")
    find, answers = search(update_seconds=PATIENCE_SECONDS), []
    threads = [threading.Thread(target=lambda: answers.append(places(find("needle 7")))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert [answer[0] for answer in answers] == ["7.txt:1-1"] * 6


def test_a_search_beside_a_long_update_answers_with_what_is_there(root, search):
    put(root, "a.txt", "needle")
    find = search(update_seconds=0.05)
    find("needle")
    with find.__self__._updating:
        answer = find("needle")
    assert places(answer) == ["a.txt:1-1"]
    assert "not finished" in answer


def test_a_search_beside_another_writer_answers_with_what_is_there(root, tmp_path, search, monkeypatch):
    put(root, "a.txt", "needle")
    monkeypatch.setattr(pack, "_WAIT_SECONDS", 0.05)
    find = search()
    find("needle")
    put(root, "b.txt", "needle")
    with closing(sqlite3.connect(index_file(tmp_path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = find("needle")
    assert places(answer) == ["a.txt:1-1"]
    assert answer.endswith("The index is not up to date: database is locked.")


def test_an_index_that_is_full_answers_with_what_is_there(root, search, monkeypatch):
    monkeypatch.setattr(pack, "_INDEX_BYTES", 200_000)
    put(root, "a.txt", "needle")
    find = search()
    find("needle")
    for number in range(100):
        put(root, f"{number}.txt", f"hay{number} " * 2_000)
    answer = find("needle")
    assert places(answer) == ["a.txt:1-1"]
    assert "full" in answer


def test_an_index_that_cannot_be_made_is_told_without_its_path(root, tmp_path, search):
    put(tmp_path, "file", "")
    with pytest.raises(ToolError, match="can't be opened") as caught:
        search(index=tmp_path / "file")("x")
    assert str(tmp_path) not in caught.value.message


def test_other_errors_of_the_index_are_told(root, tmp_path, search):
    put(root, "a.txt", "needle")
    find = search()
    find("needle")
    with closing(sqlite3.connect(index_file(tmp_path))) as connection:
        connection.execute("DROP TABLE files")
    with pytest.raises(ToolError, match="can't be used: no such table") as caught:
        find("needle")
    assert str(tmp_path) not in caught.value.message


def test_a_folder_that_is_gone_is_told(root, search):
    find = search()
    root.rmdir()
    with pytest.raises(ToolError, match="can't be read: No such file or directory"):
        find("x")


def test_a_search_that_takes_too_long_is_ended(root, search, monkeypatch):
    for number in range(300):
        put(root, f"{number}.txt", "needle " * 200)
    find = search()
    find("needle")
    monkeypatch.setattr(pack, "_FIND_SECONDS", -1.0)
    with pytest.raises(ToolError, match="fewer and rarer words"):
        find("needle " + " ".join(f"n{number}" for number in range(30)))


async def test_the_end_of_a_run_ends_an_update(root, tmp_path, monkeypatch):
    for number in range(100):
        put(root, f"{number}.txt", "needle")
    began, read = threading.Event(), []
    go_on = threading.Event()

    def read_slowly(self, found):
        read.append(found.path)
        began.set()
        go_on.wait(PATIENCE_SECONDS)
        return real(self, found)

    real = update.Update._read
    monkeypatch.setattr(update.Update, "_read", read_slowly)
    made = SearchFiles.from_options({"root": root, "index": tmp_path / "index"})
    async with made.open() as tools:
        (search,) = tools
        searching = threading.Thread(target=search.function, args=("needle",))
        searching.start()
        assert await asyncio.to_thread(began.wait, PATIENCE_SECONDS)
    go_on.set()
    await asyncio.to_thread(searching.join, PATIENCE_SECONDS)
    assert not searching.is_alive()
    assert len(read) == 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"root": "/does/not/exist"},
        {"root": ".", "include": "[z-a]"},
        {"root": ".", "max_bytes": 0},
        {"root": ".", "x": 1},
    ],
)
def test_a_wrong_configuration_is_told(options):
    with pytest.raises(ConfigurationError, match="search_files"):
        open_pack(SearchFiles.from_options(options))


def test_a_system_without_folders_to_open_from_is_told(root, monkeypatch):
    monkeypatch.setattr(os, "supports_dir_fd", set())
    with pytest.raises(ConfigurationError, match="needs a system"):
        open_pack(SearchFiles.from_options({"root": root}))


def test_opening_touches_nothing_and_bounds_the_tool(root, tmp_path):
    async def enter():
        async with SearchFiles.from_options({"root": root, "index": tmp_path / "index"}).open() as tools:
            return list(tools)

    (only,) = asyncio.run(enter())
    assert only.effects
    assert (only.effects.own_store, only.effects.network, only.effects.execute) == (True, False, False)
    assert only.timeout is not None
    assert not (tmp_path / "index").exists()


def test_names_are_judged_whatever_their_case():
    assert [is_left_out(name) for name in (".Env", "ID_RSA", "Server.PEM", "environment.md")] == [
        True,
        True,
        True,
        False,
    ]


# --- hostile PDFs ---


def make_pdf(*pages):
    """Return a PDF with a line of text on each page."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for number, text in enumerate(pages):
        content = text if isinstance(text, bytes) else f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
        packed = " /Filter /FlateDecode" * isinstance(text, bytes)
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(f"<< /Length {len(content)}{packed} >>\nstream\n".encode() + content + b"\nendstream")
    return put_together(objects)


def put_together(objects):
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, io.SEEK_END)
    starts = []
    for number, body in enumerate(objects, 1):
        starts.append(out.tell())
        out.write(f"{number} 0 obj\n".encode() + body + b"\nendobj\n")
    table = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.writelines(f"{start:010} 00000 n \n".encode() for start in starts)
    out.write(f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF".encode())
    return out.getvalue()


@contextmanager
def opened(path, data):
    path.write_bytes(data)
    file = os.open(path, os.O_RDONLY)
    try:
        yield file
    finally:
        os.close(file)


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7\n" + b"<<" * 50_000, b"\0" * 1_000, make_pdf("x")[:-60], None])
def test_a_broken_pdf_has_what_text_can_be_had(root, search, data):
    put(root, "broken.pdf", make_pdf(zlib.compress(b" " * 100_000_000)) if data is None else data)
    put(root, "a.txt", "needle")
    assert places(search()("needle")) == ["a.txt:1-1"]
    assert "broken.pdf" in search()("broken")


WORKERS = {
    "sleeps": "import time\nwhile True: time.sleep(0.01)",
    "computes for ever": "while True: pass",
    "takes all memory": "print('\"a page\"')\nx = [bytes(10_000_000) for _ in range(100)]\nprint('\"unlimited\"')",
    "writes for ever": "import sys\nwhile True: sys.stdout.write('\"' + 'x' * 100_000 + '\"\\n')",
    "dies": "import os\nos.kill(os.getpid(), 9)",
    "exits": "raise SystemExit(3)",
    "writes no JSON": "print('<html>')",
}


@pytest.mark.parametrize("behaviour", WORKERS)
def test_what_a_pdf_makes_the_parser_do_ends_with_its_process(root, tmp_path, monkeypatch, behaviour):
    """The parser is replaced by a program that does the worst; the limits are the real ones, but for the processor's.

    Only of one that sleeps time may be up.
    """
    put(tmp_path, "parser/pypdf.py", WORKERS[behaviour])
    put(
        tmp_path,
        "worker.py",
        f"import sys, runpy\nsys.path.insert(0, {str(tmp_path / 'parser')!r})\n"
        f"runpy.run_path({str(pdf._WORKER)!r}, run_name='__main__')",
    )
    monkeypatch.setattr(pdf, "_WORKER", tmp_path / "worker.py")
    monkeypatch.setattr(pdf, "_PROCESSOR_SECONDS", 1)
    started = []
    real = pdf._start
    monkeypatch.setattr(pdf, "_start", lambda *given: started.append(real(*given)) or started[-1])
    clock = Clock(step=1.0 if behaviour == "sleeps" else 0.0)
    with opened(tmp_path / "a.pdf", b"%PDF") as file:
        pages = pdf.read_pages(file, threading.Event(), clock)
    assert (pages is None) == (behaviour == "sleeps")
    assert len("".join(pages or ())) <= pdf._OUTPUT_BYTES
    assert "unlimited" not in (pages or ())
    (process,) = started
    assert process.returncode is not None

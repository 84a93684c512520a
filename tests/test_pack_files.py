"""The files pack: what it finds and changes below its root, and that nothing leads out of it."""

import asyncio
import errno
import os
import re
import stat
import sys
import threading
import unicodedata
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot

from agentloop import Agent, Approve, ConfigurationError, Policy, ToolError, describe_install
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.files import Files, FilesConfig, beneath, walk
from agentloop_tools.files.beneath import choose_opener, open_by_kernel, open_by_name
from agentloop_tools.files.diff import make_diff
from agentloop_tools.files.grep import Search
from agentloop_tools.files.grep import _split as split_pieces
from agentloop_tools.files.ignore import IgnoreRules
from agentloop_tools.files.ignore import _read as read_ignore_lines
from agentloop_tools.files.pack import DENIED
from agentloop_tools.files.patterns import read_pattern
from agentloop_tools.files.root import Folder, Root, compile_denial
from agentloop_tools.files.saving import save
from agentloop_tools.files.text import FileText, decode
from agentloop_tools.files.walk import Walk
from agentloop_tools.files.wildcard import Wildcard
from agentloop_tools.files.writing import Writing

pytestmark = pytest.mark.unmeasured

OUTSIDE = "what lies outside"
LARGEST = 1_000_000
PATIENCE_SECONDS = 60  # for what would never end

quick = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def has_openat2() -> bool:
    here = os.open(".", os.O_RDONLY)
    try:
        return choose_opener(here) is open_by_kernel
    finally:
        os.close(here)


OPENERS = [
    pytest.param(
        open_by_kernel, marks=pytest.mark.skipif(not has_openat2(), reason="this kernel has no openat2"), id="kernel"
    ),
    pytest.param(open_by_name, id="by-name"),
]


@pytest.fixture
def tree(tmp_path):
    """A root with all kinds of things in it, and a secret beside it."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "src" / "deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.txt").write_text(OUTSIDE)
    (root / "a.txt").write_text("one\ntwo\nthree\n")
    (root / "src" / "main.py").write_text("def main():\n    return 1\n")
    (root / "src" / "deep" / "util.py").write_text("def help_main():\n    pass\n")
    (root / ".env").write_text("TOKEN=hidden\n")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("url = hidden\n")
    (root / "inner-file").symlink_to("src/main.py")
    (root / "inner-folder").symlink_to("src")
    (root / "inner-up").symlink_to("src/../a.txt")
    (root / "to-env").symlink_to(".env")
    (root / "out-file").symlink_to("../outside/secret.txt")
    (root / "out-folder").symlink_to("../outside")
    (root / "out-absolute").symlink_to(outside / "secret.txt")
    (root / "out-same-name").symlink_to("/a.txt")
    (root / "out-deep").symlink_to("src/deep/../../../outside")
    (root / "out-proc").symlink_to("/proc/self/environ")
    (root / "dangling").symlink_to("nothing.txt")
    (root / "dangling-out").symlink_to("../outside/new.txt")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    return root


def stopped():
    """A clock that stands still."""
    return 0.0


class Clock:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self):
        self.looks = 0

    def __call__(self):
        self.looks += 1
        return float(self.looks)


@contextmanager
def work_in(root, opener=None, *, max_bytes=LARGEST, ignore=True, seconds=20, deny=DENIED, clock=stopped):
    held = Root(root, deny, opener)
    try:
        yield Writing(held, max_bytes, ignore=ignore, seconds=seconds, clock=clock)
    finally:
        held.close()


@pytest.fixture(params=OPENERS)
def opener(request):
    return request.param


@pytest.fixture
def files(tree, opener):
    with work_in(tree, opener) as opened:
        yield opened


def walk_through(folder):
    return Walk(folder, Wildcard("**"), 1.0, ignore=True, clock=stopped)


def count_descriptors():
    return len(list(Path("/dev/fd").iterdir()))


def within(work):
    """Return what the work returns, in a thread so that a hang fails the test instead of stopping it."""
    done = []
    thread = threading.Thread(target=lambda: done.append(attempt(work)), daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert done, f"not done within {PATIENCE_SECONDS} s"
    return done[0]


def attempt(work):
    try:
        return work()
    except ToolError as error:
        return error


# --- nothing leads out of the root ---

ESCAPES = [
    "..",
    "../outside/secret.txt",
    "src/../../outside/secret.txt",
    "./.././outside/secret.txt",
    "src/deep/../../../outside/secret.txt",
    "/etc/passwd",
    "/",
    "//etc/passwd",
    "/proc/self/environ",
    "~/.ssh/known_hosts",
    "~root/x",
    "a.txt\0/../../outside/secret.txt",
    "\0",
    "out-file",
    "out-file/",
    "out-folder/secret.txt",
    "src/../out-folder/secret.txt",
    "inner-folder/../out-folder/secret.txt",
    "inner-folder/../../outside/secret.txt",
    "out-absolute",
    "out-same-name",
    "out-deep/secret.txt",
    "out-proc",
    "dangling",
    "dangling-out",
    "loop",
    "loop/x",
    "a.txt/..//../outside/secret.txt",
    "\ud800",
    "x" * 300,
    "x/" * 3_000,
    "..\\outside\\secret.txt",
    "%2e%2e/outside/secret.txt",
    "\uff0e\uff0e/outside/secret.txt",
    "",
]


def test_a_path_that_leads_out_or_nowhere_is_refused_by_every_tool(files, tree):
    for path in ESCAPES:
        uses = [
            files.read,
            files.describe,
            lambda path: files.edit(path, "a", "b"),
            lambda path: files.write(path, "x"),
        ]
        uses += [lambda path: files.search("x", path), lambda path: files.list_folder(f"{path}/../out-folder/")]
        for use in uses:
            outcome = attempt(lambda use=use, path=path: use(path))
            # The root itself, and names that are strange but below the root, are no escapes.
            assert isinstance(outcome, ToolError) or path == "" or path.startswith(("~", "..\\", "%", "\uff0e")), path
    assert sorted(each.name for each in tree.parent.iterdir()) == ["outside", "root"]
    assert [each.read_text() for each in (tree.parent / "outside").iterdir()] == [OUTSIDE]


def test_what_is_refused_says_why(files):
    reasons = {
        path: str(attempt(lambda path=path: files.read(path))) for path in ("../x", "/etc", "out-file", "loop", "fifo")
    }
    assert reasons == snapshot(
        {
            "../x": "../x leads out of the root folder",
            "/etc": "/etc is absolute: give a path relative to the root folder, such as src/main.py or .",
            "out-file": "out-file leads out of the root folder",
            "loop": "loop goes through too many links",
            "fifo": "fifo is not a regular file",
        }
    )


PIECES = """.. . a.txt src deep main.py inner-folder inner-up out-folder out-deep secret.txt out-file out-absolute
    dangling-out loop proc self ~ \0 outside root fifo .git"""
pieces = st.sampled_from(["", *PIECES.split()])
paths = st.one_of(
    st.text(max_size=20), st.lists(pieces, max_size=8).map("/".join), st.lists(pieces).map(lambda p: "/" + "/".join(p))
)


@quick
@given(path=paths)
@example("inner-folder/../../outside/secret.txt")
@example("out-folder/secret.txt")
@example("out-deep/secret.txt")
def test_whatever_the_path_the_inode_opened_lies_below_the_root(files, tree, path):
    below = {tree.stat().st_ino} | {each.lstat().st_ino for each in tree.rglob("*")}
    try:
        with files.root.enter(path) as folder, folder.open_any(path) as opened:
            assert os.fstat(opened.descriptor).st_ino in below
            assert tree.joinpath(*opened.names).stat().st_ino == opened.status.st_ino
            assert not any(map(compile_denial(DENIED), opened.names))
    except ToolError:
        pass


@quick
@given(path=paths)
def test_whatever_the_path_nothing_outside_is_written(files, tree, path):
    attempt(lambda: files.write(path, "x"))
    assert [each.name for each in (tree.parent / "outside").iterdir()] == ["secret.txt"]
    assert sorted(each.name for each in tree.parent.iterdir()) == ["outside", "root"]


def test_links_within_the_root_are_followed(files):
    assert files.read("inner-file") == files.read("src/main.py") == files.read("inner-folder/main.py")
    assert files.read("inner-up") == files.read("a.txt")


def test_a_folder_swapped_for_a_link_while_files_are_read_lets_nothing_out(files, tree):
    door, aside = tree / "door", tree / "aside"
    door.mkdir()
    (door / "secret.txt").write_text("harmless")
    over = threading.Event()

    def swap():
        while not over.is_set():
            door.rename(aside)
            door.symlink_to("../outside")
            door.unlink()
            aside.rename(door)

    thread = threading.Thread(target=swap, daemon=True)
    thread.start()
    try:
        found = [str(attempt(lambda: files.read("door/secret.txt"))) for _ in range(4_000)]
        found += [files.search("secret|harmless", glob="door/*") for _ in range(200)]
        for _ in range(200):
            attempt(lambda: files.edit("door/secret.txt", "harmless", "harmless still"))
            attempt(lambda: files.edit("door/secret.txt", "harmless still", "harmless"))
    finally:
        over.set()
        thread.join(PATIENCE_SECONDS)
    assert files.read("door/secret.txt").startswith("1\tharmless")
    assert not [text for text in found if OUTSIDE in text]
    assert [each.read_text() for each in (tree.parent / "outside").iterdir()] == [OUTSIDE]


def test_a_link_that_appears_below_a_folder_that_is_walked_is_not_followed(files):
    found = files.search("secret|TOKEN|url")
    assert OUTSIDE not in found
    assert "hidden" not in found


def test_magic_links_of_proc_lead_nowhere(opener):
    if not Path("/proc/self/root").is_symlink():
        pytest.skip("there is no /proc here")
    with work_in(Path("/proc/self"), opener) as files:
        for path in ("root/etc/passwd", "cwd/pyproject.toml", "fd/0", "exe"):
            assert isinstance(attempt(lambda path=path: files.read(path)), ToolError)
        assert files.read("status").startswith("1\tName:")  # claims to be empty, and is not


def test_the_fallback_is_taken_where_the_kernel_refuses(monkeypatch):
    monkeypatch.setattr(beneath, "_OPENAT2", 100_000)  # no such call: ENOSYS
    here = os.open(".", os.O_RDONLY)
    try:
        assert choose_opener(here) is open_by_name
    finally:
        os.close(here)


def test_no_descriptor_is_left_open(files):
    before = count_descriptors()
    for path in (*ESCAPES, "a.txt", "src/deep/util.py", "inner-folder/main.py", "fifo"):
        for use in (files.read, files.describe, files.list_folder, lambda path: files.search("x", path)):
            attempt(lambda use=use, path=path: use(path))
    files.find_files("**")
    assert count_descriptors() == before


# --- what is no regular file, or too much ---


@pytest.mark.parametrize("use", ["read", "describe", "search"])
def test_a_fifo_is_not_waited_for(files, use):
    call_it = (lambda: files.search("x", "fifo")) if use == "search" else (lambda: getattr(files, use)("fifo"))
    outcome = within(call_it)
    assert (
        "special file" in outcome
        if use == "describe"
        else "neither a file" in str(outcome) or "not a regular" in str(outcome)
    )


def test_a_walk_passes_by_what_is_no_file(files):
    assert "fifo" not in within(lambda: files.search("."))
    assert "fifo  (link or special file)" in files.list_folder()


@pytest.mark.parametrize("name", ["zero", "null", "tty"])
def test_devices_are_refused(opener, name):
    if not Path("/dev", name).exists():
        pytest.skip(f"there is no /dev/{name} here")
    with work_in(Path("/dev"), opener) as files:
        outcome = within(lambda: files.read(name))
    assert isinstance(outcome, ToolError)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(files, tree):
    os.truncate(tree / "a.txt", 1 << 40)
    for work in (lambda: files.read("a.txt"), lambda: files.search("x", "a.txt"), lambda: files.search("x")):
        assert "larger than 1,000,000 bytes" in str(within(work))


def test_a_binary_file_is_named_as_such_and_not_searched(files, tree):
    (tree / "data.bin").write_bytes(b"main\0\xff" * 100)
    assert "data.bin is binary" in str(attempt(lambda: files.read("data.bin")))
    assert "data.bin" not in files.search("main")


def test_a_huge_line_is_cut(files, tree):
    (tree / "long.txt").write_text("x" * 500_000 + "needle" + "y" * 400_000)
    assert files.read("long.txt") == f"1\t{'x' * 2000}… [900,006 characters]"
    found = files.search("needle", "long.txt")
    assert len(found) < 400
    assert found.startswith("long.txt:1: …xxx")
    assert "needle" in found


def test_a_run_that_is_over_has_no_files(tree):
    with work_in(tree) as files:
        pass
    with pytest.raises(ToolError, match="the run is over"):
        files.read("a.txt")


def test_a_call_that_outlives_its_run_ends_early_and_on_its_own_descriptor(tree):
    root = Root(tree, DENIED)
    files = Writing(root, LARGEST, ignore=True)
    with root.enter(".") as folder:
        root.close()
        walk = walk_through(folder)
        assert walk.is_over()
        with folder.open_file("a.txt") as opened:  # not the folder that by now may have the number of the root's
            assert os.read(opened.descriptor, 3) == b"one"
    with pytest.raises(ToolError):
        files.list_folder()


def test_what_lies_too_deep_is_passed_by(tree):
    here = os.open(tree, os.O_RDONLY)
    try:
        for _ in range(20):
            os.mkdir("d" * 250, dir_fd=here)
            below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    with work_in(tree) as files:
        assert files.search("return") == "src/main.py:2:     return 1"


def test_a_file_that_can_not_be_read_is_counted(tree):
    if not Path("/proc/self/mem").exists():
        pytest.skip("there is no /proc here")
    with work_in(Path("/proc/self")) as files:
        found = files.search("x", glob="./mem")
        assert found.startswith("[no match in 0 files]\n[1 files left out")
    with work_in(tree) as files, files.root.enter(".") as folder:
        search = Search(read_pattern("x"), walk_through(folder), LARGEST)
        search._search_entry(folder.descriptor, (), "gone meanwhile")
        search._search_entry(folder.descriptor, (), "out-file")  # a link by now, if a file when it was listed
        assert (search.skipped, search.searched) == (2, 0)


def test_a_folder_with_too_many_entries_is_read_in_part(tree, monkeypatch):
    monkeypatch.setattr(walk, "MOST_ENTRIES", 5)
    with work_in(tree) as files:
        assert files.list_folder().endswith("[not everything was searched: a folder has more than 5 entries]")
        assert files.find_files("*").endswith("a folder has more than 5 entries]")
    monkeypatch.setattr(walk, "_LOOK_EVERY", 2)
    with work_in(tree, seconds=-1) as files:
        assert files.list_folder().endswith("[not everything was searched: time was up]")


def test_a_folder_that_goes_away_before_a_walk_is_told(tree):
    with work_in(tree) as files, files.root.enter("gone") as folder, pytest.raises(FileNotFoundError):
        list(walk_through(folder).visits(("gone",)))


def test_a_root_that_is_gone_is_told(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    with work_in(root) as files:
        root.rmdir()
        assert files.list_folder() == "[the folder is empty]"
        assert "does not exist" in str(attempt(lambda: files.read("x")))
        assert "does not exist" in str(attempt(lambda: files.write("x", "x")))


# --- the deny list ---


DENIED_PATHS = [".env", ".ENV", "./.env", ".git/config", ".git", ".GIT/config", "src/../.env", "to-env", "x/server.pem"]


def test_what_is_on_the_deny_list_is_neither_read_nor_written(files):
    for path in DENIED_PATHS:
        for use in (files.read, files.describe, files.list_folder, lambda path: files.write(path, "x")):
            assert "has denied access to such files" in str(attempt(lambda use=use, path=path: use(path)))


def test_the_deny_list_holds_for_listing_and_searching(files):
    seen = files.list_folder() + files.find_files("**") + files.find_files(".*") + files.search("hidden")
    assert ".env" not in seen.replace("to-env", "")
    assert ".git" not in seen


def test_a_name_is_denied_however_it_is_composed():
    is_denied = compile_denial(["Schlüssel*"])
    assert is_denied(unicodedata.normalize("NFD", "SCHLÜSSEL.txt"))
    assert is_denied(unicodedata.normalize("NFC", "schlüssel.txt"))
    assert not is_denied("Schlussel.txt")


@pytest.mark.parametrize("name", [".g\u200cit", ".git\ufe0f", "\ufeff.ENV", ".s\u034fsh"])
def test_a_name_is_denied_whatever_unseen_is_in_it(name):
    assert compile_denial(DENIED)(name)


def test_an_empty_deny_list_denies_nothing(tree, opener):
    with work_in(tree, opener, deny=()) as files:
        assert files.read(".env") == "1\tTOKEN=hidden"


# --- read ---


def test_pages_together_are_the_file(files, tree):
    lines = [f"line {number} {'x' * (number % 500)}" for number in range(1, 3_001)]
    (tree / "big.txt").write_text("\n".join(lines))
    read, start = [], 1
    while start:
        *page, note = files.read("big.txt", start=start).split("\n")
        read += [line.partition("\t")[2] for line in page]
        following = re.search(r"start=(\d+)", note)
        start = int(following[1]) if following else 0
        assert sum(map(len, page)) < 20_000
    assert read == lines


def test_a_page_says_what_it_is_of(files):
    assert files.read("a.txt") == "1\tone\n2\ttwo\n3\tthree"
    assert files.read("a.txt", start=2, lines=1) == "2\ttwo\n[lines 2 to 2 of 3; go on with start=3]"
    assert files.read("a.txt", start=3) == "3\tthree\n[lines 3 to 3 of 3]"
    assert "has 3 lines" in str(attempt(lambda: files.read("a.txt", start=4)))
    assert "count from 1" in str(attempt(lambda: files.read("a.txt", start=0)))


def test_an_empty_file_is_said_to_be_empty(files, tree):
    (tree / "empty").touch()
    assert files.read("empty") == "[the file is empty]"


def test_a_missing_file_names_the_near_ones(files):
    assert str(attempt(lambda: files.read("src/mian.py"))) == "src/mian.py does not exist; did you mean src/main.py?"
    assert str(attempt(lambda: files.read("srk/x"))) == "srk/x does not exist: its folder does not exist either"
    assert str(attempt(lambda: files.read("qqqqqq"))) == "qqqqqq does not exist"
    assert "a part of it is a file" in str(attempt(lambda: files.read("a.txt/x")))


def test_what_is_not_there_is_not_guessed_from_what_is_denied(files):
    assert ".env" not in str(attempt(lambda: files.read("env")))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("grüß\n".encode(), "1\tgrüß"),
        (b"\xef\xbb\xbf" + "grüß".encode(), "1\tgrüß"),
        ("grüß".encode("utf-16"), "1\tgrüß\n[decoded as utf-16-le]"),
        (b"\xfe\xff" + "grüß".encode("utf-16-be"), "1\tgrüß\n[decoded as utf-16-be]"),
        ("grüß".encode("utf-32"), "1\tgrüß\n[decoded as utf-32-le]"),
        ("grüß €".encode("cp1252"), "1\tgrüß €\n[decoded as cp1252]"),
        (b"gr\xfc\x81", "1\tgrü\x81\n[decoded as latin-1]"),
    ],
)
def test_text_is_decoded_and_found_in_whatever_encoding(files, tree, data, text):
    (tree / "text.txt").write_bytes(data)
    assert files.read("text.txt") == text
    assert files.search("gr.", "text.txt").startswith("text.txt:1: gr")
    assert files.search("grü", "text.txt").startswith("text.txt:1: grü")


def test_broken_utf_16_is_binary():
    assert decode(b"\xff\xfe\x00") is None


@given(data=st.binary())
def test_what_is_text_is_written_back_byte_for_byte(data):
    text = decode(data)
    assert text is None or text.encode() == data


# --- list, glob, grep, stat ---


def test_a_folder_is_listed(files):
    assert files.list_folder("src") == "deep/\nmain.py  25"
    assert files.list_folder("inner-folder") == files.list_folder("src")
    assert "is not a folder" in str(attempt(lambda: files.list_folder("a.txt")))


def test_a_long_list_is_cut_and_says_so(files, tree):
    for number in range(700):
        (tree / "src" / "deep" / f"{number:04}").touch()
    for found in (files.list_folder("src/deep"), files.find_files("src/deep/*")):
        *lines, note = found.split("\n")
        assert note == "[only the first 500 are shown: ask more precisely]"
        assert len(lines) == 500


def test_names_that_would_break_a_line_are_shown_as_escapes(files, tree):
    (tree / "src" / "deep" / "a\nmain.py:1: x\x1b[2J").touch()
    os.close(os.open(os.fsencode(tree / "src/deep") + b"/\xff", os.O_CREAT))
    assert files.find_files("src/deep/*") == "src/deep/a\\nmain.py:1: x\\x1b[2J\nsrc/deep/util.py\nsrc/deep/\\xff"


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.py", ["src/deep/util.py", "src/main.py"]),
        ("src/*.py", ["src/main.py"]),
        ("**/*.py", ["src/deep/util.py", "src/main.py"]),
        ("src/**", ["src/deep/util.py", "src/main.py"]),
        ("src/**/*.py", ["src/deep/util.py", "src/main.py"]),
        ("**/deep/*", ["src/deep/util.py"]),
        ("./a.{txt,md}", ["a.txt"]),
        ("[a-b].txt", ["a.txt"]),
        ("?.txt", ["a.txt"]),
        ("nothing*", []),
        ("main.py/x", []),
    ],
)
def test_files_are_found_by_name(files, pattern, found):
    lines = files.find_files(pattern).split("\n")
    assert sorted(lines) == (found or ["[no file matches]"])


@pytest.mark.parametrize(
    "pattern", ["../../*", "/etc/*", "src/../../*", "**/../..", "../outside/*", "*" * 2_000, "{a,b}" * 20]
)
def test_a_pattern_that_leads_out_or_is_too_much_is_refused(files, pattern):
    assert isinstance(within(lambda: files.find_files(pattern)), ToolError)


names = st.text("ab", min_size=1, max_size=3)
parts = st.one_of(st.just("**"), st.text("ab*?", min_size=1, max_size=4))


@given(pattern=st.lists(parts, min_size=2, max_size=5), path=st.lists(names, min_size=1, max_size=5))
def test_a_wildcard_fits_what_its_regular_expression_fits(pattern, path):
    wildcard = Wildcard("/".join(pattern))
    places = wildcard.start
    for name in path:
        places = wildcard.step(places, name)
    assert wildcard.fits(places) == (re.fullmatch(slow_expression(pattern), "/".join(path)) is not None)


def slow_expression(pattern):
    """What a wildcard means, as an expression that may take for ever."""
    meaning = {"*": "[^/]*", "?": "[^/]"}
    pattern = [*pattern, "*"] if pattern[-1] == "**" else pattern
    *before, last = pattern
    folders = ["(?:[^/]+/)*" if part == "**" else "".join(meaning.get(c, c) for c in part) + "/" for part in before]
    last = "[^/]*" if last == "**" else "".join(meaning.get(c, c) for c in last)
    return "".join(folders) + last


def test_a_wildcard_takes_no_longer_for_many_stars():
    def work():
        wildcard = Wildcard("/".join(["**", "*a" * 40 + "b"] * 8))
        places = wildcard.start
        for _ in range(200):
            places = wildcard.step(places, "a" * 255)
        return wildcard.fits(places)

    assert within(work) is False


def test_lines_are_found(files):
    assert files.search("def .*main") == "src/main.py:1: def main():\nsrc/deep/util.py:1: def help_main():"
    assert files.search("def .*main", "src/deep") == "src/deep/util.py:1: def help_main():"
    assert files.search("def .*main", "src/main.py") == "src/main.py:1: def main():"
    assert files.search("def", glob="main.*") == "src/main.py:1: def main():"
    assert files.search("(?i)DEF MAIN") == "src/main.py:1: def main():"
    assert files.search("^ +pass$") == "src/deep/util.py:2:     pass"
    assert files.search("TOKEN") == "[no match in 3 files]"
    assert "does not exist" in str(attempt(lambda: files.search("x", "nothing")))


def test_a_pattern_that_is_no_regular_expression_is_text(files):
    assert files.search("main(") == snapshot("""\
src/main.py:1: def main():
src/deep/util.py:1: def help_main():
[searched as plain text, as it is not a regular expression of RE2: missing ): main(]\
""")
    assert files.search(r"(\w)\1") == snapshot("""\
[no match in 3 files]
[searched as plain text, as it is not a regular expression of RE2: invalid escape sequence: \\1]\
""")


def test_without_re2_every_pattern_is_text(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "re2", None)
    assert files.search("def main()").endswith(
        f"[searched as plain text; for regular expressions the user needs: {describe_install('files')}]"
    )
    assert files.search("def m").startswith("src/main.py:1")


@pytest.mark.parametrize("pattern", ["", "x" * 1_001, "a\nb", "\ud800"])
def test_a_pattern_that_is_none_is_refused(files, pattern):
    assert isinstance(attempt(lambda: files.search(pattern)), ToolError)


def test_line_ends_of_windows_are_no_part_of_a_line(files, tree):
    (tree / "dos.txt").write_bytes(b"one\r\ntwo\r\n")
    assert files.search("o$", "dos.txt") == "dos.txt:2: two"
    assert files.read("dos.txt") == "1\tone\n2\ttwo"


texts = st.text("ab \n", max_size=40)


@given(
    text=texts, pattern=st.sampled_from(["a", "ab", "a+b", "^a", "b$", "[^a]", r"\s", "^$", "a|b", "(a b)*", "b ?a"])
)
def test_grep_finds_the_lines_that_hold_a_match(tmp_path_factory, text, pattern):
    root = tmp_path_factory.mktemp("grep")
    (root / "f").write_text(text)
    with work_in(root) as files:
        found = files.search(pattern).split("\n")
    lines = FileText(text).lines
    expected = [f"f:{number}: {line}" for number, line in enumerate(lines, 1) if re.search(pattern, line)]
    assert found == (expected or ["[no match in 1 files]"])


@given(text=texts, size=st.integers(4, 12))
def test_a_file_that_is_searched_in_pieces_has_the_same_lines(text, size):
    pieces = list(split_pieces(text.encode(), size))
    assert b"".join(pieces) == text.encode()
    assert all(len(piece) <= size for piece in pieces)
    assert all(piece.endswith(b"\n") or len(piece) == size for piece in pieces[:-1])


def test_line_numbers_go_on_from_piece_to_piece(files, tree):
    (tree / "long.txt").write_text(f"{'x' * 999}\n" * 500 + "needle\n")
    assert files.search("needle", "long.txt") == "long.txt:501: needle"


HARD = [
    "(a+)+$",
    "(a|aa)+$",
    "(a*)*b",
    "(.*a){20}b",
    "a{1000}{1000}",
    "(?:a?){900}(?:a?){900}(?:a?){900}!",
    "(x+x+)+y",
    ".*" * 400 + "!",
    "(?:.?){999}" * 5 + "!",
]


@pytest.mark.parametrize("pattern", HARD, ids=lambda pattern: pattern[:20])
def test_a_search_for_any_pattern_ends_when_time_is_up(tree, pattern):
    (tree / "long.txt").write_text("a" * 900_000)
    with work_in(tree, seconds=3, clock=Clock()) as files:
        found = str(within(lambda: files.search(pattern)))
    assert found.startswith("long.txt:1: aaa") or found.endswith("not everything was searched: time was up]")


def test_a_search_for_a_hard_pattern_goes_through_a_file_in_small_pieces(tree):
    # Within a piece, RE2 lets nothing else of the program go on.
    clock = Clock()
    (tree / "long.txt").write_text("a" * 12_000)
    with work_in(tree, seconds=1_000, clock=clock) as files:
        assert within(lambda: files.search("(?:a?){900}(?:a?){900}!", "long.txt")) == "[no match in 1 files]"
    assert clock.looks > 12_000 / 4_096


def test_a_walk_that_runs_out_of_time_says_so(tree):
    with work_in(tree, seconds=-1) as files:
        assert files.search("main").endswith("[not everything was searched: time was up]")
        assert files.find_files("*").endswith("[not everything was searched: time was up]")


def test_time_is_looked_at_where_there_are_folders_only(tree, monkeypatch):
    for number in range(50):
        (tree / "many" / str(number)).mkdir(parents=True)
    opened = []
    with work_in(tree) as files:
        real = Folder.open_folder
        monkeypatch.setattr(Folder, "open_folder", lambda self, names: opened.append(names) or real(self, names))
        monkeypatch.setattr(Walk, "is_over", lambda self: len(opened) > 10)
        files.search("x", glob="*.nope")
    assert len(opened) == 11


def test_time_is_looked_at_for_each_name_where_there_are_rules(tree):
    # A thousand rules in each of eight folders take most of a second for a name that fits none of them.
    (tree / ".gitignore").write_text("*a*b*")
    for number in range(100):
        (tree / f"a{number}").touch()
    clock = Clock()
    with work_in(tree, seconds=30, clock=clock) as files:
        assert files.list_folder().endswith("[not everything was searched: time was up]")
    assert clock.looks < 40


def test_many_matches_are_cut_and_said_to_be(files, tree):
    (tree / "many.txt").write_text("match\n" * 1_000)
    *lines, note = files.search("match").split("\n")
    assert len(lines) == 200
    assert note == "[only the first 200 are shown: ask more precisely]"


def test_no_more_is_kept_than_is_shown(files, tree):
    (tree / "many.txt").write_text("match\n" * 100_000)
    with files.root.enter(".") as folder, folder.open_file("many.txt") as opened:
        search = Search(read_pattern("match"), walk_through(folder), LARGEST)
        search.search_file(opened.descriptor, opened.names)
    assert len(search.found) == 201


def test_long_matches_are_cut_as_well(files, tree):
    (tree / "many.txt").write_text(("match" * 60 + "\n") * 200)
    found = files.search("match")
    assert len(found) < 17_000
    assert "only the first" in found


def test_files_that_git_ignores_are_left_out(tree, opener):
    (tree / ".gitignore").write_text("*.log\n/build/\n!keep.log\n")
    (tree / "src" / ".gitignore").write_text("deep/\n!main.log\n")
    (tree / "build").mkdir()
    for name in ("x.log", "keep.log", "build/out.txt", "src/main.log", "src/deep/x.txt"):
        (tree / name).write_text("here\n")
    with work_in(tree, opener) as files:
        assert files.find_files("*.log").split("\n") == ["keep.log", "src/main.log"]
        assert "build" not in files.list_folder()
        assert files.search("here").split("\n") == ["keep.log:1: here", "src/main.log:1: here"]
        assert files.search("here", "src").split("\n") == ["src/main.log:1: here"]
        assert files.list_folder("build") == "out.txt  5"
        assert files.list_folder("src/deep") == "util.py  26\nx.txt  5"
    with work_in(tree, opener, ignore=False) as files:
        assert len(files.find_files("*.log").split("\n")) == 3


def test_a_hostile_ignore_file_costs_nothing(tree):
    (tree / ".gitignore").write_text("*a*a*a*a*a*a*a*a*a*a*b\n**/a/**/a/**/a/**/a/**/b\n" + "*.log\n")
    (tree / ("a" * 250)).write_text("main")
    (tree / "x.log").write_text("main")
    with work_in(tree) as files:
        assert "x.log" not in within(lambda: files.find_files("*"))


def test_patterns_that_could_take_for_ever_are_not_even_compiled():
    spec = read_ignore_lines(["*a*a*a*b", "**/a/**/a/**/a/**/b", "**/build/*.l*g", "", "# a comment"])
    assert [pattern.pattern for pattern in spec.patterns if pattern.include] == ["**/build/*.l*g"]


def test_an_ignore_file_that_is_no_file_is_none(files, tree):
    os.mkfifo(tree / ".gitignore")
    (tree.parent / "outside" / "rules").write_text("main.py\n")
    (tree / "src" / ".gitignore").symlink_to("../../outside/rules")
    (tree / "src" / "deep" / ".gitignore").mkdir()
    assert within(lambda: files.find_files("*.py")).split("\n") == ["src/main.py", "src/deep/util.py"]
    assert not IgnoreRules()


def test_a_path_is_described(files, tree):
    os.utime(tree / "a.txt", (0, 0))
    (tree / "a.txt").chmod(0o640)
    assert files.describe("a.txt") == "a.txt: file, 14 bytes, changed 1970-01-01 00:00:00 UTC, -rw-r-----"
    assert files.describe("src/").startswith("src: folder, changed 20")
    assert files.describe(".").startswith(".: folder")


# --- write and edit ---


def test_a_new_file_is_written_and_its_folders_with_it(files, tree):
    assert files.write("new/deeper/x.txt", "grüß\n") == "wrote 7 bytes to the new file new/deeper/x.txt"
    assert (tree / "new/deeper/x.txt").read_text() == "grüß\n"
    assert files.write("new/deeper/x.txt", "again") == "wrote 5 bytes to new/deeper/x.txt"


def test_a_file_that_was_not_read_is_not_overwritten(files, tree):
    for work in (lambda: files.write("a.txt", "x"), lambda: files.edit("a.txt", "one", "1")):
        assert "has not been read" in str(attempt(work))
    assert (tree / "a.txt").read_text() == "one\ntwo\nthree\n"


def test_a_file_that_changed_since_it_was_read_is_not_overwritten(files, tree):
    files.read("a.txt")
    before = (tree / "a.txt").stat()
    (tree / "a.txt").write_text("one\ntwo\nTHREE\n")
    os.utime(tree / "a.txt", ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time
    for work in (lambda: files.write("a.txt", "x"), lambda: files.edit("a.txt", "one", "1")):
        assert "has changed since it was read" in str(attempt(work))
    files.read("a.txt")
    files.edit("a.txt", "one", "1")
    files.edit("a.txt", "two", "2")
    assert (tree / "a.txt").read_text() == "1\n2\nTHREE\n"


def test_what_one_run_has_read_another_has_not(tree):
    with work_in(tree) as first, work_in(tree) as second:
        first.read("a.txt")
        assert "has not been read" in str(attempt(lambda: second.write("a.txt", "x")))


def test_a_file_swapped_just_before_it_is_replaced_stays(tree):
    here = os.open(tree, os.O_RDONLY)
    try:
        expected = (tree / "a.txt").stat()
        (tree / "a.txt").write_text("somebody else's")
        with pytest.raises(ToolError, match="changed at the same time"):
            save(here, "a.txt", b"ours", expected)
        with pytest.raises(ToolError, match="changed at the same time"):
            save(here, "a.txt", b"ours", None)
        with pytest.raises(ToolError, match="changed at the same time"):
            save(here, "gone.txt", b"ours", expected)
    finally:
        os.close(here)
    assert (tree / "a.txt").read_text() == "somebody else's"
    assert not [each for each in tree.iterdir() if each.suffix == ".tmp"]


def test_a_reader_sees_the_old_file_or_the_new_one(files, tree):
    contents = ["a" * 400_000, "b" * 400_000]
    (tree / "a.txt").write_text(contents[0])
    files.read("a.txt")
    seen, looked, over = set(), threading.Event(), threading.Event()

    def look():
        while not over.is_set():
            seen.add((tree / "a.txt").read_text())
            looked.set()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    assert looked.wait(PATIENCE_SECONDS)
    for number in range(40):
        files.write("a.txt", contents[number % 2])
    over.set()
    thread.join(PATIENCE_SECONDS)
    assert seen <= set(contents)


def test_permissions_are_kept_and_special_ones_are_not(files, tree):
    (tree / "a.txt").chmod(0o4751)
    files.read("a.txt")
    files.write("a.txt", "x")
    assert stat.S_IMODE((tree / "a.txt").stat().st_mode) == 0o751


def test_what_only_its_owner_may_read_is_never_open_to_others(files, tree, monkeypatch):
    (tree / "a.txt").chmod(0o600)
    files.read("a.txt")
    modes, real = [], os.write

    def look(descriptor, data):
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", look)
    files.write("a.txt", "secret")
    assert modes == [0o600]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_of_a_file_is_kept(files, tree):
    os.chown(tree / "a.txt", 12_345, 23_456)
    files.read("a.txt")
    files.write("a.txt", "x")
    status = (tree / "a.txt").stat()
    assert (status.st_uid, status.st_gid) == (12_345, 23_456)


def test_an_owner_that_can_not_be_kept_and_a_folder_that_can_not_be_synced_stop_no_write(files, tree, monkeypatch):
    real = os.fsync

    def sync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "no")
        real(descriptor)

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "fchown", refuse)
    files.read("a.txt")
    assert files.write("a.txt", "x") == "wrote 1 bytes to a.txt"


def test_a_write_protected_file_stays(files, tree):
    (tree / "a.txt").chmod(0o444)
    files.read("a.txt")
    assert "write-protected" in str(attempt(lambda: files.write("a.txt", "x")))


def test_a_hard_link_is_read_and_its_other_name_keeps_what_it_holds(files, tree):
    os.link(tree.parent / "outside" / "secret.txt", tree / "hard.txt")
    assert files.read("hard.txt") == f"1\t{OUTSIDE}"
    files.write("hard.txt", "changed")
    assert (tree / "hard.txt").read_text() == "changed"
    assert (tree.parent / "outside" / "secret.txt").read_text() == OUTSIDE


def test_a_new_file_is_not_made_through_a_link(files, tree):
    assert "name nothing.txt" in str(attempt(lambda: files.write("dangling", "x")))
    assert "name src/new.py" in str(attempt(lambda: files.write("inner-folder/new.py", "x")))
    assert not (tree / "nothing.txt").exists()
    assert not (tree / "src/new.py").exists()


def test_a_file_is_changed_through_a_link_and_the_link_stays(files, tree):
    files.read("inner-file")
    files.edit("inner-file", "return 1", "return 2")
    assert (tree / "inner-file").is_symlink()
    assert "return 2" in (tree / "src/main.py").read_text()


@pytest.mark.parametrize("path", ["src", ".", "fifo"])
def test_what_is_no_file_is_not_written(files, path):
    assert isinstance(within(lambda: files.write(path, "x")), ToolError)


def test_a_file_where_a_folder_should_be_is_told(files):
    assert "a part of it is a file" in str(attempt(lambda: files.write("a.txt/x", "x")))


def test_more_than_fits_is_not_written(files, tree):
    assert "a file may have 1,000,000" in str(attempt(lambda: files.write("big", "x" * 1_000_001)))
    assert not (tree / "big").exists()


def test_text_that_is_none_is_not_written(files):
    assert "can't be written" in str(attempt(lambda: files.write("new", "\ud800")))


def test_what_the_system_refuses_is_told_and_leaves_nothing(files, tree):
    before = sorted(tree.iterdir())
    assert "too long for a path" in str(attempt(lambda: files.write("y" * 256, "x")))
    assert sorted(tree.iterdir()) == before


EDITS = [
    (b"one\ntwo\n", "two", "2", b"one\n2\n"),
    (b"one\r\ntwo\r\nthree\r\n", "one\ntwo", "1\n2\n2b", b"1\r\n2\r\n2b\r\nthree\r\n"),
    (b"one\r\ntwo\nthree\n", "two\nthree", "2\n3", b"one\r\n2\n3\n"),
    (b"\xef\xbb\xbfone", "one", "two", b"\xef\xbb\xbftwo"),
    ("grüß one".encode("utf-16"), "one", "öne", "grüß öne".encode("utf-16")),
    (b"gr\xfc\xdf one", "one", "öne", b"gr\xfc\xdf \xf6ne"),
    (b"no end", "end", "end\n", b"no end\n"),
    (b"gone", "gone", "", b""),
]


@pytest.mark.parametrize(("before", "old", "new", "after"), EDITS)
def test_an_edit_changes_one_place_and_keeps_the_rest(files, tree, before, old, new, after):
    (tree / "f").write_bytes(before)
    files.read("f")
    assert files.edit("f", old, new).startswith("edited f at line ")
    assert (tree / "f").read_bytes() == after


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("", "x", "old is empty"),
        ("one", "one", "nothing would change"),
        ("four", "x", "does not occur in a.txt: give it exactly as it is in the file, with its spaces"),
        ("1\tone", "x", "without the line numbers"),
        ("e", "x", "occurs 3 times in a.txt, at lines 1, 3, 3: give more"),
    ],
)
def test_an_edit_that_is_not_clear_says_what_is_missing(files, old, new, why):
    files.read("a.txt")
    assert why in str(attempt(lambda: files.edit("a.txt", old, new)))


def test_places_that_overlap_are_more_than_one(files, tree):
    (tree / "f").write_text("aaa")
    files.read("f")
    assert "occurs 2 times" in str(attempt(lambda: files.edit("f", "aa", "b")))


def test_a_character_that_the_file_can_not_hold_is_named(files, tree):
    (tree / "f").write_bytes(b"gr\xfc\xdf one")
    files.read("f")
    assert r"'\u4e2d' can't be written to this file, which is cp1252" in str(
        attempt(lambda: files.edit("f", "one", "中"))
    )


# --- previews ---


def test_previews_show_what_would_change(files):
    assert files.preview_edit("a.txt", "two", "2") == snapshot("""\
--- a.txt
+++ a.txt
@@ -1,3 +1,3 @@
 one
-two
+2
 three\
""")
    assert files.preview_write("a.txt", "one\ntwo\nthree\nfour\n") == snapshot("""\
--- a.txt
+++ a.txt
@@ -1,3 +1,4 @@
 one
 two
 three
+four\
""")
    assert files.preview_write("new.txt", "one\n") == snapshot("""\
--- new.txt
+++ new.txt
@@ -0,0 +1 @@
+one\
""")
    assert files.preview_write("../x", "one\n") == "this call will fail: ../x leads out of the root folder"
    assert files.preview_edit("a.txt", "four", "4").startswith("this call will fail: old does not occur")


def test_a_preview_tells_what_lines_do_not_show():
    assert (
        make_diff("f", FileText("a\r\n"), FileText("a\n"))
        == "f: only line ends, the last one, or the encoding would change"
    )
    assert make_diff("f", FileText("a"), FileText("a")) == "f: nothing would change"


def test_a_preview_shows_the_line_ends_and_the_encoding_that_change(files, tree):
    (tree / "a.txt").write_bytes("one\r\ntwo\r\n".encode("utf-16"))
    assert files.preview_write("a.txt", "one\n2\n") == snapshot("""\
(the encoding would change from utf-16-le with a mark to utf-8)
--- a.txt
+++ a.txt
@@ -1,2 +1,2 @@
-one\\r
-two\\r
+one
+2\
""")
    assert "\\r" not in files.preview_edit("a.txt", "two", "2")
    assert make_diff("f", FileText(""), FileText("a\r\nb\nc")).split("\n")[3:] == ["+a\\r", "+b", "+c"]


def test_a_preview_says_where_a_line_is_cut():
    shown = make_diff("f", FileText("a" * 600), FileText("a" * 600 + "hidden"))
    assert re.findall(r"… .*", shown) == ["… [601 characters]", "… [607 characters]"]


def test_a_preview_tells_what_will_fail(files, tree):
    (tree / "binary").write_bytes(b"\0\1")
    (tree / "large").write_bytes(b"x" * (LARGEST + 1))
    for path, why in {"binary": "is binary", "large": "is larger", "dangling": "is a link"}.items():
        assert re.match(f"this call will fail: {path} {why}", files.preview_write(path, "x"))
    assert files.preview_write("a.txt", "x" * (LARGEST + 1)).startswith("this call will fail: that would be")
    assert files.preview_edit("a.txt", "two", "x" * LARGEST).startswith("this call will fail: that would be")


def test_no_path_feigns_lines_of_a_preview(files):
    assert "\n" not in make_diff("a\nb", FileText("x"), FileText("x"))
    assert len(files.preview_edit("no\nfile", "a", "b").split("\n")) == 1


def test_a_preview_hides_no_escape_sequences():
    assert make_diff("f", FileText(""), FileText("\x1b[8mhidden\x1b[0m\tx")).endswith("+\\x1b[8mhidden\\x1b[0m\tx")


def test_line_numbers_of_a_preview_are_those_of_the_file():
    old = [f"line {number}" for number in range(1, 5_001)]
    new = [*old[:2_999], "changed", *old[3_000:]]
    assert make_diff("f", FileText("\n".join(old)), FileText("\n".join(new))) == snapshot("""\
--- f
+++ f
@@ -2997,7 +2997,7 @@
 line 2997
 line 2998
 line 2999
-line 3000
+changed
 line 3001
 line 3002
 line 3003\
""")


def test_a_preview_of_a_very_large_change_is_short_and_soon_there():
    old, new = (FileText("\n".join(f"{word} {n % 7}" for n in range(50_000))) for word in ("a", "b"))
    shown = within(lambda: make_diff("f", old, new))
    assert len(shown.split("\n")) == 402
    assert "(50,000 lines would be added)" in shown


# --- the pack ---


async def tools_of(pack):
    async with pack.open() as tools:
        return {tool.name: tool for tool in tools}


async def test_without_write_there_is_nothing_that_writes(tree):
    tools = await tools_of(Files(FilesConfig(root=tree)))
    assert list(tools) == ["read", "list", "glob", "grep", "stat"]
    assert not [tool for tool in tools.values() if tool.effects.write or tool.effects.network or tool.effects.execute]


async def test_with_write_there_are_two_more_with_previews(tree):
    tools = await tools_of(Files.from_options({"root": str(tree), "write": "true"}))
    assert list(tools)[5:] == ["write", "edit"]
    assert [tools[name].effects.write and tools[name].preview is not None for name in ("write", "edit")] == [True, True]
    assert [tools[name].preview for name in ("read", "grep")] == [None, None]


async def test_the_root_is_let_go_of_with_the_run(tree):
    before = count_descriptors()
    tools = await tools_of(Files(FilesConfig(root=tree)))
    assert count_descriptors() == before
    with pytest.raises(ToolError, match="the run is over"):
        tools["read"]("a.txt")


def test_options_are_read_from_text():
    config = Files.from_options({"root": "~", "deny": "*.db:secret*", "max_bytes": "5", "ignore": "no"}).config
    assert (config.deny, config.max_bytes, config.ignore) == (("*.db", "secret*"), 5, False)


def test_options_that_do_not_fit_are_named():
    with pytest.raises(ConfigurationError, match=r"deny: .*without slashes"):
        Files.from_options({"deny": "src/secret"})
    with pytest.raises(ConfigurationError, match="max_bytes"):
        Files.from_options({"max_bytes": "0"})


@pytest.mark.parametrize("name", ["nothing", "a.txt"])
async def test_a_root_that_is_no_folder_is_the_users_mistake(tree, name):
    with pytest.raises(ConfigurationError, match=f"{name}' can't be opened"):
        await tools_of(Files(FilesConfig(root=tree / name)))


async def test_a_system_without_the_calls_is_told(tree, monkeypatch):
    monkeypatch.setattr(os, "supports_dir_fd", set())
    with pytest.raises(ConfigurationError, match="another Unix"):
        await tools_of(Files(FilesConfig(root=tree)))


async def test_a_run_reads_changes_and_reports(tree):
    endpoint = ScriptedEndpoint(
        [
            call("files_grep", {"pattern": "return"}),
            call("files_edit", {"path": "src/main.py", "old": "return 1", "new": "return 2"}),
            call("files_read", {"path": "src/main.py"}),
            call("files_edit", {"path": "src/main.py", "old": "return 1", "new": "return 2"}),
            "done",
        ]
    )
    agent = Agent(
        "m", endpoint=endpoint, tools=[Files(FilesConfig(root=tree, write=True))], policy=Policy(allow=("files.*",))
    )
    result = await agent.run("change it")
    outputs = [request["input"][-1]["output"] for request in endpoint.requests[1:]]
    assert outputs == snapshot(
        [
            "src/main.py:2:     return 1",
            "src/main.py exists and has not been read: read it first",
            """\
1	def main():
2	    return 1\
""",
            "edited src/main.py at line 2",
        ]
    )
    assert result.text == "done"
    assert "return 2" in (tree / "src/main.py").read_text()


async def test_a_write_asks_and_shows_the_difference(tree):
    asked = []

    async def approve(request):
        asked.append((request.call.name, request.preview))
        return Approve()

    endpoint = ScriptedEndpoint([call("files_write", {"path": "new.txt", "content": "hello\n"}), "done"])
    agent = Agent(
        "m", endpoint=endpoint, tools=[Files(FilesConfig(root=tree, write=True))], policy=Policy(approver=approve)
    )
    await agent.run("write it")
    assert asked == snapshot(
        [
            (
                "files_write",
                """\
--- new.txt
+++ new.txt
@@ -0,0 +1 @@
+hello\
""",
            )
        ]
    )
    assert (tree / "new.txt").read_text() == "hello\n"


async def test_several_runs_of_one_pack_go_on_at_once(tree):
    pack = Files(FilesConfig(root=tree))
    endpoints = [ScriptedEndpoint([call("files_read", {"path": "a.txt"}), "done"]) for _ in range(5)]
    results = await asyncio.gather(*(Agent("m", endpoint=each, tools=[pack]).run("read") for each in endpoints))
    assert [result.text for result in results] == ["done"] * 5

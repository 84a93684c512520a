"""The notes pack: what it keeps, for whom, and what it keeps out."""

import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentloop import Agent, ConfigurationError, ToolError
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.notes import Notes
from agentloop_tools.notes.secrets import REMOVED, remove_secrets
from agentloop_tools.storage.store import Store

pytestmark = pytest.mark.unmeasured

PATIENCE_SECONDS = 60  # for what would never end
SECRETS = [
    "sk-proj-abcdefghijklmnop1234567890",
    "sk-ant-api03-abcdefghijklmnopqrstuvwxyz",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "github_pat_11ABCDEFG0abcdefghijkl",
    "xoxb-123456789012-abcdefghijkl",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA1234567890abcdefghijklmnopqrstuvw",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA",
    "hf_abcdefghijklmnopqrst",
]
NAMED = [
    ("password: hunter22", "hunter22"),
    ("DB_PASSWORD='correct-horse'", "correct-horse"),
    ('"api_key": "0123456789"', "0123456789"),
    ("Authorization: Bearer abcdefghijklmnop.qrst", "abcdefghijklmnop.qrst"),
    ("postgres://me:s3cret@db.example/x", "s3cret"),
]


@pytest.fixture
def book(tmp_path):
    """The tools of a user, by name, as functions."""

    def open_book(user="ada", **options):
        return Opened(Notes.from_options({"user": user, "folder": tmp_path / "notes", **options}))

    return open_book


class Opened:
    """The tools of a pack as functions: `opened.add("text")`."""

    def __init__(self, pack):
        self.pack = pack

    def __getattr__(self, name):
        return {tool.name: tool.function for tool in self.tools()}[name]

    def tools(self):
        entered = self.pack.open()
        step = entered.__aenter__()
        try:
            step.send(None)
        except StopIteration as done:
            return list(done.value)
        raise AssertionError("opening waits for something")


def run(pack, *calls):
    """Return what each call in a run of its own came to."""
    endpoint = ScriptedEndpoint([*calls, "done"])
    result = Agent("scripted", endpoint=endpoint, tools=[pack]).run_sync("go")
    assert result.text == "done"
    return [item["output"] for item in endpoint.requests[-1]["input"] if item.get("type") == "function_call_output"]


def test_what_one_run_notes_the_next_one_finds(book):
    notes = book().pack
    assert run(notes, call("notes_add", {"text": "The deploy goes over host Lyra"})) == ["Noted as 1."]
    (found,) = run(notes, call("notes_search", {"query": "deploying where"}))
    assert "The deploy goes over host Lyra" in found


def test_the_list_of_things_to_do_outlasts_its_run(book):
    todo = book().pack
    said = run(
        todo,
        call("notes_todo_add", {"items": ["write", "test"]}),
        call("notes_todo_update", {"number": 1, "state": "done"}),
    )
    assert said == ["Added as 1, 2.", "1 is done."]
    (listed,) = run(todo, call("notes_todo_list"))
    assert listed.endswith("1 [done]: write\n2 [open]: test")


def test_only_one_thing_is_in_progress(book):
    mine = book()
    mine.todo_add(["a", "b"])
    assert mine.todo_update(1, "in_progress") == "1 is in progress."
    assert mine.todo_update(1, "in_progress") == "1 is in progress."
    assert mine.todo_update(2, "in_progress") == "2 is in progress. 1 is open again."
    assert mine.todo_list() == "1 [open]: a\n2 [in_progress]: b"


def test_a_thing_that_is_not_there_leaves_the_one_in_progress_as_it_is(book):
    mine = book()
    mine.todo_add(["a"])
    mine.todo_update(1, "in_progress")
    with pytest.raises(ToolError, match="no item 7"):
        mine.todo_update(7, "in_progress")
    assert mine.todo_list() == "1 [in_progress]: a"


def test_finished_things_leave_the_list_in_time_and_make_room(book):
    mine = book()
    for number in range(1, 31):
        mine.todo_add(["x"])
        mine.todo_update(number, "done")
    assert len(mine.todo_list().splitlines()) == 20
    mine.todo_add(["y"] * 100)
    with pytest.raises(ToolError, match="at most 100 are allowed"):
        mine.todo_add(["z"])
    for items in ([], ["y"] * 101):
        with pytest.raises(ToolError, match="1 to 100"):
            mine.todo_add(items)


def test_an_empty_book_says_so(book):
    assert book().search() == "There is no such note."
    assert book().search("anything") == "There is no such note."
    assert book().todo_list() == "There is nothing to do."


def test_without_words_the_newest_notes_are_shown(book):
    mine = book()
    for text in ("old", "newer", "newest"):
        mine.add(text)
    assert [line.rpartition(": ")[2] for line in mine.search(limit=2).splitlines()] == ["newest", "newer"]
    assert len(mine.search("old newer newest", limit=0).splitlines()) == 1
    assert len(mine.search("", limit=10**30).splitlines()) == 3


def test_a_note_can_be_changed_and_deleted_and_is_found_accordingly(book, tmp_path):
    mine = book()
    mine.add("the cat sleeps")
    assert mine.update(1, "the dog barks") == "Note 1 is changed."
    assert mine.search("cat") == "There is no such note."
    assert "dog" in mine.search("barking")
    assert mine.delete(1) == "Note 1 is deleted."
    assert mine.search("dog") == "There is no such note."
    (path,) = (tmp_path / "notes").glob("*.notes")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM words").fetchone() == (0,)


def test_a_number_is_never_given_twice(book):
    mine = book()
    mine.add("one")
    mine.delete(1)
    assert mine.add("two") == "Noted as 2."


@pytest.mark.parametrize("number", [0, -1, 99, 2**63, 10**40])
def test_a_number_of_no_note_is_told(book, number):
    mine = book()
    mine.add("one")
    for attempt in (mine.read, mine.delete, lambda number: mine.update(number, "x")):
        with pytest.raises(ToolError, match="There is no note"):
            attempt(number)
    assert "one" in mine.read(1)


# --- whose they are ---


@pytest.mark.parametrize("other", ["bob", "Ada", "ada ", "ada%", "' OR '1'='1", "../ada", "*"])
def test_nobody_sees_or_changes_what_another_user_wrote(book, other):
    mine, theirs = book("ada"), book(other)
    mine.add("ada keeps bees")
    mine.todo_add(["feed the bees"])
    assert theirs.search("bees") == theirs.search() == "There is no such note."
    assert theirs.todo_list() == "There is nothing to do."
    for attempt in (theirs.read, theirs.delete, lambda number: theirs.update(number, "x")):
        with pytest.raises(ToolError):
            attempt(1)
    with pytest.raises(ToolError):
        theirs.todo_update(1, "done")
    assert theirs.add("wasps") == "Noted as 1."  # not even how many there are
    assert "bees" in mine.read(1)


@given(
    user=st.text(min_size=1, max_size=50)
    | st.sampled_from(["../../etc/passwd", "/etc/passwd", "..", "a/b", "a\0b", "~"])
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_user_name_is_no_path(tmp_path, user):
    folder = tmp_path / "deep" / "notes"
    opened = Opened(Notes.from_options({"user": user, "folder": folder}))
    assert opened.add("x").startswith("Noted as ")
    assert list(tmp_path.iterdir()) == [tmp_path / "deep"]
    assert list((tmp_path / "deep").iterdir()) == [folder]
    assert all(path.parent == folder for path in folder.rglob("*"))


def test_only_its_owner_can_read_the_file(book, tmp_path):
    book().add("private")
    folder = tmp_path / "notes"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600] * len(list(folder.iterdir()))


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "~/.ssh/id_rsa", "C:\\Windows", "file:///etc"])
def test_a_text_that_looks_like_a_path_is_a_text(book, tmp_path, key):
    mine = book()
    mine.add(key)
    assert key in mine.read(1)
    assert key in mine.search(key)
    assert list(tmp_path.iterdir()) == [tmp_path / "notes"]


# --- any text ---


@given(
    query=st.text(max_size=60)
    | st.sampled_from(['"', "a OR", "NEAR(", "text:x", "a*", "^a", "-x", "col : {", "\0", "'; --"])
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_query_is_words(tmp_path, query):
    opened = Opened(Notes.from_options({"folder": tmp_path}))
    assert opened.search(query)


def test_the_syntax_of_the_search_means_nothing(book):
    mine = book()
    mine.add("apples")
    mine.add("pears")
    assert "pears" not in mine.search("apples NOT pears".replace("pears", "plums"))
    assert mine.search("app*") == mine.search("{text}: xyz") == "There is no such note."
    assert len(mine.search("pears AND apples").splitlines()) == 2


@given(text=st.text(min_size=1, max_size=200))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_text_is_kept_as_it_is_or_refused_in_words(tmp_path, text):
    opened = Opened(Notes.from_options({"folder": tmp_path, "max_notes": 100_000}))
    try:
        number = int(opened.add(text).split(".")[0].rpartition(" ")[2])
    except ToolError as error:
        assert "empty" in error.message  # noqa: PT017 - the other way is fine, too
        return
    assert opened.read(number).partition(": ")[2] == remove_secrets(text.replace("\0", ""))[0]


def test_half_a_character_is_kept_as_a_question_mark(book):
    mine = book()
    mine.add("half \ud800")
    assert mine.read(1).endswith("half ?")


def test_a_note_cannot_pass_for_two(book):
    mine = book()
    mine.add("one\n2 (2026-01-01): feigned")
    mine.todo_add(["a\n9 [done]: feigned"])
    assert [line[:2] for line in mine.search().splitlines()] == ["1 ", "  "]
    assert [line[:2] for line in mine.todo_list().splitlines()] == ["1 ", "  "]


# --- how much ---


def test_a_note_that_is_too_long_is_refused(book):
    mine = book(max_characters=10)
    with pytest.raises(ToolError, match="11 characters, and at most 10 are allowed"):
        mine.add("x" * 11)
    mine.add("x" * 10)
    with pytest.raises(ToolError, match="at most 10 are allowed"):
        mine.update(1, "x" * 11)
    with pytest.raises(ToolError, match="at most 500 are allowed"):
        mine.todo_add(["fine", "x" * 501])
    assert mine.todo_list() == "There is nothing to do."


@pytest.mark.parametrize("text", ["", "  \n", "\0"])
def test_nothing_is_not_kept(book, text):
    with pytest.raises(ToolError, match="empty"):
        book().add(text)


def test_a_user_can_have_so_many_notes_and_another_one_has_as_many(book):
    mine = book(max_notes=2)
    mine.add("1")
    mine.add("2")
    with pytest.raises(ToolError, match="at most 2 are allowed"):
        mine.add("3")
    assert book("bob", max_notes=2).add("1") == "Noted as 1."
    mine.delete(1)
    assert mine.add("3") == "Noted as 3."


def test_results_stay_short_and_say_how_to_see_the_rest(book):
    mine = book(max_characters=100_000, max_notes=100)
    for _ in range(30):
        mine.add("word " * 20_000)
    shown = mine.search("word", limit=1_000)
    assert len(shown) < 20_000
    assert "100,000 characters in all: read 1]" in shown


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    program = """
import asyncio, sys
from agentloop_tools.notes import Notes, pack
pack._WAIT_SECONDS = 60
async def main():
    pack = Notes.from_options({"user": "ada", "folder": sys.argv[1], "max_notes": 60})
    async with pack.open() as tools:
        add = next(tool for tool in tools if tool.name == "add").function
        for number in range(20):
            add(f"{sys.argv[2]}-{number}")
asyncio.run(main())
"""
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(number)], stderr=subprocess.PIPE)
        for number in range(3)
    ]
    assert [(process.communicate(timeout=PATIENCE_SECONDS)[1], process.returncode) for process in started] == [
        (b"", 0)
    ] * 3
    mine = Opened(Notes.from_options({"user": "ada", "folder": tmp_path, "max_notes": 60}))
    with pytest.raises(ToolError, match="There are 60 already"):
        mine.add("one more")


def test_threads_at_the_same_time_leave_one_thing_in_progress(book, monkeypatch):
    monkeypatch.setattr("agentloop_tools.notes.pack._WAIT_SECONDS", PATIENCE_SECONDS)
    mine = book()
    mine.todo_add([str(number) for number in range(8)])
    threads = [threading.Thread(target=mine.todo_update, args=(number, "in_progress")) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert mine.todo_list().count("in_progress") == 1


# --- secrets ---


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_secret_is_not_kept_anywhere(book, tmp_path, secret):
    mine = book()
    assert "looked like a secret" in mine.add(f"use {secret} for it")
    mine.add("plain")
    mine.update(2, f"now {secret}")
    assert "looked like a secret" in mine.todo_add(["fine", f"rotate {secret}"])
    core = secret.split("\n")[-1 if "\n" in secret and "END" not in secret else 0][:24]
    core = "MIIEow" if "RSA" in secret else core
    assert all(core.encode() not in path.read_bytes() for path in (tmp_path / "notes").iterdir())
    assert mine.read(1).endswith(f"use {REMOVED} for it") or "OPENSSH" in secret


@pytest.mark.parametrize(("text", "secret"), NAMED)
def test_what_stands_after_the_name_of_a_secret_is_not_kept(text, secret):
    kept, count = remove_secrets(text)
    assert count == 1
    assert secret not in kept
    assert REMOVED in kept


@pytest.mark.parametrize(
    "text",
    [
        "The token limit is 4,096: raise it",
        "Tokens: 12",
        "the secret of good soup is time",
        "see https://docs.example/a:b@c",
        "sk-learn and risk-averse task-oriented",
        "password reset goes over mail",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    ],
)
def test_ordinary_words_are_kept(text):
    assert remove_secrets(text) == (text, 0)


@pytest.mark.parametrize(
    "text",
    [
        "-" * 50_000,
        "-----BEGIN " * 9_000,
        "eyJ" + "a" * 100_000,
        "-eyJaaaaaaaaa" * 8_000,
        "sk-" * 30_000,
        "a_" * 50_000,
        "a://" * 25_000,
        "a" * 100_000,
        "token=" * 16_000,
    ],
)
def test_no_text_makes_the_search_for_secrets_slow(text):
    ended = threading.Event()

    def search():
        remove_secrets(text)
        ended.set()

    threading.Thread(target=search, daemon=True).start()
    assert ended.wait(PATIENCE_SECONDS)


@given(st.text(max_size=300))
def test_what_has_no_secret_any_more_stays_as_it_is(text):
    once, _ = remove_secrets(text)
    assert remove_secrets(once)[0] == once


# --- trust, and what goes wrong ---


def test_what_is_read_counts_as_untrusted_unless_it_is_said_otherwise(book):
    def open_world(opened):
        return {tool.name for tool in opened.tools() if tool.effects and tool.effects.open_world}

    assert open_world(book()) == {"search", "read", "todo_list"}
    assert open_world(book(trusted=True)) == set()


def test_every_tool_keeps_to_its_own_store(book):
    effects = [tool.effects for tool in book().tools()]
    assert all(each.own_store and not (each.network or each.execute) for each in effects)


def test_opening_touches_nothing(book, tmp_path):
    assert book().tools()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_told_and_left_alone(book, tmp_path):
    mine = book()
    mine.add("precious")
    (path,) = (tmp_path / "notes").glob("*.notes")
    path.write_bytes(b"this is no database at all" * 100)
    before = path.read_bytes()
    with pytest.raises(ToolError, match="their file is damaged") as caught:
        mine.search("precious")
    assert str(tmp_path) not in caught.value.message
    assert path.read_bytes() == before


def test_a_store_that_cannot_be_made_is_told_without_its_path(tmp_path):
    (tmp_path / "file").write_text("")
    mine = Opened(Notes.from_options({"folder": tmp_path / "file"}))
    with pytest.raises(ToolError, match="can't be opened") as caught:
        mine.add("x")
    assert str(tmp_path) not in caught.value.message


def test_a_store_that_is_busy_is_told(book, tmp_path, monkeypatch):
    monkeypatch.setattr("agentloop_tools.notes.pack._WAIT_SECONDS", 0.05)
    mine = book()
    mine.add("one")
    (path,) = (tmp_path / "notes").glob("*.notes")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ToolError, match="database is locked"):
            mine.add("two")
        assert "one" in mine.search("one")  # readers don't wait


def test_a_store_that_another_process_is_just_making_is_waited_for(tmp_path):
    path, pauses = tmp_path / "new", []
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE unrelated (name TEXT)")

        def sleep(seconds):
            pauses.append(seconds)
            other.rollback()

        store = Store(path, ("CREATE TABLE things (name TEXT)",), wait_seconds=PATIENCE_SECONDS, sleep=sleep)
        with store.open() as connection:
            assert connection.execute("SELECT * FROM things").fetchall() == []
        assert len(pauses) == 1


def test_a_store_that_another_process_never_gets_done_with_is_given_up(tmp_path):
    store = Store(tmp_path / "new", ("CREATE TABLE things (name TEXT)",), wait_seconds=0.05)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE unrelated (name TEXT)")
        with pytest.raises(sqlite3.OperationalError, match="locked"), store.open():
            pass


def test_a_failed_change_changes_nothing(book, tmp_path, monkeypatch):
    mine = book()
    mine.add("one")
    monkeypatch.setattr("agentloop_tools.notes.book.split_words", lambda _text: object())
    with pytest.raises(ToolError, match="can't be used"):
        mine.add("two")
    with pytest.raises(ToolError, match="can't be used"):
        mine.update(1, "other")
    monkeypatch.undo()
    assert mine.search() == mine.search("one")


def test_a_store_that_is_full_is_told(book, monkeypatch):
    mine = book(max_characters=100_000)
    mine.add("small")
    monkeypatch.setattr("agentloop_tools.notes.pack._STORE_BYTES", 200_000)

    def fill():
        for number in range(10):
            mine.add(f"{number} " * 40_000)

    with pytest.raises(ToolError, match="full"):
        fill()
    assert "small" in mine.read(1)


@pytest.mark.parametrize("options", [{"user": ""}, {"user": "x" * 201}, {"max_notes": 0}, {"colour": "red"}])
def test_a_wrong_configuration_is_told(options):
    with pytest.raises(ConfigurationError, match="notes"):
        Notes.from_options(options)


def test_by_default_the_file_lies_with_the_users_data(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    Opened(Notes()).add("x")
    assert list(tmp_path.rglob("*.notes"))

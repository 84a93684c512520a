"""`agentloop profile show` and `forget`."""

import json

import pytest
from inline_snapshot import snapshot

from agentloop.cli import main
from agentloop.endpoint.profile_store import read_lessons, remember
from agentloop.wire.profile.lessons import Lesson

HERE = "http://127.0.0.1:8000/v1"
THERE = "http://127.0.0.1:9000/v1"
NO_IMAGES = Lesson("images", was=True, now=False, why="the endpoint answered 400: no images")
ON_CHAT = Lesson("route", was="responses", now="chat", why="the endpoint answered 404")


@pytest.fixture
def invoke(capfd, monkeypatch):
    """Return a function that carries out a command line here and returns its status, its output and the rest."""
    monkeypatch.delenv("AGENTLOOP_API_KEY", raising=False)

    def invoke(*arguments):
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        return exited.value.code, *capfd.readouterr()

    return invoke


@pytest.fixture
def learned():
    """Let something be learned about three models at two places."""
    remember(HERE, "a", [NO_IMAGES, ON_CHAT])
    remember(HERE, "b", [ON_CHAT])
    remember(THERE, "a", [ON_CHAT])
    remember("local:", "smollm2", [NO_IMAGES])


def places():
    return sorted({(known.place, known.model) for known in read_lessons()[0]})


@pytest.fixture
def config(monkeypatch, tmp_path):
    """Return a function that writes the configuration file."""
    path = tmp_path / "agentloop.toml"
    monkeypatch.setenv("AGENTLOOP_CONFIG", str(path))

    def write(text):
        path.write_text(text)
        return path

    return write


# --- show ---


def test_each_field_that_is_not_the_default_is_shown_with_where_it_comes_from(invoke, learned, config):
    path = config(f'[profile."{HERE}"]\ncontext_tokens = 16384\ntool_choice = ["auto"]\n')
    status, out, err = invoke("profile", "show", "--base-url", HERE, "--model", "a")
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in out.splitlines()[2:]}
    assert status == 0
    assert list(rows) == ["context_tokens", "tool_choice", "images", "route"]
    assert " ".join(rows["context_tokens"].split()) == f"16384 {path}"
    assert " ".join(rows["tool_choice"].split()) == f"-named -none -required {path}"
    assert rows["images"].startswith("false ")
    assert "learned on 20" in rows["images"]
    assert rows["images"].rstrip().endswith(": the endpoint answered 400: no images")
    assert err == f"note: a at {HERE}; fields that are not listed have their defaults\n"


def test_a_field_that_is_no_longer_what_it_was_when_something_was_learned_is_not_shown_as_learned(invoke, config):
    remember(HERE, "a", [ON_CHAT])
    config(f'[profile."{HERE}"]\nroute = "chat"\n')
    _, out, _ = invoke("profile", "show", "--base-url", HERE, "--model", "a")
    assert "learned" not in out


def test_the_table_of_providers_is_a_source_too(invoke):
    status, out, _ = invoke("profile", "show", "--model", "ovh:gpt-oss-20b", "--json")
    told = json.loads(out)
    assert status == 0
    assert (told["place"], told["model"]) == snapshot(
        ("https://oai.endpoints.kepler.ai.cloud.ovh.net/v1", "gpt-oss-20b")
    )
    assert told["profile"]["images"] == {"value": False, "source": "table of providers (ovh)"}


def test_a_model_in_this_process_is_shown_without_starting_it(invoke, learned):
    status, out, _ = invoke("profile", "show", "--model", "local:smollm2", "--json")
    told = json.loads(out)
    assert status == 0
    assert told["place"] == "local:"
    assert told["profile"]["tool_calling"] == {"value": "prompted", "source": "table of providers (local)"}


def test_without_a_model_all_that_was_learned_is_shown_and_the_files(invoke, learned, config):
    path = config("")
    status, out, err = invoke("profile", "show")
    assert status == 0
    assert [line.split()[:4] for line in out.splitlines()[2:]] == snapshot(
        [
            ["http://127.0.0.1:8000/v1", "a", "images", "false"],
            ["http://127.0.0.1:8000/v1", "a", "route", '"chat"'],
            ["http://127.0.0.1:8000/v1", "b", "route", '"chat"'],
            ["http://127.0.0.1:9000/v1", "a", "route", '"chat"'],
            ["local:", "smollm2", "images", "false"],
        ]
    )
    assert "learned.json" in err
    assert f"your own settings are read from {path}\n" in err


def test_of_one_place_only_what_was_learned_there_is_shown(invoke, learned):
    status, out, _ = invoke("profile", "show", "--base-url", f"{THERE}/", "--json")
    told = json.loads(out)
    assert status == 0
    assert [entry | {"learned": ...} for entry in told["learned"]] == snapshot(
        [
            {
                "place": "http://127.0.0.1:9000/v1",
                "model": "a",
                "field": "route",
                "now": "chat",
                "learned": ...,
                "times": 1,
                "why": "the endpoint answered 404",
            }
        ]
    )
    assert told["files"]["learned"].endswith("learned.json")
    assert told["files"]["config"] == []


def test_where_nothing_is_kept_that_is_said(invoke, monkeypatch, tmp_path):
    monkeypatch.setenv("AGENTLOOP_CACHE", "")
    monkeypatch.setenv("AGENTLOOP_CONFIG", str(tmp_path / "none.toml"))
    status, _, err = invoke("profile", "show")
    assert status == 0
    assert "no file: AGENTLOOP_CACHE is empty" in err
    assert "none.toml (it does not exist)" in err
    assert json.loads(invoke("profile", "show", "--json")[1])["files"] == {
        "learned": None,
        "config": [{"path": str(tmp_path / "none.toml"), "exists": False, "counts": False}],
    }


def test_damaged_files_are_named_and_ignored(invoke, monkeypatch, config, tmp_path):
    path = config("[")
    monkeypatch.setenv("AGENTLOOP_CACHE", str(tmp_path / "learned.json"))
    (tmp_path / "learned.json").write_text("{")
    status, _, err = invoke("profile", "show", "--base-url", HERE, "--model", "a")
    assert status == 0
    assert f"note: {path} is damaged and is ignored" in err
    assert f"note: {tmp_path / 'learned.json'} is damaged and is ignored" in err
    assert f"{tmp_path / 'learned.json'} is damaged" in invoke("profile", "show")[2]


# --- forget ---


@pytest.mark.parametrize(
    ("options", "count", "left"),
    [
        (("--base-url", HERE, "--model", "a"), "2 lessons", [(HERE, "b"), (THERE, "a"), ("local:", "smollm2")]),
        (("--base-url", HERE), "3 lessons", [(THERE, "a"), ("local:", "smollm2")]),
        (("--model", "local:smollm2"), "1 lesson", [(HERE, "a"), (HERE, "b"), (THERE, "a")]),
        (("--all",), "5 lessons", []),
        (
            ("--base-url", HERE, "--model", "c"),
            "0 lessons",
            [(HERE, "a"), (HERE, "b"), (THERE, "a"), ("local:", "smollm2")],
        ),
    ],
)
def test_what_is_named_is_forgotten_and_nothing_else(options, count, left, invoke, learned):
    status, out, err = invoke("profile", "forget", *options)
    assert (status, out, err) == (0, "", f"note: forgot {count}\n")
    assert places() == left


@pytest.mark.parametrize("options", [(), ("--all", "--model", "ovh:x"), ("--all", "--base-url", HERE)])
def test_what_is_not_clear_is_not_forgotten(options, invoke, learned):
    before = places()
    status, out, err = invoke("profile", "forget", *options)
    assert (status, out) == (2, "")
    assert err.startswith("error: it is not clear what to forget\nhint: ")
    assert places() == before


def test_a_file_that_can_not_be_written_is_told(invoke, monkeypatch, tmp_path):
    monkeypatch.setenv("AGENTLOOP_CACHE", str(tmp_path))
    status, _, err = invoke("profile", "forget", "--all")
    assert status == 2
    assert err.splitlines()[1] == "hint: check the file's permissions"


@pytest.mark.parametrize("content", ["{", '{"version": 9}'])
def test_a_file_that_can_not_be_read_is_only_made_anew_if_all_is_to_be_forgotten(
    invoke, monkeypatch, tmp_path, content
):
    path = tmp_path / "learned.json"
    monkeypatch.setenv("AGENTLOOP_CACHE", str(path))
    path.write_text(content)
    status, _, err = invoke("profile", "forget", "--base-url", HERE)
    assert (status, path.read_text()) == (2, content)
    assert err.startswith(f"error: {path} is ")
    assert invoke("profile", "forget", "--all")[0] == 0
    assert read_lessons() == ([], [])


@pytest.mark.parametrize("command", ["show", "forget"])
def test_a_model_of_no_known_provider_is_told_with_the_ways_out(command, invoke):
    status, out, err = invoke("profile", command, "--model", "nowhere:m")
    assert (status, out) == (2, "")
    assert "names no known provider" in err
    assert "--base-url" in err


def test_a_failure_is_json_where_json_is_asked_for(invoke):
    status, out, err = invoke("profile", "show", "--model", "nowhere:m", "--json")
    assert status == 2
    assert json.loads(out)["error"]["type"] == "ConfigurationError"
    assert err.startswith("error: ")


def test_each_lesson_is_shown_with_when_how_often_and_in_which_words_it_was_learned(invoke):
    remember(HERE, "a", [ON_CHAT])
    remember(HERE, "a", [ON_CHAT])
    [known] = read_lessons()[0]
    row = " ".join(invoke("profile", "show")[1].splitlines()[-1].split())
    assert row == f'{HERE} a route "chat" {known.learned.isoformat(timespec="minutes")} 2 {ON_CHAT.why}'

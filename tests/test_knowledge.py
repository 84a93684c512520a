"""What outlives a process: agentloop.toml and the file of lessons, and that nothing about them fails a run."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentloop import Agent, Endpoint, ModelSettings, Notice, Profile, tool
from agentloop.endpoint.config_file import find_configs
from agentloop.endpoint.profile_store import (
    LIFETIME,
    find_place,
    forget,
    lessons_path,
    read_lessons,
    remember,
    resolve_profile,
)
from agentloop.testing import ScriptedEndpoint
from agentloop.wire.profile.lessons import LESSONS, Lesson, read_fields, write_field
from loopback import error_reply, text_body
from ways import STREAM_SYNC, both_wires, serving

WINDOW = Lesson("context_tokens", None, 4096, "it said so")
ROUTE = Lesson("route", "responses", "chat", "404")
HERE = Endpoint("http://127.0.0.1:9/v1")
PLACE = "http://127.0.0.1:9/v1"


@pytest.fixture
def config(tmp_path, monkeypatch):
    path = tmp_path / "agentloop.toml"
    monkeypatch.setenv("AGENTLOOP_CONFIG", str(path))
    return path


def in_a_new_process():
    LESSONS.clear()


def topics(events):
    return [event.topic for event in events if isinstance(event, Notice)]


# --- the file of lessons ---


def test_what_was_remembered_is_known_in_a_later_process():
    assert remember(PLACE, "m", [WINDOW, ROUTE]) == ""
    in_a_new_process()
    known = resolve_profile(HERE, "m")
    assert (known.profile.context_tokens, known.profile.route) == (4096, "chat")
    assert known.base == Profile()
    assert known.sources["route"].startswith("learned on ")
    assert known.sources["route"].endswith(": 404")
    assert LESSONS[PLACE, "m"] == (WINDOW, ROUTE)


def test_what_was_remembered_of_one_model_is_not_known_of_another():
    remember(PLACE, "m", [ROUTE])
    assert resolve_profile(HERE, "n").profile == Profile()
    assert resolve_profile(Endpoint("http://127.0.0.1:10/v1"), "m").profile == Profile()


def test_the_same_lesson_is_kept_once_and_later_ones_are_added():
    remember(PLACE, "m", [WINDOW])
    remember(PLACE, "m", [WINDOW, ROUTE])
    remember(PLACE, "n", [WINDOW])
    known, trouble = read_lessons()
    assert [(each.model, each.lesson.field) for each in known] == [
        ("m", "context_tokens"),
        ("m", "route"),
        ("n", "context_tokens"),
    ]
    assert trouble == []


def test_a_field_that_the_user_sets_otherwise_is_left_as_it_is():
    remember(PLACE, "m", [WINDOW])
    mine = Endpoint(HERE.base_url, profile=Profile(context_tokens=8192))
    assert resolve_profile(mine, "m").profile.context_tokens == 8192


def test_lessons_about_sets_change_only_the_members_that_they_are_about():
    remember(PLACE, "m", [Lesson("refused", frozenset(), frozenset({"user"}), "400")])
    mine = Endpoint(HERE.base_url, profile=Profile(refused=frozenset({"verbosity"})))
    assert resolve_profile(mine, "m").profile.refused == {"user", "verbosity"}


def test_what_was_learned_long_ago_is_forgotten():
    remember(PLACE, "m", [WINDOW])
    path = lessons_path()
    content = json.loads(path.read_text())
    content["learned"][0]["learned"] = (datetime.now(UTC) - LIFETIME - timedelta(days=1)).isoformat()
    path.write_text(json.dumps(content))
    in_a_new_process()
    assert resolve_profile(HERE, "m").profile == Profile()
    remember(PLACE, "m", [ROUTE])
    assert len(json.loads(path.read_text())["learned"]) == 1


def test_forgetting_takes_a_model_or_everything():
    for model in ("m", "n"):
        remember(PLACE, model, [WINDOW, ROUTE])
    remember("local:", "m", [WINDOW])
    resolve_profile(HERE, "m")
    assert forget(PLACE, "m") == 2
    assert (PLACE, "m") not in LESSONS
    assert forget(model="m") == 1
    assert forget() == 2
    assert read_lessons() == ([], [])
    assert forget() == 0


@pytest.mark.parametrize(
    ("content", "told"),
    [("{", "is damaged"), ("\udcff", "is damaged"), ('{"version": 99}', "another version"), ("[]", "another version")],
)
def test_a_damaged_file_is_named_and_ignored_and_the_run_goes_on(content, told):
    path = lessons_path()
    path.parent.mkdir()
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    agent = Agent("m", endpoint=ScriptedEndpoint(["Hi.", "Hi."]))
    events = list(agent.stream_sync("go"))
    [notice] = [event for event in events if isinstance(event, Notice)]
    assert (notice.topic, events[-1].result.text) == ("warning", "Hi.")
    assert str(path) in notice.text
    assert told in notice.text
    assert topics(agent.stream_sync("go")) == []
    assert told in remember(PLACE, "m", [WINDOW])
    assert path.read_bytes() == content.encode("utf-8", "surrogateescape")


def test_entries_that_make_no_sense_are_passed_over():
    remember(PLACE, "m", [WINDOW])
    path = lessons_path()
    content = json.loads(path.read_text())
    good = content["learned"][0]
    content["learned"] += [
        good | {"field": "colour"},
        good | {"now": "many"},
        good | {"learned": "yesterday"},
        "what?",
    ]
    path.write_text(json.dumps(content))
    known, trouble = read_lessons()
    assert ([each.lesson for each in known], trouble) == ([WINDOW], [])


def test_a_cache_that_cannot_be_written_is_told_once_and_the_run_goes_on(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AGENTLOOP_CACHE", str(tmp_path / "file" / "learned.json"))
    script = [error_reply(400, "Unknown parameter: 'user'"), text_body("Hi.")]
    with serving(script, settings=ModelSettings(user="me")) as (agent, _):
        events = []
        assert STREAM_SYNC.ask(agent, events=events).text == "Hi."
    assert topics(events) == ["learned", "warning"]
    assert "can't be saved" in remember(PLACE, "m", [WINDOW])


def test_a_file_that_cannot_be_replaced_when_forgetting_is_an_error(monkeypatch):
    remember(PLACE, "m", [WINDOW])

    def fail(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="Permission denied"):
        forget()
    assert {path.name for path in lessons_path().parent.iterdir()} == {"learned.json", "learned.json.lock"}


def test_with_the_cache_switched_off_nothing_is_written_or_read(monkeypatch):
    monkeypatch.setenv("AGENTLOOP_CACHE", "")
    assert lessons_path() is None
    assert remember(PLACE, "m", [WINDOW]) == ""
    assert read_lessons() == ([], [])
    assert forget() == 0


def test_what_this_process_has_learned_is_known_without_a_file(monkeypatch):
    monkeypatch.setenv("AGENTLOOP_CACHE", "")
    LESSONS[PLACE, "m"] = (ROUTE,)
    known = resolve_profile(HERE, "m")
    assert (known.base.route, known.profile.route) == ("responses", "chat")


def test_a_scripted_endpoint_leaves_nothing_behind():
    assert remember("http://scripted-1.invalid/v1", "m", [WINDOW]) == ""
    assert not lessons_path().exists()


def test_a_server_that_is_started_anew_each_time_is_known_by_its_provider():
    assert find_place(Endpoint("http://127.0.0.1:40123/v1"), "local") == "local:"
    assert find_place(Endpoint("http://127.0.0.1:40123/v1/"), "vllm") == "http://127.0.0.1:40123/v1"


def test_the_files_are_in_the_folders_of_the_user_and_of_the_work(monkeypatch, tmp_path):
    monkeypatch.delenv("AGENTLOOP_CACHE")
    monkeypatch.delenv("AGENTLOOP_CONFIG")
    monkeypatch.chdir(tmp_path)
    assert lessons_path().name == "learned.json"
    own, here = find_configs()
    assert (own.path.name, own.trusted) == ("agentloop.toml", True)
    assert (here.path, here.trusted) == (tmp_path / "agentloop.toml", False)


@pytest.mark.parametrize(
    "value", [("route", "chat"), ("refused", frozenset({"b", "a"})), ("context_tokens", None), ("image_models", ("x",))]
)
def test_a_field_is_read_as_it_was_written(value):
    name, given = value
    written = json.loads(json.dumps(write_field(name, given)))
    assert read_fields({name: written}) == ({name: given}, ())


# --- agentloop.toml ---


def test_a_users_file_overrides_any_field_by_provider_and_model(config):
    config.write_text('[profile."ovh:Qwen*"]\ntool_calling = "prompted"\nrefused = ["user"]\n')
    known = resolve_profile(HERE, "Qwen3-32B", "ovh")
    assert known.profile == Profile(tool_calling="prompted", refused=frozenset({"user"}))
    assert known.sources["tool_calling"] == str(config)
    assert resolve_profile(HERE, "gpt-oss-20b", "ovh").profile == Profile()


@pytest.mark.parametrize("name", [PLACE, "http://127.0.0.1:9/v1 m", "http://127.0.0.1:*"])
def test_a_users_file_overrides_any_field_by_base_url(config, name):
    config.write_text(f'[profile."{name}"]\nroute = "chat"\n')
    assert resolve_profile(HERE, "m").profile.route == "chat"
    assert resolve_profile(HERE, "m", "vllm").profile.route == "chat"


def test_a_configuration_that_is_not_there_says_nothing(config):
    assert resolve_profile(HERE, "m").warnings == ()


def test_a_damaged_configuration_is_named_and_ignored(config):
    config.write_text("[profile")
    known = resolve_profile(HERE, "m")
    assert known.profile == Profile()
    assert f"{config} is damaged and is ignored" in known.warnings[0]


def test_a_field_that_is_none_is_named_and_ignored_and_the_others_count(config):
    config.write_text(f'[profile."{PLACE}"]\ncolour = "red"\nroute = "pigeon"\nimages = false\ncontext_tokens = 0\n')
    known = resolve_profile(HERE, "m")
    assert known.profile == Profile(images=False)
    colour, route, window = known.warnings
    assert "context_tokens=0" in window
    assert "'colour'" in colour
    assert "route can't be 'pigeon'" in route


def test_the_table_of_providers_is_a_source_too():
    known = resolve_profile(Endpoint(HERE.base_url, profile=Profile(route="chat")), "m", "litellm")
    assert known.sources == {"route": "table of providers (litellm)"}
    assert resolve_profile(Endpoint(HERE.base_url, profile=Profile(route="chat")), "m").sources == {"route": "code"}


# --- in a run ---


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@both_wires
def test_a_refused_parameter_is_dropped_and_never_sent_again_not_even_by_a_later_process(way):
    def answer(request):
        return error_reply(400, "Unsupported parameter: 'top_p'") if "top_p" in request.json else text_body("Hi.")

    with serving(answer, settings=ModelSettings(top_p=0.5)) as (agent, server):
        assert way.ask(agent).text == "Hi."
        assert len(server.requests) == 2
        in_a_new_process()
        again = Agent("any", endpoint=Endpoint(server.base_url), settings=ModelSettings(top_p=0.5))
        events = list(again.stream_sync("go"))
        again.close()
        assert len(server.requests) == 3
    assert topics(events) == ["dropped"]
    assert lessons_path().exists()


def test_of_two_opposite_lessons_the_last_counts_here_and_in_the_file():
    back = Lesson("route", "chat", "responses", "404")
    for lesson, route in ((ROUTE, "chat"), (back, "responses"), (ROUTE, "chat")):
        remember(PLACE, "m", [WINDOW, lesson])
        in_a_new_process()
        assert resolve_profile(HERE, "m").profile.route == route
        assert LESSONS[PLACE, "m"] == (WINDOW, lesson)


def test_runs_that_learn_at_once_lose_nothing():
    with ThreadPoolExecutor(4) as pool:
        troubles = pool.map(lambda number: remember(PLACE, f"m{number}", [WINDOW]), range(40))
    assert set(troubles) == {""}
    assert len(read_lessons()[0]) == 40


def test_files_that_nest_without_end_are_damaged_too(config):
    lessons_path().parent.mkdir()
    lessons_path().write_text("[" * 200_000)
    config.write_text("x = " + "[" * 200_000)
    known = resolve_profile(HERE, "m")
    assert (known.profile, len(known.warnings)) == (Profile(), 2)


def test_a_lesson_from_before_all_time_is_passed_over():
    remember(PLACE, "m", [WINDOW])
    path = lessons_path()
    content = json.loads(path.read_text())
    content["learned"][0]["learned"] = "0001-01-01T00:00:00+23:00"
    path.write_text(json.dumps(content))
    assert read_lessons() == ([], [])


@pytest.mark.parametrize(("url", "name"), [("http://[::1]:8000/v1", "http://[::1]:8000/v1"), (PLACE, f"{PLACE}/")])
def test_a_base_url_may_be_written_as_it_is(config, url, name):
    config.write_text(f'[profile."{name}"]\nroute = "chat"\n')
    assert resolve_profile(Endpoint(url), "m").profile.route == "chat"


@pytest.mark.parametrize("content", ['[profile]\nroute = "chat"\n', '[profiles."*"]\nroute = "chat"\n'])
def test_what_is_in_no_table_of_a_profile_is_named_and_ignored(config, content):
    config.write_text(content)
    known = resolve_profile(HERE, "m")
    assert known.profile == Profile()
    assert "is ignored" in known.warnings[0]


def test_a_working_directory_that_is_gone_is_no_place_to_look(tmp_path, monkeypatch):
    monkeypatch.delenv("AGENTLOOP_CONFIG")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert len(find_configs()) == 1

"""Which agentloop.toml counts: the user's own, and that of a working folder after `agentloop trust`."""

import json

import pytest

from agentloop import Endpoint, Notice
from agentloop.cli import main
from agentloop.endpoint.config_file import _REPORTED
from agentloop.endpoint.profile_store import resolve_profile
from loopback import text_body
from ways import serving

HERE = Endpoint("http://127.0.0.1:9/v1")
SETTINGS = '[profile."*"]\nrefused = ["tools"]\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A repository with a file that changes the profile of every model."""
    monkeypatch.delenv("AGENTLOOP_CONFIG")
    monkeypatch.setattr("platformdirs.user_config_path", lambda name: tmp_path / "mine" / name)
    monkeypatch.setenv("AGENTLOOP_STATE", str(tmp_path / "state"))
    cloned = tmp_path / "cloned"
    cloned.mkdir()
    (cloned / "agentloop.toml").write_text(SETTINGS)
    monkeypatch.chdir(cloned)
    _REPORTED.clear()
    return cloned


def trust(*arguments):
    with pytest.raises(SystemExit) as exited:
        main(["trust", *map(str, arguments)])
    return exited.value.code


def refused():
    return resolve_profile(HERE, "m").profile.refused


def test_a_file_of_the_working_folder_is_ignored_and_reported_once(folder):
    known = resolve_profile(HERE, "m")
    assert "tools" not in known.profile.refused
    [warning] = known.warnings
    assert str(folder / "agentloop.toml") in warning
    assert '[profile."*"]: refused' in warning
    assert "`agentloop trust`" in warning
    assert resolve_profile(HERE, "m").warnings == ()


def test_a_run_says_what_was_ignored(folder):
    with serving([text_body("Hi.")] * 2) as (agent, server):
        events = [*agent.stream_sync("go"), *agent.stream_sync("go")]
    said = [event.text for event in events if isinstance(event, Notice)]
    assert len(said) == 1
    assert "agentloop trust" in said[0]
    assert len(server.requests) == 2


def test_a_trusted_file_counts_until_its_content_changes(folder, capsys):
    assert trust() == 0
    assert 'counts from now on, until it changes: [profile."*"]: refused' in capsys.readouterr().err
    assert refused() == {"tools"}
    (folder / "agentloop.toml").write_text(SETTINGS + "images = false\n")
    assert "tools" not in refused()
    (folder / "agentloop.toml").write_text(SETTINGS)
    assert refused() == {"tools"}


def test_trust_is_for_one_path(folder, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "agentloop.toml").write_text(SETTINGS)
    assert trust(other) == 0
    assert "tools" not in refused()
    monkeypatch.chdir(other)
    assert refused() == {"tools"}


def test_a_link_to_a_trusted_file_is_another_file(folder, tmp_path, monkeypatch):
    assert trust() == 0
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "agentloop.toml").symlink_to(folder / "agentloop.toml")
    (tmp_path / "shortcut").symlink_to(folder)
    monkeypatch.chdir(stranger)
    assert "tools" not in refused()
    monkeypatch.chdir(tmp_path / "shortcut")
    assert refused() == {"tools"}


def test_the_users_own_file_needs_no_trust(folder, tmp_path, monkeypatch):
    own = tmp_path / "mine" / "agentloop"
    own.mkdir(parents=True)
    (own / "agentloop.toml").write_text('[profile."*"]\nroute = "chat"\n')
    assert resolve_profile(HERE, "m").profile.route == "chat"
    monkeypatch.chdir(own)
    known = resolve_profile(HERE, "m")
    assert (known.profile.route, known.warnings) == ("chat", ())
    (tmp_path / "again").symlink_to(tmp_path / "mine")
    monkeypatch.setattr("platformdirs.user_config_path", lambda name: tmp_path / "again" / name)
    assert resolve_profile(HERE, "m").warnings == ()


@pytest.mark.parametrize("content", ["[profile", None])
def test_a_file_that_can_not_be_read_is_not_trusted(folder, capsys, content):
    path = folder / "agentloop.toml"
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert trust() == 2
    assert "can't be trusted" in capsys.readouterr().err


def test_a_damaged_list_trusts_nothing_and_is_replaced(folder, tmp_path):
    trust()
    (tmp_path / "state" / "trusted.json").write_text("[[")
    assert "tools" not in refused()
    trust()
    assert refused() == {"tools"}


def test_what_a_strangers_file_sets_is_shown_in_one_short_line(folder):
    (folder / "agentloop.toml").write_text(f'"a\\u001b[2J\\n" = 1\n[profile."{"x" * 900}"]\n')
    [warning] = resolve_profile(HERE, "m").warnings
    assert "\x1b" not in warning
    assert len(warning) < 700 + len(str(folder))


def test_the_list_is_in_the_users_state_folder(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("AGENTLOOP_STATE")
    monkeypatch.setattr("platformdirs.user_state_path", lambda name: tmp_path / "kept" / name)
    trust()
    assert list(json.loads((tmp_path / "kept" / "agentloop" / "trusted.json").read_text())) == [
        str(folder / "agentloop.toml")
    ]


def show(capsys):
    with pytest.raises(SystemExit):
        main(["profile", "show"])
    return " ".join(capsys.readouterr().err.split())


def test_the_command_that_shows_profiles_tells_which_files_count(folder, capsys):
    assert "agentloop.toml (it does not exist)" in (shown := show(capsys))
    assert f"{folder / 'agentloop.toml'} (it is ignored until you run `agentloop trust`)" in shown
    trust()
    assert "it is ignored" not in show(capsys)
    (folder / "agentloop.toml").unlink()
    (folder / "agentloop.toml").mkdir()
    assert "(it can't be read: it is no regular file)" in show(capsys)

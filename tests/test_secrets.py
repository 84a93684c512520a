"""What a server repeats of a request's headers and URL is not shown, logged or stored."""

import base64
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from agentloop import Agent, AgentloopError, Endpoint, ModelSettings, Notice, Retrying, tool
from agentloop.endpoint.profile_store import find_place, forget, lessons_path, read_lessons, remember, resolve_profile
from agentloop.endpoint.transport import HttpTransport
from agentloop.endpoint.transport.secrets import HIDDEN, hide_secrets
from agentloop.wire.profile.lessons import LESSONS, Lesson
from loopback import Loopback, error_reply, json_reply, text_body
from ways import PROFILES, both_wires, closing, serving

KEY, COOKIE = "wq-9f8e7d6c5b4a", "sid=0a1b2c3d4e5f"
ROUTE = Lesson("route", "responses", "chat", "404")


def endpoint(base_url="http://127.0.0.1:9/v1", **fields):
    return Endpoint(base_url, **{"api_key": KEY, "headers": {"Cookie": COOKIE, "X-Team": "blue42"}, **fields})


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"bad key {KEY}!", f"bad key {HIDDEN}!"),
        (f"bad key {KEY[:10]}...", f"bad key {HIDDEN}"),
        ("cookie 0a1b2c3d4e5f is stale", f"cookie {HIDDEN} is stale"),
        ("no team blue42, only blue421", f"no team {HIDDEN}, only blue421"),
        ("Authorization: Bearer abcdefgh123", f"Authorization: Bearer {HIDDEN}"),
        ("key sk-other-one-4711 is used up", f"key {HIDDEN} is used up"),
        ("temperature is not supported", "temperature is not supported"),
    ],
)
def test_what_was_in_a_header_is_hidden(said, shown):
    assert hide_secrets(said, endpoint()) == shown


@pytest.mark.parametrize(
    "said",
    ["h@x/y z", "h%40x%2Fy%20z", base64.b64encode(b"ann:h@x/y z").decode(), "tok 55", "t0ken-of-the-path", "ann"],
)
def test_what_was_in_the_url_is_hidden(said):
    there = endpoint("https://ann:h%40x%2Fy%20z@host/t0ken-of-the-path/v1?code=tok%2055&x", headers={}, api_key=None)
    assert hide_secrets(f"no: {said}.", there) == f"no: {HIDDEN}."


def test_without_secrets_nothing_is_hidden():
    assert hide_secrets("host /v1 a b", Endpoint("https://host/v1", api_key="a")) == "host /v1 a b"


@both_wires
def test_a_key_that_a_server_repeats_gets_nowhere(way, caplog):
    caplog.set_level(logging.DEBUG)

    def answer(request):
        said = request.headers.get("authorization")
        if "temperature" in request.json:
            return error_reply(400, f"temperature {said} is not supported")
        if len(server.requests) == 2:
            return json_reply({"error": {"message": f"busy {said}", "code": KEY}}, 503, {"retry-after": "0"})
        return error_reply(401, f"bad key {said}") if len(server.requests) > 3 else text_body("Hi.")

    with Loopback.in_thread(answer, way.dialect) as server:
        place = Endpoint(server.base_url, api_key=KEY, profile=PROFILES[way.dialect])
        with closing(Agent("m", endpoint=place, settings=ModelSettings(temperature=0.5))) as agent:
            events = []
            assert way.ask(agent, events=events).text == "Hi."
            with pytest.raises(AgentloopError) as caught:
                way.ask(agent)
    told = [event for event in events if isinstance(event, (Notice, Retrying))]
    everything = f"{told} {caught.value!r} {caught.value} {caplog.text} {lessons_path().read_text()} {LESSONS}"
    assert KEY not in everything
    assert HIDDEN in str(caught.value)
    assert "temperature" in lessons_path().read_text()


def test_a_warning_holds_no_key():
    transport = HttpTransport(endpoint("http://127.0.0.1:19/v1"))
    transport._pool._warn(f"the key {KEY} will expire")
    assert transport.take_warnings() == [f"the endpoint warns: the key {HIDDEN} will expire"]


# --- where it was learned ---


def test_a_place_has_no_password_and_tells_queries_apart():
    plain, secret = "https://host:8443/v1", "https://ann:pw1@host:8443/v1/"
    assert find_place(Endpoint(secret)) == find_place(Endpoint(plain)) == plain
    one, other = (find_place(Endpoint(f"{secret}?key={key}")) for key in ("k-1", "k-2"))
    assert one != other
    assert one.startswith(f"{plain}?query-")
    assert "k-1" not in one


def test_a_password_that_an_older_version_stored_is_not_shown():
    remember("https://ann:pw1@host/v1", "m", [ROUTE])
    [known] = read_lessons()[0]
    assert known.place == "https://host/v1"
    assert resolve_profile(Endpoint("https://bob:pw2@host/v1"), "m").profile.route == "chat"


def test_settings_of_a_place_are_found_by_its_whole_url(tmp_path, monkeypatch):
    path = tmp_path / "agentloop.toml"
    monkeypatch.setenv("AGENTLOOP_CONFIG", str(path))
    path.write_text('[profile."https://host/v1?version=3"]\nroute = "chat"\n')
    assert resolve_profile(Endpoint("https://host/v1?version=3"), "m").profile.route == "chat"
    assert resolve_profile(Endpoint("https://host/v1?version=4"), "m").profile.route == "responses"


# --- the file ---


def entry(**changes):
    remember("http://127.0.0.1:9/v1", "m", [ROUTE])
    path = lessons_path()
    content = json.loads(path.read_text())
    content["learned"] = [content["learned"][0] | changes]
    path.write_text(json.dumps(content))
    return read_lessons()[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"field": "context_tokens", "was": None, "now": 1},
        {"field": "context_tokens", "was": 4096, "now": None},
        {"field": "refused", "was": [], "now": ["messages"]},
        {"field": "requests_per_minute", "was": None, "now": 0.001},
        {"learned": "2999-01-01T00:00:00+00:00"},
        {"base_url": "http://a@[::1/v1"},
    ],
)
def test_a_lesson_that_would_stop_all_runs_is_passed_over(changes):
    assert entry(**changes) == []


@pytest.mark.parametrize(
    ("changes", "times", "length"),
    [
        ({"why": "x" * 9000}, 1, 400),
        ({"times": 7}, 7, 3),
        ({"times": -7}, 1, 3),
        ({"times": "many"}, 1, 3),
        ({"times": True}, 1, 3),
    ],
)
def test_what_a_file_says_of_a_lesson_is_cut_to_what_it_can_be(changes, times, length):
    [known] = entry(**changes)
    assert (known.lesson.times, len(known.lesson.why)) == (times, length)
    assert entry(field="context_tokens", was=None, now=4096)
    assert entry(field="refused", was=[], now=["user"])


def test_a_lesson_that_is_learned_again_is_counted_and_dated_anew():
    [known] = entry(learned=(datetime.now(UTC) - timedelta(days=2)).isoformat())
    remember(known.place, "m", [ROUTE])
    [again] = read_lessons()[0]
    assert (again.lesson.times, again.learned > known.learned) == (2, True)
    source = resolve_profile(Endpoint("http://127.0.0.1:9/v1"), "m").sources["route"]
    assert source == f"learned on {again.learned:%Y-%m-%d}, 2 times: 404"


def test_a_file_that_is_none_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setenv("AGENTLOOP_CACHE", str(tmp_path))
    assert "is no regular file" in read_lessons()[1][0]
    large = tmp_path / "learned.json"
    monkeypatch.setenv("AGENTLOOP_CACHE", str(large))
    with large.open("wb") as file:
        file.truncate(5_000_000)
    assert "more than 4000000 bytes" in read_lessons()[1][0]


# --- what another process does to the file ---


def in_another_process(act):
    """Change the file as a process would that has learned nothing itself."""
    kept = dict(LESSONS)
    LESSONS.clear()
    act()
    LESSONS.clear()
    LESSONS.update(kept)


def test_what_another_process_forgets_is_forgotten_when_the_next_run_begins():
    def answer(request):
        return error_reply(400, "unknown parameter 'user'") if "user" in request.json else text_body("Hi.")

    with serving(answer, settings=ModelSettings(user="me")) as (agent, server):
        place = server.base_url
        for act, requests in (
            (lambda: None, 2),
            (lambda: None, 3),
            (lambda: forget(place, "any"), 5),
            (lambda: lessons_path().unlink(), 7),
            (lambda: remember(place, "other", [ROUTE]), 8),
            (lambda: lessons_path().write_text("{"), 9),
        ):
            in_another_process(act)
            assert agent.run_sync("go").text == "Hi."
            assert len(server.requests) == requests


def test_what_another_process_learns_is_known_when_the_next_run_begins():
    with serving([text_body("Hi.")] * 2) as (agent, server):
        agent.run_sync("go")
        in_another_process(lambda: remember(server.base_url, "any", [ROUTE]))
        agent.run_sync("go")
        assert [request.path for request in server.requests] == ["/v1/responses", "/v1/chat/completions"]

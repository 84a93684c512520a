"""Where requests go: paths before a base URL's query, and no proxy in front of this machine unless it is asked for."""

import os

import pytest

from agentloop import Agent, ConfigurationError, Endpoint, RateLimitedError, ServerError, UnreachableError
from agentloop.cli.commands.models import list_models
from agentloop.endpoint.proxies import is_local, is_proxied
from agentloop.wire.profile import add_path
from loopback import Loopback, Reply, error_reply, html_reply, json_reply, text_body
from ways import CHAT, NATIVE, PROFILES

ELSEWHERE = "http://model.invalid/v1"
DEAD = "http://127.0.0.1:1"
ways = pytest.mark.parametrize("way", [*NATIVE, *CHAT], ids=lambda way: f"{way.name}-{way.dialect}")
clients = pytest.mark.parametrize("http", ["httpx", "aiohttp"])


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in os.environ:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def ask(base_url, http="auto", **fields):
    agent = Agent("any", endpoint=Endpoint(base_url, http=http, **{"retries": 0, **fields}))
    try:
        return agent.run_sync("go").text
    finally:
        agent.close()


# --- the query of a base URL ---


@ways
@clients
@pytest.mark.parametrize(
    ("tail", "before", "query"),
    [
        ("?api-version=2026-01-01", "/v1", "?api-version=2026-01-01"),
        ("/?a=1&b=2", "/v1", "?a=1&b=2"),
        ("/deployments/x?key=s%2Fcret", "/v1/deployments/x", "?key=s%2Fcret"),
        ("?redirect=http://elsewhere/v2", "/v1", "?redirect=http://elsewhere/v2"),
        ("//", "/v1", ""),
    ],
)
def test_the_path_goes_before_the_query(way, http, tail, before, query):
    with Loopback.in_thread([text_body("hi")]) as server:
        endpoint = Endpoint(server.base_url + tail, http=http, profile=PROFILES[way.dialect])
        agent = Agent("any", endpoint=endpoint)
        assert way.ask(agent).text == "hi"
        agent.close()
    path = "/responses" if way.dialect == "native" else "/chat/completions"
    assert server.requests[0].path == before + path + query


@pytest.mark.parametrize("tail", ["#", "#main", "?a=1#b", "/#/v1"])
def test_a_fragment_is_the_users_mistake(tail):
    with pytest.raises(ConfigurationError, match="base_url has a fragment") as raised:
        ask(f"http://127.0.0.1:1/v1{tail}")
    assert "%23" in raised.value.hint


def test_errors_do_not_show_the_query_which_may_hold_a_key():
    with pytest.raises(UnreachableError) as raised:
        ask("http://127.0.0.1:1/v1?key=secret")
    assert "secret" not in str(raised.value)
    with Loopback.in_thread([json_reply({}, 307, {"location": "/v2/responses?key=secret"})]) as server:
        with pytest.raises(Exception, match="redirects to /v2/responses") as redirected:
            ask(f"{server.base_url}?key=secret")
        assert "secret" not in str(redirected.value)


def test_the_list_of_models_is_asked_for_before_the_query_too(capsys):
    with Loopback.in_thread([json_reply({"data": [{"id": "m-1"}]})]) as server:
        assert list_models(None, f"{server.base_url}/?api-version=1", as_json=True) == 0
    assert server.requests[0].path == "/v1/models?api-version=1"


def test_a_path_is_added():
    assert add_path("http://h/v1/?a=b?c", "/x") == "http://h/v1/x?a=b?c"


# --- proxies ---


@clients
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_proxy_of_the_environment_stands_before_this_machine(http, name, monkeypatch):
    monkeypatch.setenv(name, DEAD)
    with Loopback.in_thread([text_body("hi"), text_body("hi")]) as server:
        assert ask(server.base_url, http) == "hi"
        assert ask(server.base_url.replace("127.0.0.1", "localhost"), http) == "hi"


@clients
def test_a_proxy_that_is_asked_for_is_used_for_this_machine_too(http, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with Loopback.in_thread([text_body("hi")]) as proxy:
        assert ask("http://127.0.0.1:1/v1", http, proxy=f"http://127.0.0.1:{proxy.port}") == "hi"
    assert proxy.requests[0].path == "http://127.0.0.1:1/v1/responses"


def test_a_proxy_that_can_not_be_one_is_the_users_mistake():
    with pytest.raises(ConfigurationError, match="no connection can be made"):
        ask(ELSEWHERE, proxy="carrier-pigeon://loft")


def test_the_list_of_models_of_this_machine_comes_without_a_proxy(monkeypatch, capsys):
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    with Loopback.in_thread([json_reply({"data": [{"id": "m-1"}]})]) as server:
        assert list_models(None, server.base_url, as_json=True) == 0


@clients
def test_an_error_behind_a_proxy_says_that_there_may_be_one(http, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    with pytest.raises(UnreachableError) as raised:
        ask(ELSEWHERE, http)
    assert "NO_PROXY" in raised.value.hint
    with Loopback.in_thread([html_reply(503)]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(ServerError) as answered:
            ask(ELSEWHERE, http)
    assert "NO_PROXY" in answered.value.hint


@clients
@pytest.mark.parametrize(("status", "error"), [(429, RateLimitedError), (503, ServerError)])
def test_an_error_of_the_endpoint_itself_says_nothing_of_a_proxy(http, status, error, monkeypatch):
    with Loopback.in_thread([error_reply(status)] * 2 + [Reply(status=status)]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(error) as raised:
            ask(ELSEWHERE, http)
        with pytest.raises(error) as direct:
            ask(proxy.base_url, http)
    assert "NO_PROXY" not in raised.value.hint + direct.value.hint


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("api.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("127.1", True),
        ("0x7f000001", True),
        ("2130706433", True),
        ("0.0.0.0", True),  # noqa: S104 - nothing is bound to it
        ("[::1]", True),
        ("[::]", True),
        ("[::ffff:127.0.0.1]", True),
        ("[fe80::1%25eth0]", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("notlocalhost", False),
        ("192.168.0.7", False),
        ("10.0.0.1", False),
        ("example.com", False),
        ("bücher.example", False),
    ],
)
def test_what_this_machine_is(host, expected):
    assert is_local(f"http://{host}:8000/v1") is expected


def test_which_hosts_have_a_proxy(monkeypatch):
    assert not is_proxied(ELSEWHERE)
    monkeypatch.setenv("HTTPS_PROXY", DEAD)
    assert not is_proxied(ELSEWHERE)
    assert is_proxied("https://model.invalid/v1")
    assert not is_proxied("https://localhost/v1")
    monkeypatch.setenv("NO_PROXY", ".invalid")
    assert not is_proxied("https://model.invalid/v1")
    monkeypatch.setenv("ALL_PROXY", DEAD)
    assert is_proxied("http://example.com/v1")


@pytest.mark.parametrize("name", ["timeout_seconds", "idle_timeout_seconds"])
def test_a_time_limit_must_be_above_zero(name):
    with pytest.raises(ConfigurationError, match=f"{name}=0 is not a number above 0"):
        Endpoint(ELSEWHERE, **{name: 0})


@pytest.mark.parametrize("name", ["retries", "give_up_after_seconds"])
def test_nothing_is_tried_less_than_no_times(name):
    with pytest.raises(ConfigurationError, match="at least 0"):
        Endpoint(ELSEWHERE, **{name: -1})

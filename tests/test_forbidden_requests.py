"""Blocks in which no request reaches an endpoint."""

import asyncio
import threading

import pytest

from agentloop import Agent, Endpoint, UserError
from agentloop.endpoint.interception import GUARDS
from agentloop.testing import RequestForbiddenError, ScriptedEndpoint, forbid_requests
from loopback import Loopback, text_body


@pytest.fixture
def server():
    with Loopback.in_thread(lambda _: text_body("hi")) as server:
        yield server


WAYS = {
    "run": lambda agent: agent.run("go"),
    "run_sync": lambda agent: asyncio.to_thread(agent.run_sync, "go"),
    "stream_sync": lambda agent: asyncio.to_thread(list, agent.stream_sync("go")),
}


@pytest.mark.parametrize("go", WAYS.values(), ids=WAYS)
async def test_no_request_is_sent_in_the_block_and_again_after_it(server, go):
    agent = Agent("m", endpoint=Endpoint(server.base_url))
    with forbid_requests(), pytest.raises(RequestForbiddenError, match=r"127\.0\.0\.1"):
        await go(agent)
    assert server.requests == []
    assert (await agent.run("go")).text == "hi"
    await agent.aclose()


def test_the_error_says_what_to_do_and_no_secret():
    agent = Agent("m", endpoint=Endpoint("https://ada:secret@models.example/v1?key=hidden", api_key="key"))
    with forbid_requests(), pytest.raises(RequestForbiddenError) as raised:
        agent.run_sync("go")
    assert isinstance(raised.value, UserError)
    told = str(raised.value)
    assert "models.example" in told
    assert "ScriptedEndpoint" in told
    assert "cassette" in told
    assert "forbid_requests(allowed_hosts=['models.example'])" in told
    assert "secret" not in told
    assert "hidden" not in told


def test_no_server_is_started_for_a_request_that_is_forbidden(monkeypatch):
    monkeypatch.setattr("agentloop.ext.local.start", lambda _: pytest.fail("the server was started"))
    with forbid_requests(), pytest.raises(RequestForbiddenError):
        Agent("local:smollm2").run_sync("go")


def test_a_script_answers_in_the_block():
    with forbid_requests():
        assert Agent("m", endpoint=ScriptedEndpoint(["hi"])).run_sync("go").text == "hi"


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        (["models.example"], "https://models.example/v1"),
        (["Models.Example"], "https://MODELS.example:8443/v1"),
        (["*.example"], "https://eu.models.example/v1"),
        (["*"], "https://anywhere.test/v1"),
        (["localhost"], "http://127.0.0.1:8000/v1"),
        (["localhost"], "http://[::1]:8000/v1"),
        (["localhost"], "http://localhost:11434/v1"),
        (["a.example", "models.example"], "https://models.example/v1"),
    ],
)
def test_hosts_can_be_allowed(hosts, url):
    with forbid_requests(allowed_hosts=hosts):
        for guard in GUARDS:
            guard(Endpoint(url))


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        (["models.example"], "https://models.example.org/v1"),
        (["example"], "https://models.example/v1"),
        (["localhost"], "https://localhost.models.example/v1"),
        (["localhost"], "http://192.168.0.1/v1"),
        (["127.0.0.1"], "http://127.0.0.2/v1"),
    ],
)
def test_other_hosts_stay_forbidden(hosts, url):
    with forbid_requests(allowed_hosts=hosts), pytest.raises(RequestForbiddenError):
        Agent("m", endpoint=Endpoint(url)).run_sync("go")


def test_an_outer_block_stays_in_force(server):
    agent = Agent("m", endpoint=Endpoint(server.base_url))
    with forbid_requests(), forbid_requests(allowed_hosts=["*"]), pytest.raises(RequestForbiddenError):
        agent.run_sync("go")
    with forbid_requests(allowed_hosts=["*"]):
        assert agent.run_sync("go").text == "hi"
    agent.close()


def test_it_holds_in_all_threads(server):
    agent, errors = Agent("m", endpoint=Endpoint(server.base_url)), []

    def go():
        try:
            agent.run_sync("go")
        except RequestForbiddenError as error:
            errors.append(error)

    with forbid_requests():
        thread = threading.Thread(target=go)
        thread.start()
        thread.join(60)
    assert len(errors) == 1
    assert server.requests == []

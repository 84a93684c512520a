"""A canary in every place that holds a secret is looked for in everything that a user, a log or a file gets."""

import json
import logging
import traceback
from base64 import b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentloop import (
    Agent,
    AgentloopError,
    ConfigurationError,
    Endpoint,
    ModelSettings,
    Profile,
    UnreachableError,
    tool,
)
from agentloop.cli.commands.models import _ask_server
from agentloop.endpoint.profile_store import find_place, lessons_path
from agentloop.endpoint.transport import hiding_secrets
from agentloop.wire.profile.lessons import LESSONS
from loopback import Loopback, Reply, json_reply, sse_reply, text_body

CANARIES = {
    "api_key": "kx-7Qm2canaryKEY81",
    "header": "hx9canaryHEADER.5",
    "cookie": "cx4canaryCOOKIE77",
    "user": "ux1canaryUSER",
    "password": "px/2canary PASS@9",
    "query": "qx3canaryQUERY=8",
    "path": "t0ken-canaryPATH-6",
}


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def endpoint(address, places, route, http):
    """Return an endpoint with a canary in each of these places."""
    user, password, query = (CANARIES[name] if name in places else "" for name in ("user", "password", "query"))
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    path = f"/{CANARIES['path']}" if "path" in places else ""
    headers = {"X-Team": CANARIES["header"]} if "header" in places else {}
    headers |= {"Cookie": f"sid={CANARIES['cookie']}; a=b"} if "cookie" in places else {}
    return Endpoint(
        f"http://{login}{address}{path}/v1" + (f"?code={quote(query, safe='')}" if query else ""),
        api_key=CANARIES["api_key"] if "api_key" in places else None,
        headers=headers,
        profile=Profile(route=route),
        retries=0,
        http=http,
    )


def echo(request):
    """Return all that a request says about who sent it."""
    return json.dumps([request.path, *map(list, request.headers.items())])


def refuse(status):
    return lambda said: json_reply({"error": {"message": f"no {said}", "code": said, "type": said}}, status)


def warn(said):
    reply = json_reply(text_body("Hi."))
    return Reply(reply.parts, headers={"warning": f"299 - {said}", "x-request-id": said})


ANSWERS = {
    **{f"refused with {status}": refuse(status) for status in (400, 401, 403, 404, 429, 500)},
    "an error in a reply": lambda said: json_reply({"error": {"message": said, "code": said}}),
    "a page": lambda said: Reply((f"<html><title>{said}</title>{said}".encode(),), 502, "text/html"),
    "no JSON": lambda said: Reply((f"oops {said}".encode(),)),
    "a stream with an error": lambda said: sse_reply([("error", {"type": "error", "message": said, "code": said})]),
    "a parameter": lambda said: json_reply({"error": {"message": f"temperature is not supported {said}"}}, 400),
    "a warning": warn,
    "an odd end": lambda said: json_reply(
        text_body("Hi.", status="incomplete", incomplete_details={"reason": said}, id=said, model=said)
    ),
    "an odd finish": lambda said: json_reply(
        {"id": said, "choices": [{"message": {"role": "assistant", "content": None}, "finish_reason": said}]}
    ),
    "a noted finish": lambda said: json_reply(
        {
            "choices": [
                {"message": {"role": "assistant", "content": "Hi."}, "finish_reason": f"as {CANARIES['api_key']}"}
            ]
        }
    ),
    "another shape": lambda said: json_reply({"detail": [{"loc": [said], "msg": said, "type": said}]}, 422),
    "a moved address": lambda said: Reply(status=307, headers={"location": f"http://x/{said}"}),
}


def is_content(name):
    return name in {"TextDelta", "ReasoningDelta"}


def spellings(secret):
    yield from (secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1])
    yield b64encode(secret.encode()).decode().rstrip("=")[:-1]


def found_in(text, places):
    return {name for name in places for spelling in spellings(CANARIES[name]) if spelling in text}


def play(places, answer, route, http, *, stream, caplog):
    """Run an agent, and return everything that came out of it besides the answer."""
    caplog.clear()
    told = []

    def reply(request):
        return ANSWERS[answer](echo(request)) if len(server.requests) < 4 else json_reply(text_body("Hi."))

    with Loopback.in_thread(reply) as server:
        address = server.base_url.removeprefix("http://").removesuffix("/v1")
        place = endpoint(address, places, route, http)
        agent = Agent("m", endpoint=place, tools=[add], settings=ModelSettings(temperature=0.5))
        told += [each.replace(CANARIES["path"], "") for each in (repr(place), repr(agent), find_place(place))]
        try:
            if stream:
                events = [event for event in agent.stream_sync("go") if not is_content(type(event).__name__)]
                told += map(repr, events)
            else:
                told.append(repr(agent.run_sync("go").run.to_json()))
        except AgentloopError as error:
            told += [repr(error), str(error), error.hint, *traceback.format_exception(error), repr(vars(error))]
            told.append("" if error.run is None else str(error.run.to_json()))
        agent.close()
    path = lessons_path()
    learned = [repr(LESSONS), path.read_text() if path.exists() else ""]
    told += [caplog.text, *(each.replace(find_place(place), "") for each in learned)]
    return "\n".join(told)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(st.sampled_from(sorted(CANARIES)), min_size=1),
    st.sampled_from(sorted(ANSWERS)),
    st.sampled_from(["responses", "chat"]),
    st.sampled_from(["httpx", "aiohttp"]),
    st.booleans(),
)
def test_no_canary_gets_out(caplog, places, answer, route, http, stream):
    caplog.set_level(logging.DEBUG)
    LESSONS.clear()
    assert found_in(play(places, answer, route, http, stream=stream, caplog=caplog), places) == set()


@pytest.mark.parametrize("answer", sorted(ANSWERS))
@pytest.mark.parametrize("http", ["httpx", "aiohttp"])
def test_no_canary_gets_out_with_all_of_them(caplog, answer, http):
    caplog.set_level(logging.DEBUG)
    said = play(CANARIES, answer, "responses", http, stream=http == "httpx", caplog=caplog)
    assert found_in(said, CANARIES) == set()


def test_a_notice_shows_no_canary(caplog):
    said = play({"api_key"}, "a noted finish", "chat", "httpx", stream=True, caplog=caplog)
    assert "not known: 'as ***'" in said
    assert found_in(said, {"api_key"}) == set()


def fail(secret):
    """Raise an error that other errors have led to, all with a secret."""
    error = UnreachableError("the connection failed", hint=f"look at {secret}")
    error.__cause__ = ValueError(7, f"bad address {secret}")
    error.__cause__.__context__ = OSError(2, f"no route to {secret}")
    error.__cause__.__context__.__context__ = OSError("no number")
    error.__cause__.__context__.__context__.__cause__ = error.__cause__
    raise error


def test_an_error_that_led_to_another_shows_no_canary():
    place = endpoint("host", {"password", "user"}, "chat", "httpx")
    with pytest.raises(AgentloopError) as caught, hiding_secrets(place):
        fail(CANARIES["password"])
    told = "".join([*traceback.format_exception(caught.value), caught.value.hint])
    assert "no route to ***" in told
    assert CANARIES["password"] not in told


@pytest.mark.parametrize(
    "base_url",
    [
        "ftp://ann:canary1@host/v1",
        "ann:canary1@host/v1",
        "http://ann:cana/ry1canary1@host/v1",
        "http://ann:canary1@host:port/v1",
        "http://ann:canary1@[::1/v1",
        "http://an n:canary1@host/v1",
        "host/v1?key=canary1",
        b"http://ann:canary1@host/v1",
        ["http://ann:canary1@host/v1"],
    ],
)
def test_an_address_that_is_none_is_shown_without_its_secrets(base_url):
    with pytest.raises(ConfigurationError) as caught:
        Endpoint(base_url)
    assert "canary1" not in "".join(traceback.format_exception(caught.value))


def test_a_proxys_password_is_not_shown(caplog):
    caplog.set_level(logging.DEBUG)
    for proxy in ("http://ann:canary1@127.0.0.1:9", "nonsense://ann:canary1@host", "http://ann:canary1@[::"):
        place = Endpoint("http://127.0.0.1:9/v1", proxy=proxy, retries=0)
        with pytest.raises(AgentloopError) as caught:
            Agent("m", endpoint=place).run_sync("go")
        told = "".join([*traceback.format_exception(caught.value), caplog.text, repr(place), repr(caught.value)])
        assert "canary1" not in told


@pytest.mark.parametrize(
    ("base_url", "shown"),
    [
        ("https://ann:pw@host:8443/v1", "https://***@host:8443/v1"),
        ("https://ann@host/v1?code=1", "https://***@host/v1?***"),
        ("https://host/@cf/v1", "https://host/@cf/v1"),
        ("https://host/v1", "https://host/v1"),
    ],
)
def test_an_endpoint_is_shown_without_its_secrets(base_url, shown):
    place = Endpoint(base_url, api_key="canary1", headers={"A": "canary1"}, extra_body={"token": "canary1"}, retries=7)
    assert repr(place).startswith(f"Endpoint(base_url='{shown}', profile=Profile(")
    assert "retries=7" in repr(place)
    assert "canary1" not in repr(place)


def test_a_list_of_models_that_is_refused_shows_no_canary(caplog):
    with Loopback.in_thread(lambda request: refuse(401)(echo(request))) as server:
        address = server.base_url.removeprefix("http://").removesuffix("/v1")
        with pytest.raises(AgentloopError) as caught:
            _ask_server(endpoint(address, CANARIES, "responses", "httpx"))
    told = "".join([*traceback.format_exception(caught.value), caught.value.hint, caught.value.code])
    assert found_in(told, CANARIES) == set()

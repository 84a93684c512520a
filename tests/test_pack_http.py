"""The http pack against servers on this machine; names are given addresses by the tests, never by the network."""

import asyncio
import base64
import gzip
import json
import logging
import os
import subprocess
import sys
import time
from email.utils import formatdate
from html import escape
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agentloop import Agent, ConfigurationError, ToolError
from agentloop.policy import Approve, Policy
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.http import Http, HttpConfig
from agentloop_tools.http.api_root import ApiRoot, leaves
from agentloop_tools.http.pick import pick
from agentloop_tools.http.secrets import Secrets
from clock import stop_clock
from loopback import CUT, Gate, Loopback, Reply, json_reply

TOKEN = 'sEcret/+"&<token> 1'  # noqa: S105 - it opens nothing
ENVIRONMENT = {"MY_TOKEN": TOKEN}
BEARER = {"Authorization": "Bearer {MY_TOKEN}"}
PATIENCE_SECONDS = 60  # for what would never end
PATIENT = {"seconds": PATIENCE_SECONDS}
ALL = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


def base_of(server, path="/v1"):
    return server.base_url.removesuffix("/v1") + path


class Tools:
    """A pack's tools for a test, called as functions; what it would have slept is written down."""

    def __init__(self, server, base="/v1", **fields):
        async def sleep(seconds):
            self.slept.append(seconds)

        self.slept = []
        address = server if isinstance(server, str) else base_of(server, base)
        config = HttpConfig(**{"base_url": address, "headers": BEARER, "methods": ALL} | PATIENT | fields)
        self._open = Http(config, environment=ENVIRONMENT, sleep=sleep).open()

    async def __aenter__(self):
        self.tools = {each.name: each for each in await self._open.__aenter__()}
        return self

    async def __aexit__(self, *raised):
        await self._open.__aexit__(*raised)

    async def __call__(self, name, *args, **kwargs):
        return await asyncio.wait_for(self.tools[name](*args, **kwargs), PATIENCE_SECONDS)

    async def refusal(self, name, *args, **kwargs):
        with pytest.raises(ToolError) as caught:
            await self(name, *args, **kwargs)
        return caught.value.message


# --- what it does ---


async def test_something_is_asked_for_with_what_the_configuration_adds():
    async with Loopback([json_reply({"id": 7})]) as server, Tools(server, query={"api_key": "{MY_TOKEN}"}) as tools:
        said = await tools("get", "/items/a b/7?x=1&api_key=mine", {"on": True, "n": 1.5, "api_key": "mine"})
    assert said == '200 application/json\n{"id": 7}'
    (request,) = server.requests
    path, _, query = request.path.partition("?")
    assert (request.method, path) == ("GET", "/v1/items/a%20b/7")
    assert query == f"x=1&on=true&n=1.5&api_key={quote_plus(TOKEN)}"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["host"] in server.base_url
    assert "content-length" not in request.headers


async def test_something_is_changed():
    async with Loopback([json_reply({"ok": True}, 201), Reply(status=204)]) as server, Tools(server) as tools:
        assert await tools("send", "POST", "items", {"name": "ä"}) == '201 application/json\n{"ok": true}'
        assert await tools("send", "DELETE", "items/7", pick="x") == "204 application/json"
    post, delete = server.requests
    assert (post.method, post.path, post.json) == ("POST", "/v1/items", {"name": "ä"})
    assert post.headers["content-type"] == "application/json"
    assert (delete.method, delete.body) == ("DELETE", b"")
    assert "content-type" not in delete.headers


async def test_a_head_shows_headers_with_no_secret_in_them():
    echo = Reply(headers={"x-count": "7", "x-key": TOKEN})
    async with Loopback([echo]) as server, Tools(server) as tools:
        said = await tools("get", "", method="HEAD")
    assert server.requests[0].path == "/v1"
    assert "x-count: 7" in said
    assert "x-key: [MY_TOKEN]" in said


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_a_refusal_of_the_api_is_told_in_its_own_words(status):
    async with Loopback([json_reply({"error": "no such item"}, status)]) as server, Tools(server) as tools:
        said = await tools.refusal("get", "items/7", pick="x")
    assert said == f'{status} application/json\n{{"error": "no such item"}}'


async def test_what_is_no_text_is_counted_and_not_shown():
    async with Loopback([Reply((b"\x89PNG\0",), content_type="image/png")]) as server, Tools(server) as tools:
        assert await tools("get", "logo") == "200 image/png\n[5 bytes, which are not text]"


def test_parts_are_picked():
    value = {"items": [{"id": 1, "tags": ["a"]}, {"id": 2, "tags": []}]}
    assert pick(value, "") == value
    assert pick(value, "items.1.id") == 2
    assert pick(value, "items.*.id") == [1, 2]
    assert pick(value, "items.*.tags.*") == [["a"], []]
    for path, why in {
        "item": "the object has items",
        "items.2": "the list has 2 entries",
        "items.x": "the list has 2",
        "items.0.id.x": "the value is int",
        "items.²": "the list has 2",
        "items.0000000005": "the list has 2",
        f"items.{'0' * 5_000}": "the list has 2",
    }.items():
        with pytest.raises(ToolError, match=why):
            pick(value, path)


async def test_a_part_of_an_answer_is_picked_from_json_alone():
    replies = [json_reply({"a": {"b": "text"}}), json_reply({"a": [1]}), Reply((b"<p>",)), Reply((b"[" * 100_000,))]
    async with Loopback(replies) as server, Tools(server) as tools:
        assert await tools("get", "", pick="a.b") == "200 application/json\ntext"
        assert await tools("get", "", pick="a") == "200 application/json\n[1]"
        for _ in range(2):
            assert "nothing can be picked" in await tools.refusal("get", "", pick="a")


# --- nothing leads out of the base ---

WAYS_OUT = [
    *("..", "../admin", "/items/../../admin", "items/..", "./../x", "%2e%2e/admin", "%2E./admin", "a/%2e%2e%2fadmin"),
    *("..%2fadmin", "..%5cadmin", "..\\admin", "\\\\evil.example", "%252e%252e/admin", "%25252e%25252e/admin"),
    *(
        "..;/admin",
        "..;a=b/admin",
        "%2e%2e;/admin",
        "%c0%ae%c0%ae/admin",
        "\uff0e\uff0e/admin",
        "%ef%bc%8e%ef%bc%8e/x",
        "‥/x",
    ),
    *("//evil.example/x", "///evil.example", "http://evil.example/", "https://evil.example/v1", "file:///etc/passwd"),
    *("x://y", "a\r\nHost: evil.example", "a%0d%0aHost:%20evil.example", "a\0", "a%00", "a\tb", ".. /x", "%2e%2e%20/x"),
    *("a%", "a%zz", "\ud800", "a" * 5_000, "%" + "25" * 20 + "2e"),
]


@pytest.mark.parametrize("path", WAYS_OUT)
async def test_no_path_leads_out_of_the_base(path):
    async with Loopback([]) as server, Tools(server) as tools:
        await tools.refusal("get", path)
    assert server.connections == 0


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("@evil.example/x", "/v1/@evil.example/x"),
        ("@scope%2fname", "/v1/@scope%2fname"),
        (":80@evil.example", "/v1/:80@evil.example"),
        (".evil.example", "/v1/.evil.example"),
        ("a...b/..c", "/v1/a...b/..c"),
        ("groups/a%2Fb", "/v1/groups/a%2Fb"),
        ("evil.example", "/v1/evil.example"),
        ("a#b", "/v1/a%23b"),
        ("?q=../..//%20a b", "/v1?q=..%2F..%2F%2F+a+b"),
        ("", "/v1"),
        ("/", "/v1"),
    ],
)
async def test_what_only_looks_like_a_way_out_stays_under_the_base(path, sent):
    async with Loopback([json_reply(1)]) as server, Tools(server) as tools:
        await tools("get", path)
    assert [request.path for request in server.requests] == [sent]
    assert server.requests[0].headers["host"] in server.base_url


async def test_a_whole_url_is_taken_if_it_is_under_the_base():
    async with Loopback([json_reply(1)]) as server, Tools(server) as tools:
        await tools("get", f"{base_of(server)}/items")
        await tools.refusal("get", f"{base_of(server, '')}/other")
    assert [request.path for request in server.requests] == ["/v1/items"]


@given(st.text() | st.text(alphabet="./\\%2eE5cCfF;@:?#& \r\na"), st.dictionaries(st.text(), st.text(), max_size=2))
def test_whatever_the_path_the_request_stays_under_the_base(path, query):
    root = ApiRoot("https://api.example:8443/v1/x")
    try:
        url = httpx2.URL(root.locate(path, list(query.items())))
    except ToolError:
        return
    root.vet(url)
    assert (url.scheme, url.host, url.port, url.userinfo) == ("https", "api.example", 8_443, b"")
    assert url.path == "/v1/x" or url.path.startswith("/v1/x/")
    assert url.raw_path.isascii()
    assert not any(byte <= 32 or byte == 127 for byte in url.raw_path)
    unpacked = url.path
    for _ in range(5):
        assert ".." not in unpacked.replace("\\", "/").split("/")
        unpacked = unquote(unpacked)


def test_a_path_packed_deeper_than_anyone_packs_is_taken_for_a_way_out():
    assert leaves("%" + "25" * 10 + "41")
    assert not leaves("%2541")


@pytest.mark.parametrize(
    "location",
    [
        "/other",
        "/v1x/items",
        "../../other",
        "/v1/%2e%2e/other",
        "/v1/a%2f..%2f..%2fother",
        "//evil.example/v1/",
        "http://10.0.0.1/v1/",
        "http://169.254.169.254/v1/",
        "http://127.0.0.1:1/v1/",
        "https://127.0.0.1/v1/",
        "file:///v1/",
    ],
)
async def test_a_redirect_out_of_the_base_is_not_followed(location):
    async with Loopback([Reply(status=302, headers={"location": location})]) as server, Tools(server) as tools:
        await tools.refusal("get", "items/7")
    assert [request.path for request in server.requests] == ["/v1/items/7"]


async def test_a_redirect_within_the_base_is_followed_for_what_changes_nothing():
    moved = Reply(status=307, headers={"location": "/v1/new"})
    async with Loopback([moved, json_reply(1), moved]) as server, Tools(server) as tools:
        assert await tools("get", "old") == "200 application/json\n1"
        assert await tools("send", "POST", "old", {}) == "307 application/json\nlocation: /v1/new"
    assert [request.path for request in server.requests] == ["/v1/old", "/v1/new", "/v1/old"]
    assert server.requests[1].headers["authorization"] == f"Bearer {TOKEN}"


async def test_a_base_without_a_path_takes_everything_on_its_host():
    async with Loopback([json_reply(1)]) as server, Tools(server, base="/") as tools:
        await tools("get", "/a/b")
        assert "the path must be under" in await tools.refusal("get", "//evil.example")
    assert [request.path for request in server.requests] == ["/a/b"]


async def test_only_the_base_may_be_on_a_private_network():
    async def resolve(host, port):
        return [ip_address("127.0.0.1")]

    async with Loopback([json_reply(1), Reply(status=302, headers={"location": "http://other.example/v1"})]) as server:
        config = HttpConfig(base_url=base_of(server).replace("127.0.0.1", "api.corp"))
        async with Http(config, resolve=resolve).open() as (get,):
            assert await get("x") == "200 application/json\n1"
            with pytest.raises(ToolError, match=r"not under http://api.corp"):
                await get("x")


async def test_methods_that_are_not_declared_are_neither_offered_nor_sent():
    async with Loopback([]) as server:
        async with Tools(server, methods=("GET",)) as tools:
            assert list(tools.tools) == ["get"]
            assert "HEAD is not allowed here; allowed are GET" in await tools.refusal("get", "", method="HEAD")
        async with Tools(server, methods="post") as tools:
            assert list(tools.tools) == ["send"]
            assert "DELETE is not allowed" in await tools.refusal("send", "DELETE", "x")
    assert server.connections == 0


async def test_effects_and_descriptions_follow_from_the_configuration():
    async with Tools("https://api.example/v1", about="Items are at /items.", trusted=True) as tools:
        get, send = tools.tools["get"], tools.tools["send"]
    assert (get.effects.hosts, get.effects.read_only, get.effects.open_world) == (("api.example",), True, False)
    assert (send.effects.hosts, send.effects.write, send.effects.destructive) == (("api.example",), True, True)
    assert "The API is at https://api.example/v1. Methods: GET, HEAD" in get.description
    assert get.description.endswith("Items are at /items.")
    assert send.preview("POST", "x", {"a": 1}, {"q": "b"}) == 'POST https://api.example/v1/x?q=b\n{\n "a": 1\n}'
    assert send.preview("DELETE", "x") == "DELETE https://api.example/v1/x"
    assert "headers" not in json.dumps([get.parameters, send.parameters])


# --- secrets ---

ECHOES = [
    TOKEN,
    TOKEN.upper(),
    json.dumps(TOKEN)[1:-1],
    json.dumps(TOKEN).replace("/", "\\/")[1:-1],
    quote(TOKEN, safe=""),
    quote(TOKEN),
    quote_plus(TOKEN).lower(),
    escape(TOKEN),
    "".join(f"\\u{ord(character):04x}" for character in TOKEN),
    "".join(f"&#{ord(character)};" for character in TOKEN),
    "".join(f"&#x{ord(character):X};" for character in TOKEN),
    base64.b64encode(TOKEN.encode()).decode(),
]


@pytest.mark.parametrize("echo", ECHOES)
async def test_an_echoed_secret_is_not_shown(echo):
    replies = [json_reply({"you": echo}), Reply((echo.encode(),), 401), Reply((f"x{echo}y".encode("utf-16"),))]
    async with Loopback(replies) as server, Tools(server) as tools:
        assert "[MY_TOKEN]" in await tools("get", "echo", pick="you")
        for said in (await tools.refusal("get", "echo"), await tools("get", "echo")):
            assert "[MY_TOKEN]" in said
            assert echo not in said


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6), st.text(), st.text())
def test_whatever_the_secret_it_is_taken_out(value, before, after):
    secrets = Secrets(["Bearer {A}"], {"A": value})
    assert secrets.fill("Bearer {A} {B}") == f"Bearer {value} {{B}}"
    for spelled in (value, json.dumps(value)[1:-1], quote(value, safe=""), escape(value)):
        said = secrets.redact(f"{before}\n{spelled}\n{after}")
        assert spelled not in said.replace("[A]", "") or spelled in before + after + "\n\n"
    assert value not in repr(secrets)


@pytest.mark.parametrize("before", ["", "u", "u:", "me:"])
@pytest.mark.parametrize("pack", [base64.b64encode, base64.urlsafe_b64encode])
async def test_a_secret_is_not_shown_within_a_text_in_base64(before, pack):
    secrets = Secrets(["{A}"], {"A": TOKEN + "~~~???"})
    said = secrets.redact(pack(f"{before}{TOKEN}~~~???, and more".encode()).decode())
    (first, last) = said.split("[A]")
    assert len(first) <= len(before) + 2
    assert len(last) < 20


INNER = "ann:staple-battery/77"


@pytest.mark.parametrize(
    "secret",
    [
        base64.b64encode(INNER.encode()).decode(),
        base64.urlsafe_b64encode(INNER.encode()).decode().rstrip("="),
        INNER.encode().hex(),
        quote(INNER, safe=""),
        INNER,
    ],
)
@pytest.mark.parametrize(
    "spell",
    [
        str,
        quote,
        lambda text: text.encode().hex().upper(),
        lambda text: text.encode().hex(":"),
        lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
        lambda text: base64.b64encode(f"x{text}y".encode()).decode(),
        lambda text: "\n".join(base64.b64encode(text.encode()).decode()),
        json.dumps,
    ],
)
def test_what_a_secret_decodes_to_is_a_secret_too_in_any_encoding(secret, spell):
    secrets = Secrets(["Basic {LOGIN}"], {"LOGIN": secret})
    for shown in (secret, INNER, INNER.partition(":")[2]):
        said = secrets.redact(f"you are <{spell(shown)}> of 7")
        assert "[LOGIN]" in said
        assert "battery" not in said
        assert spell(INNER.partition(":")[2]) not in said
        assert said.startswith("you are <")


def test_a_secret_that_decodes_to_a_text_of_another_script_is_found_in_urls():
    login = base64.b64encode("ann:schl\u00fcssel\u00df".encode()).decode()
    secrets = Secrets(["{LOGIN}"], {"LOGIN": login})
    for spelled in ("schl%C3%BCssel%c3%9f", r"schl\u00fcssel\u00df", "schl\u00fcssel\u00df", "schl&#252;ssel&#xdf;"):
        assert secrets.redact(spelled) == "[LOGIN]"


def test_a_short_part_of_a_decoded_secret_is_left():
    secrets = Secrets(["{LOGIN}"], {"LOGIN": base64.b64encode(b"ann:secret7").decode()})
    assert secrets.redact("ann has secret7 and ann:secret7") == "ann has [LOGIN] and [LOGIN]"


async def test_a_name_in_a_secret_is_part_of_it():
    secrets = Secrets(["{A} {B}"], {"A": "first{B}", "B": "second"})
    assert secrets.fill("{A} {B} {C}") == "first{B} second {C}"


async def test_a_secret_is_not_shown_where_a_part_is_missing():
    async with Loopback([json_reply({f"Bearer {TOKEN}": 1})]) as server, Tools(server) as tools:
        said = await tools.refusal("get", "x", pick="you")
    assert said == "there is no 'you': the object has Bearer [MY_TOKEN]"


async def test_a_secret_is_in_no_error_repr_or_log(caplog):
    caplog.set_level(logging.DEBUG)
    leaky = Reply(status=302, headers={"location": f"http://evil.example/{quote(TOKEN)}?k={quote(TOKEN)}"})
    api = Loopback([leaky, Reply((b"x", CUT)), Reply((b"x", CUT))])
    async with api as server, Tools(server, query={"key": "{MY_TOKEN}"}, retries=0) as tools:
        said = [await tools.refusal("get", "x"), await tools.refusal("get", "y")]
        with pytest.raises(ToolError) as caught:
            await tools("get", "z")
        chain, error = [], caught.value
        while error is not None:
            chain.append(repr(error))
            error = error.__cause__
        shown = [*said, *chain, repr(tools.tools), caplog.text]
    assert all(spelled not in text for spelled in ECHOES for text in shown)
    assert any("can't be reached" in text for text in said)


@pytest.mark.parametrize("location", ["http://api.example:port/{}", "/v1/{}"])
async def test_a_secret_in_an_error_of_the_connection_is_not_shown(location):
    moved = Reply(status=302, headers={"location": location.format(quote(TOKEN))})
    async with Loopback([moved, Reply((b"x", CUT))]) as server, Tools(server, retries=0) as tools:
        assert "[MY_TOKEN]" in await tools.refusal("get", "x")


async def test_a_whole_run_knows_nothing_of_the_secret(caplog):
    caplog.set_level(logging.DEBUG)
    async with Loopback([json_reply({"headers": BEARER | {"Authorization": f"Bearer {TOKEN}"}})] * 2) as server:
        config = HttpConfig(base_url=base_of(server), headers=BEARER, methods=ALL)
        calls = [
            call("http_get", {"path": "me"}, "call_1"),
            call("http_send", {"method": "POST", "path": "me"}, "call_2"),
        ]
        endpoint = ScriptedEndpoint([calls, "done"])

        async def approve(*asked):
            return Approve()

        agent = Agent(
            "scripted",
            endpoint=endpoint,
            tools=[Http(config, environment=ENVIRONMENT)],
            policy=Policy(approver=approve),
        )
        result = await agent.run("Who am I?")
    assert result.text == "done"
    assert len(server.requests) == 2
    shown = [json.dumps(endpoint.requests), repr(result), repr(config), caplog.text, result.run.to_json()]
    assert "[MY_TOKEN]" in shown[0]
    assert all(spelled not in str(text) for spelled in ECHOES for text in shown)


@pytest.mark.parametrize(
    "value", [None, "", "  ", "short", "two\nlines of it", "ünicode-secret", "a\r\nHost: evil.example"]
)
async def test_a_secret_that_is_none_is_told_before_anything_is_sent(value):
    environment = {} if value is None else {"MY_TOKEN": value}
    pack = Http(HttpConfig(base_url="https://api.example", headers=BEARER), environment=environment)
    with pytest.raises(ConfigurationError, match="MY_TOKEN") as caught:
        async with pack.open():
            pass
    assert not value or not value.strip() or value not in str(caught.value)


async def test_a_secret_is_read_when_a_request_is_sent():
    environment = dict(ENVIRONMENT)
    async with Loopback([json_reply(1)]) as server:
        config = HttpConfig(base_url=base_of(server), headers=BEARER)
        async with Http(config, environment=environment).open() as (get,):
            environment["MY_TOKEN"] = "another one"  # noqa: S105 - as above
            await get("x")
    assert server.requests[0].headers["authorization"] == "Bearer another one"


# --- again ---


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "failure", [Reply(status=503), Reply(status=429), Reply(status=502), Reply((b"x", CUT)), Reply(before=(CUT,))]
)
async def test_what_changes_nothing_more_is_sent_again(method, failure):
    name, args = ("send", (method, "x")) if method in {"PUT", "DELETE"} else ("get", ("x", None, "", method))
    async with Loopback([failure, failure, json_reply(1)]) as server, Tools(server) as tools:
        if method == "HEAD" and CUT in failure.parts:
            return  # there is no body that could break
        assert (await tools(name, *args)).startswith("200")
    assert len(server.requests) == 3
    assert len(tools.slept) == 2
    assert 0.5 <= tools.slept[0] <= 1.0 <= tools.slept[1] <= 1.5


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("failure", [Reply(status=503), Reply(before=(CUT,))])
async def test_what_may_change_something_twice_is_sent_once(method, failure):
    async with Loopback([failure, json_reply(1)]) as server, Tools(server) as tools:
        await tools.refusal("send", method, "x", {})
    assert len(server.requests) == 1
    assert tools.slept == []


async def test_the_wait_that_the_server_asks_for_is_kept():
    def busy(text):
        return Reply(status=503, headers={"retry-after": text})

    soon = formatdate(time.time() + 200, usegmt=True)
    api = Loopback([busy("7"), busy(soon), busy("a while"), json_reply(1)])
    async with api as server, Tools(server, retries=3, seconds=300) as tools:
        assert (await tools("get", "x")).startswith("200")
    assert tools.slept[0] == 7
    assert 100 < tools.slept[1] <= 200
    assert tools.slept[2] <= 3


async def test_a_wait_longer_than_there_is_time_for_is_not_begun():
    async with Loopback([Reply(status=429, headers={"retry-after": "600"})]) as server, Tools(server) as tools:
        assert (await tools.refusal("get", "x")).startswith("429")
    assert tools.slept == []


async def test_repetitions_end():
    async with Loopback(lambda request: Reply(status=503)) as server, Tools(server, retries=1) as tools:
        assert (await tools.refusal("get", "x")).startswith("503")
    assert len(server.requests) == 2


async def test_what_is_refused_here_is_not_tried_again():
    async with Loopback([Reply(status=302, headers={"location": "/other"})]) as server, Tools(server) as tools:
        await tools.refusal("get", "x")
    assert tools.slept == []


# --- how much, how long ---


async def test_bodies_have_an_end():
    bomb = Reply((gzip.compress(b"0" * 10_000_000),), headers={"content-encoding": "gzip"})
    async with Loopback([Reply((b"x" * 2_000,)), bomb]) as server, Tools(server, max_bytes=1_000) as tools:
        assert "larger than 1,000 bytes" in await tools.refusal("get", "x")
        assert "larger than 1,000 bytes" in await tools.refusal("get", "x")
        assert "the body is larger than" in await tools.refusal("send", "POST", "x", {"a": "x" * 1_000_000})
    assert len(server.requests) == 2


async def test_a_server_that_stalls_is_left_in_time_and_a_cancel_leaves_nothing():
    gates, clock = [Gate(), Gate()], stop_clock()
    async with Loopback([Reply((b"a", gate)) for gate in gates]) as server:
        async with Tools(server, seconds=5) as tools:
            refused = asyncio.create_task(tools.refusal("get", "x"))
            await gates[0].was_reached()
            clock.advance(5)
            assert "5 s" in await refused
            await gates[0].was_left()
        async with Tools(server) as tools:
            asking = asyncio.ensure_future(tools.tools["get"]("x"))
            await gates[1].was_reached()
            asking.cancel()
            await asyncio.wait({asking})
            assert asking.cancelled()
            await gates[1].was_left()


# --- configuration ---


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "base_url"),
        ({"base_url": "ftp://api.example"}, "not an http or https URL"),
        ({"base_url": "https://"}, "not an http or https URL"),
        ({"base_url": "https://me:hunter22@api.example"}, "secrets go into headers"),
        ({"base_url": "https://api.example?key=hunter22"}, "secrets go into headers"),
        ({"base_url": "https://api.example:0"}, "a port that a URL can't have"),
        ({"base_url": "https://api.example:x"}, "Port could not be"),
        ({"base_url": "https://api.example:99999"}, "Port out of range"),
        ({"base_url": "https://api.example/a b"}, "a character"),
        ({"base_url": "https://api.example/a\nb"}, "a character"),
        ({"headers": {"X": "a\r\nHost: evil.example"}}, "not a valid header"),
        ({"headers": {"X: y": "a"}}, "not a valid header"),
        ({"headers": {"X": "ä"}}, "not a valid header"),
        ({"headers": {"Host": "evil.example"}}, "set by the pack itself"),
        ({"headers": {"content-length": "1"}}, "set by the pack itself"),
        ({"headers": {"Authorization": "Bearer hunter22"}}, "looks like a secret"),
        ({"headers": "X-Api-Key: hunter22"}, "looks like a secret"),
        ({"query": {"token": "hunter22"}}, "looks like a secret"),
        ({"methods": ("TRACE",)}, "methods"),
        ({"methods": ()}, "methods"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused_and_no_secret_repeated(fields, why):
    fields = {"base_url": "https://api.example", **fields} if fields else {}
    with pytest.raises(ConfigurationError, match=why) as caught:
        Http.from_options(fields)
    assert "hunter22" not in str(caught.value)
    with pytest.raises(ValidationError) as refused:
        HttpConfig(**fields)
    assert "hunter22" not in str(refused.value)


def test_text_from_a_command_line_is_read():
    pack = Http.from_options(
        {
            "base_url": "https://api.example/v1/",
            "methods": "get post",
            "headers": "Authorization: Bearer {MY_TOKEN}; X-Version: 2",
            "query": "lang: en",
        }
    )
    assert pack.config.base_url == "https://api.example/v1"
    assert pack.config.methods == ("GET", "POST")
    assert pack.config.headers == {"Authorization": "Bearer {MY_TOKEN}", "X-Version": "2"}
    assert pack.config.query == {"lang": "en"}


async def test_half_a_character_in_a_query_is_told():
    async with Loopback([]) as server, Tools(server) as tools:
        assert "a lone surrogate character" in await tools.refusal("get", "x", {"q": "\ud800"})


def test_opening_imports_nothing_heavy():
    program = """
import asyncio, sys
from agentloop_tools.http import Http, HttpConfig
async def main():
    async with Http(HttpConfig(base_url="https://api.example")).open() as tools:
        assert len(list(tools)) == 1
asyncio.run(main())
heavy = {"httpx2", "httpcore2", "tenacity", "openai"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        timeout=90,
        check=False,
        cwd=Path(__file__).parent,
        env=os.environ,
    )
    assert (done.returncode, done.stderr) == (0, b"")

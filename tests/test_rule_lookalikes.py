"""A rule that denies holds for what some server or system takes for the same, and everyday calls pass."""

import asyncio
import json
from dataclasses import replace

import pytest

from agentloop import Agent, ArgumentReading, Effects, Fetcher, FetchError, Policy, ToolResult, tool
from agentloop.policy import Trust, judge
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.http import Http, HttpConfig
from agentloop_tools.http.secrets import Secrets
from loopback import Loopback, Reply

BASE = "https://api.example/v2"


def open_get(base_url):
    async def read():
        async with Http(HttpConfig(base_url=base_url)).open() as tools:
            return next(iter(tools))

    return replace(asyncio.run(read()), dotted="http.get", pack="http")


GET = open_get(BASE)


def verdict(target, policy, **arguments):
    return judge(policy, target, json.dumps(arguments), Trust()).verdict


@pytest.mark.parametrize(
    ("path", "denied"),
    [
        ("/staff", True),
        ("/\uff53taff", True),
        ("/%EF%BD%93taff", True),
        ("/sta\u200bff", True),
        ("/sta%C2%ADff", True),
        ("/staff.", True),
        ("/staff%20", True),
        ("/staff. ./", True),
        ("/staff%3Fall", True),
        ("/staff%2523all", True),
        ("/staff#all", True),
        ("/staff.json", False),
        ("/.staff", False),
        ("/open%3F/staff", False),
        ("/st aff", False),
    ],
)
def test_what_some_server_takes_for_a_denied_path_is_denied(path, denied):
    assert (verdict(GET, Policy(deny=("http.get(path=/staff)",)), path=path) == "deny") == denied


@pytest.mark.parametrize(
    ("path", "verdict_"),
    [("/open/7", "allow"), ("/open/\uff17.", "allow"), ("/open/7%3Fa", "allow"), ("/staff/7", "ask")],
)
def test_a_rule_that_allows_sees_the_path_as_it_is(path, verdict_):
    asking = replace(GET, effects=replace(GET.effects, write=True))
    assert verdict(asking, Policy(allow=("http.get(path=/open/*)",)), path=path) == verdict_


@pytest.mark.parametrize("path", ["/x?a=1&a=2&a=3", "/x?a=2&a=1", "/x?a=3&a=3&a=2&a=4"])
@pytest.mark.parametrize("query", [None, {"a": "1"}, {"b": "1"}])
def test_each_value_of_a_name_in_the_query_counts(path, query):
    assert verdict(GET, Policy(deny=("""http.get(query='*"a":"2"*')""",)), path=path, query=query) == "deny"
    assert verdict(GET, Policy(deny=("""http.get(query='*"a":"5"*')""",)), path=path, query=query) == "allow"


def test_a_query_with_too_many_values_for_a_name_is_not_let_through():
    path = "/x?" + "&".join(f"a={number}" for number in range(60))
    assert verdict(GET, Policy(deny=("http.get(query=*b*)",)), path=path) == "deny"
    assert verdict(GET, Policy(deny=("http.get(path=/y)",)), path=path) == "allow"


def test_a_name_of_another_tool_is_folded_too():
    @tool
    def look(place: str) -> str:
        """Look."""
        return place

    look = replace(look, readings={"place": ArgumentReading(lambda given: [given["place"]])})
    policy = Policy(deny=("look(place=cellar)",))
    assert verdict(look, policy, place="\u24d2ellar ") == "deny"
    assert verdict(look, policy, place="\u24d3ellar ") == "allow"


@tool
def visit(url: str) -> str:
    """Visit."""
    return url


@pytest.mark.parametrize(
    ("host", "denied"),
    [
        ("8.8.4.4", True),
        ("8.8.1028", True),
        ("8.525316", True),
        ("134743044", True),
        ("0x8080404", True),
        ("0x8.010.4.0x4", True),
        ("0X08080404.", True),
        ("a@134743044", True),
        ("8.8.4.04:80", True),
        ("8.8.4.08", False),
        ("8.8.4.5", False),
        ("8.8.256.4", False),
        ("4294967296", False),
        ("8.8.4.4.4", False),
        ("8.8.0x.4", False),
    ],
)
def test_an_address_is_denied_in_every_notation(host, denied):
    policy = Policy(deny=("visit(url=http://8.8.4.4/*)",))
    assert (verdict(visit, policy, url=f"http://{host}/x") == "deny") == denied


@pytest.mark.parametrize(
    ("url", "denied"),
    [
        ("http://good.example\\@shop.example/", True),
        ("http://shop.example\\@good.example/", True),
        ("http://good.example/\\@shop.example/", False),
        ("//shop.example/x", True),
        ("\\/shop.example", True),
        ("/shop.example", False),
        ("http://good.example//shop.example/", False),
    ],
)
def test_a_url_is_denied_as_each_program_reads_it(url, denied):
    assert (verdict(visit, Policy(deny=("visit(url=*://shop.example*)",)), url=url) == "deny") == denied


@pytest.mark.parametrize(
    ("url", "denied"),
    [
        ("shop.example", True),
        ("shop.example/x", True),
        ("SHOP.example.:443/x", True),
        ("good.example/shop.example", False),
        (7, False),
        (["shop.example"], False),
    ],
)
def test_a_host_without_a_scheme_is_denied_as_the_url_that_the_tool_makes_of_it(url, denied):
    @tool(effects=Effects(network=True, host_argument="url"))
    def visit(url: str | int | list[str]) -> str:
        """Visit."""
        return str(url)

    policy = Policy(deny=("visit(url=https://shop.example*)",), hosts=("*",))
    assert (verdict(visit, policy, url=url) == "deny") == denied


@pytest.mark.parametrize(
    ("path", "denied"),
    [
        ("file:///keys/a", True),
        ("FILE:/keys/a", True),
        ("file://localhost/open/..%2fkeys/a", True),
        ("file:\\\\\\keys\\a", True),
        ("file:///open/a", False),
        ("file:keys/a", False),
    ],
)
def test_the_url_of_a_file_is_its_path_too(path, denied):
    assert (verdict(visit, Policy(deny=("visit(url=/keys/*)",)), url=path) == "deny") == denied


@pytest.mark.parametrize("path", [" /keys/a", "/keys/a\0.txt", "\t/keys/a\n", "/open/../keys/a \0", "/keys/a/\x1f"])
def test_a_path_is_denied_as_programs_read_it_that_cut_it(path):
    assert verdict(visit, Policy(deny=("visit(url=/keys/a)",)), url=path) == "deny"
    assert verdict(visit, Policy(deny=("visit(url=/keys/b)",)), url=path) == "allow"


def test_an_address_is_fetched_from_in_its_plain_notation():
    assert Fetcher.read_url("http://134743044/x") == "http://8.8.4.4/x"
    assert Fetcher.read_url("http://a*b/x") == "http://a*b/x"


@pytest.mark.parametrize("url", ["http://shop.example:0/", "https://shop.example:0"])
def test_the_port_0_which_clients_read_as_the_default_one_is_refused(url):
    with pytest.raises(FetchError, match="is not an http or https URL"):
        Fetcher.read_url(url)


@pytest.mark.parametrize(
    ("base_url", "kept"),
    [
        ("HTTPS://API.Example:443/V2/", "https://api.example/V2"),
        ("http://api.example:0443/", "http://api.example:443"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://[FE::1]", "http://[fe::1]"),
        ("http://api.example:/a", "http://api.example/a"),
    ],
)
def test_the_address_of_an_api_is_kept_in_its_plain_form(base_url, kept):
    assert HttpConfig(base_url=base_url).base_url == kept


async def test_a_redirect_within_an_api_is_followed_however_its_address_is_written():
    def move(request):
        port = request.headers["host"].rpartition(":")[2]
        return (
            Reply(status=302, headers={"location": f"http://localhost:{port}/new"})
            if request.path == "/old"
            else Reply((b"here",))
        )

    async with Loopback(move) as server:
        port = server.base_url.removesuffix("/v1").rpartition(":")[2]
        pack = Http(HttpConfig(base_url=f"HTTP://LocalHost:{port}"))
        script = [
            call("http_get", {"path": "/old"}),
            call("http_get", {"path": f"http://localhost:{port}/new"}),
            "done",
        ]
        policy = Policy(deny=("http.get(path=/staff/*)",))
        result = await Agent("m", endpoint=ScriptedEndpoint(script), tools=[pack], policy=policy).run("go")
    assert all("here" in item.content for item in result.items if isinstance(item, ToolResult))


@pytest.mark.parametrize("layers", ["", "25", "2525"])
def test_a_secret_that_is_escaped_several_times_is_taken_out(layers):
    secrets = Secrets(["{TOKEN}"], {"TOKEN": "se/cret+7"})
    said = f"you are se%{layers}2Fcret%{layers}2b7."
    assert secrets.redact(said) == "you are [TOKEN]."

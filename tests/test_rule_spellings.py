"""A rule about a path or a URL holds for every spelling of what the tool would use."""

import asyncio
import json
import os
import sqlite3
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop import Agent, ArgumentReading, Policy, ToolError, tool
from agentloop.policy import Trust, judge
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.files import Files, FilesConfig
from agentloop_tools.http import Http, HttpConfig
from agentloop_tools.http.api_root import ApiRoot
from agentloop_tools.network.url_forms import read_path, read_url, read_url_pattern, tidy
from agentloop_tools.shell import Shell, ShellConfig
from agentloop_tools.sql import Sql, SqlConfig
from agentloop_tools.web import Web, WebConfig
from loopback import Loopback, json_reply

BASE = "https://api.example/v2"


def opened(pack, dotted):
    """Return the tools of a pack by name, with the names that they have in policies."""

    async def read():
        async with pack.open() as tools:
            return {each.name: replace(each, dotted=f"{dotted}.{each.name}", pack=dotted) for each in tools}

    return asyncio.run(read())


HTTP = opened(Http(HttpConfig(base_url=BASE)), "http")["get"]
FETCH = opened(Web(WebConfig(backend="off")), "web")["fetch"]


def verdict(target, policy, **arguments):
    return judge(policy, target, json.dumps(arguments), Trust()).verdict


def denies(target, rule, **arguments):
    return verdict(target, Policy(deny=(rule,), hosts=("*",)), **arguments) == "deny"


def allows(target, rule, **arguments):
    return verdict(target, Policy(ask=("nothing",), allow=(rule,)), **arguments) == "allow"


# --- http ---


@pytest.mark.parametrize(
    "path",
    [
        "/staff/7",
        "staff/7",
        "//staff//7",
        "/%73taff/7",
        "/%2573taff/7",
        "/%25%37%33taff/7",
        "/staff%2F7",
        "/staff%5c7",
        "/staff;v=1/7",
        "/STAFF/7",
        "/staff",
        f"{BASE}/staff/7",
        f"{BASE}staff/7",
        "staff/7?x=1",
        "/./staff/7",
        "/open/../staff/7",
    ],
)
def test_a_path_of_an_api_is_denied_in_every_spelling(path):
    assert denies(HTTP, "http.get(path=/staff/*)", path=path)


@pytest.mark.parametrize("rule", ["/staff/*", "staff/*", f"{BASE}/staff/*", "/%73taff/*", "/staff*", "*staff*"])
def test_a_rule_about_a_path_may_be_written_in_several_ways(rule):
    assert denies(HTTP, f"http.get(path={rule})", path="/staff/7")
    assert denies(HTTP, f"http.get(path={rule})", path="staff%2f7")
    assert not denies(HTTP, f"http.get(path={rule})", path="/open/7")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/open/7", True),
        ("open/7?all=1", True),
        ("/%6fpen/7", True),
        (f"{BASE}/open/7", True),
        ("/open/a%20b", True),
        ("/open%2F..%2Fstaff", False),
        ("/open/%252e%252e/staff", False),
        ("/open;x", False),
        ("/staff/7", False),
        ("/%256fpen/7", False),
    ],
)
def test_a_path_is_allowed_only_if_every_reading_of_it_is(path, allowed):
    policy = Policy(ask=("http.*(path=*x-none*)",), allow=("http.get(path=/open/*)",))
    asking = replace(HTTP, effects=replace(HTTP.effects, write=True))
    assert (verdict(asking, policy, path=path) == "allow") == allowed


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/x", {"all": "1"}),
        ("/x?all=1", None),
        ("/x?%61ll=%31", {}),
        ("/x?all=1&all=2", None),
        ("/x?all=1", {"all": 2}),
    ],
)
def test_a_rule_about_the_query_sees_that_of_the_path_too(path, query):
    assert denies(HTTP, """http.get(query='*"all":"1"*')""", path=path, query=query)
    assert not denies(HTTP, """http.get(query='*"all":"3"*')""", path=path, query=query)
    assert not denies(HTTP, "http.get(query=null)", path=path, query={"b": 1})
    assert denies(HTTP, "http.get(query=null)", path="/x")


def escape(text, choose):
    return "".join(f"%{ord(each):02x}" if choose(0, 2) == 0 else each for each in text)


@st.composite
def spellings(draw):
    """A path below /staff or beside it, as somebody would write it who wants to get past a rule."""

    def choose(least, most):
        return draw(st.integers(least, most))

    segments = [draw(st.sampled_from(["staff", "open", "Staff", "st", "aff", "7", ".", "..", "", ";", "staff;a"]))]
    segments += draw(st.lists(st.sampled_from(["7", "staff", "a b", "", ".", "..", "x;y=1", "ü"]), max_size=3))
    path = draw(st.sampled_from(["/", "\\", "//", "%2f", "%5C"])).join(segments)
    for _ in range(choose(0, 2)):
        path = escape(path, choose)
    return draw(st.sampled_from(["", "/", "//", f"{BASE}/", BASE])) + path + draw(st.sampled_from(["", "/", "?a=1"]))


def served(url):
    """Return the paths that some server may take a URL for."""
    path = urlsplit(url).path.removeprefix("/v2")
    for _ in range(4):
        plain = "/".join(segment.partition(";")[0] for segment in path.replace("\\", "/").split("/"))
        yield from (tidy(path), tidy(plain))
        path = unquote(path)


@given(spellings())
def test_what_the_api_would_be_asked_for_is_what_the_rule_sees(path):
    try:
        url = ApiRoot(BASE).locate(path)
    except ToolError:
        return
    if any(f"{each}/".startswith("/staff/") for each in served(url)):
        assert denies(HTTP, "http.get(path=/staff/*)", path=path)
        assert not allows(replace(HTTP, effects=replace(HTTP.effects, write=True)), "http.get(path=/open/*)", path=path)


async def test_a_run_is_held_back_in_every_spelling():
    paths = ["staff/7", "/%73taff/7", "/staff%2F7", "//staff/7"]
    async with Loopback(lambda request: json_reply({})) as server:
        pack = Http(HttpConfig(base_url=server.base_url))
        script = [[call("http_get", {"path": path}) for path in [*paths, "/open"]], "Done."]
        policy = Policy(deny=("http.get(path=/staff/*)",))
        result = await Agent("m", endpoint=ScriptedEndpoint(script), tools=[pack], policy=policy).run("go")
    assert [request.path for request in server.requests] == ["/v1/open"]
    assert result.text == "Done."


# --- URLs ---


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/staff/7",
        "HTTP://SHOP.example./staff/7",
        "http://shop\u3002example/staff/7",
        "http://shop.example:80/staff/7",
        "http://shop.example/%73taff/7",
        "http://shop.example/a/../staff/7",
        "http://shop.example/a/%2e%2e/staff/7",
        "http://shop.example//staff/7#x",
        "http://shop.example/\\staff/7",
        "http://shop.example/staff;a/7?b",
        "http://u:p@shop.example/staff/7",
        "http://",
    ],
)
@pytest.mark.parametrize("rule", ["http://shop.example/staff/*", "*://shop.example/staff*", "http://SHOP.example/%73*"])
def test_a_url_is_denied_in_every_spelling(url, rule):
    assert denies(FETCH, f"web.fetch(url={rule})", url=url)


@pytest.mark.parametrize(
    ("rule", "url", "allowed"),
    [
        ("https://docs.example/*", "https://docs.example", True),
        ("https://docs.example", "https://docs.example/", True),
        ("https://b\u00fccher.example/*", "https://xn--bcher-kva.example/a", True),
        ("https://xn--bcher-kva.example/a", "https://B\u00dcCHER.example/a#b", True),
        ("https://docs.example/a*", "https://docs.example/a?b=1", True),
        ("https://docs.example/a/*", "https://docs.example/a/%2e%2e/b", False),
        ("https://docs.example/*", "https://docs.example@evil.example/", False),
        ("https://docs.example/*", "http://docs.example/", False),
        ("*docs*", "https://docs.example/", True),
        ("https://*.example/a", "https://docs.example/%61", True),
    ],
)
def test_a_url_is_allowed_only_in_the_form_in_which_it_is_fetched(rule, url, allowed):
    assert allows(FETCH, f"web.fetch(url='{rule}')", url=url) == allowed


def test_the_forms_of_a_url_have_its_query_as_written_and_unquoted():
    assert read_url("http://a.example?q=%41") == ["http://a.example/?q=%41", "http://a.example/?q=A"]
    assert read_url_pattern("https://a.example?b*") == "https://a.example?b*"
    assert read_url_pattern("https://*/*") == "https://*/*"


@given(st.text(alphabet="abAB/.%2f5c;\\ ü", max_size=12))
def test_each_form_of_a_path_is_tidy(path):
    forms = read_path(quote(path, safe="/%;"))
    assert forms == [tidy(each) for each in forms]
    assert all(each.startswith("/") and "//" not in each and "/../" not in f"{each}/" for each in forms)


# --- files ---


def fill(folder):
    for name in ("keys", "docs"):
        (folder / name).mkdir()
        (folder / name / "a").write_text(name)
    (folder / "link").symlink_to("keys")
    (folder / "docs" / "up").symlink_to("../keys/a")
    (folder / "docs" / "loop").symlink_to("loop")
    (folder / "docs" / "out").symlink_to("/etc/hosts")
    return folder


@pytest.fixture
def root(tmp_path):
    return fill(tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("files"))


@asynccontextmanager
async def files(root):
    async with Files(FilesConfig(root=root, write=True)).open() as tools:
        yield {each.name: replace(each, dotted=f"files.{each.name}", pack="files") for each in tools}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("read", "keys/a"),
        ("read", "./keys//a"),
        ("read", "docs/../keys/a"),
        ("read", "link/a"),
        ("read", "docs/up"),
        ("read", "KEYS/a"),
        ("read", "docs/loop"),
        ("read", "docs/out"),
        ("list", "keys"),
        ("list", "link"),
        ("write", "link/new"),
        ("edit", "docs/up"),
        ("grep", "link"),
        ("stat", "link/"),
    ],
)
async def test_a_file_is_denied_by_every_name(root, name, path):
    async with files(root) as tools:
        more = {"write": {"content": "x"}, "edit": {"old": "a", "new": "b"}, "grep": {"pattern": "x"}}
        given = {"path": path, **more.get(name, {})}
        assert denies(tools[name], f"files.{name}(path=keys/*)", **given)
        assert denies(tools[name], f"files.{name}(path=./keys/*)", **given)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("docs/a", True),
        ("./docs/a", True),
        ("docs/new", True),
        ("docs/up", False),
        ("link/a", False),
        ("docs/loop", False),
    ],
)
async def test_a_file_is_allowed_by_where_it_really_is(root, path, allowed):
    async with files(root) as tools:
        for rule in ("docs/*", "./docs/*"):
            assert allows(tools["write"], f"files.write(path={rule})", path=path, content="x") == allowed
        assert tools["glob"].readings == {}


@given(st.lists(st.sampled_from(["keys", "docs", "link", "..", ".", "", "a", "up"]), min_size=1, max_size=5))
def test_what_would_be_opened_is_what_the_rule_sees(folder, parts):
    top = os.path.realpath(folder)
    path = "/".join(parts)

    async def check():
        async with files(folder) as tools:
            try:
                tools["read"](path)
            except ToolError:
                return None
            return denies(tools["read"], "files.read(path=keys/*)", path=path)

    denied = asyncio.run(check())
    inside = os.path.relpath(os.path.realpath(folder / path), top).startswith("keys/")
    assert denied in {None, inside}


# --- other packs ---


@pytest.mark.parametrize("folder", ["keys", "./keys", "link", "docs/../keys/", "KEYS", "none", "/etc"])
async def test_the_folder_of_a_command_is_denied_by_every_name(root, folder):
    async with Shell(ShellConfig(root=root, unsafe_host=True)).open() as tools:
        [run] = [replace(each, dotted="shell.run", pack="shell") for each in tools]
    given = {"argv": ["ls"], "folder": folder}
    assert denies(run, "shell.run(folder=keys)", **given)
    assert denies(run, "shell.run(folder=./keys*)", **given)
    assert not denies(run, "shell.run(folder=keys)", argv=["ls"], folder="docs")
    assert not denies(run, "shell.run(folder=keys)", argv=["ls"])


async def test_a_table_is_denied_in_any_case(tmp_path):
    path = tmp_path / "data.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE secrets (a)")
    connection.close()
    async with Sql(SqlConfig(database=str(path))).open() as tools:
        schema, query = (replace(each, dotted=f"sql.{each.name}", pack="sql") for each in tools)
    assert denies(schema, "sql.schema(table=secrets)", table="SECRETS")
    assert not denies(schema, "sql.schema(table=secrets)", table="orders")
    assert query.readings == {}


# --- tools of others ---


def reading(function):
    @tool
    def look(place: str = "here") -> str:
        """Look."""
        return place

    return replace(look, readings={"place": ArgumentReading(function)})


def fail(given):
    raise LookupError("not a place")


@pytest.mark.parametrize("function", [fail, lambda given: [], lambda given: None])
def test_where_a_tool_can_not_tell_what_it_will_use_no_rule_is_passed(function):
    assert denies(reading(function), "look(place=cellar)", place="attic")
    assert verdict(reading(function), Policy(ask=("look(place=cellar)",)), place="attic") == "ask"
    policy = Policy(ask=("look(place=c*)",), allow=("look(place=attic)",))
    assert verdict(reading(function), policy, place="attic") == "ask"


def test_a_pattern_that_a_tool_can_not_read_counts_as_it_was_written():
    look = reading(lambda given: [given["place"]])
    look = replace(look, readings={"place": replace(look.readings["place"], read_pattern=fail)})
    assert denies(look, "look(place=cellar)", place="cellar")
    assert not denies(look, "look(place=cellar)", place="attic")


@tool
def visit(url: str) -> str:
    """Visit."""
    return url


@pytest.mark.parametrize(
    "url",
    [
        " http://shop.example/staff/7",
        "\x01ht\ttp://shop.example/st\naff/7",
        "http:/shop.example/staff/7",
        "http:shop.example/staff/7",
        "http:\\\\shop.example\\staff\\7",
        "http:///shop.example/staff/7",
        "http://shop.example/%25%37%33taff/7",
        "http://sh%6fp.example/staff/7",
        "https://shop\uff0eexample/staff/7",
    ],
)
def test_an_odd_url_of_a_plain_function_is_read_as_browsers_do(url):
    assert denies(visit, "visit(url=*://shop.example/staff/*)", url=url)
    assert not denies(visit, "visit(url=*://shop.example/open/*)", url=url)


def test_a_url_is_unquoted_a_bounded_number_of_times():
    layers = "%" + "25" * 7 + "73taff/7"
    assert not denies(visit, "visit(url=*://shop.example/staff/*)", url=f"http://shop.example/{layers}")
    assert denies(
        visit, "visit(url=*://shop.example/staff/*)", url=f"http://shop.example/{layers.replace('2525', '25')}"
    )


def test_an_argument_that_is_left_out_is_read_by_its_default():
    below = reading(lambda given: ["cellar" if given["place"] == "here" else given["place"]])
    assert denies(below, "look(place=cellar)")
    assert not denies(below, "look(place=cellar)", place="attic")


def test_the_query_is_read_as_it_is_sent():
    url = ApiRoot(BASE).locate("/x?a=%31", [("b", "2")])
    assert parse_qsl(urlsplit(url).query) == [("a", "1"), ("b", "2")]

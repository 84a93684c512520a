"""A redirect is judged like a first request: by rules, by hosts, and by what a person has approved."""

from contextlib import aclosing
from ipaddress import ip_address

import pytest

from agentloop import (
    Agent,
    Approve,
    ConfigurationError,
    Effects,
    Endpoint,
    Fetcher,
    Image,
    Message,
    Policy,
    Profile,
    Text,
    ToolResult,
    tool,
)
from agentloop.policy import Trust, judge_redirect
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.http import Http, HttpConfig
from loopback import Loopback, Reply, text_body

PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(20)


async def here(host, port):
    return [ip_address("127.0.0.1")]


def port_of(server):
    return int(server.base_url.rpartition(":")[2].removesuffix("/v1"))


def moving(request):
    """Answer a path that `to` has made with a redirect, on the same port, and any other with a page."""
    port = request.headers["host"].rpartition(":")[2]
    asked.append(request.headers["host"].removesuffix(f":{port}") + request.path)
    if request.path.startswith("/to/"):
        host, _, path = bytes.fromhex(request.path.rpartition("/")[2].partition(".")[0]).decode().partition("/")
        return Reply(status=302, headers={"location": f"http://{host}:{port}/{path}"})
    return Reply((PIXEL if request.path.endswith(".png") else b"page",), content_type="text/plain")


def to(target):
    return f"/to/{target.encode().hex()}"


asked = []


@pytest.fixture
def seen():
    asked.clear()
    return asked


def visitor(server, effects=None):
    """Return a tool that fetches with the public fetcher, to whom every name is a host of this machine."""

    @tool(effects=effects or Effects(network=True, host_argument="url"))
    async def visit(url: str) -> str:
        """Visit."""
        fetcher = Fetcher(max_bytes=1_000, resolve=here, allow=lambda address: True)
        fetched = await fetcher.get(f"http://{url}" if "://" not in url else url)
        return fetched.content.decode()

    return visit


async def visit(server, path, *, first="good.test", effects=None, **policy):
    url = f"http://{first}:{port_of(server)}{path}"
    rules = {"hosts": (f"{first}:{port_of(server)}",), **policy}
    script = [call("visit", {"url": url}), "done"]
    agent = Agent("m", endpoint=ScriptedEndpoint(script), tools=[visitor(server, effects)], policy=Policy(**rules))
    result = await agent.run("go")
    return next(item.content for item in result.items if isinstance(item, ToolResult))


async def test_a_redirect_to_a_new_host_is_not_followed_and_the_model_is_told_what_to_do(seen):
    async with Loopback(moving) as server:
        said = await visit(server, to("new.test/x?q=1"))
        port = port_of(server)
    assert seen == ["good.test" + to("new.test/x?q=1")]
    assert f"redirects to http://new.test:{port}/x?q=1, which was not followed" in said
    assert f"it connects to a new host, new.test:{port}; call visit with that url, so that it can be approved" in said


@pytest.mark.parametrize(
    ("path", "policy", "followed"),
    [
        (to("good.test/x"), {}, True),
        (to("new.test/x"), {"hosts": ("*",)}, True),
        (to("new.test/x"), {"hosts": ("good.test:*", "*.test:*")}, True),
        (to("new.test/x"), {"hosts": ("*",), "deny": ("visit(url=*://new.test*)",)}, False),
        (to("good.test/staff/7"), {"deny": ("visit(url=*/staff/*)",)}, False),
        (to("good.test/staff/7"), {"ask": ("visit(url=*/staff/*)",)}, False),
        (to("good.test" + to("new.test/x")), {}, False),
        (to("new.test/x"), {"allow": ("visit",)}, True),
        (to("new.test/x"), {"allow": ("visit(url=*://good.test*)",)}, False),
    ],
)
async def test_rules_and_hosts_decide_where_a_redirect_may_lead(seen, path, policy, followed):
    async with Loopback(moving) as server:
        said = await visit(server, path, **policy)
    assert (said == "page") == followed
    assert ("was not followed" in said) != followed
    assert followed or all(each.startswith("good.test/to/") for each in seen)


async def test_what_a_person_was_asked_about_one_call_is_not_asked_again_but_another_host_is(seen):
    async with Loopback(moving) as server:
        asking = {"hosts": (), "approver": lambda request: Approve()}
        assert await visit(server, to("good.test/x"), **asking) == "page"
        assert "new host, new.test" in await visit(server, to("new.test/x"), **asking)
        asking["ask"] = ("visit",)
        assert await visit(server, to("good.test/x"), **asking) == "page"
        assert "new host, new.test" in await visit(server, to("new.test/x"), **asking)
    assert not any(each.startswith("new.test") for each in seen)


@pytest.mark.parametrize(
    ("effects", "followed"),
    [
        (Effects(read=True), True),
        (Effects(network=True, hosts=("good.test",)), False),
        (Effects(network=True, hosts=("good.test", "new.test:*")), True),
    ],
)
async def test_a_tool_without_an_argument_for_hosts_is_judged_by_the_hosts_that_it_declares(seen, effects, followed):
    async with Loopback(moving) as server:
        said = await visit(server, to("new.test/x"), effects=effects, hosts=())
    assert (said == "page") == followed


@pytest.mark.parametrize(("rule", "followed"), [("visit(url=*://new.test*)", False), ("visit(url=*://old*)", True)])
async def test_a_plain_functions_argument_that_is_the_url_is_its_address(seen, rule, followed):
    @tool
    async def visit(url: str, note: str = "") -> str:
        """Visit."""
        fetcher = Fetcher(max_bytes=1_000, resolve=here, allow=lambda address: True)
        return (await fetcher.get(url)).content.decode()

    async with Loopback(moving) as server:
        url = f"HTTP://good.test:{port_of(server)}{to('new.test/x')}"
        script = [call("visit", {"url": url, "note": "hm"}), "done"]
        agent = Agent("m", endpoint=ScriptedEndpoint(script), tools=[visit], policy=Policy(deny=(rule,)))
        result = await agent.run("go")
    said = next(item.content for item in result.items if isinstance(item, ToolResult))
    assert (said == "page") == followed
    assert len(seen) == 1 + followed


async def test_a_request_within_an_api_may_not_be_led_to_a_denied_path(seen):
    async with Loopback(moving) as server:
        pack = Http(HttpConfig(base_url=server.base_url.removesuffix("/v1")))
        script = [call("http_get", {"path": path}) for path in (to("127.0.0.1/staff/7"), to("127.0.0.1/open"))]
        policy = Policy(deny=("http.get(path=/staff/*)",))
        await Agent("m", endpoint=ScriptedEndpoint([*script, "done"]), tools=[pack], policy=policy).run("go")
    assert [each.removeprefix("127.0.0.1") for each in seen] == [to("127.0.0.1/staff/7"), to("127.0.0.1/open"), "/open"]


async def test_a_fetcher_outside_of_a_run_follows_as_before(seen):
    async with Loopback(moving) as server:
        assert await visitor(server)(f"http://good.test:{port_of(server)}{to('new.test/x')}") == "page"


def test_arguments_that_can_not_be_read_are_judged_by_hosts_alone():
    effects = Effects(network=True, hosts=("good.test",), host_argument="url")
    target = visitor(None, effects)
    judged = judge_redirect(Policy(), target, "{", Trust(), "http://good.test/", "http://new.test/")
    assert judged == "it connects to a new host, new.test"
    assert judge_redirect(Policy(), target, "{", Trust(), "http://good.test/", "http://good.test/x") == ""
    assert judge_redirect(Policy(), target, "{", Trust(hosts=("new.test",)), "http://a/", "http://new.test/") == ""


# --- images ---


@pytest.mark.parametrize(
    ("target", "hosts", "followed"),
    [
        ("127.0.0.1", (), True),
        ("localhost", (), False),
        ("localhost", ("localhost:*",), True),
        ("127.1", (), True),
        ("a*b", (), False),
        ("127.1", ("*",), True),
    ],
)
async def test_an_image_of_the_user_is_followed_to_its_own_host_and_to_those_of_the_policy(
    seen, monkeypatch, target, hosts, followed
):
    monkeypatch.setitem(Fetcher.__init__.__kwdefaults__, "allow", lambda address: True)

    def answer(request):
        return moving(request) if request.method == "GET" else text_body("A cat.")

    async with Loopback(answer) as server:
        place = Endpoint(server.base_url, profile=Profile(images=True), retries=0)
        image = Image.from_url(f"http://127.0.0.1:{port_of(server)}{to(target + '/cat.png')}")
        async with aclosing(Agent("m", endpoint=place, policy=Policy(hosts=hosts))) as agent:
            if followed:
                assert (await agent.run("go", history=[Message("user", (Text("?"), image))])).text == "A cat."
                return
            with pytest.raises(ConfigurationError, match="which was not followed: ") as caught:
                await agent.run("go", history=[Message("user", (Text("?"), image))])
    assert "Policy(hosts=...)" in caught.value.hint
    assert len(seen) == 1


async def test_an_image_of_a_tool_is_judged_as_the_tools_request(seen, monkeypatch):
    monkeypatch.setitem(Fetcher.__init__.__kwdefaults__, "allow", lambda address: True)

    @tool(effects=Effects(network=True, hosts=("127.0.0.1",)))
    def draw() -> Image:
        """Draw."""
        return Image.from_url(f"http://127.0.0.1:{port}{to('localhost/cat.png')}")

    async with Loopback(moving) as server:
        port = port_of(server)
        result = await Agent("m", endpoint=ScriptedEndpoint([call("draw"), "done"]), tools=[draw]).run("go")
    said = next(item.content for item in result.items if isinstance(item, ToolResult))
    assert f"which was not followed: it connects to a new host, localhost:{port}" in said
    assert seen == ["127.0.0.1" + to("localhost/cat.png")]

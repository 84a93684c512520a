"""A secret is hidden in every usual spelling, and those of MCP servers as those of endpoints."""

import html
import json
import logging
import sys
import traceback
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest

import mcp_server_plain
from agentloop import Agent, Endpoint, Finished, PackError, Policy, ToolFinished
from agentloop.endpoint.transport.secrets import HIDDEN, hide_secrets, hide_values
from agentloop.ext.mcp import McpConfig, McpServer
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.web import WebConfig
from loopback import Loopback, Reply

KEY = "Zq/81+x'Wn&vault<4711>"
SPELLINGS = {
    "lower": KEY.lower(),
    "upper": KEY.upper(),
    "HTML": html.escape(KEY),
    "JSON of PHP": json.dumps(KEY).replace("/", "\\/")[1:-1],
    "URL in lower case": quote(KEY, safe="").lower(),
    "URL twice": quote(quote(KEY, safe=""), safe=""),
    "hexadecimal": KEY.encode().hex(),
    "HEXADECIMAL": KEY.encode().hex().upper(),
}
BASE64 = {
    f"{name} of {before!r}": encode((before + KEY + "!").encode()).decode()
    for name, encode in (("base64", b64encode), ("base64url", urlsafe_b64encode))
    for before in ("", "a", "ab", "Bearer ")
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_key_is_hidden_in_every_usual_spelling(name):
    place = Endpoint("https://host/v1", api_key=KEY)
    assert hide_secrets(f"no key {SPELLINGS[name]}!", place) == f"no key {HIDDEN}!"
    assert hide_values(f"no key {SPELLINGS[name]}!", [KEY]) == f"no key {HIDDEN}!"


@pytest.mark.parametrize("name", BASE64)
def test_a_key_is_hidden_in_a_longer_text_in_base64(name):
    place = Endpoint("https://host/v1", api_key=KEY)
    middle = BASE64[name][len("Bearer ") * 2 : -4]
    for said in (hide_secrets(BASE64[name], place), hide_values(BASE64[name], [KEY])):
        assert HIDDEN in said
        assert middle not in said


def test_words_that_only_look_like_a_part_of_a_secret_are_left_in_a_result():
    said = "the vault is open: Zq/81+x, sk-not-a-key-at-all, blue"
    assert hide_values(said, [KEY, "blue", ""]) == said


# --- MCP ---

CANARY = "mx-4Kd9canaryMCP77"


def reply(message, said):
    """Answer as the plain server does; the text of each result is this one."""
    if "id" not in message:
        return Reply(status=202)
    found = mcp_server_plain.answer(message)
    if message["method"] == "tools/call":
        failing = message["params"]["arguments"]["text"] == "fail"
        found = {"content": [{"type": "text", "text": said}], "structuredContent": {"said": said}, "isError": failing}
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] == "tools/call" and message["params"]["arguments"]["text"] == "refuse":
        return Reply((json.dumps(answer | {"error": {"code": 1, "message": said}}).encode(),))
    return Reply((json.dumps(answer | {"result": found}).encode(),))


@pytest.mark.parametrize("text", ["fail", "refuse", "go"])
@pytest.mark.parametrize(
    "fields",
    [
        {"headers": {"X-Api-Key": CANARY}},
        {"headers": {"Authorization": f"Bearer {CANARY}"}},
        {"token_env": "A_TOKEN"},
        {"query": f"?token={CANARY}"},
        {"login": f"ann:{CANARY}@"},
    ],
)
@pytest.mark.parametrize("content", ["", "1"])
async def test_a_secret_that_an_mcp_server_repeats_gets_nowhere(monkeypatch, caplog, fields, text, content):
    monkeypatch.setenv("A_TOKEN", CANARY)
    monkeypatch.setenv("AGENTLOOP_LOG_CONTENT", content)
    fields = dict(fields)
    caplog.set_level(logging.DEBUG)

    def answer(request):
        return Reply(status=405) if request.method != "POST" else reply(request.json, f"you are {CANARY}, and blue")

    async with Loopback(answer) as server:
        address = server.base_url.replace("//", f"//{fields.pop('login', '')}", 1) + fields.pop("query", "")
        config = McpConfig(name="it", url=address, headers={"X-Team": "blue"} | fields.pop("headers", {}), **fields)
        agent = Agent(
            "m",
            endpoint=ScriptedEndpoint([call("it_echo", {"text": text}), "done"]),
            tools=[McpServer(config)],
            policy=Policy(allow=("it.*",)),
        )
        events = [event async for event in agent.stream("hush-hush")]
    told = [repr(config), repr(McpServer(config)), *map(repr, events)]
    for event in events:
        if isinstance(event, ToolFinished):
            told += traceback.format_exception(event.error) if event.error else []
            assert f"you are {HIDDEN}, and blue" in event.result.content
        if isinstance(event, Finished):
            told.append(event.result.run.to_json())
    assert CANARY not in "\n".join(told)
    assert CANARY not in caplog.text
    assert ("tools/call" in caplog.text) == bool(content)


async def test_what_a_server_complains_about_shows_no_secret():
    program = "import sys, os; sys.exit('no ' + os.environ['A_TOKEN'] + ' in ' + os.environ['PLACE'])"
    config = McpConfig(command=(sys.executable, "-c", program), variables={"A_TOKEN": CANARY, "PLACE": "the attic"})
    with pytest.raises(PackError) as caught:
        async with McpServer(config).open():
            pytest.fail("it was opened")
    assert f"no {HIDDEN} in the attic" in caught.value.hint


def test_the_secret_variables_that_a_server_may_see_are_known(monkeypatch):
    monkeypatch.setenv("A_TOKEN", CANARY)
    monkeypatch.setenv("PLACE", "the attic")
    config = McpConfig(command="serve", env=("A_TOKEN", "PLACE", "A_MISSING_KEY"))
    assert set(config.secrets) == {"", CANARY}


def test_an_address_with_a_login_is_not_in_the_text_of_a_configuration():
    assert CANARY not in repr(WebConfig(search_url=f"http://ann:{CANARY}@127.0.0.1:8888"))

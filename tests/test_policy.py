"""Rules, effects, taint, grants and hosts for one call at a time; whole conversations are in `test_loop`."""

import asyncio
import json
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentloop import (
    Agent,
    ApprovalAsked,
    ApprovalRequest,
    Approve,
    ConfigurationError,
    Effects,
    Limits,
    Notice,
    Policy,
    Reject,
    Run,
    RunStateError,
    Substitute,
    ToolCall,
    ToolContext,
    ToolPack,
    ToolResult,
    UserError,
    approve_matching,
    bound_tools,
    tool,
)
from agentloop.loop.guard import Rules, decide_nested, is_offered, judge_nested, note_results
from agentloop.loop.run import Pending
from agentloop.policy import Grant, Trust, is_denied, judge
from agentloop.policy.hosts import is_host_pattern, matches_host, read_host, read_hosts
from agentloop.policy.normalize import normalize_value
from agentloop.runtime.approval import ask_nested
from agentloop.runtime.journal import MemoryJournal
from agentloop.schema import ArgumentsError
from agentloop.testing import ScriptedEndpoint, call
from agentloop.tools import UNKNOWN, Tool, collect_tools

NOBODY = Trust()
TAINTED = Trust(tainted=True)


@tool(effects=Effects(read=True))
def read(path: str) -> str:
    """Read."""
    return path


@tool(effects=Effects(write=True))
def write(path: str, content: str = "", *, force: bool = False) -> str:
    """Write."""
    return path + content + str(force)


@tool(effects=Effects(execute=True))
def run(argv: list[str]) -> str:
    """Run."""
    return " ".join(argv)


@tool(effects=Effects(network=True, open_world=True, host_argument="url"))
def fetch(url: str) -> str:
    """Fetch."""
    return url


@tool
def plain(path: str = "x") -> str:
    """Do what a plain function does."""
    return path


def packed(a_tool: Tool, pack: str = "files", policy: Policy | None = None) -> Tool:
    return replace(a_tool, name=f"{pack}_{a_tool.name}", dotted=f"{pack}.{a_tool.name}", pack=pack, policy=policy)


def verdict(policy: Policy, a_tool: Tool, trust: Trust = NOBODY, /, **arguments: object) -> str:
    return judge(policy, a_tool, json.dumps(arguments), trust).verdict


def reason(policy: Policy, a_tool: Tool, trust: Trust = NOBODY, /, **arguments: object) -> str:
    question = judge(policy, a_tool, json.dumps(arguments), trust).question
    return "" if question is None else question.reason


# --- what effects say ---


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        (Effects(), "allow"),
        (Effects(read=True), "allow"),
        (Effects(write=True), "ask"),
        (Effects(execute=True), "ask"),
        (Effects(write=True, own_store=True), "allow"),
        (Effects(execute=True, own_store=True), "ask"),
        (Effects(network=True), "ask"),
        (Effects(network=True, hosts=("api.example",)), "allow"),
        (Effects(network=True, hosts=("*",)), "allow"),
        (Effects(hosts=("api.example",)), "allow"),
        (UNKNOWN, "ask"),
        (None, "allow"),
    ],
)
def test_where_no_rule_says_anything_the_effects_do(effects, expected):
    assert verdict(Policy(), replace(plain, effects=effects)) == expected


def test_a_tool_of_a_pack_that_does_not_say_what_it_does_asks():
    assert verdict(Policy(), packed(plain)) == "ask"
    assert reason(Policy(), packed(plain)) == "its effects are not declared"


@pytest.mark.parametrize(
    ("effects", "said"),
    [
        (Effects(write=True), "it writes"),
        (Effects(execute=True), "it runs programs or code"),
        (Effects(write=True, execute=True), "it writes and runs programs or code"),
        (Effects(network=True), "it connects to hosts that are not known before the call"),
        (UNKNOWN, "it writes and runs programs or code"),
    ],
)
def test_a_question_says_why_it_is_asked(effects, said):
    assert reason(Policy(), replace(plain, effects=effects)) == said


# --- rules ---


@pytest.mark.parametrize("pattern", ["write", "files_write", "files.write", "files_*", "files.*", "*", " files.write "])
def test_a_tool_of_a_pack_is_named_as_on_the_wire_or_with_a_dot(pattern):
    expected = "deny" if pattern != "write" else "ask"
    assert verdict(Policy(deny=(pattern,)), packed(write), path="a") == expected


def test_deny_beats_ask_beats_allow():
    every = ("*",)
    assert verdict(Policy(allow=every, ask=every, deny=every), read, path="a") == "deny"
    assert verdict(Policy(allow=every, ask=every), read, path="a") == "ask"
    assert verdict(Policy(allow=every), write, path="a") == "allow"


def test_a_denied_tool_is_not_offered_but_one_with_denied_arguments_is():
    rules = Rules(limits=Limits(), tools=collect_tools([read, write]), policy=Policy(deny=("read", "write(path=*)")))
    assert [name for name, each in rules.tools.items() if is_offered(each, rules)] == ["write"]
    assert is_denied(rules.policy, read)
    assert verdict(rules.policy, write, path="a") == "deny"


@pytest.mark.parametrize(
    ("pattern", "path"), [("./.env", ".env"), ("docs//*", "docs/x"), ("keys/", "keys"), ("e\u0301*", "\xe9t\xe9")]
)
def test_what_is_held_back_may_be_written_in_any_spelling_in_the_rule_too(pattern, path):
    assert verdict(Policy(deny=(f"read(path={pattern})",)), read, path=path) == "deny"
    assert verdict(Policy(allow=("write",), ask=(f"write(path={pattern})",)), write, path=path) == "ask"


def test_what_is_refused_says_which_argument_it_was():
    policy = Policy(deny=("write(path=etc/*)", "read"))
    refusal = judge(policy, write, '{"path": "etc/passwd"}', NOBODY).refusal
    assert refusal == "Not run: write is not allowed with this `path`. Go on without it."
    assert "read is not allowed here" in judge(policy, read, "{}", NOBODY).refusal


SPELLINGS = [
    "etc/passwd",
    "./etc/passwd",
    "etc//passwd",
    "a/../etc/passwd",
    "etc\\passwd",
    "x/../../etc/../etc/./passwd",
]


@pytest.mark.parametrize("path", [*SPELLINGS[:5], "/etc/passwd", "//etc/passwd", "/a/../etc/passwd"])
def test_what_is_held_back_is_held_back_in_any_spelling(path):
    policy = Policy(deny=("write(path=etc/*)", "write(path=/etc/*)"))
    assert verdict(policy, write, path=path) == "deny"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("docs/a.md", "allow"),
        ("docs/sub/a.md", "allow"),
        ("docs/../secret", "ask"),
        ("docs/sub/../../secret", "ask"),
        ("docs\\..\\secret", "ask"),
        ("./docs/a.md", "ask"),
        ("docs", "ask"),
        ("", "ask"),
        ("other/docs/a.md", "ask"),
    ],
)
def test_what_is_let_through_is_let_through_only_as_it_is_meant(path, expected):
    assert verdict(Policy(allow=("write(path=docs/*)",)), write, path=path) == expected


def test_rules_are_about_what_the_tool_receives_repairs_and_defaults_included():
    policy = Policy(allow=("*",), deny=("write(force=true)",), ask=("write(content=)",))
    assert verdict(policy, write, path="a", content="b", force="true") == "deny"
    assert verdict(policy, write, path="a") == "ask"
    assert verdict(policy, write, path="a", content="b") == "allow"


def test_arguments_that_can_not_be_read_are_held_back_and_never_let_through():
    def judged(policy: Policy, text: str) -> str:
        return judge(policy, write, text, NOBODY).verdict

    for text in ("{", "[]", '{"path": 5, "force": "perhaps"}', "{}"):
        assert judged(Policy(deny=("write(path=x)",)), text) == "deny"
        assert judged(Policy(allow=("*",), ask=("write(path=x)",)), text) == "ask"
        assert judged(Policy(allow=("write(path=*)",)), text) == "ask"
        assert judged(Policy(allow=("write",)), text) == "allow"


def test_an_argument_that_is_not_there_is_matched_by_a_lone_star_only():
    raw = Tool.from_schema("raw", "Raw.", {"type": "object", "properties": {"path": {"type": "string"}}}, print)
    assert verdict(Policy(deny=("raw(path=a*)",)), raw) == "allow"
    assert verdict(Policy(deny=("raw(path=*)",)), raw) == "deny"
    risky = replace(raw, effects=Effects(write=True))
    assert verdict(Policy(allow=("raw(path=a*)",)), risky) == "ask"
    assert verdict(Policy(allow=("raw(path=*)",)), risky) == "allow"


@pytest.mark.parametrize(
    ("pattern", "argv", "expected"),
    [
        ("git *", ["git", "status"], "allow"),
        ("git *", ["git"], "allow"),
        ("git *", ["git status"], "ask"),
        ("git *", ["gitx", "status"], "ask"),
        ("git *", ["sh", "-c", "git status"], "ask"),
        ("git log *", ["git", "log", "--oneline", "-5"], "allow"),
        ("git log *", ["git", "log; rm -rf"], "ask"),
        ("git * --oneline", ["git", "log", "-5", "--oneline"], "allow"),
        ("git * --oneline", ["git", "log", "--oneline", "x"], "ask"),
        ("* -n *", ["a", "b", "-n"], "allow"),
        ("git log", ["git", "log"], "allow"),
        ("git log", ["git", "log", "x"], "ask"),
        ("git log x", ["git", "log"], "ask"),
        ("docs/*", ["docs/a", "docs/b"], "allow"),
        ("docs/*", ["docs/a", "/etc/passwd"], "ask"),
        ("docs/*", ["docs/a", "docs/../b"], "ask"),
        ("docs/*", [], "ask"),
        ("*", [], "allow"),
        ("*", ["anything"], "allow"),
    ],
)
def test_a_list_is_let_through_word_by_word(pattern, argv, expected):
    assert verdict(Policy(allow=(f'run(argv="{pattern}")',)), run, argv=argv) == expected


@pytest.mark.parametrize(
    ("pattern", "argv"),
    [
        ("rm *", ["rm", "-rf", "/"]),
        ("*--force*", ["git", "push", "--force=a b"]),
        ("* --force*", ["git", "push", "--force=a b"]),
        ("git push*", ["git", "push", "origin", "main"]),
        ("/etc/*", ["cat", "/etc/passwd"]),
        ("/etc/*", ["cat", "/a/../etc/passwd"]),
        ("*rm -rf*", ["sh", "-c", "rm -rf /"]),
    ],
)
def test_a_list_is_held_back_for_any_of_its_words_or_all_in_a_row(pattern, argv):
    assert verdict(Policy(deny=(f"run(argv={pattern})",)), run, argv=argv) == "deny"


@pytest.mark.parametrize(
    ("value", "pattern", "covered"),
    [
        (True, "true", True),
        (None, "null", True),
        (5, "5", True),
        (1.5, "1.5", True),
        ({"b": [1], "a": "x"}, '{"a":"x",*', True),
        ({"b": [1], "a": "x"}, '{"a":"y",*', False),
        ([{"a": 1}], '{"a":1}', True),
    ],
)
def test_what_is_neither_text_nor_list_is_judged_as_json(value, pattern, covered):
    raw = Tool.from_schema("raw", "Raw.", {"type": "object", "properties": {"x": {}}}, print)
    raw = replace(raw, effects=Effects(write=True))
    assert verdict(Policy(allow=(f"raw(x='{pattern}')",)), raw, x=value) == ("allow" if covered else "ask")


def test_what_is_deep_inside_a_value_is_held_back():
    raw = Tool.from_schema("raw", "Raw.", {"type": "object", "properties": {"x": {}}}, print)
    policy = Policy(deny=("raw(x=/etc/*)",))
    assert verdict(policy, raw, x={"edits": [{"path": "/a/../etc/passwd"}]}) == "deny"
    assert verdict(policy, raw, x={"/etc/passwd": 1}) == "deny"
    assert verdict(policy, raw, x={"edits": [{"path": "/home"}]}) == "allow"


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example/admin/x",
        "HTTPS://A.Example/admin/x",
        "https://a.example./admin/x",
        "https://a.example:443/admin/x",
        "https://u:p@a.example/admin/x",
        "https://a.example/%61dmin/x",
        "https://a.example/y/../admin/x",
    ],
)
def test_an_address_is_held_back_in_any_spelling(url):
    assert verdict(Policy(deny=("fetch(url=https://a.example/admin/*)",)), fetch, url=url) == "deny"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/docs/", "allow"),
        ("https://a.example/docs/x/?q=a/../b#c", "allow"),
        ("https://a.example/docs/../x", "ask"),
        ("https://a.example/docs/%2e%2e/x", "ask"),
        ("https://a.example@evil.example/docs/", "ask"),
        ("https://a.example", "ask"),
    ],
)
def test_an_address_is_let_through_only_as_it_is_meant(url, expected):
    assert verdict(Policy(allow=("fetch(url=https://a.example/docs/*)",)), fetch, url=url) == expected


def test_a_rule_may_name_several_arguments_and_quote_them():
    policy = Policy(allow=("""write(path=docs/*, content="a, 'b'*", force='false')""",))
    assert verdict(policy, write, path="docs/x", content="a, 'b' c") == "allow"
    assert verdict(policy, write, path="docs/x", content="a") == "ask"
    assert verdict(Policy(deny=("write(path=a*, content=b*)",)), write, path="a", content="c") == "ask"


@pytest.mark.parametrize(
    "pattern",
    [
        *("", " ", "write(", "write)", "write()", "write(path)", "write(=x)", "write(path=a,)", "write(path=a, b)"),
        *("a b", "write(path=a)(content=b)x", 'write(path="a)', "write(path=it's)", 'write(path="a" b)'),
    ],
)
@pytest.mark.parametrize("where", ["allow", "ask", "deny"])
def test_a_rule_that_can_not_be_read_is_said_at_once(where, pattern):
    with pytest.raises(ConfigurationError, match=f"Policy: {where}: {re.escape(repr(pattern))}") as caught:
        Policy(**{where: (pattern,)})
    assert "files.write(path=docs/*)" in caught.value.hint


@pytest.mark.parametrize("given", ["a", 5, None, [1], ("a", None), b"a"])
@pytest.mark.parametrize("where", ["allow", "ask", "deny", "hosts"])
def test_what_is_no_list_of_rules_is_said_at_once(where, given):
    with pytest.raises(ConfigurationError, match=f"Policy: {where}"):
        Policy(**{where: given})


@pytest.mark.parametrize("rule", ["files.write(pth=a*)", "files_*(pth=a*)", "*(pth=a*)"])
async def test_a_rule_about_an_argument_that_no_tool_takes_is_said_before_any_request(rule):
    agent, endpoint = agent_for(["hi"], policy=Policy(deny=(rule,)))
    with pytest.raises(ConfigurationError, match="has no such argument") as caught:
        await agent.run("go")
    assert "path" in caught.value.hint
    assert endpoint.requests == []


async def test_a_rule_is_about_tools_that_have_the_argument_or_may_have_it():
    raw = Tool.from_schema("raw", "Raw.", {"type": "object"}, print)
    policy = Policy(deny=("files_*(content=a*)", "raw(anything=a*)", "else*(path=a)", "files.write(path=b)"))
    agent, _ = agent_for(["hi"], Files(), raw, policy=policy)
    assert (await agent.run("go")).text == "hi"
    closed = Tool.from_schema("raw", "Raw.", {"type": "object", "additionalProperties": False}, print)
    agent, _ = agent_for([], Files(), closed, policy=policy)
    with pytest.raises(ConfigurationError, match="'anything', but raw has no such argument") as caught:
        await agent.run("go")
    assert caught.value.hint == "it takes: none"


async def test_a_packs_own_rule_about_no_argument_is_said_too():
    agent, _ = agent_for(["hi"], Files().with_policy(Policy(ask=("write(pth=a*)",))))
    with pytest.raises(ConfigurationError, match="has no such argument"):
        await agent.run("go")


PATHS = st.lists(st.sampled_from(["docs", "..", ".", "", "a", "etc", "~", "…"]), max_size=6).map("/".join)


@given(path=PATHS | st.text(max_size=12))
@example("docs/..")
def test_no_path_leaves_the_folder_that_a_rule_lets_through(path):
    if verdict(Policy(allow=("write(path=docs/*)",)), write, path=path) == "allow":
        assert Path("/r", path).is_relative_to("/r/docs")
        assert Path("/r", "docs") in Path(_plain(f"/r/{path}")).parents


@given(path=PATHS)
def test_every_path_into_a_folder_is_held_back(path):
    if not path.startswith("/") and _plain(f"/r/{path}").startswith("/r/etc/"):
        assert verdict(Policy(deny=("write(path=etc/*)",)), write, path=path) == "deny"


def _plain(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in {"", "."}:
            parts.append(part)
    return "/" + "/".join(parts)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(value=JSON, pattern=st.text(alphabet="a*?[]! /.", min_size=1, max_size=6))
def test_what_a_rule_would_let_through_the_same_rule_would_hold_back(value, pattern):
    raw = Tool.from_schema("raw", "Raw.", {"type": "object", "properties": {"x": {}}}, print)
    raw = replace(raw, effects=Effects(write=True))
    rule = (f'raw(x="{pattern}")',)
    if verdict(Policy(allow=rule), raw, x=value) == "allow" and len(pattern.split()) <= 1:
        assert verdict(Policy(deny=rule), raw, x=value) == "deny"


@given(st.text())
def test_any_text_is_a_rule_or_a_configuration_error(text):
    try:
        policy = Policy(allow=(text,))
    except ConfigurationError:
        return
    assert verdict(policy, write, path="a") in {"allow", "ask"}


@given(JSON)
def test_every_value_has_spellings(value):
    spelled = normalize_value(value)
    assert all(isinstance(text, str) for text in (*spelled.whole, *spelled.parts))
    assert (spelled.words is not None) == isinstance(value, list)


# --- rules that came with a pack ---


def test_of_the_agents_rules_and_the_packs_the_stricter_counts():
    def judged(policy: Policy, own: Policy) -> str:
        return verdict(policy, packed(write, policy=own), path="a")

    assert judged(Policy(allow=("*",)), Policy(deny=("files.write",))) == "deny"
    assert judged(Policy(deny=("*",)), Policy(allow=("*",))) == "deny"
    assert judged(Policy(allow=("*",)), Policy(ask=("*",))) == "ask"
    assert judged(Policy(ask=("*",)), Policy(allow=("*",))) == "ask"
    assert judged(Policy(), Policy(allow=("*",))) == "allow"
    assert judged(Policy(), Policy()) == "ask"


def test_a_packs_own_rules_may_leave_its_name_out():
    assert verdict(Policy(), packed(write, policy=Policy(deny=("write",))), path="a") == "deny"
    assert verdict(Policy(deny=("write",)), packed(write), path="a") == "ask"


def test_joined_policies_hold_all_of_their_rules_and_hosts():
    first = Policy(deny=("read",), allow=["write"], hosts=("a.example",), taint=False)
    joined = first.join(Policy(deny=("run",), ask=("write(path=b)",), allow=("x",), hosts=("b.example",)))
    expected = Policy(
        deny=("read", "run"),
        ask=("write(path=b)",),
        allow=("write", "x"),
        hosts=("a.example", "b.example"),
        taint=False,
    )
    assert joined == expected
    assert [verdict(joined, write, path=path) for path in "ab"] == ["allow", "ask"]
    assert verdict(joined, read, path="a") == verdict(joined, run, argv=["a"]) == "deny"


class Unread:
    schema, faults = {}, ()

    def read(self, _text: str) -> tuple[dict[str, object], tuple[str, ...]]:
        raise AssertionError


def test_the_arguments_of_a_plain_function_that_no_rule_names_are_not_even_read():
    unread = replace(plain, _arguments=Unread())
    policy = Policy(deny=("write", "read(path=*)"), ask=("other_*",))
    assert verdict(policy, unread, TAINTED, path="a") == "allow"
    with pytest.raises(AssertionError):
        verdict(Policy(deny=("plain(path=a)",)), unread, path="a")


def test_whether_taint_counts_is_the_agents_to_say_alone():
    own = Policy(allow=("*",), taint=False)
    assert verdict(Policy(), packed(write, policy=own), TAINTED, path="a") == "ask"
    own = Policy(allow=("*",))
    assert verdict(Policy(taint=False), packed(write, policy=own), TAINTED, path="a") == "allow"


# --- hosts ---


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://Example.COM/x", "example.com"),
        (" https://example.com ", "example.com"),
        ("https://example.com.", "example.com"),
        ("https://example.com:443/", "example.com"),
        ("http://example.com:80/", "example.com"),
        ("http://example.com:443/", "example.com:443"),
        ("https://example.com:8080", "example.com:8080"),
        ("https://example.com:/", "example.com"),
        ("https://good.example@evil.example/", "evil.example"),
        ("https://good.example:pw@evil.example/", "evil.example"),
        ("https://evil.example#@good.example/", "evil.example"),
        ("https://evil.example?@good.example/", "evil.example"),
        ("https://evil.example/@good.example/", "evil.example"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("https://BÜCHER.example/", "xn--bcher-kva.example"),
        ("example.com", "example.com"),
        ("example.com:8080/x", "example.com:8080"),
        ("localhost", "localhost"),
        ("http://127.0.0.1/", "127.0.0.1"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("http://[0:0:0:0:0:0:0:1]/", "[::1]"),
        ("https://good.example\\@evil.example/", ""),
        ("https://good.example /", ""),
        ("https://good.exa\tmple/", ""),
        ("https://a.example/\x00", ""),
        ("https:/evil.example/", ""),
        ("https:evil.example/", ""),
        ("https:///evil.example/", ""),
        ("file:///etc/passwd", ""),
        ("file:/etc/passwd", ""),
        ("data:text/html,x", ""),
        ("//evil.example/", ""),
        ("", ""),
        ("https://", ""),
        ("https://ex%61mple.com/", ""),
        ("https://straße.example/", ""),
        ("https://\uff45xample.com/", "example.com"),
        ("https://a\u3002example/", "a.example"),
        ("https://a\uff0eexample\uff61/", "a.example"),
        ("https://exa\u00admple.com/", "example.com"),
        ("https://good.example\uff20evil.example/", ""),
        ("https://evil.example\uff0fgood.example/", ""),
        ("https://a\u200dexample/", ""),
        ("https://STRA\u1e9eE.example/", ""),
        ("https://\uff11\uff12\uff17.0.0.1/", "127.0.0.1"),
        ("https://[fe80::1%25eth0]/", ""),
        ("https://[::ffff:127.0.0.1]:80/", "127.0.0.1:80"),
        (f"https://{'ü' * 300}/", ""),
        ("https://\u200bexample.com/", "example.com"),
        ("http://127.1/", ""),
        ("http://0x7f.1/", ""),
        ("http://2130706433/", ""),
        ("http://0177.0.0.1/", ""),
        ("http://[::1/", ""),
        ("http://[1::2::3]/", ""),
        ("http://a.example:99999999/", ""),
        ("http://a..example/", ""),
        ("/etc/passwd", ""),
    ],
)
def test_a_host_has_one_spelling_or_none(text, host):
    assert read_host(text) == host


@given(st.text(alphabet="ahttps:/@\\.?#%[]01 \tü。ß-", max_size=24))
def test_a_host_that_is_told_is_a_plain_name(text):
    host = read_host(text)
    assert host == "" or re.fullmatch(r"([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:\d+)?", host)
    assert host == "" or read_host(f"http://{host}") == host or host.endswith(":80") or read_host(host) == host


@pytest.mark.parametrize(
    ("host", "pattern", "matches"),
    [
        ("example.com", "example.com", True),
        ("example.com", "Example.COM.", True),
        ("a.example.com", "*.example.com", True),
        ("a.b.example.com", "*.example.com", True),
        ("example.com", "*.example.com", False),
        ("evilexample.com", "*.example.com", False),
        ("example.com.evil.net", "*.example.com", False),
        ("example.com:8080", "example.com", False),
        ("example.com:8080", "example.com:8080", True),
        ("example.com:8080", "example.com:*", True),
        ("anything:1", "*", True),
        ("[::1]", "[::1]", True),
        ("[::1]:80", "[::1]", False),
        (":", "[::1]", False),
        ("exampleXcom", "example.com", False),
        ("xn--bcher-kva.example", "bücher.example", True),
    ],
)
def test_hosts_match_patterns_whole(host, pattern, matches):
    assert is_host_pattern(pattern)
    assert matches_host(host, [pattern]) == matches


@pytest.mark.parametrize(
    "host", ["", "https://a.example", "a.example/x", "u@a.example", "a b", "a.example:x", "straße.de"]
)
def test_what_is_no_host_is_said_at_once(host):
    with pytest.raises(ConfigurationError, match="is not a host"):
        Policy(hosts=(host,))


def test_a_new_host_asks_and_a_known_one_does_not():
    url = "https://a.example/x"
    assert reason(Policy(), fetch, url=url) == "it connects to a new host, a.example"
    assert verdict(Policy(hosts=("a.example",)), fetch, url=url) == "allow"
    assert verdict(Policy(hosts=("*",)), fetch, url="nowhere at all") == "allow"
    assert verdict(Policy(), fetch, Trust(hosts=("a.example",)), url=url) == "allow"
    assert verdict(Policy(), fetch, Trust(hosts=("b.example",)), url=url) == "ask"
    assert verdict(Policy(), packed(fetch, "web", Policy(hosts=("a.example",))), url=url) == "allow"
    assert verdict(Policy(allow=("fetch",)), fetch, url=url) == "allow"


def test_where_it_can_not_be_told_with_whom_it_talks_it_asks():
    told = "the host that it connects to can't be determined"
    trusting = Policy(hosts=("good.example",))
    assert reason(trusting, fetch, url="https://good.example\\@evil.example/") == told
    assert judge(trusting, fetch, "{", NOBODY).verdict == "ask"


def test_hosts_fixed_by_configuration_are_known_but_a_pack_can_not_allow_itself_every_host():
    effects = Effects(network=True, host_argument="path", hosts=("api.example", "*"))
    api = replace(plain, effects=effects)
    assert verdict(Policy(), api, path="https://api.example/x") == "allow"
    assert verdict(Policy(), api, path="https://evil.example/x") == "ask"
    absent = Tool.from_schema("raw", "Raw.", {"type": "object", "properties": {"path": {"type": "string"}}}, print)
    assert verdict(Policy(), replace(absent, effects=effects)) == "allow"
    assert verdict(Policy(), replace(absent, effects=replace(effects, hosts=()))) == "ask"


def test_of_several_addresses_each_one_counts():
    assert read_hosts(["http://a.example", "b.example"]) == ("a.example", "b.example")
    assert read_hosts(["http://a.example", "\\"]) is None
    assert read_hosts(["http://a.example", 5]) is None
    assert read_hosts([]) is None
    assert read_hosts(None) is None


# --- taint and grants ---


@pytest.mark.parametrize("effects", [Effects(write=True), Effects(execute=True), UNKNOWN])
def test_once_strangers_have_had_their_say_what_writes_or_executes_asks_even_if_it_is_allowed(effects):
    risky = replace(plain, effects=effects)
    policy = Policy(allow=("*",))
    assert verdict(policy, risky) == "allow"
    assert reason(policy, risky, TAINTED).endswith(", and the run has read untrusted text")
    assert verdict(Policy(allow=("*",), taint=False), risky, TAINTED) == "allow"


@pytest.mark.parametrize(
    "effects",
    [None, Effects(read=True), Effects(write=True, own_store=True), Effects(network=True, hosts=("a.example",))],
)
def test_taint_leaves_everything_else_as_it_is(effects):
    assert verdict(Policy(), replace(plain, effects=effects), TAINTED) == "allow"


def test_a_grant_holds_for_its_tool_or_for_its_arguments():
    for_tool = Trust(grants=(Grant("write"),))
    assert verdict(Policy(), write, for_tool, path="a") == "allow"
    assert verdict(Policy(ask=("*",)), read, for_tool, path="a") == "ask"
    question = judge(Policy(), write, '{"path": "a"}', NOBODY).question
    assert question is not None
    assert json.loads(question.received or "") == {"path": "a", "content": "", "force": False}


def test_a_grant_from_before_the_taint_does_not_hold_after_it():
    before, after = Grant("write"), Grant("write", tainted=True)
    assert verdict(Policy(), write, Trust(tainted=True, grants=(before,)), path="a") == "ask"
    assert verdict(Policy(), write, Trust(tainted=True, grants=(before, after)), path="a") == "allow"
    assert verdict(Policy(taint=False), write, Trust(tainted=True, grants=(before,)), path="a") == "allow"
    assert verdict(Policy(ask=("*",)), read, Trust(tainted=True, grants=(Grant("read"),)), path="a") == "allow"


def test_deny_beats_a_grant():
    assert verdict(Policy(deny=("write(path=a)",)), write, Trust(grants=(Grant("write"),)), path="a") == "deny"


# --- calls that tools make ---

RULES = Rules(limits=Limits(), tools=collect_tools([packed(write), packed(read), fetch]))


async def yes(_request: ApprovalRequest) -> Approve:
    return Approve()


ASKED = replace(RULES, policy=Policy(approver=yes))


@pytest.mark.parametrize("name", ["files_read", "files.read", "functions.files_read"])
def test_a_tool_may_call_another_by_any_of_its_names_and_room_is_reserved(name):
    after, pending = judge_nested(Run(run_id="r"), ToolCall("c.1", name, '{"path": "a"}'), RULES)
    assert (pending.plan, pending.call.name) == ("run", "files_read")
    assert after.tally.per_tool == {"files_read": 1}


def test_a_nested_call_that_needs_a_yes_is_refused_where_nobody_can_be_asked():
    after, pending = judge_nested(Run(run_id="r"), ToolCall("c.1", "files.write", '{"path": "a"}'), RULES)
    assert pending.plan == "answered"
    assert (
        pending.answer.content == "Not run: files_write needs a person's approval (it writes), and nobody can be asked."
    )
    assert after.tally.tool_calls == 0


def test_a_nested_call_of_no_tool_is_refused():
    _, pending = judge_nested(Run(run_id="r"), ToolCall("c.1", "nope", "{}"), RULES)
    assert "There is no tool named 'nope'" in pending.answer.content


def test_nested_calls_are_held_to_the_limits():
    rules = replace(RULES, limits=Limits(tool_calls=1))
    after, _ = judge_nested(Run(run_id="r"), ToolCall("c.1", "files.read", '{"path": "a"}'), rules)
    after, pending = judge_nested(after, ToolCall("c.2", "files.read", '{"path": "a"}'), rules)
    assert "tool_calls=1" in pending.answer.content
    assert after.tally.tool_calls == 1


def test_what_a_nested_call_read_counts_for_the_next_one():
    allowing = replace(RULES, policy=Policy(allow=("*",)))
    before = Run(run_id="r")
    assert note_results(before, [ToolResult("c.1", "x")]) is before
    after = note_results(before, [ToolResult("c.1", "x", untrusted=True)])
    assert note_results(after, [ToolResult("c.2", "x", untrusted=True)]) is after
    writing = ToolCall("c.2", "files.write", '{"path": "a"}')
    assert judge_nested(before, writing, allowing)[1].plan == "run"
    assert judge_nested(after, writing, allowing)[1].plan == "answered"


def test_a_decision_on_a_nested_call_runs_it_or_gives_its_room_back():
    waiting, pending = judge_nested(Run(run_id="r"), ToolCall("c.1", "files.write", '{"path": "a"}'), ASKED)
    assert (pending.plan, waiting.tally.tool_calls) == ("ask", 1)
    after, decided = decide_nested(waiting, pending, Approve(scope="tool"), ASKED)
    assert (decided.plan, after.trust.grants) == ("run", (Grant("files.write"),))
    after, decided = decide_nested(waiting, pending, Reject("no"), ASKED)
    assert (decided.plan, after.tally.tool_calls) == ("answered", 0)


def test_a_yes_knows_of_no_strangers_who_had_their_say_only_after_it_was_asked_for():
    waiting, pending = judge_nested(Run(run_id="r"), ToolCall("c.1", "files.write", '{"path": "a"}'), ASKED)
    for scope in ("tool", "arguments"):
        late = note_results(waiting, [ToolResult("c.2", "x", untrusted=True)])
        after, _ = decide_nested(late, pending, Approve(scope=scope), ASKED)
        again, asked = judge_nested(after, ToolCall("c.3", "files.write", '{"path": "a"}'), ASKED)
        assert asked.plan == "ask"
        after, _ = decide_nested(again, asked, Approve(scope=scope), ASKED)
        assert judge_nested(after, ToolCall("c.4", "files.write", '{"path": "a"}'), ASKED)[1].plan == "run"


async def test_what_is_no_decision_on_a_nested_call_is_said():
    run = Run(run_id="r")
    rules = replace(RULES, policy=Policy(approver=Person(Approve({"path": "b"})).decide))
    _, pending = judge_nested(run, ToolCall("c.1", "files.write", '{"path": "a"}'), rules)
    with pytest.raises(RunStateError, match="has a dict in place of a text"):
        await ask_nested(run, pending, rules, MemoryJournal(), None)


async def test_a_nested_call_is_shown_and_asked_about():
    events = []
    run = Run(run_id="r")
    _, pending = judge_nested(run, ToolCall("c.1", "files.write", '{"path": "a"}'), ASKED)
    assert await ask_nested(run, pending, ASKED, MemoryJournal([events.append]), None) == Approve()
    [asked] = events
    assert (asked.call.call_id, asked.request.tool, asked.request.run_id) == ("c.1", "files.write", "r")
    assert await ask_nested(run, pending, RULES, MemoryJournal(), None) == Reject("there is no approver to ask")


# --- whole runs ---


class Files(ToolPack):
    """A pack as others are."""

    name = "files"

    @tool(effects=Effects(read=True))
    def read(self, path: str) -> str:
        """Read."""
        return path

    @tool(effects=Effects(write=True))
    def write(self, path: str, content: str) -> str:
        """Write."""
        return f"wrote {path}: {content}"


class Web(ToolPack):
    """A pack that brings what strangers wrote."""

    name = "web"

    @tool(effects=Effects(network=True, open_world=True, host_argument="url"))
    def fetch(self, url: str) -> str:
        """Fetch."""
        return f"the page at {url}"


def agent_for(script, *tools, **options):
    endpoint = ScriptedEndpoint(script)
    return Agent("scripted", endpoint=endpoint, tools=tools or (Files(), Web()), **options), endpoint


def outputs(endpoint):
    return [item["output"] for item in endpoint.requests[-1]["input"] if item.get("type") == "function_call_output"]


WRITE = call("files_write", {"path": "a", "content": "1"}, "w1")
AGAIN = call("files_write", {"content": "1", "path": "a"}, "w2")
OTHER = call("files_write", {"path": "b", "content": "1"}, "w3")
FETCH = call("web_fetch", {"url": "https://a.example/"}, "f1")


class Person:
    """An approver who gives one answer and keeps what was asked."""

    def __init__(self, *answers):
        self.asked = []
        self._answers = answers

    async def decide(self, request):
        self.asked.append(request)
        return self._answers[min(len(self.asked), len(self._answers)) - 1]


async def ask_person(script, *answers, **policy):
    person = Person(*answers)
    agent, endpoint = agent_for([*script, "done"], policy=Policy(approver=person.decide, **policy))
    result = await agent.run("go")
    assert result.stop_reason == "answered"
    return [request.call.call_id for request in person.asked], person, endpoint


@pytest.mark.parametrize(
    ("answer", "asked"),
    [(Approve(), ["w1", "w2", "w3"]), (Approve(scope="arguments"), ["w1", "w3"]), (Approve(scope="tool"), ["w1"])],
)
@pytest.mark.parametrize("script", [[WRITE, AGAIN, OTHER], [[WRITE, AGAIN, OTHER]]], ids=["turns", "batch"])
async def test_a_yes_holds_for_the_call_the_arguments_or_the_tool(script, answer, asked):
    ids, _, endpoint = await ask_person(script, answer)
    assert ids == asked
    assert outputs(endpoint) == ["wrote a: 1", "wrote a: 1", "wrote b: 1"]


async def test_a_yes_from_before_a_page_was_read_is_asked_for_again_after_it():
    script = [WRITE, FETCH, AGAIN, OTHER]
    ids, person, _ = await ask_person(script, Approve(scope="tool"), hosts=("a.example",))
    assert ids == ["w1", "w2"]
    assert [request.reason for request in person.asked] == [
        "it writes",
        "it writes, and the run has read untrusted text",
    ]


async def test_a_page_in_the_history_taints_the_next_run():
    agent, _ = agent_for([FETCH, "read", WRITE], policy=Policy(allow=("files.write",), hosts=("*",)))
    first = await agent.run("go")
    assert first.run.tainted
    second = await agent.run("write", history=first.items)
    assert second.stop_reason == "approval"
    assert second.approvals[0].reason == "it writes, and the run has read untrusted text"


async def test_a_host_is_asked_about_once():
    script = [
        FETCH,
        call("web_fetch", {"url": "https://A.example:443/b"}, "f2"),
        call("web_fetch", {"url": "b.example"}),
    ]
    ids, person, _ = await ask_person(script, Approve())
    assert len(ids) == 2
    assert person.asked[1].reason == "it connects to a new host, b.example"


async def test_edited_arguments_are_told_and_judged_by_deny_again():
    edit = Approve('{"path": "etc/x", "content": "2"}', scope="tool")
    _, _, endpoint = await ask_person([WRITE], edit)
    assert outputs(endpoint)[0].endswith("wrote etc/x: 2")
    _, _, endpoint = await ask_person([WRITE], edit, deny=("files.write(path=etc/*)",))
    told = outputs(endpoint)[0]
    assert told.startswith("(A person changed the arguments to")
    assert told.endswith("Not run: files_write is not allowed with this `path`. Go on without it.")


async def test_what_was_denied_since_the_call_was_put_off_does_not_run():
    agent, _ = agent_for([WRITE])
    paused = await agent.run("go")
    strict, endpoint = agent_for(["done"], policy=Policy(deny=("files.write",)))
    result = await strict.resume(paused.run, decisions={paused.approvals[0].id: Approve()})
    assert result.stop_reason == "answered"
    assert "not allowed here" in outputs(endpoint)[0]


async def test_an_approval_goes_through_json_and_is_bound_to_its_arguments():
    agent, endpoint = agent_for([WRITE, "done"])
    paused = await agent.run("go")
    [request] = Run.from_json(paused.run.to_json()).approvals
    assert request == paused.approvals[0]
    assert (request.tool, request.effects, request.arguments) == (
        "files.write",
        Effects(write=True),
        {"path": "a", "content": "1"},
    )
    changed = Run.from_json(paused.run.to_json().replace(r"\"path\": \"a\"", r"\"path\": \"z\""))
    for other in (replace(paused.run, run_id="other"), changed):
        with pytest.raises(RunStateError, match=request.id):
            await agent.resume(other, decisions={request.id: Approve()})
    assert len(endpoint.requests) == 1
    assert (await agent.resume(paused.run, decisions={request.id: Approve()})).text == "done"


def test_a_call_whose_arguments_can_not_be_read_has_none():
    assert ApprovalRequest(run_id="r", call=ToolCall("c", "write", "{"), tool="write").arguments is None


async def test_a_script_says_beforehand_what_it_approves():
    approver = approve_matching("files.write(path=a)", "web.*")
    agent, endpoint = agent_for([[WRITE, OTHER], "done"], policy=Policy(approver=approver))
    await agent.run("go")
    wrote, refused = outputs(endpoint)
    assert wrote == "wrote a: 1"
    assert refused.endswith("nobody can be asked to approve files.write; --yes 'files.write' would allow it")
    with pytest.raises(ConfigurationError, match="is not a pattern"):
        approve_matching("files.write(")


async def test_of_two_names_that_do_not_exist_the_alternation_ends():
    names = ["search", "browse"] * 5
    agent, endpoint = agent_for([*(call(name, {}) for name in names[:4]), "done"])
    result = await agent.run("go")
    assert result.stop_reason == "repeated_calls"
    assert len(endpoint.requests) == 5
    assert "There is no tool named 'browse'" in outputs(endpoint)[-1]


async def test_a_reply_that_guesses_at_many_names_has_missed_once():
    guesses = [call(name, {}) for name in ("search", "browse", "google", "open", "look")]
    agent, endpoint = agent_for([guesses, call("files_read", {"path": "a"}), guesses, "done"])
    assert (await agent.run("go")).stop_reason == "answered"
    assert outputs(endpoint)[5] == "a"


async def test_tools_with_one_quota_share_it():
    reads = [call("files_read", {"path": str(number)}, f"r{number}") for number in range(3)]
    agent, endpoint = agent_for([[*reads, WRITE], "done"], Files().limited(calls=2), policy=Policy(allow=("*",)))
    await agent.run("go")
    assert outputs(endpoint)[:2] == ["0", "1"]
    text = "files_read, files_write may run 2 times together in a run, and that limit is reached. Go on without it."
    assert outputs(endpoint)[2:] == [f"Not run: {text}"] * 2


async def test_a_limit_on_one_tool_may_name_it_with_a_dot():
    reads = [call("files_read", {"path": str(number)}, f"r{number}") for number in range(2)]
    agent, endpoint = agent_for([reads, "done"], limits=Limits(per_tool={"files.read": 1}))
    await agent.run("go")
    assert (
        outputs(endpoint)[1]
        == "Not run: files_read may run 1 times in a run, and that limit is reached. Go on without it."
    )


# --- what a person sees ---


class Editor(ToolPack):
    """Tools with a preview."""

    name = "editor"

    def __init__(self, preview):
        super().__init__()
        self._preview = preview

    def tools(self):
        return [replace(each, preview=self._preview) for each in bound_tools(self)]

    @tool(effects=Effects(write=True))
    def edit(self, path: str) -> str:
        """Edit."""
        return path


def preview_of(preview, arguments='{"path": "a"}'):
    agent, _ = agent_for([call("editor_edit", arguments, "e1")], Editor(preview))
    events = list(agent.stream_sync("go"))
    [asked] = [event for event in events if isinstance(event, ApprovalAsked)]
    assert events[-1].result.approvals == (asked.request,)
    return asked.request.preview, [event for event in events if isinstance(event, Notice)]


def test_a_person_sees_what_the_tool_shows():
    async def look(path: str) -> str:
        return f"- {path}\n+ {path}!"

    assert preview_of(look) == ("- a\n+ a!", [])
    assert preview_of(lambda path: f"{path}?") == ("a?", [])


def test_a_long_preview_is_whole_and_one_without_end_is_cut():
    assert len(preview_of(lambda path: path * 300_000)[0]) == 300_000
    preview, _ = preview_of(lambda path: path * 3_000_000)
    assert 999_900 < len(preview) <= 1_000_000


def test_a_preview_that_fails_is_none():
    def fail(path: str) -> str:
        raise ValueError(path)

    assert preview_of(fail) == ("", [])
    assert preview_of(lambda path: path, "{") == ("", [])


def test_a_preview_that_hangs_is_given_up_and_that_is_said(monkeypatch):
    monkeypatch.setattr("agentloop.runtime.approval.PREVIEW_SECONDS", 0.05)
    release = threading.Event()
    try:
        preview, notices = preview_of(lambda path: release.wait(60) or path)
    finally:
        release.set()
    assert preview == ""
    assert [notice.topic for notice in notices] == ["abandoned"]


async def test_a_run_that_is_cancelled_while_a_preview_hangs_says_what_runs_on():
    started, release, notices = threading.Event(), threading.Event(), []

    def hang(path: str) -> str:
        started.set()
        release.wait(60)
        return path

    rules = Rules(limits=Limits(), tools=collect_tools([replace(write, preview=hang)]), policy=Policy(approver=yes))
    waiting, pending = judge_nested(Run(run_id="r"), ToolCall("c.1", "write", '{"path": "a"}'), rules)
    task = asyncio.create_task(ask_nested(waiting, pending, rules, MemoryJournal([notices.append]), None))
    try:
        await asyncio.to_thread(started.wait, 60)
        task.cancel()
        await asyncio.wait({task}, timeout=60)
    finally:
        release.set()
    assert task.cancelled()
    assert [notice.topic for notice in notices] == ["abandoned"]


async def test_a_preview_may_ask_for_the_context():
    @tool(effects=Effects(write=True))
    def edit(context: ToolContext[str], path: str) -> str:
        """Edit."""
        return context.value + path

    seen = replace(edit, preview=lambda context, path: f"{context.call_id} {context.value} {path}")
    agent, _ = agent_for([call("edit", {"path": "a"}, "e1")], seen)
    paused = await agent.run("go", context="mine")
    assert paused.approvals[0].preview == "e1 mine a"


async def test_a_call_that_was_stored_without_its_question_is_shown_as_it_would_run():
    waiting = Run(
        run_id="r", waiting_for="human", pending=(Pending(ToolCall("e1", "editor_edit", '{"path": "a"}'), "ask"),)
    )
    agent, _ = agent_for(["done"], Editor(lambda path: path))
    paused = await agent.resume(waiting)
    assert (paused.approvals[0].tool, paused.approvals[0].preview) == ("editor.edit", "a")


# --- approvers that fail ---


class Stopping:
    """An approver who stops the program."""

    def __init__(self, error):
        self._error = error

    async def decide(self, _request):
        raise self._error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_an_approver_that_stops_the_program_stops_the_sync_call_and_not_the_loop_behind_it(error):
    agent, _ = agent_for([WRITE], policy=Policy(approver=Stopping(error).decide))
    with pytest.raises(type(error)) as caught:
        agent.run_sync("go")
    assert caught.value is error
    assert caught.value.run.stop_reason == "cancelled"
    with pytest.raises(type(error)):
        list(agent_for([WRITE], policy=Policy(approver=Stopping(error).decide))[0].stream_sync("go"))
    assert agent_for(["still there"])[0].run_sync("go").text == "still there"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_an_approver_of_a_nested_call_that_stops_the_program_stops_the_sync_call(error):
    @tool
    async def relay(context: ToolContext) -> str:
        """Write through another tool."""
        return (await context.call("files.write", {"path": "a", "content": "1"})).content

    policy = Policy(approver=Stopping(error).decide)
    agent, endpoint = agent_for([[call("relay"), call("relay", {}, "c2")], "went on"], Files(), relay, policy=policy)
    with pytest.raises(type(error)) as caught:
        agent.run_sync("go")
    assert caught.value is error
    assert caught.value.run.stop_reason == "cancelled"
    assert len(endpoint.requests) == 1


def test_on_the_main_thread_an_approver_that_stops_the_program_stops_it():
    agent, _ = agent_for([WRITE], policy=Policy(approver=Stopping(SystemExit(3)).decide))
    with pytest.raises(SystemExit):
        asyncio.run(agent.run("go"))


async def test_an_approver_that_raises_is_asked_again_when_the_run_goes_on():
    agent, _ = agent_for([[WRITE, OTHER], "done"], policy=Policy(approver=Stopping(UserError("not now")).decide))
    with pytest.raises(UserError, match="not now") as caught:
        await agent.run("go")
    calm, endpoint = agent_for(["done"], policy=Policy(approver=yes))
    await calm.resume(Run.from_json(caught.value.run.to_json()))
    assert outputs(endpoint) == ["wrote a: 1", "wrote b: 1"]


async def test_an_approver_that_gives_no_decision_ends_the_run_with_an_error():
    agent, _ = agent_for([WRITE], policy=Policy(approver=Person("yes").decide))
    with pytest.raises(RunStateError, match="is a str"):
        await agent.run("go")


async def test_an_answer_in_the_tools_place_is_given_to_the_model():
    _, _, endpoint = await ask_person([WRITE], Substitute("done by hand"))
    assert outputs(endpoint) == ["done by hand"]


# --- reading arguments ---


def test_a_tool_reads_arguments_as_it_receives_them():
    assert write.read_arguments('{"path": "a", "force": "true"}') == {"path": "a", "content": "", "force": True}
    with pytest.raises(ArgumentsError):
        write.read_arguments("{}")


def test_arguments_that_are_no_json_any_more_can_not_be_read():
    @tool(strict=False)
    def take(data: bytes = b"\xff", *, where: Path = Path("a/../b")) -> str:
        """Take."""
        return f"{data!r}{where}"

    assert take.read_arguments('{"data": "x"}') == {"data": "x", "where": "a/../b"}
    with pytest.raises(ArgumentsError, match="can't be checked"):
        take.read_arguments("{}")


def test_a_name_that_can_not_be_encoded_has_no_host():
    assert [read_host(f"https://{name}/") for name in ("bücher..example", "ü" * 70, "stra\u00dfe.example")] == [
        "",
        "",
        "",
    ]

"""What the users of one process share does not grow, and tells none of them anything about another."""

import asyncio
from dataclasses import replace

import pytest

from agentloop import Agent, Policy, ToolResult, tool
from agentloop.endpoint.transport import HttpTransport, pool
from agentloop.policy import approve_matching
from agentloop.policy import rules as rules_module
from agentloop.testing import ScriptedEndpoint, call
from agentloop.wire.profile import Endpoint
from agentloop_tools.files import Files, FilesConfig


@tool
def look(name: str) -> str:
    """Look."""
    return name


def test_a_policy_without_rules_keeps_nothing_about_the_tools_of_agents():
    policy = Policy()
    for number in range(5):
        named = replace(look, name=f"look_{number}")
        Agent("m", endpoint=ScriptedEndpoint([call(named.name, {"name": "a"}), "done"]), tools=[named]).run_sync("go")
        assert policy.find_rules((named.name,)) == {}
    assert policy._found == {}
    assert Agent.__init__.__kwdefaults__["policy"]._found == {}


def test_a_shared_policy_keeps_a_bounded_number_of_tools(monkeypatch):
    monkeypatch.setattr(rules_module, "_MOST_FOUND", 3)
    policy = Policy(deny=("look_7",))
    found = [policy.find_rules((f"look_{number}",)) for number in (*range(9), 7)]
    assert [each for each in found if each] == [found[7], found[9]]
    assert len(policy._found) <= 3


def test_a_server_that_warns_in_ever_new_words_takes_a_bounded_amount_of_memory(monkeypatch):
    monkeypatch.setattr(pool, "_MOST_WARNED", 3)
    monkeypatch.setattr(pool, "_WARNED", set())
    transport = HttpTransport(Endpoint("http://127.0.0.1:9/v1"))
    for number in range(8):
        transport._pool._warn(f"warning {number}")
        transport._pool._warn(f"warning {number}")
    assert transport.take_warnings() == [f"the endpoint warns: warning {number}" for number in range(8)]
    assert len(pool._WARNED) <= 3


@pytest.mark.parametrize(("path", "approved"), [("docs/new", True), ("./docs/new", True), ("link/new", False)])
async def test_a_pattern_that_approves_calls_sees_where_a_path_leads(tmp_path, path, approved):
    (tmp_path / "docs").mkdir()
    (tmp_path / "keys").mkdir()
    (tmp_path / "link").symlink_to("keys")
    (tmp_path / "docs" / "out").symlink_to("../keys/new")
    pack = Files(FilesConfig(root=tmp_path, write=True))
    policy = Policy(approver=approve_matching("files.write(path=docs/*)"))
    script = [call("files_write", {"path": each, "content": "x"}) for each in (path, "docs/out")]
    result = await Agent("m", endpoint=ScriptedEndpoint([*script, "done"]), tools=[pack], policy=policy).run("go")
    said = [item.content for item in result.items if isinstance(item, ToolResult)]
    assert ("wrote" in said[0]) == approved
    assert "declined" in said[1]
    assert not any((tmp_path / "keys").iterdir())


async def test_two_runs_at_once_know_nothing_of_each_others_taint(tmp_path):
    pack = Files(FilesConfig(root=tmp_path, write=True))

    async def run(content):
        script = [call("files_write", {"path": content, "content": content}), "done"]
        agent = Agent("m", endpoint=ScriptedEndpoint(script), tools=[pack], policy=Policy(allow=("*",)))
        return (await agent.run("go")).run.tainted

    assert await asyncio.gather(run("a"), run("b")) == [False, False]

"""Runs and agents that differ from their agent in some options, and the connections that they share."""

import asyncio
import gc

import pytest

from agentloop import (
    Agent,
    Approve,
    ConfigurationError,
    Endpoint,
    Finished,
    Limits,
    ModelSettings,
    Notice,
    Policy,
    RunOptions,
    ToolCall,
    tool,
)
from agentloop.testing import ScriptedEndpoint
from loopback import Loopback, text_body


@tool
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


@tool
def double(number: int) -> int:
    """Double a number."""
    return 2 * number


def make(script=("hi",), **options):
    endpoint = ScriptedEndpoint(list(script))
    return Agent("m", endpoint=endpoint, instructions="Be kind.", tools=[add], **options), endpoint


CALL = ToolCall("call_1", "add", '{"a": 1, "b": 2}')

OPTIONS = {
    "instructions": ({"instructions": "Be brief."}, lambda sent: sent["instructions"] == "Be brief."),
    "no instructions": ({"instructions": None}, lambda sent: "instructions" not in sent),
    "tools": ({"tools": [double]}, lambda sent: [each["name"] for each in sent["tools"]] == ["double"]),
    "no tools": ({"tools": ()}, lambda sent: not sent.get("tools")),
    "settings": ({"settings": ModelSettings(temperature=0)}, lambda sent: sent.get("temperature") == 0),
    "model": ({"model": "other"}, lambda sent: sent["model"] == "other"),
    "policy": ({"policy": Policy(deny=("add",))}, lambda sent: not sent.get("tools")),
    "output": ({"output": list[int]}, lambda sent: "format" in sent.get("text", ())),
}


@pytest.mark.parametrize(("options", "holds"), OPTIONS.values(), ids=OPTIONS)
def test_a_run_has_what_it_is_given_and_the_next_one_what_the_agent_has(options, holds):
    agent, endpoint = make(('{"value": [1]}', "hi", '{"value": [1]}'))
    agent.run_sync("go", **options)
    agent.run_sync("go")
    agent.replace(**options).run_sync("go")
    varied, plain, replaced = endpoint.requests
    assert holds(varied)
    assert varied == replaced
    assert not holds(plain)
    assert (plain["model"], plain["instructions"], [each["name"] for each in plain["tools"]]) == (
        "m",
        "Be kind.",
        ["add"],
    )


@pytest.mark.parametrize("way", ["run", "run_sync", "stream", "stream_sync", "resume", "resume_sync"])
async def test_every_way_to_run_takes_options(way):
    agent, endpoint = make(("hi",))
    options: RunOptions = {"instructions": "Be brief."}
    match way:
        case "run":
            await agent.run("go", **options)
        case "run_sync":
            await asyncio.to_thread(agent.run_sync, "go", **options)
        case "stream":
            assert isinstance([event async for event in agent.stream("go", **options)][-1], Finished)
        case "stream_sync":
            assert isinstance(list(agent.stream_sync("go", **options))[-1], Finished)
        case _:
            asking = agent.replace(policy=Policy(ask=("add",)), endpoint=ScriptedEndpoint([CALL]))
            paused = await asking.run("go")
            assert paused.stop_reason == "approval"
            resumed = agent.resume if way == "resume" else agent.resume_sync
            result = resumed(paused.run, decisions={paused.approvals[0].id: Approve()}, **options)
            assert (await result if way == "resume" else result).text == "hi"
    assert endpoint.requests[-1]["instructions"] == "Be brief."


def test_limits_hold_for_one_run():
    agent, endpoint = make((CALL, "I stop.", "hi"))
    assert agent.run_sync("go", limits=Limits(tool_calls=0)).stop_reason == "tool_call_limit"
    assert agent.run_sync("go").stop_reason == "answered"
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"instruction": "x"}, "no option 'instruction'(.|\n)*did you mean instructions"),
        ({"limits": 3}, "limits can't be a int"),
        ({"tools": "files"}, "tools can't be a str"),
        ({"policy": Policy(deny=("ad",))}, "is about no tool of this agent"),
    ],
)
def test_a_wrong_option_is_an_error_before_anything_is_sent(options, words):
    agent, endpoint = make()
    for vary in (agent.replace, lambda **options: agent.run_sync("go", **options)):
        with pytest.raises(ConfigurationError, match=words):
            vary(**options)
    assert endpoint.requests == []


async def test_a_thousand_agents_open_one_pool_and_leave_nothing_open():
    async with Loopback(lambda _: text_body("hi")) as server:
        agent = Agent("m", endpoint=Endpoint(server.base_url))
        for number in range(1000):
            varied = agent.replace(instructions=f"You are number {number}.", limits=Limits(turns=1 + number))
            if number % 100 == 0:
                assert (await varied.run("go")).text == "hi"
        assert (await agent.run("go", model="other")).text == "hi"
        assert server.connections == 1
        del varied, agent
        gc.collect()


async def test_agents_with_equal_endpoints_share_connections_until_the_last_one_is_closed():
    async with Loopback(lambda _: text_body("hi")) as server:
        first, second = (Agent("m", endpoint=Endpoint(server.base_url, api_key="key")) for _ in range(2))
        other = Agent("m", endpoint=Endpoint(server.base_url, api_key="another"))
        for agent in (first, second, other):
            await agent.run("go")
        assert server.connections == 2, "another key never goes over a connection of the first"
        await first.aclose()
        await second.run("go")
        assert server.connections == 2, "the other agent still uses it"
        await second.aclose()
        await first.run("go")
        assert server.connections == 3
        await first.aclose()
        await other.aclose()


def test_tools_are_written_once_for_all_agents_that_have_them():
    agent, endpoint = make(("hi",) * 4)
    brief, fewer = agent.replace(instructions="Be brief."), agent.replace(tools=[double])
    for each in (agent, brief, fewer):
        each.run_sync("go")
    assert len(agent._prepared._encoded_tools) == 1
    assert brief._prepared._encoded_tools is agent._prepared._encoded_tools
    assert [[each["name"] for each in sent["tools"]] for sent in endpoint.requests] == [["add"], ["add"], ["double"]]


def test_a_fault_of_the_stored_profile_is_told_once_for_all_that_share_it(tmp_path, monkeypatch):
    broken = tmp_path / "agentloop.toml"
    broken.write_text("[[profile")
    monkeypatch.setenv("AGENTLOOP_CONFIG", str(broken))
    agent, _ = make(("hi",) * 2)
    told = [
        [event.text for event in agent.stream_sync("go", instructions=text) if isinstance(event, Notice)]
        for text in ("Be brief.", "Be kind.")
    ]
    assert "agentloop.toml" in told[0][0]
    assert told[1] == []

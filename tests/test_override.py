"""Other options for all runs of an agent within a block, as a test of code with a module-level agent needs them."""

import asyncio
import threading
from contextvars import copy_context

import pytest

from agentloop import Agent, Approve, ConfigurationError, Finished, Limits, Policy, ToolCall, tool
from agentloop.testing import ScriptedEndpoint, call


@tool
def count_letters(word: str) -> int:
    """Count the letters of a word."""
    return len(word)


class Shop:
    """Code with an agent of its own; nothing listens at the agent's address."""

    agent = Agent("real", endpoint=ScriptedEndpoint(lambda _: "real"), instructions="Be kind.")

    @classmethod
    def ask(cls, **options):
        return cls.agent.run_sync("go", **options).text


def scripted(*texts):
    return ScriptedEndpoint(list(texts))


WAYS = ["run", "run_sync", "stream", "stream_sync", "resume", "resume_sync"]


async def run_in_way(agent, way):
    match way:
        case "run":
            return (await agent.run("go")).text
        case "run_sync":
            return (await asyncio.to_thread(agent.run_sync, "go")).text
        case "stream":
            *_, last = [event async for event in agent.stream("go")]
        case "stream_sync":
            *_, last = await asyncio.to_thread(lambda: list(agent.stream_sync("go")))
        case _:
            asking = Agent(
                "m",
                endpoint=ScriptedEndpoint([call("count_letters", {"word": "lamp"})]),
                tools=[count_letters],
                policy=Policy(ask=("count_letters",)),
            )
            paused = await asking.run("go")
            decisions = {paused.approvals[0].id: Approve()}
            if way == "resume":
                return (await agent.resume(paused.run, decisions=decisions)).text
            return (await asyncio.to_thread(agent.resume_sync, paused.run, decisions=decisions)).text
    assert isinstance(last, Finished)
    return last.result.text


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_async", [True, False], ids=["async with", "with"])
async def test_every_run_in_the_block_has_the_options_and_none_after_it(way, is_async):
    agent = Agent("real", endpoint=scripted("real"), tools=[count_letters])
    override = agent.override(endpoint=scripted("scripted"))
    if is_async:
        async with override:
            said = await run_in_way(agent, way)
    else:
        with override:
            said = await run_in_way(agent, way)
    assert (said, (await agent.run("go")).text) == ("scripted", "real")


def test_each_option_can_be_overridden():
    endpoint = ScriptedEndpoint(lambda _: "hi")
    with Shop.agent.override(
        model="other", endpoint=endpoint, instructions="Be brief.", tools=[count_letters], limits=Limits(turns=1)
    ):
        Shop.ask()
    [sent] = endpoint.requests
    assert (sent["model"], sent["instructions"], sent["tools"][0]["name"]) == ("other", "Be brief.", "count_letters")


def test_an_override_outweighs_what_the_code_under_test_gives_its_run():
    endpoint = scripted("scripted")
    with Shop.agent.override(endpoint=endpoint, model="test"):
        assert Shop.ask(model="ovh:gpt-oss-20b", endpoint=None, instructions="Hurry.") == "scripted"
    [sent] = endpoint.requests
    assert (sent["model"], sent["instructions"]) == ("test", "Hurry.")


def test_blocks_nest_and_each_ends_with_its_own_options():
    outer, inner = ScriptedEndpoint(lambda _: "outer"), ScriptedEndpoint(lambda _: "inner")
    with Shop.agent.override(endpoint=outer, instructions="Outside."):
        Shop.ask()
        with Shop.agent.override(endpoint=inner):
            assert Shop.ask() == "inner"
        assert Shop.ask() == "outer"
    assert Shop.ask() == "real"
    assert [sent["instructions"] for sent in (*outer.requests, *inner.requests)] == ["Outside."] * 3


def test_a_block_can_be_entered_again_and_within_itself():
    override = Shop.agent.override(endpoint=ScriptedEndpoint(lambda _: "scripted"))
    with override, override:
        assert Shop.ask() == "scripted"
    with override:
        assert Shop.ask() == "scripted"
    assert Shop.ask() == "real"


def test_the_block_ends_when_an_exception_leaves_it():
    with pytest.raises(KeyError), Shop.agent.override(endpoint=scripted()):
        raise KeyError
    assert Shop.ask() == "real"


async def test_tasks_at_the_same_time_do_not_see_each_others_options():
    entered = asyncio.Barrier(3)

    async def ask(name):
        with Shop.agent.override(endpoint=scripted(name)):
            await entered.wait()
            said = (await Shop.agent.run("go")).text
            await entered.wait()
        return said

    async def ask_plainly():
        await entered.wait()
        said = (await Shop.agent.run("go")).text
        await entered.wait()
        return said

    assert await asyncio.gather(ask("a"), ask("b"), ask_plainly()) == ["a", "b", "real"]


def test_threads_at_the_same_time_do_not_see_each_others_options():
    entered, said = threading.Barrier(2, timeout=60), {}

    def ask(name):
        with Shop.agent.override(endpoint=scripted(name)):
            entered.wait()
            said[name] = Shop.ask()
            entered.wait()

    threads = [threading.Thread(target=ask, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert said == {"a": "a", "b": "b"}


def test_a_thread_that_is_started_in_the_context_of_the_block_has_its_options():
    said = []
    with Shop.agent.override(endpoint=scripted("scripted")):
        thread = threading.Thread(target=copy_context().run, args=(lambda: said.append(Shop.ask()),))
        thread.start()
        thread.join(60)
    assert said == ["scripted"]


def test_a_tool_that_uses_the_agent_sees_the_options_too():
    @tool
    def ask_shop() -> str:
        """Ask the shop."""
        return Shop.ask()

    endpoint = ScriptedEndpoint([call("ask_shop"), "done"])
    outer = Agent("outer", endpoint=endpoint, tools=[ask_shop])
    with Shop.agent.override(endpoint=scripted("scripted")):
        outer.run_sync("go")
    assert endpoint.requests[1]["input"][-1]["output"] == "scripted"


def test_a_stream_has_the_options_of_where_it_was_opened():
    with Shop.agent.override(endpoint=scripted("scripted")):
        events = Shop.agent.stream_sync("go")
    *_, last = events
    assert last.result.text == "scripted"


def test_an_agent_that_is_made_from_it_in_the_block_has_the_options_and_keeps_them():
    with Shop.agent.override(endpoint=scripted("scripted")):
        brief = Shop.agent.replace(instructions="Be brief.")
    assert brief.run_sync("go").text == "scripted"


def test_other_agents_are_as_they_were():
    other = Shop.agent.replace(instructions="I am another.")
    with Shop.agent.override(endpoint=scripted()):
        assert other.run_sync("go").text == "real"


@pytest.mark.parametrize(
    ("options", "words"),
    [({"tool": []}, "did you mean tools"), ({"limits": 3}, "limits can't be a int"), ({"model": "no:x"}, "no known")],
)
def test_a_wrong_option_is_an_error_when_the_block_is_entered(options, words):
    agent = Agent("ovh:gpt-oss-20b")
    with pytest.raises(ConfigurationError, match=words), agent.override(**options):
        pytest.fail("the block was entered")


def test_the_agent_keeps_no_endpoint_of_a_block():
    agent = Agent("real", endpoint=scripted("real"), tools=[count_letters])
    for _ in range(3):
        with agent.override(endpoint=ScriptedEndpoint([ToolCall("1", "count_letters", '{"word": "x"}'), "ok"])):
            assert agent.run_sync("go").text == "ok"
    assert len(agent._prepared._models._known) == 1


@pytest.fixture
def overridden_shop():
    with Shop.agent.override(endpoint=ScriptedEndpoint(lambda _: "scripted")):
        yield


@pytest.mark.usefixtures("overridden_shop")
def test_a_fixture_can_hold_the_block_for_a_test():
    assert Shop.ask() == "scripted"


@pytest.mark.usefixtures("overridden_shop")
async def test_a_fixture_can_hold_the_block_for_an_async_test():
    assert (await Shop.agent.run("go")).text == "scripted"

"""Tools that are offered only when their own function says so."""

import asyncio
import json

import pytest

from agentloop import (
    Agent,
    Approve,
    Limits,
    ModelSettings,
    Policy,
    Profile,
    RunContext,
    ToolCall,
    ToolContext,
    ToolDefinitionError,
    ToolRegistry,
    ToolResult,
    UserError,
    tool,
)
from agentloop.testing import ScriptedEndpoint

RAN = []


@pytest.fixture(autouse=True)
def nothing_has_run():
    RAN.clear()


def is_admin(run: RunContext[str]) -> bool:
    return run.value == "admin"


@tool
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


@tool(when=is_admin)
def delete(name: str) -> str:
    """Delete a user."""
    RAN.append(name)
    return "deleted"


@tool
def look(name: str) -> str:
    """Look up a user."""
    return f"{name} is a user"


@tool
async def clean_up(context: ToolContext[str]) -> list[str]:
    """Clean up."""
    result = await context.call("delete", {"name": "ada"})
    return [result.content, *context.tools]


def call(called, /, **arguments):
    return ToolCall(f"call_{called}", called, json.dumps(arguments))


def make(script, *tools, **options):
    endpoint = ScriptedEndpoint(script)
    return Agent("m", endpoint=endpoint, tools=tools or (add, delete, look), **options), endpoint


def offered(endpoint):
    return [[each["name"] for each in sent.get("tools", ())] for sent in endpoint.requests]


def results(result):
    return [(item.content, item.ok) for item in result.items if isinstance(item, ToolResult)]


@pytest.mark.parametrize(("who", "names"), [("admin", ["add", "delete", "look"]), ("guest", ["add", "look"])])
def test_a_tool_is_offered_where_its_function_says_so_and_the_others_keep_their_order(who, names):
    agent, endpoint = make(["hi"])
    agent.run_sync("go", context=who)
    assert offered(endpoint) == [names]


@pytest.mark.parametrize("which", ["sync", "async", "returns a coroutine"])
def test_it_is_asked_before_each_turn(which):
    seen = []

    def second_turn(run: RunContext[None]) -> bool:
        seen.append(run.tally.turns)
        return run.tally.turns == 1

    async def second_turn_async(run: RunContext[None]) -> bool:
        await asyncio.sleep(0)
        return second_turn(run)

    def second_turn_later(run: RunContext[None]):
        return second_turn_async(run)

    when = {"sync": second_turn, "async": second_turn_async, "returns a coroutine": second_turn_later}
    late = tool(name="late", when=when[which])(look.function)
    agent, endpoint = make([call("add", a=1, b=2), call("late", name="ada"), "hi"], add, late)
    result = agent.run_sync("go")
    assert offered(endpoint) == [["add"], ["add", "late"], ["add"]]
    assert results(result) == [("3", True), ("ada is a user", True)]
    assert seen == [0, 1, 2]


def test_a_call_of_a_tool_that_is_not_offered_does_not_run_and_counts_for_nothing():
    agent, _ = make([[call("delete", name="ada"), call("add", a=1, b=2)], "hi"])
    result = agent.run_sync("go", context="guest")
    [(refused, ok), added] = results(result)
    assert ("not on offer now" in refused, ok, added, RAN) == (True, False, ("3", True), [])
    assert result.tally.tool_calls == 1


def test_a_name_is_not_bent_to_another_tool_because_the_one_that_was_meant_is_withheld():
    deleted = tool(name="delete_", description="Delete a user for good.")(delete.function)
    agent, _ = make([call("delete", name="ada"), "hi"], delete, deleted)
    agent.run_sync("go", context="guest")
    assert RAN == []


def test_a_tool_can_not_call_it_either():
    agent, _ = make([call("clean_up"), "hi"], clean_up, delete, look)
    [(content, ok)] = results(agent.run_sync("go", context="guest"))
    answer, *others = json.loads(content)
    assert ok
    assert "not on offer now" in answer
    assert (others, RAN) == (["look"], [])
    agent, _ = make([call("clean_up"), "hi"], clean_up, delete, look)
    [(content, _)] = results(agent.run_sync("go", context="admin"))
    assert (json.loads(content), RAN) == (["deleted", "delete", "look"], ["ada"])


def test_when_a_run_is_resumed_it_is_asked_anew():
    agent, _ = make([call("clean_up"), "hi"], clean_up, delete, policy=Policy(ask=("clean_up",)))
    paused = agent.run_sync("go", context="admin")
    result = agent.resume_sync(paused.run, decisions={paused.approvals[0].id: Approve()}, context="guest")
    [(content, _)] = results(result)
    assert "not on offer now" in content
    assert RAN == []


@pytest.mark.parametrize("obeyed", [frozenset({"auto", "none", "required", "named"}), frozenset({"auto"})])
@pytest.mark.parametrize("choice", ["delete", "required"])
def test_a_choice_of_a_withheld_tool_is_left_out_and_not_pressed_for(choice, obeyed):
    endpoint = ScriptedEndpoint(lambda _: "hi", profile=Profile(tool_choice=obeyed))
    agent = Agent("m", endpoint=endpoint, tools=[add, delete], settings=ModelSettings(tool_choice=choice))
    agent.run_sync("go", context="guest")
    assert set(map(tuple, offered(endpoint))) == {("add",)}
    is_named = choice == "delete"
    assert len(endpoint.requests) == (1 if is_named else 2)
    assert all(sent.get("tool_choice") != {"type": "function", "name": "delete"} for sent in endpoint.requests)


def test_text_that_looks_like_a_call_of_a_withheld_tool_stays_text():
    leak = '<tool_call>{"name": "delete", "arguments": {"name": "ada"}}</tool_call>'
    agent, _ = make([leak])
    result = agent.run_sync("go", context="guest")
    assert (result.text, RAN) == (leak, [])


def test_no_tool_may_be_left():
    agent, endpoint = make(["hi"], delete)
    assert agent.run_sync("go", context="guest").text == "hi"
    assert offered(endpoint) == [[]]


def test_many_selections_of_tools_are_not_all_kept():
    picked = []
    tools = [
        tool(name=f"tool_{number}", when=lambda run, number=number: run.tally.turns >> number & 1)(look.function)
        for number in range(8)
    ]

    def reply(_):
        picked.append(None)
        return call("add", a=len(picked), b=0) if len(picked) < 150 else "hi"

    agent, endpoint = make(reply, add, *tools)
    agent.run_sync("go", limits=Limits(turns=None, tool_calls=None))
    assert len({tuple(names) for names in offered(endpoint)}) == 150
    assert len(agent._prepared._encoded_tools) <= 64


@pytest.mark.parametrize(
    ("error", "words"),
    [(KeyError("role"), r"`when` of late, test_when.py:.* raised KeyError"), (UserError("closed"), "closed")],
)
def test_a_function_that_raises_ends_the_run_with_an_error_that_names_it(error, words):
    def fail(_: RunContext[None]) -> bool:
        raise error

    agent, endpoint = make([], tool(name="late", when=fail)(look.function))
    with pytest.raises(UserError, match=words) as raised:
        agent.run_sync("go")
    assert raised.value.run is not None
    assert endpoint.requests == []


def test_the_options_of_a_tool_are_checked_by_name_and_kind():
    for make_tool in (tool, ToolRegistry().tool):
        with pytest.raises(ToolDefinitionError, match=r"no option 'paralel'(.|\n)*did you mean parallel"):
            make_tool(paralel=False)
        with pytest.raises(ToolDefinitionError, match=r"no option 'cache'(.|\n)*the options are: name"):
            make_tool(cache=True)
    with pytest.raises(ToolDefinitionError, match=r"when(.|\n)*a function of the RunContext"):
        tool(when=True)(look.function)

"""Which calls count for a tool choice, and which calls of one turn run at the same time."""

import asyncio

import pytest

from agentloop import (
    Agent,
    EmptyReplyError,
    Message,
    ModelSettings,
    Policy,
    Reject,
    RunResult,
    ToolCall,
    ToolFinished,
    ToolResult,
    ToolStarted,
    tool,
)
from agentloop.testing import ScriptedEndpoint, call

# --- a call that is required is one of the current exchange ---


@tool
def look_up(word: str) -> str:
    """Look up a word."""
    return f"{word} is a word"


OLD = (
    Message("user", "What is a heron?"),
    ToolCall("old", "look_up", '{"word": "heron"}'),
    ToolResult("old", "a bird"),
    Message("assistant", "A bird."),
)
RULE = Message("system", "Answer in one line.")
QUESTION = Message("user", "And a wader?")
OPEN = (QUESTION, ToolCall("new", "look_up", '{"word": "wader"}'))
ANSWERED = ToolResult("new", "a bird with long legs")
CHOICES = pytest.mark.parametrize("choice", ["required", "look_up"])


def owing(script, choice, **options):
    endpoint = ScriptedEndpoint(script)
    settings = ModelSettings(tool_choice=choice)
    return Agent("any", endpoint=endpoint, tools=[look_up], settings=settings, **options), endpoint


def choices_in(endpoint):
    return [request.get("tool_choice") for request in endpoint.requests]


@CHOICES
@pytest.mark.parametrize(
    ("history", "said"),
    [
        (OLD, "And a wader?"),
        (OLD, QUESTION),
        ((), (*OLD, QUESTION)),
        ((), (*OLD, RULE, QUESTION)),
        ((), (*OLD, QUESTION, RULE)),
        (OLD[:2], (*OLD[2:], QUESTION)),
        (OLD, (*OLD[:-1], QUESTION)),
    ],
)
async def test_a_call_before_the_last_question_is_not_the_one_that_is_owed(choice, history, said):
    agent, endpoint = owing(["It wades.", call("look_up", {"word": "wader"}), "A bird too."], choice)
    result = await agent.run(said, history=history)
    assert result.text == "A bird too."
    pressed = endpoint.requests[1]["input"][-1]["content"]
    assert "Before you answer, call" in str(pressed)
    assert [bool(each) for each in choices_in(endpoint)] == [True, True, False]


@CHOICES
@pytest.mark.parametrize(
    ("history", "said"), [((), (*OPEN, ANSWERED)), (OPEN, (ANSWERED,)), (OLD, (*OPEN, ANSWERED)), (OLD, OPEN)]
)
async def test_a_call_after_the_last_question_is_not_made_again(choice, history, said):
    agent, endpoint = owing(["A bird with long legs."], choice)
    result = await agent.run(said, history=history)
    assert result.text == "A bird with long legs."
    assert choices_in(endpoint) == [None]


@CHOICES
async def test_a_model_whose_call_was_refused_is_not_made_to_call_again(choice):
    async def refuse(_request):
        return Reject("not today")

    policy = Policy(ask=("look_up",), approver=refuse)
    agent, endpoint = owing([call("look_up", {"word": "wader"}), "I may not look."], choice, policy=policy)
    result = await agent.run("And a wader?")
    assert result.text == "I may not look."
    assert choices_in(endpoint)[1] is None


async def test_an_answer_that_was_given_before_is_not_the_text_of_a_run():
    agent = Agent("any", endpoint=ScriptedEndpoint(["", ""]))
    with pytest.raises(EmptyReplyError) as raised:
        await agent.run([*OLD, QUESTION])
    assert RunResult(raised.value.run).text == ""


async def test_a_conversation_without_a_question_begins_after_its_history():
    agent, _ = owing(["Hello.", "Hello!"], "required")
    result = await agent.run([RULE], history=[Message("assistant", "Welcome.")])
    assert (result.run.start, result.text) == (1, "Hello!")


# --- beside a tool that is not parallel, no call of its turn runs ---


async def watch(order, **settings):
    """Return the begins and ends of the calls of one turn, each of which ends after its begin was seen."""
    seen = {name: asyncio.Event() for name in order}

    def make(name):
        async def run() -> str:
            await seen[name].wait()
            return name

        return tool(run, name=name, description="Run.", parallel=not name.startswith("alone"))

    endpoint = ScriptedEndpoint([[call(name, {}, name) for name in order], "done"])
    agent = Agent("any", endpoint=endpoint, tools=[make(name) for name in order], settings=ModelSettings(**settings))
    happened = []
    async for event in agent.stream("go"):
        if isinstance(event, ToolStarted | ToolFinished):
            happened.append((type(event), event.call.name))
            seen[event.call.name].set()
    return happened


def one_by_one(order):
    return [(kind, name) for name in order for kind in (ToolStarted, ToolFinished)]


@pytest.mark.parametrize(
    "order",
    [
        ["alone", "near"],
        ["near", "alone"],
        ["near", "alone", "far"],
        ["alone", "near", "alone2"],
        ["alone", "alone2"],
        ["alone", "alone2", "near"],
    ],
    ids=" ".join,
)
async def test_a_tool_that_is_not_parallel_has_no_neighbour(order):
    assert await watch(order) == one_by_one(order)


async def test_tools_that_are_parallel_begin_before_another_has_ended():
    happened = await watch(["near", "far", "alone", "more", "most"])
    begins = [kind is ToolStarted for kind, _ in happened]
    assert begins == [True, True, False, False, True, False, True, True, False, False]


async def test_no_call_has_a_neighbour_where_the_settings_say_so():
    order = ["near", "far", "more"]
    assert await watch(order, parallel_tool_calls=False) == one_by_one(order)

"""Instructions that are a function of the run."""

import asyncio

import pytest

from agentloop import Agent, Approve, ConfigurationError, Policy, RunContext, ToolCall, UserError, tool
from agentloop.testing import ScriptedEndpoint


@tool
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


CALL = ToolCall("call_1", "add", '{"a": 1, "b": 2}')


def greet(run: RunContext[str]) -> str:
    return f"You talk with {run.value}."


async def greet_async(run: RunContext[str]) -> str:
    await asyncio.sleep(0)
    return greet(run)


class Greeter:
    def __call__(self, run):
        return greet_async(run)


@pytest.mark.parametrize(
    "instructions",
    [
        greet,
        greet_async,
        lambda run: f"You talk with {run.value}.",
        lambda run: greet_async(run) if run else None,
        Greeter(),
    ],
)
def test_they_are_made_from_the_context(instructions):
    endpoint = ScriptedEndpoint(["hi", "ho"])
    agent = Agent("m", endpoint=endpoint, instructions=instructions)
    agent.run_sync("go", context="Ada")
    agent.run_sync("go", context="Bob")
    assert [sent["instructions"] for sent in endpoint.requests] == ["You talk with Ada.", "You talk with Bob."]


def test_they_are_made_once_in_a_run_and_again_when_it_is_resumed():
    seen = []

    def count(run: RunContext[None]) -> str:
        seen.append(run)
        return f"This is number {len(seen)}."

    endpoint = ScriptedEndpoint([CALL, "hi"])
    agent = Agent("m", endpoint=endpoint, tools=[add], instructions=count, policy=Policy(ask=("add",)))
    paused = agent.run_sync("go")
    asked = {request.id: True for request in paused.approvals}
    assert (len(seen), len(asked)) == (1, 1)
    assert seen[0].run_id == paused.run.run_id
    assert seen[0].tally.turns == 0
    agent.resume_sync(paused.run, decisions=dict.fromkeys(asked, Approve()))
    assert [sent["instructions"] for sent in endpoint.requests] == ["This is number 1.", "This is number 2."]
    assert seen[1].tally.turns == 1


def test_none_means_that_there_are_none():
    endpoint = ScriptedEndpoint(["hi"])
    Agent("m", endpoint=endpoint, instructions=lambda _: None).run_sync("go")
    assert "instructions" not in endpoint.requests[0]


def lookup(run: RunContext[dict[str, str]]) -> str:
    return run.value["name"]


@pytest.mark.parametrize(
    ("instructions", "words"),
    [
        (lookup, r"the function for the instructions, test_instructions.py:\d+ in .*lookup, raised KeyError"),
        (lambda _: 3, "returned a int"),
        (lambda: "hi", "raised TypeError"),
    ],
)
def test_a_function_that_fails_ends_the_run_with_an_error_that_names_it(instructions, words):
    endpoint = ScriptedEndpoint([])
    with pytest.raises(ConfigurationError, match=words) as raised:
        Agent("m", endpoint=endpoint, instructions=instructions).run_sync("go", context={})
    assert raised.value.run is not None
    assert endpoint.requests == []


def test_an_error_of_agentloop_passes_as_it_is():
    def refuse(_: RunContext[None]) -> str:
        raise UserError("closed today")

    with pytest.raises(UserError, match="closed today"):
        Agent("m", endpoint=ScriptedEndpoint([]), instructions=refuse).run_sync("go")


async def test_a_function_that_keeps_a_cancellation_to_itself_does_not_keep_the_run_going():
    begun = asyncio.Event()

    async def stay(_: RunContext[None]) -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "I stay."
        return ""

    endpoint = ScriptedEndpoint(["hi"])
    running = asyncio.create_task(Agent("m", endpoint=endpoint, instructions=stay).run("go"))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert endpoint.requests == []

"""Rules that are easily lost: what runs alone, what is never asked again, what belongs to another turn."""

import asyncio
import json
from io import StringIO

import pytest

from agentloop import (
    Agent,
    ContextOverflowError,
    Endpoint,
    Message,
    ModelSettings,
    Profile,
    Reasoning,
    TextDelta,
    ToolCall,
    ToolContext,
    ToolDefinitionError,
    ToolResult,
    tool,
)
from agentloop.loop.history import repair_history
from agentloop.testing import ScriptedEndpoint, call
from agentloop.wire.conversation import Conversation
from agentloop.wire.model_target import ModelTarget
from agentloop.wire.payload import dump
from agentloop.wire.profile.failures import read_error
from agentloop.wire.profile.learner import ProfileLearner
from agentloop.wire.profile.refusals import Sent, draw_lessons
from loopback import Loopback, sse_reply, stream_of, text_body
from ways import PROFILES

ASKED = Message("user", "Which way?")
CALL, RESULT = ToolCall("c1", "look", "{}"), ToolResult("c1", "left")


async def test_calls_of_a_tool_that_is_not_parallel_run_one_by_one_for_another_tool_too():
    running, most = [], []

    @tool(parallel=False)
    async def lift(weight: int) -> str:
        """Lift a weight."""
        running.append(weight)
        most.append(len(running))
        for _ in range(20):
            await asyncio.sleep(0)
        running.remove(weight)
        return f"{weight} kg"

    @tool
    async def train(context: ToolContext[None]) -> str:
        """Lift three weights."""
        lifted = await asyncio.gather(*(context.call("lift", {"weight": weight}) for weight in (1, 2, 3)))
        return ", ".join(result.content for result in lifted)

    endpoint = ScriptedEndpoint([call("train"), "done"])
    await Agent("m", endpoint=endpoint, tools=[lift, train]).run("go")
    assert endpoint.requests[1]["input"][-1]["output"] == "1 kg, 2 kg, 3 kg"
    assert most == [1, 1, 1]


@pytest.mark.parametrize("dialect", ["native", "chat"])
async def test_an_overflow_after_text_was_shown_is_an_error_and_nothing_is_sent_again(dialect):
    words = "This model's maximum context length is 600 tokens, your request has 900 tokens"
    failure = {"error": {"message": words, "code": "context_length_exceeded"}}
    events = stream_of(text_body("It begins well"), dialect)
    shown = 1 + next(at for at, (_, data) in enumerate(events) if "well" in str(data))
    history = [Message(role, "x" * 400) for role in ("user", "assistant") * 4]
    async with (
        Loopback(lambda _: sse_reply([*events[:shown], ("error", failure)]), dialect) as server,
        Agent("m", endpoint=Endpoint(server.base_url, profile=PROFILES[dialect])) as agent,
    ):
        said = StringIO()

        async def watch():
            async for event in agent.stream("go", history=history):
                if isinstance(event, TextDelta):
                    said.write(event.text)

        with pytest.raises(ContextOverflowError):
            await watch()
    assert said.getvalue() == "It begins well"
    assert len(server.requests) == 1


def test_a_thought_that_led_to_nothing_is_not_taken_for_that_of_a_later_call():
    target = ModelTarget(
        base_url="http://kept/v1",
        model="m",
        instructions=None,
        tools=[],
        settings=ModelSettings(),
        profile=Profile(reasoning_replay="text"),
    )
    items = (ASKED, Reasoning("Hm."), Message("user", "Well?"), CALL, RESULT)
    sent = json.loads(Conversation(target).encode(items, tools=True, stream=False))["input"]
    assert [item["type"] for item in sent] == ["message", "message", "function_call", "function_call_output"]


def test_another_route_is_only_a_suspicion_where_the_words_are_about_something_else():
    error = read_error(400, {}, dump({"error": {"message": "this request could not be completed"}}))
    lessons = {
        each.field: each
        for each in draw_lessons(error, Profile(), Sent({}, has_results=True, items=(ASKED, CALL, RESULT)))
    }
    assert lessons["route"].is_weak


def test_a_result_that_stood_before_its_call_is_the_result_of_this_call():
    repaired = repair_history((ASKED, RESULT, CALL, Message("assistant", "Left.")), 4)
    assert [item for item in repaired.items if isinstance(item, ToolResult)] == [RESULT]
    assert repaired.repairs == ("in the history, results that stood before their calls are moved: c1",)


@pytest.mark.parametrize("error", [RuntimeError("not now"), KeyError("a")])
def test_a_signature_that_raises_anything_is_a_fault(error):
    class Broken:
        __name__ = "broken"

        @property
        def __signature__(self):
            raise error

        def __call__(self, a: int): ...

    with pytest.raises(ToolDefinitionError, match="its signature can't be read"):
        tool(Broken())


def test_sections_after_those_on_parameters_stay_in_the_description():
    @tool
    def measure(width: int) -> str:
        """Measure a board.

        Parameters
        ----------
        width : int
            Its width.

        Returns
        -------
        str
            Words about it.

        Notes
        -----
        Boards shrink.
        """
        return "narrow"

    assert "Its width." not in measure.description
    assert measure.description.endswith("Words about it.\n\nNotes\n-----\nBoards shrink.")


def draw(words, body):
    error = read_error(400, {}, dump({"error": {"message": words}}))
    return error, [lesson.field for lesson in draw_lessons(error, Profile(), Sent(body, has_results=True))]


@pytest.mark.parametrize(
    "words",
    [
        "empty content is not allowed with tool calls",
        "an empty message is unsupported with tools",
        "{} are not allowed",
    ],
)
def test_words_about_an_empty_text_beside_tools_do_not_take_the_tools_away(words):
    fields = draw(words.format("tools"), {"tools": [{}]})[1]
    assert ("tool_calling" in fields) == ("empty" not in words)


def test_a_lesson_after_which_the_same_words_come_again_holds_for_the_run_alone():
    body = {"tools": [{}], "parallel_tool_calls": False, "tool_choice": "required"}
    learner = ProfileLearner(("http://doubt/v1", "m"), Profile(), lambda _: Sent(body, has_results=False))
    words = "parallel_tool_calls and tool_choice are not supported here"
    tried = [learner.adapt(draw(words, body)[0]) for _ in range(2)]
    assert [lesson.field for lesson in tried] == ["refused", "tool_choice"]
    learner.confirm()
    assert [lesson.field for lesson in learner.take_lessons()] == ["tool_choice"]
    assert "parallel_tool_calls" in learner.profile.refused

"""Two-turn runs whole: the exact bodies that go out in both dialects, streamed and not, and all events of a stream."""

from dataclasses import replace

import pytest
from inline_snapshot import snapshot

from agentloop import (
    Finished,
    ModelSettings,
    TextDelta,
    ToolCall,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnFinished,
    TurnStarted,
    Usage,
    tool,
)
from loopback import body, call_item, guide_call_body, text_body, text_item
from ways import RUN, STREAM_SYNC, Way, both_wires, serving

TURNS = {
    "native": body(text_item("Let me add."), call_item("add", {"a": 1, "b": 2})),
    "message": guide_call_body(("add", {"a": 1, "b": 2}), output=[text_item("Let me add.")]),
}


@tool
def add(a: int, b: int = 0) -> int:
    """Add two integers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


def bodies_of(way: Way, dialect: str) -> list[dict[str, object]]:
    settings = ModelSettings(temperature=0, max_output_tokens=200)
    script = [TURNS[dialect], text_body("It is 3.")]
    with serving(script, add, instructions="Be brief.", settings=settings, model="m") as (agent, server):
        assert way.ask(agent, "What is 1 and 2?").text == "It is 3."
    assert [request.path for request in server.requests] == ["/v1/responses"] * 2
    return [request.json for request in server.requests]


@both_wires
def test_the_first_body_is_the_same_in_either_dialect(way):
    bodies = [bodies_of(way, dialect)[0] for dialect in ("native", "message")]
    assert bodies[0] == bodies[1]
    assert bodies[0].pop("stream") is way.streams
    assert bodies[0] == snapshot(
        {
            "model": "m",
            "store": False,
            "tools": [
                {
                    "type": "function",
                    "name": "add",
                    "description": "Add two integers.",
                    "parameters": {
                        "type": "object",
                        "properties": {
                            "a": {"description": "The first.", "type": "integer"},
                            "b": {"description": "The second.", "anyOf": [{"type": "integer"}, {"type": "null"}]},
                        },
                        "required": ["a", "b"],
                        "additionalProperties": False,
                    },
                    "strict": True,
                }
            ],
            "instructions": "Be brief.",
            "temperature": 0,
            "max_output_tokens": 200,
            "input": [{"type": "message", "role": "user", "content": "What is 1 and 2?"}],
        }
    )


@both_wires
def test_a_native_call_and_its_result_go_back_as_items(way):
    first, second = bodies_of(way, "native")
    assert {**second, "input": first["input"]} == first
    assert second["input"] == snapshot(
        [
            {"type": "message", "role": "user", "content": "What is 1 and 2?"},
            {"type": "message", "role": "assistant", "content": "Let me add."},
            {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": '{"a": 1, "b": 2}'},
            {"type": "function_call_output", "call_id": "call_1", "output": "3"},
        ]
    )


@both_wires
def test_a_call_of_the_guide_and_its_result_go_back_as_messages(way):
    first, second = bodies_of(way, "message")
    assert {**second, "input": first["input"]} == first
    assert second["input"] == snapshot(
        [
            {"type": "message", "role": "user", "content": "What is 1 and 2?"},
            {"type": "message", "role": "assistant", "content": "Let me add."},
            {
                "type": "message",
                "role": "assistant",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
                ],
            },
            {"type": "message", "role": "tool", "tool_call_id": "call_1", "content": "3", "name": "add"},
        ]
    )


def test_the_bytes_of_a_request_begin_with_those_of_the_one_before():
    with serving([TURNS["native"], text_body("It is 3.")], add) as (agent, server):
        RUN.ask(agent)
    first, second = (request.body for request in server.requests)
    assert second.startswith(first.removesuffix(b"]}"))


def test_the_events_of_a_streamed_run():
    events = []
    with serving([TURNS["native"], text_body("It is 3.")], add) as (agent, _):
        result = STREAM_SYNC.ask(agent, events=events)
    *others, last = events
    assert last == Finished(result)
    timeless = [
        replace(event, seconds=0) if isinstance(event, (ToolFinished, TurnFinished)) else event for event in others
    ]
    assert timeless == snapshot(
        [
            TurnStarted(turn=1),
            TextDelta(text="Let"),
            TextDelta(text=" me"),
            TextDelta(text=" add."),
            TurnFinished(
                turn=1,
                seconds=0,
                usage=Usage(input_tokens=10, output_tokens=5, total_tokens=15, cached_tokens=0, reasoning_tokens=0),
            ),
            ToolStarted(call=ToolCall(call_id="call_1", name="add", arguments='{"a": 1, "b": 2}')),
            ToolFinished(
                call=ToolCall(call_id="call_1", name="add", arguments='{"a": 1, "b": 2}'),
                result=ToolResult(call_id="call_1", content="3"),
                seconds=0,
            ),
            TurnStarted(turn=2),
            TextDelta(text="It"),
            TextDelta(text=" is"),
            TextDelta(text=" 3."),
            TurnFinished(
                turn=2,
                seconds=0,
                usage=Usage(input_tokens=10, output_tokens=5, total_tokens=15, cached_tokens=0, reasoning_tokens=0),
            ),
        ]
    )


@pytest.mark.parametrize("dialect", TURNS)
def test_a_run_has_the_same_transcript_whether_it_was_streamed_or_not(dialect):
    script = [TURNS[dialect], text_body("It is 3.")] * 2
    with serving(script, add) as (agent, _):
        plain, streamed = RUN.ask(agent), STREAM_SYNC.ask(agent)
    assert plain.items == streamed.items
    assert plain.usage == streamed.usage

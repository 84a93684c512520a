"""Two-turn runs whole: the exact bodies that go out in each dialect, streamed and not, and all events of a stream."""

import json
from dataclasses import replace

import pytest
from inline_snapshot import snapshot

from agentloop import (
    Finished,
    ModelSettings,
    Run,
    ServerError,
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
from loopback import body, call_item, error_reply, text_body, text_item
from ways import PROFILES, RUN, STREAM_SYNC, Way, both_on_responses, entries_in, every_dialect, ours

TURNS = [body(text_item("Let me add."), call_item("add", {"a": 1, "b": 2})), text_body("It is 3.")]


@tool
def add(a: int, b: int = 0) -> int:
    """Add two integers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


def bodies_of(way: Way) -> list[dict[str, object]]:
    settings = ModelSettings(temperature=0, max_output_tokens=200)
    with way.serving(TURNS, add, instructions="Be brief.", settings=settings, model="m") as (agent, server):
        assert way.ask(agent, "What is 1 and 2?").text == "It is 3."
    route = "/v1/responses" if way.dialect in {"native", "message"} else "/v1/chat/completions"
    assert [request.path for request in server.requests] == [route] * 2
    return [request.json for request in server.requests]


@every_dialect
def test_a_run_is_the_same_whatever_is_spoken(way):
    with way.serving(TURNS, add) as (agent, server):
        result = way.ask(agent)
    called = [item for item in result.items if isinstance(item, (ToolCall, ToolResult))]
    call_id = called[0].call_id
    assert called == [ToolCall(call_id, "add", called[0].arguments), ToolResult(call_id, "3")]
    assert json.loads(called[0].arguments) == {"a": 1, "b": 2}
    assert (result.text, result.stop_reason, result.run.dialect) == ("It is 3.", "answered", way.dialect)
    assert (result.tally.turns, result.tally.tool_calls, result.usage.total_tokens) == (2, 1, 30)
    assert len(server.requests) == 2


@every_dialect
def test_a_run_that_was_saved_goes_on_in_what_it_spoke(way):
    with way.serving([TURNS[0], error_reply(500), TURNS[1]], add, endpoint={"retries": 0}) as (agent, server):
        with ours(ServerError) as caught:
            way.ask(agent)
        run = Run.from_json(caught.value.run.to_json())
        assert agent.resume_sync(run).text == "It is 3."
    assert server.requests[1].path == server.requests[2].path
    assert entries_in(server.requests[1].json) == entries_in(server.requests[2].json)


@both_on_responses
def test_the_first_body_on_responses_is_the_same_in_either_dialect(way):
    bodies = [bodies_of(replace(way, dialect=dialect))[0] for dialect in ("native", "message")]
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


@both_on_responses
def test_a_native_call_and_its_result_go_back_as_items(way):
    first, second = bodies_of(way)
    assert {**second, "input": first["input"]} == first
    assert second["input"] == snapshot(
        [
            {"type": "message", "role": "user", "content": "What is 1 and 2?"},
            {"type": "message", "role": "assistant", "content": "Let me add."},
            {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": '{"a": 1, "b": 2}'},
            {"type": "function_call_output", "call_id": "call_1", "output": "3"},
        ]
    )


@both_on_responses
def test_a_call_of_the_guide_and_its_result_go_back_as_messages(way):
    first, second = bodies_of(replace(way, dialect="message"))
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


@both_on_responses
def test_the_bodies_of_a_chat(way):
    first, second = bodies_of(replace(way, dialect="chat"))
    assert {**second, "messages": first["messages"]} == first
    assert first.pop("stream") is way.streams
    assert first.pop("stream_options", None) == ({"include_usage": True} if way.streams else None)
    assert first == snapshot(
        {
            "model": "m",
            "temperature": 0,
            "max_tokens": 200,
            "tools": [
                {
                    "type": "function",
                    "function": {
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
                    },
                }
            ],
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 1 and 2?"}],
        }
    )
    assert second["messages"] == snapshot(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is 1 and 2?"},
            {
                "role": "assistant",
                "content": "Let me add.",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "3"},
        ]
    )


@pytest.mark.parametrize("dialect", ["native", "message", "chat"])
def test_the_bytes_of_a_request_begin_with_those_of_the_one_before(dialect):
    way = replace(RUN, dialect=dialect)
    with way.serving(TURNS, add) as (agent, server):
        way.ask(agent)
    first, second = (request.body for request in server.requests)
    assert second.startswith(first.removesuffix(b"]}"))


@pytest.mark.parametrize("dialect", ["native", "message", "chat"])
def test_the_events_of_a_streamed_run(dialect):
    events = []
    way = replace(STREAM_SYNC, dialect=dialect)
    with way.serving(TURNS, add) as (agent, _):
        result = way.ask(agent, events=events)
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


@pytest.mark.parametrize("dialect", PROFILES)
def test_a_run_has_the_same_transcript_whether_it_was_streamed_or_not(dialect):
    plain, streamed = (replace(way, dialect=dialect) for way in (RUN, STREAM_SYNC))
    with plain.serving(TURNS * 2, add) as (agent, _):
        one, other = plain.ask(agent), streamed.ask(agent)
    assert one.items == other.items
    assert one.usage == other.usage

"""A server that only streams, or never does, is asked in the way that it has, and the user sees the same."""

from dataclasses import replace

import pytest

from agentloop import (
    EndpointError,
    ModelSettings,
    Notice,
    Profile,
    ReasoningDelta,
    RefusedError,
    Retrying,
    TextDelta,
    tool,
)
from agentloop.wire.profile.lessons import LESSONS
from agentloop.wire.profile.streaming import REFUSES_STREAM, REQUIRES_STREAM, may_stream
from loopback import body, call_body, error_reply, text_body, text_item
from ways import CHAT, NATIVE

ONLY_STREAMS = (
    "parameter.enable_thinking must be set to false for non-streaming calls",
    "This model only supports stream mode, please enable the stream parameter",
    "enable thinking can not be support when `stream=False`.",
    "Stream must be set to true",
    "Streaming is required for operations that may take longer than 10 minutes",
    "only streaming is supported",
    "non-streaming is not supported",
    "Non-stream mode is unavailable",
    "the model does not support non-streaming output",
    "stream=true is required",
    "this model requires stream=true",
    "tool calls are only available in streaming mode",
    "stream: false is not allowed with tools",
    "Please set stream=True",
    "body.stream: Input should be True",
    "please use streaming",
)
NEVER_STREAMS = (
    "Your organization must be verified to stream this model.",
    "Streaming is not supported for this model.",
    "Streaming completion is not support yet, please remove 'stream' key value in the request payload.",
    "Error in `stream`: `stream` is not supported for this model",
    "Unsupported value: 'stream' does not support true with this model. Only the default (false) value is supported.",
    "stream must be false",
    "Please set stream to false",
    "body.stream: Input should be False",
    "stream=true is not allowed",
    "Only non-streaming requests are supported.",
    "SSE is not supported by this deployment",
    "Streaming isn\u2019t available for this model",
    "This endpoint has no support for streaming responses",
    "Streamed responses are not enabled for this account",
    "streaming unavailable for this model",
)
NEVER_WITH_TOOLS = (
    "This model doesn't support tool use in streaming mode.",
    "Cannot use tools with stream",
    "this backend cannot stream while tools are enabled: not supported",
    "streaming with tools is currently disabled",
    "tool calling is only supported for non-streaming requests",
    "tools are only available when stream=false",
    "Function calling is not supported with streaming requests.",
    "Tools and stream can't be used together",
    "stream and tools are mutually exclusive",
    "`tools` is incompatible with `stream`",
)
ABOUT_SOMETHING_ELSE = (
    "unexpected end of stream",
    "stream closed unexpectedly",
    "stream error: stream ID 3; INTERNAL_ERROR; received from peer",
    "error reading stream: connection reset",
    "Failed to stream response: upstream not available",
    "The server could not process the stream in time",
    "stream disconnected before completion: not enough memory",
    "stream timed out, the worker did not work",
    "unknown model; could not open stream",
    "The model is not available right now, the stream was closed",
    "this upstream is not supported",
    "stream_options is not supported",
    "error in non-streaming handler: out of memory",
    "the event stream broke, you must try again",
)

ways = pytest.mark.parametrize("way", [*NATIVE, *CHAT], ids=lambda way: f"{way.name}-{way.dialect}")
THREE = text_body("It is three.")


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def picky(words, *, streams, status=400, tools_only=False):
    """Return a server that refuses requests for streams, or others, with these words."""

    def answer(request):
        asked = request.json
        if bool(asked.get("stream")) != streams and ("tools" in asked or not tools_only):
            return error_reply(status, words)
        has_result = any(
            item.get("role") == "tool" or item.get("type") == "function_call_output"
            for item in asked.get("messages", asked.get("input"))
        )
        if has_result or "tools" not in asked:
            return THREE
        return call_body(("add", {"a": 1, "b": 2}))

    return answer


def check(way, server, agent, learned):
    """Ask twice: the other way is taken at the first refusal, in every later request, and the tools stay native."""
    events = []
    assert way.ask(agent, "What is 1 + 2?", events).text == "It is three."
    assert [request.json.get("stream") for request in server.requests] == [
        way.streams,
        not way.streams,
        not way.streams,
    ]
    assert all(request.json["tools"] for request in server.requests)
    assert not [event for event in events if isinstance(event, Retrying)]
    notices = [event.text for event in events if isinstance(event, Notice) and event.topic == "learned"]
    assert [text.partition(" from now on")[0] for text in notices] == ([f"streaming is {learned}"] if events else [])
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text == ("It is three." if events else "")
    assert way.ask(agent, "And again?").text == "It is three."
    assert [request.json.get("stream") for request in server.requests[3:]] == [not way.streams] * 2
    assert [(lesson.field, lesson.now) for lesson in LESSONS[server.base_url, "any"]] == [("streaming", learned)]


@pytest.mark.parametrize("words", ONLY_STREAMS)
@pytest.mark.parametrize("way", [NATIVE[0], CHAT[0]], ids=["native", "chat"])
def test_a_server_that_only_streams_is_asked_for_streams(way, words):
    with way.serving(picky(words, streams=True), add) as (agent, server):
        check(way, server, agent, "always")


@pytest.mark.parametrize("words", NEVER_STREAMS)
@pytest.mark.parametrize("way", [NATIVE[1], CHAT[1]], ids=["native", "chat"])
def test_a_server_that_never_streams_is_asked_for_whole_replies(way, words):
    with way.serving(picky(words, streams=False), add) as (agent, server):
        check(way, server, agent, "never")


@pytest.mark.parametrize("words", NEVER_WITH_TOOLS)
@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("way", [NATIVE[1], CHAT[1]], ids=["native", "chat"])
def test_a_server_that_does_not_stream_with_tools_is_asked_for_whole_replies_then(way, status, words):
    with way.serving(picky(words, streams=False, status=status, tools_only=True), add) as (agent, server):
        check(way, server, agent, "without_tools")


def test_without_tools_such_a_server_streams_still():
    way = CHAT[1]
    profile = Profile(route="chat", streaming="without_tools")
    with way.serving([THREE], endpoint={"profile": profile}) as (agent, server):
        way.ask(agent)
    assert server.requests[0].json["stream"] is True


@pytest.mark.parametrize("way", [NATIVE[1], CHAT[1]], ids=["native", "chat"])
def test_one_that_refuses_all_streams_and_speaks_of_tools_first_is_learned_in_two_steps(way):
    def answer(request):
        if not request.json["stream"]:
            return THREE
        return error_reply(
            400, "streaming with tools is disabled" if "tools" in request.json else "streaming is disabled"
        )

    with way.serving(answer, add) as (agent, server):
        assert way.ask(agent).text == "It is three."
        with way.serving(answer, endpoint={"profile": replace(agent_profile(way), streaming="without_tools")}) as (
            plain,
            other,
        ):
            assert way.ask(plain).text == "It is three."
        assert [request.json["stream"] for request in other.requests] == [True, False]
    assert len(server.requests) == 2


def agent_profile(way) -> Profile:
    return Profile(route="chat") if way.dialect == "chat" else Profile()


@ways
@pytest.mark.parametrize("words", ABOUT_SOMETHING_ELSE)
def test_words_about_something_else_teach_nothing(way, words):
    with way.serving([error_reply(400, words)], add) as (agent, server), pytest.raises(EndpointError):
        way.ask(agent)
    assert not [lesson for lesson in LESSONS.get((server.base_url, "any"), ()) if lesson.field == "streaming"]
    assert [request.json["stream"] for request in server.requests] == [way.streams] * len(server.requests)


@ways
@pytest.mark.parametrize("of_a_stream", ["streaming is not supported", "stream must be true"])
def test_a_server_that_refuses_both_ways_is_an_error_and_teaches_nothing(way, of_a_stream):
    def answer(request):
        return error_reply(400, of_a_stream if request.json["stream"] else "stream must be true")

    with way.serving(answer, add) as (agent, server), pytest.raises(RefusedError):
        way.ask(agent)
    assert LESSONS.get((server.base_url, "any"), ()) == ()
    assert len(server.requests) <= 3


def test_words_about_a_schema_teach_that_schemas_are_not_streamed():
    way = CHAT[1]

    def answer(request):
        refused = request.json["stream"] and "response_format" in request.json
        return (
            error_reply(400, "response_format is not supported with streaming") if refused else text_body('{"value":3}')
        )

    with way.serving(answer, output=int) as (agent, server):
        assert way.ask(agent).output == 3
    assert [lesson.field for lesson in LESSONS[server.base_url, "any"]] == ["structured_stream"]


@pytest.mark.parametrize("way", [NATIVE[1], CHAT[1]], ids=["native", "chat"])
def test_reasoning_is_shown_though_the_reply_is_not_streamed(way):
    thought = {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "One and two."}]}
    events = []
    profile = replace(agent_profile(way), streaming="never")
    with way.serving([body(thought, text_item("Three."))], endpoint={"profile": profile}) as (agent, server):
        way.ask(agent, events=events)
    assert server.requests[0].json["stream"] is False
    shown = [event for event in events if isinstance(event, (ReasoningDelta, TextDelta))]
    assert shown == [ReasoningDelta("One and two."), TextDelta("Three.")]


def test_a_stream_that_the_user_does_not_watch_may_be_asked_for_again():
    way = CHAT[0]
    half = error_reply(503, "busy")
    profile = Profile(route="chat", streaming="always")
    with way.serving([half, THREE], endpoint={"profile": profile, "retries": 1}) as (agent, server):
        assert way.ask(agent).text == "It is three."
    assert [request.json["stream"] for request in server.requests] == [True, True]


def test_a_summary_is_streamed_where_all_is():
    way = CHAT[0]
    profile = Profile(route="chat", streaming="always", context_tokens=2000)
    settings = ModelSettings(summarize_dropped=True, max_output_tokens=100)

    def answer(request):
        return THREE

    with way.serving(answer, endpoint={"profile": profile}, settings=settings) as (agent, server):
        result = way.ask(agent, "word " * 800)
        for number in range(3):
            result = way.ask(agent, f"{number} " + "word " * 800, history=result.items)
    assert len(server.requests) > 4
    assert all(request.json["stream"] for request in server.requests)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("optional", {"plain": True, "tools": True, "output": True, "unwatched": False}),
        ("always", {"plain": True, "tools": True, "output": True, "unwatched": True}),
        ("never", dict.fromkeys(("plain", "tools", "output", "unwatched"), False)),
        ("without_tools", {"plain": True, "tools": False, "output": True, "unwatched": False}),
    ],
)
def test_when_a_stream_is_asked_for(value, expected):
    profile = Profile(streaming=value)
    assert may_stream(profile, wanted=True, tools=False, output=False) is expected["plain"]
    assert may_stream(profile, wanted=True, tools=True, output=False) is expected["tools"]
    assert may_stream(profile, wanted=True, tools=False, output=True) is expected["output"]
    assert may_stream(profile, wanted=False, tools=False, output=False) is expected["unwatched"]
    prompted = replace(profile, tool_calling="prompted")
    assert may_stream(prompted, wanted=True, tools=True, output=False) is expected["plain"]
    apart = replace(profile, structured_stream=False)
    assert may_stream(apart, wanted=True, tools=False, output=True) is (value == "always")


@pytest.mark.parametrize(
    "unit", ["not ", "stream ", "not support ", "only ", "must a ", "n", "non-stream ", "isn't use "]
)
@pytest.mark.parametrize("pattern", [REFUSES_STREAM, REQUIRES_STREAM])
@pytest.mark.unmeasured
def test_long_words_take_steps_in_proportion(unit, pattern):
    """A pattern whose steps grow with the square would not end here within any test's time."""
    text = unit * (200_000 // len(unit))
    assert pattern.search(text) is None or unit.strip() in text

"""Whatever a server says, each run ends in a result or in one of our errors, and every request is a good one."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentloop import Agent, Endpoint, EndpointError, Finished, Limits, Profile, Run, tool
from agentloop.wire.profile.lessons import LESSONS
from any_json import any_json
from loopback import body
from ways import PROFILES, check_request

NAMES = """output tool_calls status error type role content text arguments name id call_id function response message
    choices delta item item_id output_index summary encrypted_content usage output_tokens max_output_tokens
    incomplete_details reason refusal detail code choices index finish_reason reasoning reasoning_content thinking
    prompt_tokens completion_tokens"""
WORDS = """function_call message reasoning function_call_output mcp_call completed incomplete failed assistant user tool
    system output_text refusal add functions.add {} {"a":1,"b":2} call_1 content_filter"""
EVENTS = """response.created response.output_item.added response.output_item.done response.output_text.delta
    response.output_text.done response.refusal.delta response.reasoning_text.delta error response.failed
    response.function_call_arguments.delta response.function_call_arguments.done response.incomplete
    response.completed keepalive"""

anything = any_json(NAMES, WORDS)
# What models let slip into their text: calls, thoughts, and what only looks like them.
LEAKS = """<tool_call> </tool_call> <function=add> </function> <parameter=a> </parameter> [TOOL_CALLS] [ARGS] <think>
    </think> <|python_tag|> <|channel|>commentary <|channel|>analysis <|channel|>final <|message|> <|call|> <|end|>
    <|start|> to=functions.add ```json ``` {"name":"add","arguments":{"a":1,"b":2}} {"name":"add","arguments":{"a":1 add
    {"a":1} add(a=1,b=2) Hi. { [ < <| 1"""
leaks = st.lists(st.sampled_from(LEAKS.split()), max_size=8).map(" ".join)
some_text = (
    st.sampled_from(["", "Hi.", '{"a": 1, "b": 2}', '{"a": 1', "{}", "add", "call_1", "\ud800"]) | leaks | anything
)
call = st.fixed_dictionaries(
    {"type": st.just("function_call"), "name": st.sampled_from(["add", "Add", "nope", ""]), "arguments": some_text},
    optional={"call_id": some_text, "id": some_text},
)
part = st.fixed_dictionaries({"type": st.sampled_from(["output_text", "refusal"])}, optional={"text": some_text})
message = st.fixed_dictionaries(
    {"type": st.just("message"), "role": st.sampled_from(["assistant", "user", "tool"])},
    optional={"content": st.lists(part, max_size=2) | some_text, "tool_calls": st.lists(call, max_size=2)},
)
thought = st.fixed_dictionaries(
    {"type": st.just("reasoning")}, optional={"encrypted_content": some_text, "id": some_text}
)
items = st.lists(call | message | thought | anything, max_size=3)
responses = st.builds(
    lambda output, status, fields: body(*output, status=status) | fields,
    items,
    st.sampled_from(["completed", "completed", "incomplete", "failed"]),
    st.dictionaries(st.sampled_from(["tool_calls", "error", "usage", "output"]), anything, max_size=1),
)


function = st.fixed_dictionaries({"name": st.sampled_from(["add", "Add", "nope", "", None]), "arguments": some_text})
chat_call = st.fixed_dictionaries(
    {"function": function | anything},
    optional={"id": some_text, "index": st.integers(0, 2) | anything, "type": st.just("function")},
)
chat_message = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["assistant", "user", "tool"]),
        "content": st.lists(part | anything, max_size=2) | some_text,
        "reasoning_content": some_text,
        "refusal": some_text,
        "tool_calls": st.lists(chat_call | anything, max_size=3) | anything,
    },
)
ends = st.sampled_from([None, None, "stop", "tool_calls", "length", "content_filter", 7])
completions = st.builds(
    lambda message, finish, fields: {"choices": [{"message": message, "finish_reason": finish}]} | fields,
    chat_message,
    ends,
    st.dictionaries(st.sampled_from(["error", "usage", "id", "choices"]), anything, max_size=1),
)
chunks = st.builds(
    lambda delta, finish: {"choices": [{"delta": delta, "finish_reason": finish}]}, chat_message | anything, ends
)


def encode(value: object) -> bytes:
    return json.dumps(value).encode()


def encode_event(event: tuple[str, object]) -> bytes:
    name, data = event
    return f"event: {name}\n".encode() * bool(name) + b"data: " + encode(data) + b"\n\n"


def streamed(response: object) -> list[tuple[str, object]]:
    return [("", {"type": "response.completed", "response": response})]


event = st.tuples(
    st.sampled_from(EVENTS.split()), anything | st.fixed_dictionaries({}, optional={"item": call, "delta": some_text})
)
streams = st.builds(
    lambda events, end: b"".join(map(encode_event, [*events, *end])),
    st.lists(event, max_size=5),
    st.just([]) | responses.map(streamed),
)
chats = st.builds(
    lambda data, end: b"".join(encode_event(("", each)) for each in data) + end,
    st.lists(chunks | anything, max_size=5),
    st.sampled_from([b"", b"data: [DONE]\n\n"]),
)
REPLIES = {
    "native": (responses | anything).map(encode) | streams | st.binary(max_size=20),
    "chat": (completions | anything).map(encode) | chats | st.binary(max_size=20),
}
REPLIES |= {"message": REPLIES["native"], "prompted": REPLIES["chat"]}


@tool
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


class Babbler:
    """A transport that answers with these bytes in turn, and then again, and checks what it is asked."""

    def __init__(self, said: list[bytes], profile: Profile) -> None:
        self.endpoint = Endpoint("http://babbler.invalid/v1", retries=0, profile=profile)
        self._said = said
        self._requests = 0

    async def send(self, path: str, body: bytes) -> bytes:
        check_request(json.loads(body))
        self._requests += 1
        return self._said[self._requests % len(self._said)]

    async def stream(self, path: str, body: bytes) -> AsyncGenerator[bytes]:
        data = await self.send(path, body)
        half = len(data) // 2
        yield data[:half]
        yield data[half:]

    async def aclose(self) -> None: ...


async def play(agent: Agent, *, stream: bool) -> Run | None:
    try:
        if not stream:
            return (await agent.run("go")).run
        events = [event async for event in agent.stream("go")]
    except EndpointError as error:
        return error.run if error.hint else None
    return events[-1].result.run if isinstance(events[-1], Finished) else None


NAMELESS_ITEM = encode_event(("response.output_item.added", {})) + encode_event(*streamed(body()))


def end_well(said: list[bytes], dialect: str, *, stream: bool) -> None:
    LESSONS.clear()
    agent = Agent("any", endpoint=Babbler(said, PROFILES[dialect]), tools=[add], limits=Limits(turns=4))
    run = asyncio.run(play(agent, stream=stream))
    assert run is not None
    again = Run.from_json(run.to_json())
    assert len(again.items) == len(run.items)


@pytest.mark.parametrize("stream", [False, True])
def test_an_item_without_a_name_is_none(stream):
    end_well([NAMELESS_ITEM], "native", stream=stream)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", PROFILES)
@settings(max_examples=50)
@given(data=st.data())
def test_whatever_a_server_says_the_run_ends_well_or_raises_one_of_our_errors(dialect, stream, data):
    end_well(data.draw(st.lists(REPLIES[dialect], min_size=1, max_size=3)), dialect, stream=stream)

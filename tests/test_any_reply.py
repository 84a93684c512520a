"""Whatever a server says, each run ends in a result or in one of our errors, and every request is a good one."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentloop import Agent, Endpoint, EndpointError, Finished, Limits, Run, tool
from any_json import any_json
from loopback import body
from ways import check_request

NAMES = """output tool_calls status error type role content text arguments name id call_id function response message
    choices delta item item_id output_index summary encrypted_content usage output_tokens max_output_tokens
    incomplete_details reason refusal detail code"""
WORDS = """function_call message reasoning function_call_output mcp_call completed incomplete failed assistant user tool
    system output_text refusal add functions.add {} {"a":1,"b":2} call_1 content_filter"""
EVENTS = """response.created response.output_item.added response.output_item.done response.output_text.delta
    response.output_text.done response.refusal.delta response.reasoning_text.delta error response.failed
    response.function_call_arguments.delta response.function_call_arguments.done response.incomplete
    response.completed keepalive"""

anything = any_json(NAMES, WORDS)
some_text = st.sampled_from(["", "Hi.", '{"a": 1, "b": 2}', '{"a": 1', "{}", "add", "call_1", "\ud800"]) | anything
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
replies = (responses | anything).map(encode) | streams | st.binary(max_size=20)


@tool
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


class Babbler:
    """A transport that answers with these bytes in turn, and then again, and checks what it is asked."""

    endpoint = Endpoint("http://babbler.invalid/v1", retries=0)

    def __init__(self, said: list[bytes]) -> None:
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


@pytest.mark.parametrize("stream", [False, True])
@example(said=[NAMELESS_ITEM])
@given(said=st.lists(replies, min_size=1, max_size=3))
def test_whatever_a_server_says_the_run_ends_well_or_raises_one_of_our_errors(stream, said):
    agent = Agent("any", endpoint=Babbler(said), tools=[add], limits=Limits(turns=4))
    run = asyncio.run(play(agent, stream=stream))
    assert run is not None
    again = Run.from_json(run.to_json())
    assert len(again.items) == len(run.items)

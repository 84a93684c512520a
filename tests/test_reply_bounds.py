"""What a reply can cost: its events, its values and its calls are bounded, and what is longer is no reply."""

import pytest

from agentloop import Agent, Endpoint, tool
from agentloop.errors import ReplyError
from agentloop.items import ToolResult
from agentloop.runtime.model_caller import MOST_CALLS
from agentloop.testing import ScriptedEndpoint, call
from agentloop.wire.payload import MOST_VALUES, load
from agentloop.wire.streams import sse
from loopback import Loopback, Reply


@tool
def add(a: int) -> int:
    """Add."""
    return a


async def test_a_reply_with_more_calls_than_a_model_makes_is_no_reply():
    many = [call("add", {"a": number}) for number in range(MOST_CALLS + 1)]
    with pytest.raises(ReplyError, match="1,001 tool calls"):
        await Agent("m", endpoint=ScriptedEndpoint([many, "done"]), tools=[add]).run("go")


async def test_a_reply_with_many_calls_is_answered():
    many = [call("add", {"a": number}) for number in range(300)]
    result = await Agent("m", endpoint=ScriptedEndpoint([many, "done"]), tools=[add]).run("go")
    assert len([item for item in result.items if isinstance(item, ToolResult)]) == 300


def test_an_event_has_a_size_limit(monkeypatch):
    monkeypatch.setattr(sse, "MOST_BYTES", 100)
    splitter = sse.EventSplitter()
    assert splitter.feed(b"data: " + b"x" * 60) == []
    assert splitter.feed(b"\n\ndata: " + b"y" * 60) == [(b"", b"x" * 60)]
    assert splitter.feed(b"\n\n") == [(b"", b"y" * 60)]
    assert splitter.feed(b"data: ") == []
    for _ in range(4):
        assert splitter.feed(b"z" * 20) == []
    with pytest.raises(ReplyError, match="longer than any event"):
        splitter.feed(b"z" * 20)


def test_json_with_more_values_than_memory_should_hold_is_not_read():
    with pytest.raises(ValueError, match="more than 2,000,000 values"):
        load(b"[" + b"[]," * MOST_VALUES + b"1]")
    assert load(b'"' + b"x" * (MOST_VALUES + 1) + b'"') == "x" * (MOST_VALUES + 1)


async def exhaust(events):
    async for _ in events:
        pass


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_of_nothing_but_brackets_is_no_reply(stream):
    bomb = b'{"choices": [' + b"[]," * MOST_VALUES + b"1]}"
    body = b"data: " + bomb + b"\n\n" if stream else bomb
    async with Loopback(
        [Reply([body], content_type="text/event-stream" if stream else "application/json")] * 3
    ) as server:
        agent = Agent("m", endpoint=Endpoint(server.base_url, retries=0))
        with pytest.raises(ReplyError):
            await (exhaust(agent.stream("go")) if stream else agent.run("go"))

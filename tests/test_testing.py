"""The scripted endpoint that we ship for tests."""

import pytest

from agentloop import Agent, NotFoundError, ReplyError, TextDelta, tool
from agentloop.testing import ScriptedEndpoint, call


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def test_a_script_may_be_a_function_of_the_request():
    endpoint = ScriptedEndpoint(lambda request: f"{len(request['input'])} items")
    assert Agent("m", endpoint=endpoint).run_sync("hi").text == "1 items"


def test_a_reply_may_be_a_whole_body():
    body = {"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "raw"}]}]}
    assert Agent("m", endpoint=ScriptedEndpoint([body])).run_sync("hi").text == "raw"
    with pytest.raises(ReplyError):
        Agent("m", endpoint=ScriptedEndpoint([{"nothing": 1}])).run_sync("hi")


def test_calls_may_be_streamed_and_several_at_once():
    endpoint = ScriptedEndpoint([[call("add", {"a": 1, "b": 2}), call("add", '{"a": 3, "b": 4}')], "3 and  7"])
    events = list(Agent("m", endpoint=endpoint, tools=[add]).stream_sync("hi"))
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["3", " and", "  7"]
    assert [item["output"] for item in endpoint.requests[1]["input"][-2:]] == ["3", "7"]


def test_a_script_that_is_over_says_so():
    with pytest.raises(AssertionError, match="no reply left"):
        Agent("m", endpoint=ScriptedEndpoint([])).run_sync("hi")


async def test_there_is_nothing_to_close():
    endpoint = ScriptedEndpoint([])
    await endpoint.aclose()
    assert endpoint.endpoint.retries == 0


def test_a_reply_may_be_an_error():
    endpoint = ScriptedEndpoint([NotFoundError("no such model", status=404)])
    with pytest.raises(NotFoundError, match="no such model"):
        Agent("m", endpoint=endpoint).run_sync("hi")


def test_a_reply_may_be_one_call():
    endpoint = ScriptedEndpoint([call("add", {"a": 1, "b": 2}), "3"])
    assert Agent("m", endpoint=endpoint, tools=[add]).run_sync("hi").text == "3"

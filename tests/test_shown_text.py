"""What a user has seen of a reply is not asked for again, though a shorter or another request might succeed."""

import pytest

from agentloop import (
    Agent,
    ContextOverflowError,
    Endpoint,
    Message,
    ModelSettings,
    ReasoningDelta,
    RefusedError,
    TextDelta,
)
from loopback import Loopback, error_reply, sse_reply, text_body
from ways import ours, streaming

LONG = [Message(role, "word " * 2_000) for role in ("user", "assistant") * 4]
SETTINGS = ModelSettings(temperature=0.5)
FAILURES = [
    pytest.param(
        {"code": "context_length_exceeded", "message": "maximum context length is 4000 tokens"},
        ContextOverflowError,
        "trimmed",
        id="too long",
    ),
    pytest.param(
        {"code": 400, "type": "invalid_request_error", "message": "Unsupported parameter: 'temperature'"},
        RefusedError,
        "learned",
        id="a setting",
    ),
]


def broken(way, words, failure):
    """Return a stream that fails after so many words."""
    events = list(way.stream_of(text_body("grey herons wade")))
    shown = [at for at, (_, data) in enumerate(events) if _holds_text(data)]
    return sse_reply([*events[: shown[words]], ("error", {"error": failure})])


def _holds_text(data):
    if not isinstance(data, dict):
        return False
    return bool(data.get("delta") or any(choice["delta"].get("content") for choice in data.get("choices", ())))


@streaming
@pytest.mark.parametrize(("failure", "kind", "done"), FAILURES)
@pytest.mark.parametrize("words", [1, 2])
def test_a_refusal_after_text_was_shown_is_an_error_at_once(way, failure, kind, done, words):
    script, seen = [broken(way, words, failure), text_body("grey herons wade")], []
    with way.serving(script, settings=SETTINGS) as (agent, server), ours(kind):
        way.ask(agent, "What wades?", events=seen, history=LONG)
    assert "".join(event.text for event in seen if isinstance(event, TextDelta)).split() == ["grey", "herons"][:words]
    assert len(server.requests) == 1
    assert done not in [getattr(event, "topic", "") for event in seen]


@streaming
@pytest.mark.parametrize(("failure", "done"), [(failure.values[0], failure.values[2]) for failure in FAILURES])
@pytest.mark.parametrize("whole", [True, False])
def test_the_same_refusal_before_any_text_changes_the_request(way, failure, done, whole):
    first = error_reply(400, failure["message"]) if whole else broken(way, 0, failure)
    seen = []
    with way.serving([first, text_body("grey herons wade")], settings=SETTINGS) as (agent, server):
        assert way.ask(agent, "What wades?", events=seen, history=LONG).text == "grey herons wade"
    assert len(server.requests) == 2
    assert done in [getattr(event, "topic", "") for event in seen]


async def test_the_end_of_thinking_that_was_held_back_is_shown_as_thinking():
    script = [text_body("<think>a < b and <"), text_body("yes")]
    async with Loopback(script) as server, Agent("any", endpoint=Endpoint(server.base_url)) as agent:
        events = [event async for event in agent.stream("go")]
    shown = {
        kind: "".join(event.text for event in events if isinstance(event, kind)) for kind in (ReasoningDelta, TextDelta)
    }
    assert shown == {ReasoningDelta: "a < b and <", TextDelta: "yes"}

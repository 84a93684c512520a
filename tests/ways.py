"""The four ways of running an agent, and a loopback server that looks at every request as a strict server would."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from agentloop import Agent, AgentloopError, Endpoint, Event, Finished, RunResult
from loopback import Loopback, Script

PATIENCE_SECONDS = 20
OUR_TYPES = {"", "message", "reasoning", "function_call", "function_call_output"}


@dataclass(frozen=True)
class Way:
    """One way of running an agent from code that is not async.

    Attributes:
        name: Of the agent's method.
        streams: Whether it asks the server for a stream, and shows events.
        play: Adds the run's events to a list, if it has any, and returns its result.
    """

    name: str
    streams: bool
    play: Callable[..., RunResult]

    def ask(self, agent: Agent, said: Any = "go", events: list[Event] | None = None, **options: Any) -> RunResult:
        """Return the result; what was seen before an error is in `events`."""
        return self.play(agent, [] if events is None else events, said, **options)


def _run(agent: Agent, _: list[Event], *said: Any, **options: Any) -> RunResult:
    return asyncio.run(asyncio.wait_for(agent.run(*said, **options), PATIENCE_SECONDS))


def _run_sync(agent: Agent, _: list[Event], *said: Any, **options: Any) -> RunResult:
    return agent.run_sync(*said, **options)


def _stream(agent: Agent, events: list[Event], *said: Any, **options: Any) -> RunResult:
    async def watch() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for event in agent.stream(*said, **options):
                events.append(event)  # noqa: PERF401 - a comprehension would lose what came before an error

    asyncio.run(watch())
    return _result(events)


def _stream_sync(agent: Agent, events: list[Event], *said: Any, **options: Any) -> RunResult:
    for event in agent.stream_sync(*said, **options):
        events.append(event)  # noqa: PERF402 - as above
    return _result(events)


def _result(events: list[Event]) -> RunResult:
    last = events[-1]
    assert isinstance(last, Finished)
    return last.result


RUN = Way("run", streams=False, play=_run)
RUN_SYNC = Way("run_sync", streams=False, play=_run_sync)
STREAM = Way("stream", streams=True, play=_stream)
STREAM_SYNC = Way("stream_sync", streams=True, play=_stream_sync)


def _ways(*ways: Way) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("way", ways, ids=lambda way: way.name)


every_way = _ways(RUN, RUN_SYNC, STREAM, STREAM_SYNC)
both_wires = _ways(RUN, STREAM_SYNC)
"""With a plain reply and with a stream; one async, the other not."""

streaming = _ways(STREAM, STREAM_SYNC)


@contextmanager
def serving(
    script: Script, *tools: Any, endpoint: dict[str, Any] | None = None, model: str = "any", **options: Any
) -> Iterator[tuple[Agent, Loopback]]:
    """Yield an agent and the server that answers it, and check every request at the end."""
    with Loopback.in_thread(script) as server:
        agent = Agent(model, endpoint=Endpoint(server.base_url, **(endpoint or {})), tools=tools, **options)
        with closing(agent):
            yield agent, server
        for request in server.requests:
            check_request(request.json)


@contextmanager
def closing(agent: Agent) -> Iterator[Agent]:
    """Yield the agent, and close its connections at the end."""
    try:
        yield agent
    finally:
        asyncio.run(agent.aclose())


@contextmanager
def ours(kind: type[AgentloopError], match: str | None = None) -> Iterator[pytest.ExceptionInfo[AgentloopError]]:
    """Expect an error of exactly this class, with a hint and the run."""
    with pytest.raises(AgentloopError, match=match) as caught:
        yield caught
    assert type(caught.value) is kind
    assert caught.value.hint
    assert caught.value.run is not None


def check_request(body: dict[str, Any]) -> None:
    """Hold a body of `/v1/responses` to what the strictest servers ask for."""
    assert body["store"] is False
    assert isinstance(body["stream"], bool)
    assert None not in body.values()
    assert not body.keys() & {"include", "previous_response_id"}
    open_calls: list[str] = []
    seen: set[str] = set()
    for item in body["input"]:
        calls, answered = _calls_and_answer(item)
        for call_id, arguments in calls:
            assert call_id not in seen, "a call id is used twice"
            seen.add(call_id)
            open_calls.append(call_id)
            assert isinstance(json.loads(arguments), dict)
        if answered is not None:
            open_calls.remove(answered)
        elif not calls and "role" in item:
            assert not open_calls, f"a call has no result before {item}"
    assert not open_calls, "a call has no result"


def _calls_and_answer(item: dict[str, Any]) -> tuple[list[tuple[str, str]], str | None]:
    """Return the calls in an item of either dialect, and the id of the call that it answers."""
    match item:
        case {"type": "function_call", "call_id": call_id, "arguments": arguments}:
            assert item.keys() == {"type", "call_id", "name", "arguments"}
            return [(call_id, arguments)], None
        case {"type": "function_call_output", "call_id": call_id, "output": str()}:
            return [], call_id
        case {"type": "message", "role": "assistant", "tool_calls": calls}:
            return [(call["id"], call["function"]["arguments"]) for call in calls], None
        case {"type": "message", "role": "tool", "tool_call_id": call_id, "content": str()}:
            return [], call_id
        case {"type": "message", "role": "user" | "assistant", "content": _}:
            return [], None
        case {"type": "reasoning", "encrypted_content": str()}:
            return [], None
        case {"type": str(kind)} if kind not in OUR_TYPES:  # the server's own, given back unchanged
            return [], None
        case _:
            raise AssertionError(f"no strict server takes {item}")

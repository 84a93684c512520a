"""The ways of running an agent, and a loopback server that looks at every request as a strict server would."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from agentloop import Agent, AgentloopError, Endpoint, Event, Finished, Profile, RunResult
from loopback import Dialect, Loopback, Request, Script, stream_of

PATIENCE_SECONDS = 60
OUR_TYPES = {"", "message", "reasoning", "function_call", "function_call_output"}
PROFILES: dict[Dialect, Profile] = {
    "native": Profile(),
    "message": Profile(tool_items="message"),
    "chat": Profile(route="chat"),
    "prompted": Profile(tool_calling="prompted"),
}


@dataclass(frozen=True)
class Way:
    """One way of running an agent from code that is not async.

    Attributes:
        name: Of the agent's method.
        streams: Whether it asks the server for a stream, and shows events.
        play: Adds the run's events to a list, if it has any, and returns its result.
        dialect: What the agent and its server speak.
    """

    name: str
    streams: bool
    play: Callable[..., RunResult]
    dialect: Dialect = "native"

    def ask(self, agent: Agent, said: Any = "go", events: list[Event] | None = None, **options: Any) -> RunResult:
        """Return the result; what was seen before an error is in `events`."""
        return self.play(agent, [] if events is None else events, said, **options)

    @contextmanager
    def serving(
        self, script: Script, *tools: Any, endpoint: dict[str, Any] | None = None, model: str = "any", **options: Any
    ) -> Iterator[tuple[Agent, Loopback]]:
        """Yield an agent and the server that answers it, and check every request at the end."""
        with Loopback.in_thread(script, self.dialect) as server:
            fields = {"profile": PROFILES[self.dialect]} | (endpoint or {})
            with closing(Agent(model, endpoint=Endpoint(server.base_url, **fields), tools=tools, **options)) as agent:
                yield agent, server
            for request in server.requests:
                check_request(request.json)

    def stream_of(self, response: dict[str, Any]) -> list[tuple[str, Any]]:
        """Return the events by which this way's server says what a response says."""
        return stream_of(response, self.dialect)


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


ALL = (RUN, RUN_SYNC, STREAM, STREAM_SYNC)
NATIVE = (RUN, STREAM_SYNC)
CHAT = (replace(RUN_SYNC, dialect="chat"), replace(STREAM, dialect="chat"))


def _ways(*ways: Way) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("way", ways, ids=lambda way: f"{way.name}-{way.dialect}")


def _in(*dialects: Dialect) -> list[Way]:
    return [replace(way, dialect=dialect) for dialect, way in product(dialects, ALL)]


every_dialect = _ways(*_in("native", "message", "chat", "prompted"))
every_way = _ways(*_in("native", "chat"))
both_wires = _ways(*NATIVE, *CHAT)
"""Each route with a plain reply and with a stream; of each pair one async, the other not."""

each_route = _ways(RUN, replace(STREAM_SYNC, dialect="chat"))
"""For what does not depend on much else."""

streaming = _ways(STREAM, STREAM_SYNC, replace(STREAM, dialect="chat"))

# For what `/v1/responses` alone has.
every_way_on_responses = _ways(*ALL)
both_on_responses = _ways(*NATIVE)
streaming_responses = _ways(STREAM, STREAM_SYNC)

streaming_chat = _ways(*(way for way in _in("chat") if way.streams))

serving = RUN.serving


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
    """Hold the body of a request to what the strictest servers of its route ask for."""
    assert isinstance(body["stream"], bool)
    assert None not in body.values()
    if "messages" in body:
        _check_chat(body)
    else:
        assert body["store"] is False
        assert not body.keys() & {"include", "previous_response_id", "messages", "max_tokens"}
    open_calls: list[str] = []
    seen: set[str] = set()
    for kind, _, call_id, text in entries_in(body):
        match kind:
            case "call":
                assert call_id not in seen, "a call id is used twice"
                seen.add(call_id)
                open_calls.append(call_id)
                assert isinstance(json.loads(text), dict)
            case "result":
                open_calls.remove(call_id)
            case "user" | "assistant":
                assert not open_calls, f"a call has no result before {text!r}"
            case _:
                pass
    assert not open_calls, "a call has no result"


def results_in(request: Request) -> list[str]:
    """Return what tools returned, as the model is told in this request."""
    return [text for kind, _, _, text in entries_in(request.json) if kind == "result"]


def kinds_in(request: Request) -> list[str]:
    """Return what the conversation of this request is made of."""
    return [kind for kind, *_ in entries_in(request.json)]


Entry = tuple[str, str, str, Any]
"""What it is, whose name it bears, the id of its call, and its text."""


def entries_in(body: dict[str, Any]) -> list[Entry]:
    """Return the conversation in the body of a request of either route."""
    read = _entries_of_message if "messages" in body else _entries_of_item
    return [entry for item in body["messages" if "messages" in body else "input"] for entry in read(item)]


def _entries_of_item(item: dict[str, Any]) -> list[Entry]:
    match item:
        case {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}:
            _check_state(item, {"type", "call_id", "name", "arguments"})
            return [("call", name, call_id, arguments)]
        case {"type": "function_call_output", "call_id": call_id, "output": str(text)}:
            return [("result", "", call_id, text)]
        case {"type": "message", "role": "assistant", "tool_calls": calls}:
            return [_entry_of_call(call) for call in calls]
        case {"type": "message", "role": "tool", "tool_call_id": call_id, "content": str(text)}:
            return [("result", "", call_id, text)]
        case {"type": "message", "role": "system" | "user" | "assistant" as role, "content": said}:
            return [(role, "", "", said)]
        case {"type": "reasoning", "encrypted_content": str(secret)}:
            return [("reasoning", "", "", secret)]
        case {"type": str(kind)} if kind not in OUR_TYPES:  # the server's own, given back unchanged
            return [(kind, "", "", "")]
        case _:
            raise AssertionError(f"no strict server takes {item}")


def _check_chat(body: dict[str, Any]) -> None:
    assert body["messages"]
    assert not body.keys() & {"input", "instructions", "store", "max_output_tokens", "text", "include"}
    assert body["stream"] or "stream_options" not in body
    assert [message["role"] for message in body["messages"][1:] if message["role"] == "system"] == []
    calls: list[str] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            calls.remove(message["tool_call_id"])
            continue
        assert not calls, f"results must follow the message with their calls, before {message}"
        calls = [call["id"] for call in message.get("tool_calls", ())]


def _entries_of_message(message: dict[str, Any]) -> list[Entry]:
    match message:
        case {"role": "system", "content": str(text), **others} if text:
            entries = [("system", "", "", text)]
        case {"role": "user", "content": str() | list() as said, **others}:
            entries = [("user", "", "", said)]
        case {"role": "tool", "tool_call_id": call_id, "content": str(text), **others}:
            entries = [("result", "", call_id, text)]
        case {"role": "assistant", "content": str() | None as said, "tool_calls": [*calls], **others} if calls:
            entries = [("assistant", "", "", said)] if said else []
            entries += [_entry_of_call(call) for call in calls]
        case {"role": "assistant", "content": str(text), **others} if text:
            entries = [("assistant", "", "", text)]
        case _:
            raise AssertionError(f"no strict server takes {message}")
    assert not others.keys() - {"reasoning", "reasoning_content"}, f"no strict server takes {message}"
    return entries


def _entry_of_call(call: dict[str, Any]) -> Entry:
    _check_state(call, {"id", "type", "function"})
    assert call["type"] == "function"
    _check_state(call["function"], {"name", "arguments"})
    return "call", call["function"]["name"], call["id"], call["function"]["arguments"]


def _check_state(item: dict[str, Any], known: set[str]) -> None:
    """Check that an item has these fields, and besides them only what its server may understand."""
    assert item.keys() >= known
    others = {name: value for name, value in item.items() if name not in known}
    assert not others.keys() & {"index", "status", "parsed_arguments", "created_by"}
    assert all(isinstance(value, (str, list, dict)) and value for value in others.values())

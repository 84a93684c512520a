"""Defines an endpoint that answers from a script, without a network and a model.

    endpoint = ScriptedEndpoint([call("add", {"a": 1, "b": 2}), "1 and 2 is 3"])
    result = Agent("scripted", endpoint=endpoint, tools=[add]).run_sync("What is 1 and 2?")
    assert endpoint.requests[1]["input"][-1]["output"] == "3"

All of agentloop runs as with a real server; only the transport of the bytes is replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Callable, Iterable
from itertools import count
from typing import TypeAlias, assert_never

from agentloop.errors import EndpointError
from agentloop.items import JsonObject, ToolCall
from agentloop.wire.profile import Endpoint, Profile

ScriptedReply: TypeAlias = str | ToolCall | list[ToolCall] | JsonObject | EndpointError
Script: TypeAlias = Iterable[ScriptedReply] | Callable[[JsonObject], ScriptedReply]

_NUMBERS = count(1)


def call(name: str, arguments: JsonObject | str = "{}", call_id: str = "") -> ToolCall:
    """Return a model's call of a tool.

    Args:
        name: The tool's name, as the model wrote it.
        arguments: An object, or the text as the model wrote it.
        call_id: The call's id; "" for a server that gives none.
    """
    return ToolCall(call_id, name, arguments if isinstance(arguments, str) else json.dumps(arguments))


class ScriptedEndpoint:
    """A transport that answers `/v1/responses` from a script.

    Args:
        script: One reply per request: text, one or more calls, a whole body as a dict, or an EndpointError to raise. Or
            a function that takes the request's body and returns the reply.
        profile: What the endpoint can and can't do.

    Attributes:
        requests: The bodies of all requests so far.
    """

    def __init__(self, script: Script, *, profile: Profile = Profile()) -> None:
        self.requests: list[JsonObject] = []
        self._script = script if callable(script) else _in_turn(script)
        # Each endpoint has a host of its own, because lessons about one endpoint must not apply to another.
        self._endpoint = Endpoint(f"http://scripted-{next(_NUMBERS)}.invalid/v1", profile=profile, retries=0)

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint that the agent sees."""
        return self._endpoint

    async def send(self, path: str, body: bytes) -> bytes:  # noqa: ARG002 - a parameter of the Transport protocol
        """Return the next reply's body."""
        return json.dumps(self._next(body)).encode()

    async def stream(self, path: str, body: bytes) -> AsyncGenerator[bytes]:  # noqa: ARG002 - as above
        """Yield the next reply as server-sent events, its text word by word."""
        reply = self._next(body)
        for item in reply.get("output", ()):
            for part in item.get("content", ()):
                for word in re.findall(r"\s*\S+", part["text"]):
                    yield _event({"type": "response.output_text.delta", "delta": word})
        yield _event({"type": "response.completed", "response": reply})

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""

    def _next(self, body: bytes) -> JsonObject:
        request: JsonObject = json.loads(body)
        self.requests.append(request)
        reply = self._script(request)
        match reply:
            case EndpointError():
                raise reply
            case str():
                return _body([{"type": "message", "role": "assistant", "content": [_text(reply)]}])
            case ToolCall():
                return _body([_call(reply)])
            case list():
                return _body([_call(each) for each in reply])
            case dict():
                return reply
            case _:
                assert_never(reply)


def _in_turn(script: Iterable[ScriptedReply]) -> Callable[[JsonObject], ScriptedReply]:
    replies = iter(script)

    def reply(_request: JsonObject) -> ScriptedReply:
        for each in replies:
            return each
        raise AssertionError("the script has no reply left, and the agent made one more request")

    return reply


def _body(output: list[JsonObject]) -> JsonObject:
    return {"id": "resp_scripted", "object": "response", "status": "completed", "output": output}


def _text(text: str) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": []}


def _call(tool_call: ToolCall) -> JsonObject:
    return {
        "type": "function_call",
        "call_id": tool_call.call_id,
        "name": tool_call.name,
        "arguments": tool_call.arguments,
    }


def _event(data: JsonObject) -> bytes:
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()

"""What is compared: an agent, and the loop that one would write by hand, on httpx or on aiohttp, on either route.

All send the same key, tool and conversation, run the tool and give back the text of the answer. The loop by hand is
shorter because it checks neither replies nor arguments and counts nothing. It calls a sync tool in a thread, as an
agent does, because the tool would block the event loop.
"""

import asyncio
from functools import partial

import aiohttp
import httpx
import orjson

HEADERS = {"authorization": "Bearer key", "content-type": "application/json"}
QUESTION = "Add the numbers with the tool until done."
TOOL = {
    "type": "function",
    "name": "add",
    "description": "Add two integers.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
}


CHAT_TOOL = {"type": "function", "function": {name: value for name, value in TOOL.items() if name != "type"}}


class HandWritten:
    """The floor: no SDK, no models, no limits, no checks."""

    path = "/responses"

    def __init__(self, base_url, function):
        self.url = httpx.URL(base_url + self.path)
        limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
        self.client = httpx.AsyncClient(limits=limits, timeout=60)
        self.function = function

    async def run(self, model):
        history = [{"type": "message", "role": "user", "content": QUESTION}]
        while True:
            body = orjson.dumps({"model": model, "store": False, "stream": False, "input": history, "tools": [TOOL]})
            output = orjson.loads(await self.ask(body))["output"]
            history.extend(output)
            calls = [item for item in output if item["type"] == "function_call"]
            if not calls:
                return output[0]["content"][0]["text"]
            for call, value in zip(calls, await self.results(calls), strict=True):
                history.append({"type": "function_call_output", "call_id": call["call_id"], "output": str(value)})

    async def ask(self, body):
        reply = await self.client.post(self.url, content=body, headers=HEADERS)
        reply.raise_for_status()
        return reply.content

    async def chunks(self, body):
        async with self.client.stream("POST", self.url, content=body, headers=HEADERS) as reply:
            reply.raise_for_status()
            async for data in reply.aiter_bytes():
                yield data

    async def aclose(self):
        await self.client.aclose()

    async def results(self, calls):
        arguments = [orjson.loads(call["arguments"]) for call in calls]
        if not asyncio.iscoroutinefunction(self.function):
            return await asyncio.gather(*(asyncio.to_thread(self.function, **each) for each in arguments))
        return await asyncio.gather(*(self.function(**each) for each in arguments))

    async def stream(self, model):
        history = [{"type": "message", "role": "user", "content": QUESTION}]
        body = orjson.dumps({"model": model, "store": False, "stream": True, "input": history, "tools": [TOOL]})
        buffer = b""
        async for data in self.chunks(body):
            *events, buffer = (buffer + data).split(b"\n\n")
            for event in events:
                parsed = orjson.loads(event[event.find(b"data: ") + 6 :])
                if parsed["type"] == "response.output_text.delta":
                    yield parsed["delta"]


class HandWrittenChat(HandWritten):
    """The same on the other route."""

    path = "/chat/completions"

    async def run(self, model):
        history = [{"role": "user", "content": QUESTION}]
        while True:
            body = orjson.dumps({"model": model, "stream": False, "messages": history, "tools": [CHAT_TOOL]})
            message = orjson.loads(await self.ask(body))["choices"][0]["message"]
            history.append(message)
            calls = message.get("tool_calls")
            if not calls:
                return message["content"]
            for call, value in zip(calls, await self.results([call["function"] for call in calls]), strict=True):
                history.append({"role": "tool", "tool_call_id": call["id"], "content": str(value)})

    async def stream(self, model):
        history = [{"role": "user", "content": QUESTION}]
        body = orjson.dumps({"model": model, "stream": True, "messages": history, "tools": [CHAT_TOOL]})
        buffer = b""
        async for data in self.chunks(body):
            *events, buffer = (buffer + data).split(b"\n\n")
            for event in events:
                if event == b"data: [DONE]":
                    return
                for choice in orjson.loads(event[6:])["choices"]:
                    text = choice["delta"].get("content")
                    if text:
                        yield text


class OnAiohttp:
    """What a loop by hand does on aiohttp, whose parser is written in C."""

    def __init__(self, base_url, function):
        self.url = base_url + self.path
        self.client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1000), headers=HEADERS)
        self.function = function

    async def ask(self, body):
        async with self.client.post(self.url, data=body) as reply:
            reply.raise_for_status()
            return await reply.read()

    async def chunks(self, body):
        async with self.client.post(self.url, data=body) as reply:
            reply.raise_for_status()
            async for data in reply.content.iter_any():
                yield data

    async def aclose(self):
        await self.client.close()


class HandWrittenAiohttp(OnAiohttp, HandWritten):
    """The loop by hand on aiohttp."""


class HandWrittenAiohttpChat(OnAiohttp, HandWrittenChat):
    """The same on the other route."""


class Ours:
    """The same through agentloop's public face."""

    route = "responses"

    def __init__(self, base_url, function, http="auto"):
        from agentloop import Endpoint, Profile  # noqa: PLC0415 - the other client must not pay for this import

        self.endpoint = Endpoint(base_url, api_key="key", profile=Profile(route=self.route), http=http)
        self.function = function
        self.agents = {}

    def agent(self, model):
        from agentloop import Agent, Limits, tool  # noqa: PLC0415 - as above

        if model not in self.agents:
            limits = Limits(turns=None, tool_calls=None)
            self.agents[model] = Agent(model, endpoint=self.endpoint, tools=[tool(self.function)], limits=limits)
        return self.agents[model]

    async def run(self, model):
        return (await self.agent(model).run(QUESTION)).text

    async def stream(self, model):
        from agentloop import TextDelta  # noqa: PLC0415 - as above

        async for event in self.agent(model).stream(QUESTION):
            if type(event) is TextDelta:
                yield event.text

    async def aclose(self):
        for agent in self.agents.values():
            await agent.aclose()


class OursChat(Ours):
    """The same on the other route."""

    route = "chat"


CLIENTS = {
    "hand_written_httpx": HandWritten,
    "hand_written_httpx_chat": HandWrittenChat,
    "hand_written_aiohttp": HandWrittenAiohttp,
    "hand_written_aiohttp_chat": HandWrittenAiohttpChat,
    "ours": Ours,
    "ours_chat": OursChat,
    "ours_httpx": partial(Ours, http="httpx"),
    "ours_httpx_chat": partial(OursChat, http="httpx"),
    "ours_aiohttp": partial(Ours, http="aiohttp"),
    "ours_aiohttp_chat": partial(OursChat, http="aiohttp"),
}

"""What is compared: an agent, and the loop that one would write by hand on httpx and orjson, on either route.

All send the same key, tool and conversation, run the tool and give back the text of the answer. What the loop by hand
does not do is the point: it checks neither replies nor arguments, counts nothing, and calls a sync tool in the event
loop, which it would block.
"""

import asyncio

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
            reply = await self.client.post(self.url, content=body, headers=HEADERS)
            reply.raise_for_status()
            output = orjson.loads(reply.content)["output"]
            history.extend(output)
            calls = [item for item in output if item["type"] == "function_call"]
            if not calls:
                return output[0]["content"][0]["text"]
            for call, value in zip(calls, await self.results(calls), strict=True):
                history.append({"type": "function_call_output", "call_id": call["call_id"], "output": str(value)})

    async def results(self, calls):
        arguments = [orjson.loads(call["arguments"]) for call in calls]
        if not asyncio.iscoroutinefunction(self.function):
            return [self.function(**each) for each in arguments]
        return await asyncio.gather(*(self.function(**each) for each in arguments))

    async def stream(self, model):
        history = [{"type": "message", "role": "user", "content": QUESTION}]
        body = orjson.dumps({"model": model, "store": False, "stream": True, "input": history, "tools": [TOOL]})
        async with self.client.stream("POST", self.url, content=body, headers=HEADERS) as reply:
            reply.raise_for_status()
            buffer = b""
            async for data in reply.aiter_bytes():
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
            reply = await self.client.post(self.url, content=body, headers=HEADERS)
            reply.raise_for_status()
            message = orjson.loads(reply.content)["choices"][0]["message"]
            history.append(message)
            calls = message.get("tool_calls")
            if not calls:
                return message["content"]
            for call, value in zip(calls, await self.results([call["function"] for call in calls]), strict=True):
                history.append({"role": "tool", "tool_call_id": call["id"], "content": str(value)})

    async def stream(self, model):
        history = [{"role": "user", "content": QUESTION}]
        body = orjson.dumps({"model": model, "stream": True, "messages": history, "tools": [CHAT_TOOL]})
        async with self.client.stream("POST", self.url, content=body, headers=HEADERS) as reply:
            reply.raise_for_status()
            buffer = b""
            async for data in reply.aiter_bytes():
                *events, buffer = (buffer + data).split(b"\n\n")
                for event in events:
                    if event == b"data: [DONE]":
                        return
                    for choice in orjson.loads(event[6:])["choices"]:
                        text = choice["delta"].get("content")
                        if text:
                            yield text


class Ours:
    """The same through agentloop's public face."""

    route = "responses"

    def __init__(self, base_url, function):
        from agentloop import Endpoint, Profile  # noqa: PLC0415 - the other client must not pay for this import

        self.endpoint = Endpoint(base_url, api_key="key", profile=Profile(route=self.route))
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


class OursChat(Ours):
    """The same on the other route."""

    route = "chat"


CLIENTS = {"hand_written": HandWritten, "hand_written_chat": HandWrittenChat, "ours": Ours, "ours_chat": OursChat}

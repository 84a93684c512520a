"""A loopback server that answers at once, so that all that is measured is the client's own cost.

What it answers is decided by the model's name: `steps-20` calls `add` once a turn until 20 results are there,
`batch-8` asks for 8 calls in one turn, `text` answers, `stream-2000` streams 2,000 deltas at once, `trickle-200`
streams one delta a millisecond with the time it was sent. It does so on both routes, as the path says. Run as a program
it prints its port.
"""

import asyncio
import json
import re
import time

MODEL = re.compile(rb'"model":"([a-z]+)-?(\d*)"')
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
USAGE = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
CHAT_USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
CHAT = b"POST /v1/chat/completions "


def text_item(words):
    part = {"type": "output_text", "text": words, "annotations": []}
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def call_item(number):
    arguments = json.dumps({"a": number, "b": number + 1})
    return {
        "id": f"fc_{number}",
        "type": "function_call",
        "status": "completed",
        "call_id": f"call_{number:06d}",
        "name": "add",
        "arguments": arguments,
    }


def response(model, output):
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "usage": USAGE,
    }


def completion(model, name, choice, **fields):
    said = {"index": 0, "logprobs": None, **choice}
    return {"id": "chatcmpl-1", "object": name, "created": 0, "model": model, "choices": [said], **fields}


def reply_for(kind, number, done, *, chat):
    """Return the body that says the same on either route."""
    model, output = f"{kind}-{number}", output_for(kind, number, done)
    if not chat:
        return response(model, output)
    if output[0]["type"] == "message":
        message, finish = {"role": "assistant", "content": output[0]["content"][0]["text"]}, "stop"
    else:
        calls = [
            {"id": item["call_id"], "type": "function", "function": {key: item[key] for key in ("name", "arguments")}}
            for item in output
        ]
        message, finish = {"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls"
    choice = {"message": message, "finish_reason": finish}
    return completion(model, "chat.completion", choice, usage=CHAT_USAGE)


def output_for(kind, number, done):
    if kind == "steps" and done < number:
        return [call_item(done)]
    if kind == "batch" and done == 0:
        return [call_item(index) for index in range(number)]
    return [text_item(f"done {done}")]


def event(name, **data):
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


def delta(words):
    return event("response.output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta=words)


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def events_for(words):
    yield event("response.created", response=response("m", []))
    yield event("response.output_item.added", output_index=0, item=text_item(""))
    for word in words:
        yield delta(word)
    yield event("response.completed", response=response("m", [text_item("".join(words))]))


def chunks_for(words):
    deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in words)]
    choices = [{"delta": delta, "finish_reason": None} for delta in deltas]
    for choice in [*choices, {"delta": {}, "finish_reason": "stop"}]:
        yield b"data: %b\n\n" % json.dumps(completion("m", "chat.completion.chunk", choice)).encode()
    yield b"data: %b\n\n" % json.dumps({"id": "chatcmpl-1", "choices": [], "usage": CHAT_USAGE}).encode()
    yield b"data: [DONE]\n\n"


class Server(asyncio.Protocol):
    """One connection: requests with a length in, replies out."""

    def __init__(self):
        self.buffer = bytearray()
        self.tasks = set()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = int(LENGTH.search(self.buffer, 0, end).group(1))
            if len(self.buffer) < end + 4 + length:
                return
            body = bytes(self.buffer[end + 4 : end + 4 + length])
            chat = self.buffer.startswith(CHAT)
            del self.buffer[: end + 4 + length]
            self.answer(body, chat=chat)

    def answer(self, body, *, chat):
        found = MODEL.search(body)
        kind, number = found.group(1).decode(), int(found.group(2) or 0)
        if kind == "trickle":
            task = asyncio.get_running_loop().create_task(self.trickle(number))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            return
        if kind == "stream":
            events = chunks_for if chat else events_for
            parts = [chunk(part) for part in events([f" word{index}" for index in range(number)])]
            self.transport.write(STREAM_HEAD + b"".join(parts) + b"0\r\n\r\n")
            return
        done = body.count(b'"role":"tool"' if chat else b'"function_call_output"')
        reply = json.dumps(reply_for(kind, number, done, chat=chat)).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(reply)
        self.transport.write(head + reply)

    async def trickle(self, number):
        self.transport.write(STREAM_HEAD)
        for _ in range(number):
            self.transport.write(chunk(delta(f"{time.monotonic()} ")))
            await asyncio.sleep(0.001)
        completed = event("response.completed", response=response("trickle", [text_item("x")]))
        self.transport.write(chunk(completed) + b"0\r\n\r\n")


async def main():
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

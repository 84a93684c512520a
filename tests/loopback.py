"""A real HTTP server on 127.0.0.1 that answers as it is told, quirks included.

    async with Loopback([call_body(("add", {"a": 1, "b": 2})), text_body("3")]) as server:
        agent = Agent("any", endpoint=Endpoint(server.base_url))
        ...
        assert server.requests[1].json["input"][-1]["output"] == "3"

A script is a list of answers, one a request, or a function from the request to its answer. An answer is a `Reply`,
which is sent as it is, or the body of a Responses API response, which says what is said: it goes out in the dialect of
the request's path, as JSON, or as server-sent events where the request says `"stream": true`.
`Loopback.in_thread(script)` is the same for tests without an event loop.

A `Reply` is made of parts: bytes are written, a `Gate` holds the rest back until the test opens it, `CUT` breaks the
connection. So no test has to sleep: it waits for the gate to be reached, and opens it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final, Literal, Self, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
PATIENCE_SECONDS = 60.0
CUT: Final = "cut"


class Gate:
    """A place in one reply where the server waits until the test, on any thread, opens it."""

    def __init__(self) -> None:
        self.reached: Future[None] = Future()
        self.opened: Future[None] = Future()
        self.left: Future[None] = Future()

    def open(self) -> None:
        """Let the server go on, if the client is still there."""
        if not self.opened.done():
            self.opened.set_result(None)

    async def was_reached(self) -> None:
        """Wait until the server stands here, so that the request is surely under way."""
        await asyncio.wait_for(asyncio.wrap_future(self.reached), PATIENCE_SECONDS)

    async def was_left(self) -> None:
        """Wait until the client has hung up while the server stood here."""
        await asyncio.wait_for(asyncio.wrap_future(self.left), PATIENCE_SECONDS)

    async def hold(self, reader: asyncio.StreamReader) -> bool:
        """Wait to be opened; return whether the client is still there."""
        self.reached.set_result(None)
        opened = asyncio.ensure_future(asyncio.wrap_future(self.opened))
        hung_up = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({opened, hung_up}, return_when=asyncio.FIRST_COMPLETED)
            if hung_up.done():
                self.left.set_result(None)
            return not hung_up.done()
        finally:
            opened.cancel()
            hung_up.cancel()


Part: TypeAlias = bytes | Gate | Literal["cut"]


@dataclass(frozen=True)
class Request:
    """What came in. Names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @cached_property
    def json(self) -> JsonObject:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What goes out: the parts of the body, each written by itself.

    Attributes:
        parts: A single part goes out with its Content-Length, several as chunks.
        status: The HTTP status.
        content_type: Of the body.
        headers: Further headers.
        before: Ahead of the status line: a Gate for a stall, CUT for hanging up without a word.
        chunked: Send even a single part as a chunk.
    """

    parts: Sequence[Part] = (b"",)
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    before: Sequence[Part] = ()
    chunked: bool = False


Answer: TypeAlias = Reply | JsonObject
Script: TypeAlias = Iterable[Answer] | Callable[[Request], Answer]
Dialect: TypeAlias = Literal["native", "message", "chat", "prompted"]
"""How calls are written: as items, as the guide's messages, on chat, or as JSON in the text of a chat."""


@contextmanager
def loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="loopback", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_SECONDS)
        loop.close()


class Loopback:
    """The server. See the module's docstring.

    Attributes:
        base_url: For an Endpoint, once the server has started.
        port: Where it listens.
        requests: What came in, in order.
        connections: How many connections were made.
    """

    def __init__(self, script: Script, dialect: Dialect = "native", tls: ssl.SSLContext | None = None) -> None:
        self._dialect: Dialect = dialect
        self._tls = tls
        self.requests: list[Request] = []
        self.connections = 0
        self._answers = iter(()) if callable(script) else iter(script)
        self._answer = script if callable(script) else self._next
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def _next(self, request: Request) -> Answer:
        return next(self._answers, error_reply(418, f"request {len(self.requests)} is not in the script"))

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        host, self.port = self._server.sockets[0].getsockname()
        self.base_url = f"http{'s' if self._tls else ''}://{host}:{self.port}/v1"
        return self

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The server's own tasks, for a test that counts tasks."""
        return set(self._clients)

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._clients.values():
            writer.transport.abort()
        await asyncio.gather(*self._clients)
        await self._server.wait_closed()

    @classmethod
    @contextmanager
    def in_thread(cls, script: Script, dialect: Dialect = "native") -> Iterator[Self]:
        """Serve on an event loop of its own, in a thread of its own."""
        server = cls(script, dialect)
        with loop_in_thread() as loop:
            asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(PATIENCE_SECONDS)
            try:
                yield server
            finally:
                asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(PATIENCE_SECONDS)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._clients[task] = writer
        self.connections += 1
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):  # the client hung up, as clients may
                while await self._exchange(reader, writer):
                    pass
        finally:
            del self._clients[task]
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection can take another."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(method, path, headers, body)
        self.requests.append(request)
        answer = self._answer(request)
        reply = answer if isinstance(answer, Reply) else reply_to(request, answer, self._dialect)
        return await _write(_wire(reply), reader, writer)


def reply_to(request: Request, response: JsonObject, dialect: Dialect = "native") -> Reply:
    """Return what a response says as the request wants it: on its route, as JSON or as events."""
    if request.path.partition("?")[0].endswith("/chat/completions"):
        dialect = "prompted" if dialect == "prompted" else "chat"
    streams = request.body and request.json.get("stream")
    return sse_reply(stream_of(response, dialect)) if streams else json_reply(written(response, dialect))


def _wire(reply: Reply) -> Iterator[Part]:
    """Yield the parts of the whole HTTP message."""
    chunked = reply.chunked or len(reply.parts) != 1
    framing = {"transfer-encoding": "chunked"} if chunked else {"content-length": str(len(reply.parts[0]))}
    headers = {"content-type": reply.content_type, **framing, **reply.headers}
    yield from reply.before
    yield f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n".encode()
    yield "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n"
    for part in reply.parts:
        yield b"%x\r\n%b\r\n" % (len(part), part) if chunked and isinstance(part, bytes) else part
    if chunked:
        yield b"0\r\n\r\n"


async def _write(parts: Iterable[Part], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    for part in parts:
        if part == CUT:
            return False
        if isinstance(part, Gate):
            if not await part.hold(reader):
                return False
        else:
            writer.write(part)
            await writer.drain()
    return True


# --- replies ---


def json_reply(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply((json.dumps(body).encode(),), status, headers=headers or {})


def html_reply(status: int = 200) -> Reply:
    """What a proxy or a captive portal says in the endpoint's place."""
    return Reply((b"<!DOCTYPE html><html><title>Sign in</title></html>",), status, "text/html; charset=utf-8")


def damaged_gzip(start: bytes) -> bytes:
    """Return compressed data that begins well and then can't be read."""
    packer = zlib.compressobj(wbits=31)
    return packer.compress(start) + packer.flush(zlib.Z_SYNC_FLUSH) + b"\xff" * 9


ERROR_SHAPES: Mapping[str, Callable[[str], object]] = {
    "error object": lambda text: {"error": {"message": text, "type": "invalid_request_error", "code": None}},
    "error string": lambda text: {"error": text},
    "message": lambda text: {"message": text},
    "detail string": lambda text: {"detail": text},
    "detail list": lambda text: {"detail": [{"loc": ["body", "input"], "msg": text, "type": "value_error"}]},
    "integer code": lambda text: {"error": {"message": text, "type": "BadRequestError", "code": 400}},
    "encoded twice": lambda text: json.dumps({"error": {"message": text}}),
}


def error_reply(
    status: int, text: str = "no", *, shape: str = "error object", headers: Mapping[str, str] | None = None
) -> Reply:
    """Return an error in one of the shapes that servers use, a name of ERROR_SHAPES."""
    return json_reply(ERROR_SHAPES[shape](text), status, headers)


def busy_reply(retry_after: str | None = None) -> Reply:
    """Return a 429, with or without Retry-After."""
    return error_reply(429, "too many requests", headers={"retry-after": retry_after} if retry_after else None)


def sse_reply(events: Iterable[tuple[str, object] | Gate | Literal["cut"]], *, chunk_bytes: int | None = None) -> Reply:
    """Return server-sent events, one a chunk, or in chunks of so many bytes.

    An event is its name ("" for none) and its data (a str as it is, anything else as JSON); a Gate or CUT may stand
    anywhere between.
    """
    parts: list[Part] = [_event(*item) if isinstance(item, tuple) else item for item in events]
    if chunk_bytes:
        parts = list(_rechunked(parts, chunk_bytes))
    return Reply(parts, content_type="text/event-stream", chunked=True)


def _event(name: str, data: object) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode()


def _rechunked(parts: Iterable[Part], size: int) -> Iterator[Part]:
    for is_bytes, run in itertools.groupby(parts, lambda part: isinstance(part, bytes)):
        if not is_bytes:
            yield from run
            continue
        joined = b"".join(run)
        yield from (joined[at : at + size] for at in range(0, len(joined), size))


# --- bodies of the Responses API ---

USAGE: JsonObject = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 15,
}


def body(*output: JsonObject, **fields: object) -> JsonObject:
    """Return a whole response with these output items; `fields` replace or add to its own."""
    response = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1780000000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "loopback",
        "output": list(output),
        "usage": USAGE,
    }
    return response | fields


def text_item(text: str) -> JsonObject:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def call_item(name: str, arguments: object, call_id: str = "call_1") -> JsonObject:
    """Return a native call; arguments are sent as they are when they are a str, else as JSON."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    item_id = call_id.replace("call", "fc")
    return {"type": "function_call", "id": item_id, "call_id": call_id, "name": name, "arguments": text}


def text_body(text: str, **fields: object) -> JsonObject:
    """Return a response that says this."""
    return body(text_item(text), **fields)


def call_body(*calls: tuple[str, object], first: int = 1, **fields: object) -> JsonObject:
    """Return a response that calls these tools, natively; call ids count up from `call_<first>`."""
    items = (call_item(name, arguments, f"call_{at}") for at, (name, arguments) in enumerate(calls, first))
    return body(*items, **fields)


def guide_call_body(*calls: tuple[str, object], first: int = 1, **fields: object) -> JsonObject:
    """Return a response that calls tools as OVHcloud's guide shows: in `tool_calls`, beside an empty output."""
    return guide_of(call_body(*calls, first=first, **fields))


# --- the same in other dialects ---


def written(response: JsonObject, dialect: Dialect) -> JsonObject:
    """Return the body that says in a dialect what a response says, as far as it can."""
    match dialect:
        case "native":
            return response
        case "message":
            return guide_of(response)
        case "chat":
            return completion_of(response)
        case "prompted":
            return completion_of(prompted_of(response))


def stream_of(response: JsonObject, dialect: Dialect) -> list[tuple[str, object]]:
    """Return the events that say the same."""
    if dialect in {"chat", "prompted"}:
        return chunks_of(written(response, dialect))
    return [*events_of(written(response, dialect))]


def guide_of(response: JsonObject) -> JsonObject:
    """Return the response with its calls in `tool_calls`."""
    output = response["output"] or ()
    calls = [_function_of(item) for item in output if item["type"] == "function_call"]
    if not calls:
        return response
    return response | {"output": [item for item in output if item["type"] != "function_call"], "tool_calls": calls}


def _function_of(item: JsonObject) -> JsonObject:
    key = {"id": item["call_id"]} if "call_id" in item else {}
    return {**key, "type": "function", "function": {"name": item["name"], "arguments": item["arguments"]}}


def prompted_of(response: JsonObject) -> JsonObject:
    """Return the response of a model that was told to write its call, or its answer, as JSON."""
    items = {item["type"]: item for item in response["output"]}
    if call := items.get("function_call"):
        said: JsonObject = {"tool": call["name"], "arguments": json.loads(call["arguments"])}
    else:
        said = {"answer": items["message"]["content"][0]["text"]}
    return response | {"output": [text_item(json.dumps(said))]}


_USAGE_NAMES = {
    "input_tokens": "prompt_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens": "completion_tokens",
    "output_tokens_details": "completion_tokens_details",
    "total_tokens": "total_tokens",
}


def completion_of(response: JsonObject) -> JsonObject:
    """Return the chat completion that says what a response says; one that failed has only its error."""
    if response["status"] == "failed":
        return {"error": response["error"]}
    message: JsonObject = {"role": "assistant", "content": None}
    for item in response["output"] or ():
        match item["type"]:
            case "message":
                for part in item["content"]:
                    name = "refusal" if part["type"] == "refusal" else "content"
                    message[name] = (message.get(name) or "") + part["refusal" if name == "refusal" else "text"]
            case "reasoning":
                thoughts = item.get("summary") or item.get("content") or ()
                message["reasoning_content"] = "".join(part["text"] for part in thoughts)
            case "function_call":
                message.setdefault("tool_calls", []).append(_function_of(item))
            case _:
                pass
    calls = message.get("tool_calls", []) + response.get("tool_calls", [])
    if calls:
        message["tool_calls"] = calls
    finish = "tool_calls" if calls else "stop"
    if response["status"] == "incomplete":
        reason = (response["incomplete_details"] or {}).get("reason")
        finish = "content_filter" if reason == "content_filter" else "length"
    usage = response["usage"] and {_USAGE_NAMES[name]: value for name, value in response["usage"].items()}
    return {
        "id": response["id"],
        "object": "chat.completion",
        "created": response["created_at"],
        "model": response["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": usage,
    }


def chunks_of(completion: JsonObject) -> list[tuple[str, object]]:
    """Return the chunks by which OpenAI would stream this completion: text a word a chunk, usage in one at the end."""
    if "error" in completion:
        return [("", completion)]
    [choice] = completion["choices"]
    common = {name: completion[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}

    def chunk(delta: JsonObject, finish: str | None = None) -> tuple[str, object]:
        return "", {**common, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None}

    message = choice["message"]
    chunks = [chunk({"role": "assistant", "content": None if message["content"] is None else ""})]
    for name in ("reasoning_content", "refusal", "content"):
        chunks += [chunk({name: word}) for word in _words(message.get(name) or "")]
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        first, *rest = _halves(function["arguments"])
        begun = {**call, "index": index, "function": {**function, "arguments": first}}
        chunks.append(chunk({"tool_calls": [begun]}))
        chunks += [chunk({"tool_calls": [{"index": index, "function": {"arguments": half}}]}) for half in rest]
    return [
        *chunks,
        chunk({}, choice["finish_reason"]),
        ("", {**common, "choices": [], "usage": completion["usage"]}),
        ("", "[DONE]"),
    ]


def _words(text: str) -> list[str]:
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)] if text else []


def _halves(arguments: object) -> list[object]:
    """Return a call's arguments as they are streamed: nothing at first, then half of it, then the other."""
    if not isinstance(arguments, str):
        return [arguments]
    half = len(arguments) // 2
    return ["", arguments[:half], arguments[half:]]


# --- the events of the Responses API ---


def events_of(response: JsonObject) -> list[tuple[str, JsonObject]]:
    """Return the events by which OpenAI would stream this response; text comes a word a delta."""
    begun = {name: value for name, value in response.items() if name != "tool_calls"}
    begun |= {"status": "in_progress", "output": [], "usage": None}
    events = [("created", {"response": begun})]
    for index, item in enumerate(response["output"]):
        bare, progress = _PROGRESS.get(item["type"], _whole)(item)
        events.append(("output_item.added", {"output_index": index, "item": item | bare}))
        events += [(kind, {"item_id": item.get("id"), "output_index": index, **data}) for kind, data in progress]
        events.append(("output_item.done", {"output_index": index, "item": item}))
    events.append((response["status"], {"response": response}))
    return [
        (f"response.{kind}", {"type": f"response.{kind}", "sequence_number": number, **data})
        for number, (kind, data) in enumerate(events)
    ]


Progress: TypeAlias = tuple[JsonObject, list[tuple[str, JsonObject]]]


def _message(item: JsonObject) -> Progress:
    events: list[tuple[str, JsonObject]] = []
    for index, part in enumerate(item["content"]):
        text = part.get("text", "")
        events.append(("content_part.added", {"content_index": index, "part": part | {"text": ""}}))
        events += [("output_text.delta", {"content_index": index, "delta": word}) for word in _words(text)]
        events.append(("output_text.done", {"content_index": index, "text": text}))
        events.append(("content_part.done", {"content_index": index, "part": part}))
    return {"status": "in_progress", "content": []}, events


def _call(item: JsonObject) -> Progress:
    text = item["arguments"]
    if not isinstance(text, str):
        return _whole(item)
    events = [("function_call_arguments.delta", {"delta": half}) for half in _halves(text)[1:]]
    return {"status": "in_progress", "arguments": ""}, [*events, ("function_call_arguments.done", {"arguments": text})]


def _whole(_: JsonObject) -> Progress:
    return {}, []


_PROGRESS: Mapping[str, Callable[[JsonObject], Progress]] = {"message": _message, "function_call": _call}

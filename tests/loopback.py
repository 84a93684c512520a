"""A real HTTP server on 127.0.0.1 that answers as it is told, quirks included.

    async with Loopback([call_body(("add", {"a": 1, "b": 2})), text_body("3")]) as server:
        agent = Agent("any", endpoint=Endpoint(server.base_url))
        ...
        assert server.requests[1].json["input"][-1]["output"] == "3"

A script is a list of answers, one a request, or a function from the request to its answer. An answer is a `Reply`,
which is sent as it is, or the body of a Responses API response, which is sent as JSON, or as server-sent events where
the request says `"stream": true`. `Loopback.in_thread(script)` is the same for tests without an event loop.

A `Reply` is made of parts: bytes are written, a `Gate` holds the rest back until the test opens it, `CUT` breaks the
connection. So no test has to sleep: it waits for the gate to be reached, and opens it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final, Literal, Self, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
PATIENCE_SECONDS = 10.0
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
        requests: What came in, in order.
        connections: How many connections were made.
    """

    def __init__(self, script: Script) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._answers = iter(()) if callable(script) else iter(script)
        self._answer = script if callable(script) else self._next
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def _next(self, request: Request) -> Answer:
        return next(self._answers, error_reply(418, f"request {len(self.requests)} is not in the script"))

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.base_url = f"http://{host}:{port}/v1"
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
    def in_thread(cls, script: Script) -> Iterator[Self]:
        """Serve on an event loop of its own, in a thread of its own."""
        server = cls(script)
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
        reply = answer if isinstance(answer, Reply) else reply_to(request, answer)
        return await _write(_wire(reply), reader, writer)


def reply_to(request: Request, body: JsonObject) -> Reply:
    """Return the response as the request wants it: as JSON, or as events."""
    return sse_reply(events_of(body)) if request.body and request.json.get("stream") else json_reply(body)


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
    items = [call_item(name, arguments, f"call_{at}") for at, (name, arguments) in enumerate(calls, first)]
    tool_calls = [
        {"id": i["call_id"], "type": "function", "function": {"name": i["name"], "arguments": i["arguments"]}}
        for i in items
    ]
    return body(tool_calls=tool_calls, **fields)


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
        first, *rest = text.split(" ")
        deltas = [first, *(f" {word}" for word in rest)]
        events.append(("content_part.added", {"content_index": index, "part": part | {"text": ""}}))
        events += [("output_text.delta", {"content_index": index, "delta": delta}) for delta in deltas]
        events.append(("output_text.done", {"content_index": index, "text": text}))
        events.append(("content_part.done", {"content_index": index, "part": part}))
    return {"status": "in_progress", "content": []}, events


def _call(item: JsonObject) -> Progress:
    text = item["arguments"]
    if not isinstance(text, str):
        return _whole(item)
    half = len(text) // 2
    events = [("function_call_arguments.delta", {"delta": delta}) for delta in (text[:half], text[half:])]
    return {"status": "in_progress", "arguments": ""}, [*events, ("function_call_arguments.done", {"arguments": text})]


def _whole(_: JsonObject) -> Progress:
    return {}, []


_PROGRESS: Mapping[str, Callable[[JsonObject], Progress]] = {"message": _message, "function_call": _call}

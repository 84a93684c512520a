"""The questions a probe asks, as raw bodies of both routes: what is sent is what it says here, mended by nobody.

Each asks for one thing more than what is known to work. The words are such that the answer shows whether the server
obeyed: a greeting can't be JSON of the colour red by chance, and nobody asks for a population to hear of the weather.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from agentloop.endpoint.probe.answer import Answer, Finding
from agentloop.items import JsonObject
from agentloop.wire.payload import dump
from agentloop.wire.profile import Profile, Route

REPLY_TOKENS = 256  # a reasoning model thinks before it calls
BRIEFLY = " Answer in one short sentence."
WEATHER = f"What is the weather in Paris and in Rome right now?{BRIEFLY}"
PARIS = f"What is the weather in Paris right now?{BRIEFLY}"
GREETING = f"Say hello to a friend.{BRIEFLY}"
SUM = "What is 17 times 23? Answer with the number."
BEFORE = f"Which two cities did I ask you about before?{BRIEFLY}"
WORD = "banana"
SYSTEM = (
    f"Whatever the user asks, answer with the single word {WORD.upper()} and with nothing else. Do not explain it. Do"
    f" not answer the question itself. The only word that you know is {WORD.upper()}."
)
FITTING, UNFITTING = "get_weather", "get_population"
DEGREES = "31"
COLOUR = "red"
SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": [COLOUR]}},
    "required": ["colour"],
    "additionalProperties": False,
}

PATHS: Mapping[Route, str] = {"responses": "/responses", "chat": "/chat/completions"}
Judge: TypeAlias = Callable[[Answer, Answer], Sequence[Finding]]
Shape: TypeAlias = Literal["text_format", "response_format", "json_object"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One small request, and what its answer is to be judged by.

    Attributes:
        route: Where it is asked.
        names: The capabilities it is about; a refusal is about the first.
        judge: Says what an answer proves of them, given the plain answer to the same question.
        turns: What was said, as the route has it.
        fields: What else the body holds.
        without: The fields to ask with when these are refused: then the last of the names was refused.
        stream: Whether the reply is to be a stream.
        body: In place of turns and fields: a whole body as the prompted dialect writes it, which also reads the reply.
    """

    route: Route
    names: tuple[str, ...]
    judge: Judge
    turns: Sequence[JsonObject] = ()
    fields: JsonObject = field(default_factory=dict[str, Any])
    without: JsonObject | None = None
    stream: bool = False
    body: bytes = b""


def write_question(question: Question, fields: JsonObject, model: str, profile: Profile) -> bytes:
    """Return the body of a request with these fields; a field that is None is left out."""
    if question.body:
        return question.body
    responses = question.route == "responses"
    body: JsonObject = {
        "model": model,
        "stream": question.stream,
        "max_output_tokens" if responses else profile.max_tokens_field: REPLY_TOKENS,
        "input" if responses else "messages": question.turns,
        **({"store": False} if responses else {}),
        **fields,
    }
    return dump({name: value for name, value in body.items() if value is not None})


def turn(route: Route, role: str, content: Any) -> JsonObject:
    """Return what somebody said."""
    return {**({"type": "message"} if route == "responses" else {}), "role": role, "content": content}


def tools(route: Route, *, strict: bool = True) -> list[JsonObject]:
    """Return two tools, of which one fits the question about the weather."""
    described = {FITTING: "Return the weather in a city.", UNFITTING: "Return how many people live in a city."}
    city: JsonObject = {"type": "object", "properties": {"city": {"type": "string"}}}
    city |= {"required": ["city"], "additionalProperties": False}
    functions: list[JsonObject] = [
        {"name": name, "description": text, "parameters": city, "strict": strict} for name, text in described.items()
    ]
    if route == "responses":
        return [{"type": "function", **function} for function in functions]
    return [{"type": "function", "function": function} for function in functions]


def named_choice(route: Route) -> JsonObject:
    """Return the choice of the tool that does not fit."""
    name: JsonObject = {"name": UNFITTING}
    return {"type": "function", **(name if route == "responses" else {"function": name})}


def results(way: Literal["native", "message", "chat"]) -> list[JsonObject]:
    """Return a question, a call and its result, in one of the ways in which servers take them."""
    arguments, told = '{"city":"Paris"}', f"{DEGREES} degrees Celsius, with hail"
    if way == "native":
        call: JsonObject = {"type": "function_call", "call_id": "call00001", "name": FITTING, "arguments": arguments}
        result = {"type": "function_call_output", "call_id": "call00001", "output": told}
        return [turn("responses", "user", PARIS), call, result]
    route: Route = "responses" if way == "message" else "chat"
    call = {"id": "call00001", "type": "function", "function": {"name": FITTING, "arguments": arguments}}
    caller = turn(route, "assistant", None) | {"tool_calls": [call]}
    if way == "message":
        del caller["content"]
    return [turn(route, "user", PARIS), caller, turn(route, "tool", told) | {"tool_call_id": "call00001"}]


def structure(shape: Shape, route: Route) -> JsonObject:
    """Return the fields that ask for JSON of the schema."""
    if shape == "json_object":
        plain = {"type": "json_object"}
        return {"text": {"format": plain}} if route == "responses" else {"response_format": plain}
    schema = {"name": "colour", "schema": SCHEMA, "strict": True}
    if shape == "text_format":
        return {"text": {"format": {"type": "json_schema", **schema}}}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def picture(route: Route) -> JsonObject:
    """Return a question about a picture that holds nothing but one colour."""
    text, url = "What colour is this picture? Answer with one word.", _png()
    if route == "responses":
        image: JsonObject = {"type": "input_image", "image_url": url, "detail": "auto"}
        return turn(route, "user", [{"type": "input_text", "text": text}, image])
    return turn(route, "user", [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}])


def _png(side: int = 64) -> str:
    """Return a red square as a data URL; some vision models take none that is smaller than 28 pixels."""
    rows = (b"\0" + b"\xff\0\0" * side) * side
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    chunks = (struct.pack(">I", len(data)) + kind + data + _checksum(kind + data) for kind, data in parts)
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()


def _checksum(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))

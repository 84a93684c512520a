"""The questions of a probe, as raw bodies for both routes. They are sent exactly as they are written here.

Each question adds one thing to what is known to work. The words are chosen so that the answer shows whether the server
obeyed: a greeting is not by chance JSON with the colour red, and a question about the weather does not make a model
call a tool for the population.
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
    """One small request, and the function that judges its answer.

    Attributes:
        route: The route to which it is sent.
        names: The capabilities that it tests; a refusal counts for the first.
        judge: Returns a finding for each capability, given the answer and the plain answer.
        turns: The conversation in the form of the route.
        fields: The other fields of the body.
        without: The fields to use instead if `fields` are refused. If these are accepted, the refusal counts for the
            last of the names.
        stream: Whether to request the reply as a stream.
        body: A whole body in the prompted dialect, which then also reads the reply. It replaces turns and fields.
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
    """Return the body of a question with these fields; a field that is None is left out."""
    if question.body:
        return question.body
    responses = question.route == "responses"
    body: JsonObject = {
        "model": model,
        "stream": question.stream or profile.streaming == "always",
        "max_output_tokens" if responses else profile.max_tokens_field: REPLY_TOKENS,
        "input" if responses else "messages": question.turns,
        **({"store": False} if responses else {}),
        **fields,
    }
    return dump({name: value for name, value in body.items() if value is not None})


def turn(route: Route, role: str, content: Any) -> JsonObject:
    """Return a message in the form of the route."""
    return {**({"type": "message"} if route == "responses" else {}), "role": role, "content": content}


def tools(route: Route, *, strict: bool = True) -> list[JsonObject]:
    """Return two tools; one of them fits the question about the weather."""
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
    """Return a tool choice that names the tool that does not fit."""
    name: JsonObject = {"name": UNFITTING}
    return {"type": "function", **(name if route == "responses" else {"function": name})}


def results(form: Literal["native", "message", "chat"]) -> list[JsonObject]:
    """Return a question, a call and its result, in one of the forms that servers accept."""
    arguments, content = '{"city":"Paris"}', f"{DEGREES} degrees Celsius, with hail"
    if form == "native":
        call: JsonObject = {"type": "function_call", "call_id": "call00001", "name": FITTING, "arguments": arguments}
        result = {"type": "function_call_output", "call_id": "call00001", "output": content}
        return [turn("responses", "user", PARIS), call, result]
    route: Route = "responses" if form == "message" else "chat"
    call = {"id": "call00001", "type": "function", "function": {"name": FITTING, "arguments": arguments}}
    caller = turn(route, "assistant", None) | {"tool_calls": [call]}
    if form == "message":
        del caller["content"]
    return [turn(route, "user", PARIS), caller, turn(route, "tool", content) | {"tool_call_id": "call00001"}]


def structure(shape: Shape, route: Route) -> JsonObject:
    """Return the fields that ask for JSON that follows the schema."""
    if shape == "json_object":
        plain = {"type": "json_object"}
        return {"text": {"format": plain}} if route == "responses" else {"response_format": plain}
    schema = {"name": "colour", "schema": SCHEMA, "strict": True}
    if shape == "text_format":
        return {"text": {"format": {"type": "json_schema", **schema}}}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def picture(route: Route) -> JsonObject:
    """Return a question about an image of one colour."""
    text, url = "What colour is this picture? Answer with one word.", _png()
    if route == "responses":
        image: JsonObject = {"type": "input_image", "image_url": url, "detail": "auto"}
        return turn(route, "user", [{"type": "input_text", "text": text}, image])
    return turn(route, "user", [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}])


def _png(side: int = 64) -> str:
    """Return a red square as a data URL; some vision models accept no side shorter than 28 pixels."""
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

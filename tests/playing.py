"""A server that plays an endpoint with everything in place, for tests that take something away from it."""

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from loopback import (
    Answer,
    Reply,
    Request,
    body,
    call_body,
    chunks_of,
    completion_of,
    error_reply,
    events_of,
    json_reply,
    sse_reply,
    text_body,
)

JsonObject: TypeAlias = dict[str, Any]
Quirk: TypeAlias = Callable[[JsonObject, bool], JsonObject | Reply | None]
"""Gives another answer to a request and whether it is one of chat, or None for the usual one."""

WEATHER, POPULATION = "get_weather", "get_population"


def play(quirk: Quirk | None = None) -> Callable[[Request], Answer]:
    """Return a script for a Loopback: OpenAI's own endpoint, as far as a probe can see, but for a quirk."""

    def script(request: Request) -> Answer:
        asked, chat = request.json, request.path.endswith("/chat/completions")
        answer = (quirk and quirk(asked, chat)) or usual(asked, chat=chat)
        return answer if isinstance(answer, Reply) else in_shape(asked, answer, chat=chat)

    return script


def in_shape(asked: JsonObject, answer: JsonObject, *, chat: bool) -> Reply:
    """Return a response as the route and the request want it."""
    if not chat:
        return sse_reply(events_of(answer)) if asked["stream"] else json_reply(answer)
    completion = completion_of(answer)
    return sse_reply(chunks_of(completion)) if asked["stream"] else json_reply(completion)


def usual(asked: JsonObject, *, chat: bool) -> JsonObject | Reply:
    """Return what a server says that obeys, and refuses what it does not know."""
    everything = json.dumps(asked)
    if not chat and '"role": "tool"' in everything:
        return error_reply(400, "Invalid value: 'tool'")
    if not chat and "response_format" in asked:
        return error_reply(400, "Unknown parameter: 'response_format'")
    if form := asked.get("response_format") or asked.get("text", {}).get("format"):
        return text_body(_as_json(form))
    choice = asked.get("tool_choice")
    if isinstance(choice, dict):
        return call_body((choice.get("name") or choice["function"]["name"], {"city": "Paris"}))
    if choice == "required":
        return call_body((WEATHER, {"city": "Paris"}))
    for mark, words in _SAYINGS.items():
        if mark in everything:
            return text_body(words)
    if "tools" in asked:
        return call_body((WEATHER, {"city": "Paris"}), (WEATHER, {"city": "Rome"}))
    if "reasoning" in asked or "reasoning_effort" in asked:
        thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
        return body(thought, *text_body("It is sunny.")["output"])
    return text_body("It is sunny.")


_SAYINGS = {
    "BANANA": "BANANA",
    "image_url": "Red.",
    "previous_response_id": "About Paris and Rome.",
    "hail": "It is 31 degrees.",
}


def _as_json(form: JsonObject) -> str:
    if form["type"] == "json_object":
        return "{}"
    if "get_weather" in json.dumps(form):
        return json.dumps({"tool": WEATHER, "arguments": {"city": "Paris"}})
    return json.dumps({"colour": "red"})

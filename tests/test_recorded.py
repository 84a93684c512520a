"""Streams that real servers sent: each decodes, wherever it is cut, and shows the text that its last event holds.

What a stream says is read here by plain JSON too, so that our decoder is not its own judge.
"""

import json
from pathlib import Path

import pytest

from agentloop.errors import RefusedError
from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import Message, Reasoning, ToolCall
from agentloop.wire.formats.chat import ChatCompletions
from agentloop.wire.formats.responses import NativeResponses

RECORDED = Path(__file__).parents[2] / "shared" / "recorded" / "streams"
PATHS = sorted(RECORDED.glob("*.sse"))
SMALL = 20_000

# The streams whose own deviation keeps them from ending in the text that they streamed, and what comes of it.
DEVIATIONS = {
    # The key's quota was used up: an `error` event, then `response.failed`, and no output.
    "aisdk__openai__openai-error.1": (RefusedError, "exceeded your current quota"),
}


def streams(*, but_chat=False):
    """Parametrise over the streams that end as they should."""
    if not PATHS:
        missing = pytest.param(RECORDED, marks=pytest.mark.skip(reason="the recorded streams are not here"))
        return pytest.mark.parametrize("path", [missing])
    kept = [path for path in PATHS if path.stem not in DEVIATIONS and not (but_chat and is_chat(path))]
    return pytest.mark.parametrize("path", kept, ids=lambda path: path.stem)


def is_chat(path):
    return path.name.startswith("aisdk_chat__")


def decode(path, *chunks):
    decoder = (ChatCompletions() if is_chat(path) else NativeResponses()).decoder()
    shown = [delta for chunk in chunks for delta in decoder.feed(chunk)]
    return shown, decoder.close()


def joined(pieces, kind):
    return "".join(piece.text for piece in pieces if isinstance(piece, kind))


def events_in(path):
    lines = (line.removeprefix("data:").strip() for line in path.read_text("utf-8").splitlines() if line[:5] == "data:")
    return [json.loads(line) for line in lines if line != "[DONE]"]


def said_in(path):
    """Return what a stream says by its own account: its text, its thoughts, and the names and arguments of its calls.

    A response says it all in its last event, a chat in all of its chunks.
    """
    text, thoughts, calls = "", "", {}
    for event in events_in(path):
        for choice in event.get("choices", ()):
            delta = choice["delta"]
            parts = delta.get("content") or ""
            if isinstance(parts, list):
                thoughts += "".join(each["text"] for part in parts for each in part.get("thinking", ()))
                parts = "".join(part.get("text", "") for part in parts)
            text += parts
            thoughts += delta.get("reasoning_content") or delta.get("reasoning") or ""
            for call in delta.get("tool_calls") or ():
                name, arguments = calls.get(call["index"], ("", ""))
                function = call["function"]
                calls[call["index"]] = (name or function["name"], arguments + (function.get("arguments") or ""))
        for item in event["response"]["output"] if event.get("type") == "response.completed" else ():
            parts = item.get("content") or item.get("summary") or ()
            if item["type"] == "message":
                text += "".join(part["text"] for part in parts)
            elif item["type"] == "reasoning":
                thoughts += "".join(part["text"] for part in parts)
            elif item["type"] == "function_call":
                calls[len(calls)] = (item["name"], item["arguments"])
    return text, thoughts, list(calls.values())


@streams()
def test_a_recorded_stream_shows_what_it_says_at_its_end_and_nothing_else(path):
    text, thoughts, calls = said_in(path)
    shown, reply = decode(path, path.read_bytes())
    assert (joined(shown, TextDelta), joined(shown, ReasoningDelta)) == (text, thoughts)
    assert (joined(reply.items, Message), joined(reply.items, Reasoning)) == (text, thoughts)
    assert [(item.name, item.arguments) for item in reply.items if isinstance(item, ToolCall)] == calls
    assert reply.items
    assert reply.usage.total_tokens
    assert reply.response_id


@streams()
@pytest.mark.unmeasured
def test_where_a_recorded_stream_is_cut_makes_no_difference(path):
    stream = path.read_bytes()
    whole = decode(path, stream)
    for size in (7, 1000, 4096) + (1,) * (len(stream) < SMALL):
        pieces = (stream[at : at + size] for at in range(0, len(stream), size))
        assert decode(path, *pieces) == whole


@streams()
@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
@pytest.mark.unmeasured
def test_how_the_lines_of_a_recorded_stream_end_makes_no_difference(path, newline):
    stream = path.read_bytes()
    assert decode(path, stream.replace(b"\n", newline)) == decode(path, stream)


@streams(but_chat=True)
def test_a_recorded_stream_says_the_same_without_the_names_of_its_events(path):
    stream = path.read_bytes()
    nameless = b"\n".join(line for line in stream.split(b"\n") if not line.startswith(b"event:"))
    assert decode(path, nameless) == decode(path, stream)


@streams(but_chat=True)
def test_a_recorded_stream_says_the_same_without_the_output_of_its_last_event(path):
    stream = path.read_bytes()
    head, kept, last = stream.rpartition(b"response.completed")
    _, reply = decode(path, head, kept, last.replace(b'"output":', b'"elsewhere":', 1))
    _, whole = decode(path, stream)
    # Ciphertext and ids of other items differ from event to event at OpenAI and OpenRouter.
    assert [item for item in reply.items if isinstance(item, (Message, ToolCall))] == [
        item for item in whole.items if isinstance(item, (Message, ToolCall))
    ]
    assert [item.kind for item in reply.items] == [item.kind for item in whole.items]


@streams(but_chat=True)
def test_the_last_event_of_a_recorded_stream_says_it_all(path):
    stream = path.read_bytes()
    *_, last = (event for event in stream.split(b"\n\n") if b"response.completed" in event)
    shown, reply = decode(path, last + b"\n\n")
    text, _, _ = said_in(path)
    assert joined(shown, TextDelta) == text
    assert reply == decode(path, stream)[1]


@pytest.mark.parametrize("stem", DEVIATIONS)
def test_a_recorded_stream_that_deviates_ends_as_its_deviation_says(stem):
    path = RECORDED / f"{stem}.sse"
    if not path.is_file():
        pytest.skip("the recorded streams are not here")
    error, words = DEVIATIONS[stem]
    with pytest.raises(error, match=words):
        decode(path, path.read_bytes())

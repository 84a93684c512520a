from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop.errors import EndpointError, RefusedError, ReplyError, ServerError
from agentloop.events import TextDelta
from agentloop.items import Message, Reply, ToolCall
from agentloop.wire.chat import ChatCompletions
from agentloop.wire.responses import MessageResponses, NativeResponses

RECORDED = Path(__file__).parents[2] / "shared" / "recorded" / "streams"
DIALECTS = [NativeResponses(), MessageResponses(), ChatCompletions()]
WHOLE = {
    "/responses": b'{"output":[{"type":"message","content":"Hello"}]}',
    "/chat/completions": b'{"choices":[{"message":{"content":"Hello"}}]}',
}
# The streams that end in an error, and what it is.
FAILED = {"aisdk__openai__openai-error.1.sse": RefusedError}


def recorded():
    if not RECORDED.is_dir():
        return [pytest.param(RECORDED, marks=pytest.mark.skip(reason="the recorded streams are not here"))]
    return [pytest.param(path, id=path.stem) for path in sorted(RECORDED.glob("*.sse"))]


def decode(path, *chunks):
    decoder = (ChatCompletions() if path.name.startswith("aisdk_chat__") else NativeResponses()).decoder()
    shown = [delta for chunk in chunks for delta in decoder.feed(chunk)]
    return shown, decoder.close()


@pytest.mark.parametrize("path", recorded())
def test_a_recorded_stream_decodes_and_shows_the_text_of_its_reply(path):
    stream = path.read_bytes()
    if path.name in FAILED:
        with pytest.raises(FAILED[path.name], match="exceeded your current quota"):
            decode(path, stream)
        return
    shown, reply = decode(path, stream)
    text = "".join(delta.text for delta in shown if isinstance(delta, TextDelta))
    assert text == "".join(item.text for item in reply.items if isinstance(item, Message))
    assert reply.items
    assert reply.usage.total_tokens
    assert reply.response_id
    for size in (7, 1000):
        pieces = (stream[at : at + size] for at in range(0, len(stream), size))
        assert decode(path, *pieces) == (shown, reply)


def said(reply):
    return [item for item in reply.items if isinstance(item, (Message, ToolCall))]


@pytest.mark.parametrize("path", recorded())
def test_a_recorded_stream_says_the_same_without_the_output_of_its_last_event(path):
    stream = path.read_bytes()
    if path.name in FAILED or path.name.startswith("aisdk_chat__"):
        return
    head, kept, last = stream.rpartition(b"response.completed")
    _, reply = decode(path, head, kept, last.replace(b'"output":', b'"elsewhere":', 1))
    _, whole = decode(path, stream)
    # Ciphertext and ids of other items differ from event to event at OpenAI and OpenRouter.
    assert said(reply) == said(whole)
    assert [item.kind for item in reply.items] == [item.kind for item in whole.items]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("blank", [b"", b"\n", b"\r\n \n"])
def test_a_whole_body_in_place_of_a_stream_is_read(dialect, blank):
    decoder = dialect.decoder()
    body = blank + WHOLE[dialect.path]
    assert [decoder.feed(body[at : at + 1]) for at in range(len(body))] == [[]] * len(body)
    assert decoder.close() == dialect.decode(WHOLE[dialect.path]) == Reply((Message("assistant", "Hello"),))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"<html>", ReplyError), (b"[]", ReplyError), (b'{"error":"no"}', ServerError), (b"Bad Gateway", ReplyError)],
)
def test_a_body_that_is_no_reply_is_an_error_when_the_stream_ends(dialect, body, kind):
    decoder = dialect.decoder()
    assert decoder.feed(body) == []
    with pytest.raises(kind):
        decoder.close()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_in_a_last_event_without_its_blank_line_is_told(dialect):
    decoder = dialect.decoder()
    assert decoder.feed(b'data: {"error":"no"}') == []
    with pytest.raises(ServerError, match="no"):
        decoder.close()


@pytest.mark.parametrize("dialect", DIALECTS)
@given(chunks=st.lists(st.binary() | st.sampled_from([b"data: ", b"{}", b"[]", b"\n\n", b"event: error", b"\r", b"7"])))
def test_any_bytes_give_a_reply_or_an_endpoint_error(dialect, chunks):
    decoder = dialect.decoder()
    try:
        for chunk in chunks:
            decoder.feed(chunk)
        reply = decoder.close()
    except EndpointError:
        return
    assert isinstance(reply, Reply)

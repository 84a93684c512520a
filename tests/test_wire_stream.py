import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop.errors import EndpointError, ReplyError, ServerError, StreamCutError
from agentloop.items import Message, Reply, ToolCall
from agentloop.wire.formats.chat import ChatCompletions
from agentloop.wire.formats.responses import MessageResponses, NativeResponses
from agentloop.wire.payload import dump

DIALECTS = [NativeResponses(), MessageResponses(), ChatCompletions()]
WHOLE = {
    "/responses": b'{"output":[{"type":"message","content":"Hello"}]}',
    "/chat/completions": b'{"choices":[{"message":{"content":"Hello"}}]}',
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("blank", [b"", b"\n", b"\r\n \n", b"\xef\xbb\xbf", b"\n\xef\xbb\xbf \n"])
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


def events_of(*events):
    return b"".join(b"data: %b\n\n" % (event if isinstance(event, bytes) else dump(event)) for event in events)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "event",
    [
        {"reason": "the stove is out"},
        {"type": "error", "reason": "the stove is out"},
        {"error": {"reason": "the stove is out", "code": 17}},
        {"error": True, "reason": "the stove is out"},
        {"status": "failed", "status_message": "the stove is out"},
        {"status": "failure", "reason": "the stove is out"},
        {"error_reason": "the stove is out"},
        {"failureReason": "the stove is out", "code": 503},
        {"object": "failed", "data": {}, "msg": "the stove is out"},
    ],
)
def test_an_error_whose_words_have_another_name_is_told_in_them(dialect, event):
    decoder = dialect.decoder()
    with pytest.raises(ServerError) as raised:
        decoder.feed(events_of(event))
    assert raised.value.message == "the endpoint failed while it answered: the stove is out"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("event", [{"reason": "stop"}, {"type": "search", "status": "failed"}, {"status": "running"}])
def test_a_step_that_is_reported_is_no_error(dialect, event):
    assert dialect.decoder().feed(events_of(event)) == []


def test_a_response_that_failed_tells_its_reason():
    with pytest.raises(ServerError, match="answered: no room on the stove\n"):
        NativeResponses().decode(b'{"status":"failed","reason":"no room on the stove"}')


# --- chunks of a chat in place of the events of a response ---

PARTS = [
    {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Let me "}}]},
    {"id": "c", "choices": [{"index": 0, "delta": {"content": "look."}}]},
    {
        "id": "c",
        "choices": [
            {"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "look", "arguments": "{}"}}]}}
        ],
    },
    {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    {"id": "c", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("start", [(), ({"object": "queued"},)])
def test_the_chunks_of_a_chat_are_read_on_both_routes(dialect, start):
    decoder = dialect.decoder()
    shown = decoder.feed(events_of(*start, *PARTS[:2]))
    assert "".join(delta.text for delta in shown) == "Let me look."
    assert decoder.ending.grace_seconds is None
    decoder.feed(events_of(*PARTS[2:], b"[DONE]"))
    assert decoder.ending.is_whole()
    reply = decoder.close()
    assert reply.items == (Message("assistant", "Let me look."), ToolCall("a", "look", "{}"))
    assert reply.usage.tokens == 7


@pytest.mark.parametrize("dialect", DIALECTS)
def test_chunks_of_a_chat_that_are_cut_off_are_a_cut_stream(dialect):
    decoder = dialect.decoder()
    decoder.feed(events_of(*PARTS[:3]))
    with pytest.raises(StreamCutError):
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

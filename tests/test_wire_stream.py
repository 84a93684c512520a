import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop.errors import EndpointError, ReplyError, ServerError
from agentloop.items import Message, Reply
from agentloop.wire.formats.chat import ChatCompletions
from agentloop.wire.formats.responses import MessageResponses, NativeResponses

DIALECTS = [NativeResponses(), MessageResponses(), ChatCompletions()]
WHOLE = {
    "/responses": b'{"output":[{"type":"message","content":"Hello"}]}',
    "/chat/completions": b'{"choices":[{"message":{"content":"Hello"}}]}',
}


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

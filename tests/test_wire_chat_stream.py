import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop.errors import EndpointError, RateLimitedError, ServerError, StreamCutError
from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import Message, Reasoning, Reply, ToolCall, Usage
from agentloop.wire.formats.chat import ChatCompletions

ADD = ToolCall("c1", "add", '{"a":1}')
AGAIN = ToolCall("c2", "add", '{"a":2}')
END = b"data: [DONE]\n\n"


def chunk(delta=None, finish=None, **fields):
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return f"data: {json.dumps({'id': 'chatcmpl-1', 'choices': choices, **fields})}\n\n".encode()


def call(index=None, call_id=None, name=None, arguments=None):
    given_fields = {"index": index, "id": call_id}
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    fields = {key: value for key, value in given_fields.items() if value is not None}
    return chunk({"tool_calls": [{**fields, "function": function}]})


def decode(*events):
    decoder = ChatCompletions().decoder()
    shown = [delta for data in events for delta in decoder.feed(data)]
    return shown, decoder.close()


FULL = (
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "hm"}),
    chunk({"content": "Hel"}),
    chunk({"content": "lo"}),
    chunk({}, "stop"),
    chunk(usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}),
    END,
)


def test_a_full_stream_gives_its_deltas_and_the_reply_with_the_usage_of_its_last_chunk():
    items = (Reasoning("hm"), Message("assistant", "Hello"))
    shown = [ReasoningDelta("hm"), TextDelta("Hel"), TextDelta("lo")]
    assert decode(*FULL) == (shown, Reply(items, Usage(3, 2, 5), "complete", "chatcmpl-1"))


@pytest.mark.parametrize(
    "events",
    [
        [chunk({"content": "Hello"}), END],
        [chunk({"content": "Hello"}, "stop")],
        [chunk({"content": "Hello", "refusal": None, "tool_calls": None}), chunk({"content": None}, "stop")],
        [chunk({"content": [{"type": "text", "text": "Hello"}]}), END],
        [chunk(choices=[{"message": {"content": "Hello"}, "finish_reason": "stop"}]), END],
        [b": keep-alive\n\n", b"data:\n\n", b"data: null\n\n", chunk({"content": "Hello"}), END],
    ],
)
def test_the_text_is_whole_however_it_comes(events):
    shown, reply = decode(*events)
    assert shown == [TextDelta("Hello")]
    assert reply.items == (Message("assistant", "Hello"),)


@pytest.mark.parametrize(
    "events",
    [
        [call(0, "c1", "add", ""), call(0, arguments='{"a"'), call(0, arguments=":1}")],
        [call(0, "c1", "add", '{"a":1}')],
        [call(0, "c1", "add", '{"a"'), call(0, "c1", "add", ":1}"), call(0, "c1", "add", "")],
        [call(0, "c1", "add"), call(0, "", "", '{"a":1}'), call(0, "", "", "")],
        [call(None, "c1", "add", '{"a"'), call(None, None, None, ":1}")],
        [call(None, "c1", "add", '{"a"'), call(None, "c1", None, ":1}")],
        [call(None, "c1", None, ""), call(None, None, "add", '{"a":1}')],
        [call(0, "c1", "add", '{"a"'), call(0, "c9", "add", ":1}")],
        [call(0, "c1", "add", '{"a":1}'), call(0, None, "add", "")],
        [chunk({"tool_calls": [{"id": "c1", "function": {"name": "add", "arguments": {"a": 1}}}]})],
    ],
)
def test_a_call_is_whole_however_its_pieces_come(events):
    shown, reply = decode(*events, chunk({}, "stop"))
    assert (shown, reply.items, reply.dialect) == ([], (ADD,), None)


@pytest.mark.parametrize(
    "events",
    [
        [
            call(0, "c1", "add", '{"a"'),
            call(1, "c2", "add", '{"a"'),
            call(0, arguments=":1}"),
            call(1, arguments=":2}"),
        ],
        [call(0, "c1", "add", '{"a":1}'), call(0, "c2", "add", '{"a":2}')],
        [call(0, "c1", "add", '{"a":1}'), call(0, "c2", "add", '{"a"'), call(0, None, None, ":2}")],
        [call(None, "c1", "add", '{"a":1}'), call(None, "c2", "add", '{"a":2}')],
        [call(None, "c1", "add", '{"a":1}'), call(None, "c2", "add", '{"a"'), call(None, "c2", None, ":2}")],
        [call(None, "c1", "add", '{"a":1}'), call(None, "c2", "add", '{"a"'), call(None, "c1"), call(arguments=":2}")],
    ],
)
def test_two_calls_stay_two_however_their_pieces_come(events):
    _, reply = decode(*events, chunk({}, "tool_calls"))
    assert reply.items == (ADD, AGAIN)


def test_two_calls_without_index_and_id_are_told_apart_by_the_name_after_whole_arguments():
    _, reply = decode(call(name="add", arguments='{"a":1}'), call(name="add", arguments='{"a":2}'), END)
    assert reply.items == (ToolCall("", "add", '{"a":1}'), ToolCall("", "add", '{"a":2}'))


def test_thinking_parts_and_refusals_are_shown_as_what_they_are():
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    shown, reply = decode(chunk({"content": [thinking]}), chunk({"refusal": "No."}), chunk({}, "stop"))
    assert shown == [ReasoningDelta("hm"), TextDelta("No.")]
    assert (reply.items, reply.stop) == ((Reasoning("hm"), Message("assistant", "No.")), "refused")


@pytest.mark.parametrize(("finish", "stop"), [("length", "truncated"), ("content_filter", "refused")])
def test_why_a_reply_stopped(finish, stop):
    assert decode(chunk({"content": "Hel"}, finish), END)[1].stop == stop


@pytest.mark.parametrize(
    ("failure", "kind", "message"),
    [
        (b'data: {"error":{"message":"no","code":429}}\n\n', RateLimitedError, ": no"),
        (b'data: {"error":"no"}\n\n', ServerError, ": no"),
        (b'data: {"type":"error","message":"no"}\n\n', ServerError, ": no"),
        (b'event: error\ndata: {"message":"no"}\n\n', ServerError, ": no"),
        (b"event: error\ndata: no\n\n", ServerError, ": no"),
        (b"data: {no\n\n", StreamCutError, "not JSON"),
    ],
)
def test_a_failure_in_the_stream_is_an_error(failure, kind, message):
    with pytest.raises(kind, match=message):
        decode(chunk({"content": "Hel"}), failure, END)


@pytest.mark.parametrize("events", [[], FULL[:4], [FULL[2][:30]]])
def test_a_stream_that_neither_finished_nor_ended_was_cut(events):
    with pytest.raises(StreamCutError):
        decode(*events)


def test_a_stream_that_ended_with_a_choice_that_says_nothing_is_an_empty_reply():
    assert decode(chunk({}), END) == ([], Reply((), response_id="chatcmpl-1"))


@pytest.mark.parametrize("choices", [[], None, [None], "none"])
def test_a_stream_that_ended_without_a_choice_is_cut_off(choices):
    data = json.dumps({"id": "c1", "choices": choices}).encode()
    with pytest.raises(StreamCutError):
        decode(b"data: %b\n\n" % data, END)
    with pytest.raises(StreamCutError):
        decode(END)


PIECES = st.fixed_dictionaries(
    {},
    optional={
        "content": st.none() | st.text(max_size=3) | st.just([{"text": "x"}, 7]),
        "refusal": st.none() | st.text(max_size=3) | st.integers(),
        "reasoning": st.none() | st.text(max_size=3) | st.just([]),
        "tool_calls": st.none()
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "index": st.none() | st.integers(0, 2) | st.just({}),
                    "id": st.none() | st.sampled_from(["", "a", "b"]) | st.just([]),
                    "function": st.none()
                    | st.fixed_dictionaries(
                        {
                            "name": st.sampled_from([None, "", "add", 7]),
                            "arguments": st.sampled_from(["", "{}", "{", {}]),
                        }
                    ),
                },
            ),
            max_size=3,
        ),
    },
)


@given(st.lists(st.builds(chunk, PIECES, st.sampled_from([None, "stop", 7, []])), max_size=8))
def test_any_chunks_give_a_reply_or_an_endpoint_error(chunks):
    try:
        shown, reply = decode(*chunks)
    except EndpointError:
        return
    assert isinstance(reply, Reply)
    text = "".join(delta.text for delta in shown if isinstance(delta, TextDelta))
    assert sorted(text) == sorted("".join(item.text for item in reply.items if isinstance(item, Message)))

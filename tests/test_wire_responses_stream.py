import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop.errors import EndpointError, RateLimitedError, ServerError, StreamCutError
from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import Message, Reasoning, Reply, ToolCall, Usage
from agentloop.wire.formats.responses import NativeResponses

CALL = ToolCall("c1", "add", '{"a":1}')
CALL_ITEM = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": '{"a":1}'}
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}
EMPTY_MESSAGE = {**MESSAGE, "content": []}


def event(kind, *, named=True, **fields):
    line = f"event: response.{kind}\n" if named else ""
    return f"{line}data: {json.dumps({'type': f'response.{kind}', **fields})}\n\n".encode()


def completed(*output, **fields):
    return event("completed", response={"id": "resp_1", "status": "completed", "output": list(output), **fields})


def added(item, **fields):
    return event("output_item.added", item=item, **fields)


def done(item, **fields):
    return event("output_item.done", item=item, **fields)


def text(delta, **fields):
    return event("output_text.delta", delta=delta, **fields)


def arguments(delta, **fields):
    return event("function_call_arguments.delta", delta=delta, **fields)


def decode(*events):
    decoder = NativeResponses().decoder()
    shown = [delta for chunk in events for delta in decoder.feed(chunk)]
    return shown, decoder.close()


HELLO = [TextDelta("Hel"), TextDelta("lo")]
ALL_AT_ONCE = [TextDelta("Hello")]
FULL = (
    event("created", response={"id": "resp_1", "status": "in_progress", "output": []}),
    event("in_progress", response={"id": "resp_1", "status": "in_progress", "output": []}),
    added(EMPTY_MESSAGE, output_index=0),
    event("content_part.added", output_index=0, item_id="msg_1", part={"type": "output_text", "text": ""}),
    text("Hel", output_index=0, item_id="msg_1"),
    text("lo", output_index=0, item_id="msg_1"),
    event("output_text.done", output_index=0, item_id="msg_1", text="Hello"),
    done(MESSAGE, output_index=0),
    completed(MESSAGE, usage={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}),
)


def test_a_full_stream_gives_its_deltas_and_the_reply():
    reply = Reply((Message("assistant", "Hello"),), Usage(3, 2, 5), "complete", "resp_1")
    assert decode(*FULL) == (HELLO, reply)
    assert decode(*FULL, b"data: [DONE]\n\n") == (HELLO, reply)


@pytest.mark.parametrize(
    ("events", "shown"),
    [
        ([completed(MESSAGE)], ALL_AT_ONCE),
        ([done(MESSAGE), completed(MESSAGE)], ALL_AT_ONCE),
        ([done(MESSAGE), completed()], ALL_AT_ONCE),
        ([text("Hel"), text("lo"), completed()], HELLO),
        ([text("Hel", output_index=0), text("lo", output_index=0), completed()], HELLO),
        ([text("Hel", item_id="msg_1"), text("lo", item_id="msg_1"), completed(EMPTY_MESSAGE)], HELLO),
        ([text("Hel", item_id="a"), text("lo", item_id="b"), completed()], HELLO),
        ([added(EMPTY_MESSAGE), text("Hel"), text("lo"), done(EMPTY_MESSAGE), completed()], HELLO),
        ([text("Hel"), completed(MESSAGE)], HELLO),
        ([event("output_text.done", text="Hello"), completed()], ALL_AT_ONCE),
        ([text(""), text(None), text("Hel"), text("lo"), event("output_text.done", text="Hello"), completed()], HELLO),
        ([added(MESSAGE), completed()], ALL_AT_ONCE),
        (
            [b": keep-alive\n\n", b"event: ping\ndata: {}\n\n", b"data:\n\n", b"data: null\n\n", completed(MESSAGE)],
            ALL_AT_ONCE,
        ),
        (
            [
                event("output_text.delta", named=False, delta="Hel"),
                event("output_text.delta", named=False, delta="lo"),
                event("completed", named=False, response={"output": [MESSAGE]}),
            ],
            HELLO,
        ),
        ([b"event: message\n" + event("output_text.delta", named=False, delta="Hello"), completed()], ALL_AT_ONCE),
    ],
)
def test_the_text_is_whole_whichever_events_are_missing(events, shown):
    deltas, reply = decode(*events)
    assert deltas == shown
    assert reply.items == (Message("assistant", "Hello"),)


NAMELESS = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": ""}
WHOLE = event("function_call_arguments.done", item_id="fc_1", output_index=0, arguments='{"a":1}')


@pytest.mark.parametrize(
    "events",
    [
        [completed(CALL_ITEM)],
        [added(NAMELESS), arguments('{"a"'), arguments(":1}"), completed()],
        [added(NAMELESS), arguments('{"a"'), arguments(":1}"), done(NAMELESS), completed(NAMELESS)],
        [added(NAMELESS, output_index=0), WHOLE, completed(NAMELESS)],
        [added(NAMELESS), WHOLE, done(NAMELESS), completed()],
        [added(NAMELESS), done(CALL_ITEM), completed(NAMELESS)],
        [added(NAMELESS), completed(CALL_ITEM)],
        [arguments('{"a":1}'), completed(NAMELESS)],
        [
            added({**NAMELESS, "id": "x"}),
            arguments('{"a"', item_id="y"),
            arguments(":1}", item_id="z"),
            done({**NAMELESS, "id": "q"}),
            completed(),
        ],
        [
            event("output_item.added", named=False, item=NAMELESS),
            event("function_call_arguments.delta", named=False, delta='{"a":1}'),
            event("output_item.done", named=False, item=NAMELESS),
            event("completed", named=False, response={"output": []}),
        ],
        [added({**NAMELESS, "arguments": "{}"}), arguments('{"a":1}'), completed()],
        [added(NAMELESS), done({**CALL_ITEM, "arguments": {"a": 1}}), completed()],
        [done(CALL_ITEM), completed()],
        [done(CALL_ITEM), completed(EMPTY_MESSAGE)],
        [
            added(NAMELESS, output_index=0),
            arguments('{"a":1}', item_id="x", output_index=0),
            done({**CALL_ITEM, "id": "y"}, output_index=0),
            completed(),
        ],
        [
            event("function_call_arguments.done", arguments='{"a":1}', name="add"),
            done({**NAMELESS, "name": "add"}),
            completed(),
        ],
    ],
)
def test_a_call_is_whole_whichever_events_are_missing(events):
    _, reply = decode(*events)
    assert [item for item in reply.items if item != Message("assistant", "Hello")] == [CALL]
    assert reply.dialect == "native"


def second(item, number):
    return {**item, "id": f"fc_{number}", "call_id": f"c{number}"}


@pytest.mark.parametrize("known_by", ["index", "id", "order"])
def test_interleaved_calls_keep_their_own_arguments(known_by):
    def where(number):
        known = {"index": {"output_index": number}, "id": {"item_id": f"fc_{number}"}, "order": {}}
        return known[known_by]

    def item(number):
        return second(NAMELESS if known_by != "order" else CALL_ITEM, number)

    events = [added(item(1), **where(1)), added(item(2), **where(2))]
    if known_by != "order":
        events += [arguments('{"a"', **where(1)), arguments('{"b"', **where(2))]
        events += [arguments(":1}", **where(1)), arguments(":2}", **where(2))]
    events += [done(item(1)), done(item(2)), completed()]
    if known_by == "index":
        events[-3:-1] = [done({**item(n), "id": f"other_{n}"}, output_index=n) for n in (1, 2)]
    _, reply = decode(*events)
    expected = ['{"a":1}', '{"a":1}' if known_by == "order" else '{"b":2}']
    assert [(call.call_id, call.arguments) for call in reply.items] == [("c1", expected[0]), ("c2", expected[1])]


def test_items_that_are_all_done_at_the_end_without_ids_are_matched_in_order():
    bare = {key: value for key, value in NAMELESS.items() if key != "id"}
    one, two = ({**bare, "call_id": call_id} for call_id in ("c1", "c2"))
    events = [added(one), arguments('{"a":1}'), added(two), arguments('{"a":2}'), done(one), done(two), completed()]
    _, reply = decode(*events)
    assert reply.items == (CALL, ToolCall("c2", "add", '{"a":2}'))


def test_whole_arguments_count_for_more_than_their_pieces():
    _, reply = decode(added(NAMELESS), arguments('{"a'), WHOLE, completed())
    assert reply.items == (CALL,)


def test_an_index_that_is_new_means_another_item_though_none_was_added():
    pieces = arguments('{"a":1}', output_index=0), arguments('{"a":2}', output_index=1)
    _, reply = decode(*pieces, done(NAMELESS, output_index=0), done(second(NAMELESS, 2), output_index=1), completed())
    assert reply.items == (CALL, ToolCall("c2", "add", '{"a":2}'))


def test_an_item_that_is_sent_again_is_one_item_and_an_index_used_twice_means_two():
    _, reply = decode(
        added(EMPTY_MESSAGE, output_index=0),
        text("Hello", output_index=0),
        done(MESSAGE, output_index=0),
        added(NAMELESS, output_index=0),
        done(CALL_ITEM, output_index=0),
        added(EMPTY_MESSAGE, output_index=0),
        done(MESSAGE, output_index=0),
        added(second(NAMELESS, 2), output_index=0),
        done(second(CALL_ITEM, 2), output_index=0),
        completed(),
    )
    assert reply.items == (Message("assistant", "Hello"), CALL, ToolCall("c2", "add", '{"a":1}'))


def test_a_last_event_with_more_than_was_streamed_counts():
    deltas, reply = decode(text("Hello"), completed(MESSAGE, CALL_ITEM))
    assert (deltas, reply.items) == (ALL_AT_ONCE, (Message("assistant", "Hello"), CALL))


def test_a_last_event_that_contradicts_what_was_shown_counts_and_shows_nothing_more():
    deltas, reply = decode(text("Good day"), completed(MESSAGE))
    assert (deltas, reply.items) == ([TextDelta("Good day")], (Message("assistant", "Hello"),))


def test_reasoning_is_streamed_and_kept():
    thinking = {"type": "reasoning", "id": "rs_1", "summary": []}
    summary = {**thinking, "summary": [{"text": "in short"}]}
    hm = event("reasoning_text.delta", delta="hm"), event("reasoning_summary_text.delta", delta="...")
    shown, reply = decode(added(thinking), *hm, event("reasoning_text.delta", delta=""), completed())
    assert shown == [ReasoningDelta("hm"), ReasoningDelta("...")]
    assert reply.items == (Reasoning("hm...", id="rs_1"),)
    _, reply = decode(*hm, done(summary), completed())
    assert reply.items == (Reasoning("in short", id="rs_1"),)


def test_a_refusal_is_shown_and_stops_the_reply():
    shown, reply = decode(event("refusal.delta", delta="No."), completed())
    assert (shown, reply.items, reply.stop) == ([TextDelta("No.")], (Message("assistant", "No."),), "refused")


def test_an_incomplete_response_is_truncated_though_its_status_may_not_say_so():
    _, reply = decode(text("Hel"), event("incomplete", response={"output": []}))
    assert (reply.items, reply.stop) == ((Message("assistant", "Hel"),), "truncated")


@pytest.mark.parametrize(
    ("failure", "kind", "message"),
    [
        (b'event: error\ndata: {"type":"error","error":{"message":"no"}}\n\n', ServerError, ": no"),
        (b'event: error\ndata: {"code":"rate_limit_exceeded","message":"no"}\n\n', RateLimitedError, ": no"),
        (b'data: {"type":"error","message":"no"}\n\n', ServerError, ": no"),
        (b'data: {"error":{"message":"no"}}\n\n', ServerError, ": no"),
        (b'data: {"error":"no"}\n\n', ServerError, ": no"),
        (b"event: error\ndata: no\n\n", ServerError, ": no"),
        (event("failed", response={"error": {"message": "no"}}), ServerError, ": no"),
        (event("failed", response={"status": "failed"}), ServerError, "gave no reason"),
        (event("failed", error={"message": "no"}), ServerError, ": no"),
        (completed(status="failed", error={"message": "no"}), ServerError, ": no"),
        (b"data: {no\n\n", StreamCutError, "not JSON: {no"),
    ],
)
def test_a_failure_in_the_stream_is_an_error_after_what_came_before_it_was_shown(failure, kind, message):
    decoder = NativeResponses().decoder()
    with pytest.raises(kind, match=message):
        decoder.feed(failure)
    decoder = NativeResponses().decoder()
    assert decoder.feed(text("Hel") + failure + text("lo")) == [TextDelta("Hel")]
    with pytest.raises(kind, match=message):
        decoder.feed(b"")
    with pytest.raises(kind, match=message):
        decoder.close()


@pytest.mark.parametrize("at", range(len(FULL)))
def test_a_damaged_event_is_an_error_even_where_it_would_say_nothing_new(at):
    line, _, data = FULL[at].partition(b"\ndata: ")
    damaged = line + b"\ndata: " + data[: len(data) // 2] + b"\n\n"
    with pytest.raises(StreamCutError, match="not JSON"):
        decode(*FULL[:at], damaged, *FULL[at + 1 :])


@pytest.mark.parametrize(
    "events", [FULL[:-1], [], [b"data: [DONE]\n\n"], [FULL[-1][:100]], [text("Hel"), text("lo")[:-9]], [b"Bad Gateway"]]
)
def test_a_stream_without_its_last_event_was_cut(events):
    with pytest.raises(StreamCutError) as caught:
        decode(*events)
    assert caught.value.hint


def test_a_last_event_without_its_blank_line_counts():
    assert decode(*FULL[:-1], FULL[-1].rstrip()) == decode(*FULL)


def test_nothing_after_the_last_event_counts():
    assert decode(*FULL, text("more"), b"data: {no\n\n", FULL[-1][:50]) == decode(*FULL)


@given(st.lists(st.integers(0, sum(map(len, FULL)))), st.sampled_from([b"\n", b"\r\n"]))
def test_where_a_stream_is_cut_makes_no_difference(cuts, newline):
    stream = b"".join(FULL).replace(b"\n", newline)
    edges = [0, *sorted(cuts), len(stream)]
    assert decode(*(stream[a:b] for a, b in pairwise(edges))) == decode(*FULL)


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "delta": st.none() | st.text(max_size=3) | st.integers(),
        "output_index": st.none() | st.integers(0, 2) | st.just([]) | st.just("0"),
        "item_id": st.none() | st.sampled_from(["a", "b"]) | st.just({}),
        "arguments": st.none() | st.text(max_size=3) | st.just({"a": 1}),
        "name": st.none() | st.just("add") | st.just([]),
        "text": st.none() | st.text(max_size=3),
        "item": st.none() | st.sampled_from([MESSAGE, EMPTY_MESSAGE, CALL_ITEM, NAMELESS, {}, {"type": 7, "id": []}]),
        "response": st.none()
        | st.just({})
        | st.sampled_from([{"output": out} for out in ([], [MESSAGE], [CALL_ITEM], 7)]),
    },
)
KINDS = st.sampled_from(
    [
        "created",
        "output_item.added",
        "output_item.done",
        "output_text.delta",
        "output_text.done",
        "refusal.delta",
        "reasoning_text.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "completed",
        "incomplete",
        "failed",
        "unknown",
    ]
)


@given(st.lists(st.tuples(KINDS, FIELDS, st.booleans())))
def test_any_events_give_a_reply_or_an_endpoint_error(events):
    try:
        shown, reply = decode(*(event(kind, named=named, **fields) for kind, fields, named in events))
    except EndpointError:
        return
    assert isinstance(reply, Reply)
    assert all(isinstance(delta, (TextDelta, ReasoningDelta)) and delta.text for delta in shown)

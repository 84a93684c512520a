"""Replies that come in pieces of every style: new parts, all so far, the whole once more, and characters in halves."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop.errors import ServerError, StreamCutError
from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import Message, Reasoning, ServerState, ToolCall
from agentloop.wire.formats.chat import ChatCompletions
from agentloop.wire.formats.responses import NativeResponses
from agentloop.wire.streams.pieces import keep_one_object, same_objects
from agentloop.wire.streams.reply import read_call

SENTENCE = "Oslo is the capital of Norway."
ARGUMENTS = '{"city": "Oslo", "days": [1, 2]}'


def event(value):
    return b"data: %b\n\n" % (value if isinstance(value, bytes) else json.dumps(value).encode())


def chunk(delta=None, finish=None, **fields):
    choice = {"index": 0, "finish_reason": finish, **fields}
    return event({"id": "c1", "choices": [choice if delta is None else {**choice, "delta": delta}]})


DONE = event(b"[DONE]")


def decode(*events, dialect=None):
    """Return the text that was shown, the reasoning that was shown, and the reply."""
    decoder = (dialect or ChatCompletions()).decoder()
    shown = [delta for data in events for delta in decoder.feed(data)]
    reply = decoder.close()
    kinds = (TextDelta, ReasoningDelta)
    return *("".join(delta.text for delta in shown if isinstance(delta, kind)) for kind in kinds), reply


def texts(*pieces, finish="stop"):
    """Return a stream of texts, the last of which comes with the finish_reason if there is one."""
    *first, last = pieces
    return [*(chunk({"content": piece}) for piece in first), chunk({"content": last}, finish), DONE]


def so_far(text, size):
    return [text[:end] for end in range(size, len(text) + size, size)]


# --- texts ---


@pytest.mark.parametrize(
    "events",
    [
        texts("Oslo is ", "the capital of ", "Norway."),
        texts("Oslo is ", "the capital of ", "Norway.", SENTENCE),
        [*texts("Oslo is ", "the capital of ", "Norway.", SENTENCE, finish=None), chunk({}, "stop")],
        texts(SENTENCE, SENTENCE),
        [*texts(SENTENCE, SENTENCE, finish=None), chunk({}, "stop")],
        [*texts("Oslo", " is the capital of Norway.", finish=None)[:-1], chunk(message={"content": SENTENCE}), DONE],
        [chunk({"content": SENTENCE}), chunk({"content": ""}, "stop", message={"content": SENTENCE})],
        [chunk({"content": "Oslo is"}), chunk({"content": " the capital"}, "stop", message={"content": SENTENCE})],
        [chunk({"role": "assistant"}), chunk(None, "stop", message={"content": SENTENCE})],
        [chunk({"content": SENTENCE}), chunk(None, "stop", message={"content": "Paris."})],
        [chunk(message={"content": "Oslo is"}), chunk(None, "stop", message={"content": " the capital of Norway."})],
        [chunk(message={"content": "Oslo is"}), chunk(None, "stop", message={"content": SENTENCE})],
        texts("Oslo", "Oslo is", SENTENCE),
        texts("Oslo", SENTENCE),
        texts("O", SENTENCE),
        texts(*so_far(SENTENCE, 1)),
        texts(*so_far(SENTENCE, 7), SENTENCE, SENTENCE),
        texts("Oslo", "Oslo", "Oslo is the cap", "Oslo is the cap", SENTENCE),
        texts("Oslo", "Oslo is the cap", "Oslo is", SENTENCE),
        texts("Oslo", "Oslo is the cap", "ital of Norway", "."),
    ],
)
def test_a_text_is_shown_and_kept_once_however_often_it_comes(events):
    shown, _, reply = decode(*events)
    assert shown == SENTENCE
    assert reply.items == (Message("assistant", SENTENCE),)


@pytest.mark.parametrize(
    "pieces",
    [
        ["ha", "ha", "haha", "\n", "\n", "done"],
        ["no ", "no ", "no ", "never"],
        ["again ", "again "],
        ["so", "so"],
        ["1", "11", "111"],
        ["1", "12", "123"],
        ["4", "42"],
        ["-", "--", "-- ", "x"],
        [" ", " the", " end"],
        ["ha", "haha"],
        ["Bye ", "Bye bye"],
        ["ha"] * 30,
        ["ha"] * 5 + [" ", "ha"] * 3,
        ["\n", "\n\n", "Once"],
        ["a", "b", "ab", "ab"],
    ],
)
def test_a_model_may_repeat_itself(pieces):
    shown, _, reply = decode(*texts(*pieces))
    assert shown == "".join(pieces)
    assert reply.items == (Message("assistant", shown),)


def test_a_short_answer_that_ends_while_it_grows_is_not_doubled():
    assert decode(*texts("Ja", "Ja."))[0] == "Ja."
    assert decode(*texts("Ja", "Ja.", finish=None))[0] == "Ja."
    assert decode(*texts("Yes", "Yes"))[0] == "Yes"


def test_reasoning_and_text_may_both_grow():
    thought = "The user asks for a capital."
    events = [chunk({"reasoning_content": part, "content": ""}) for part in so_far(thought, 5)]
    events += [chunk({"reasoning_content": thought, "content": part}) for part in so_far(SENTENCE, 5)]
    whole = {"reasoning_content": thought, "content": SENTENCE}
    shown, reasoning, reply = decode(*events, chunk(None, "stop", message=whole))
    assert (shown, reasoning) == (SENTENCE, thought)
    assert reply.items == (Reasoning(thought), Message("assistant", SENTENCE))


def test_a_refusal_that_comes_once_more_is_kept_once():
    refusal = "I will not do that."
    shown, _, reply = decode(chunk({"refusal": refusal}), chunk(None, "stop", message={"refusal": refusal}))
    assert (shown, reply.items, reply.stop) == (refusal, (Message("assistant", refusal),), "refused")


def test_what_only_the_server_understands_is_kept_once_too():
    state = {"reasoning_details": [{"type": "reasoning.encrypted", "data": "a1b2"}]}
    message = {"content": SENTENCE, **state}
    for first in ({"content": SENTENCE}, message):
        reply = decode(chunk(first), chunk(None, "stop", message=message))[2]
        assert reply.items == (Message("assistant", SENTENCE, state=ServerState(state)),)


def test_a_piece_is_held_back_only_while_it_may_be_either():
    decoder = ChatCompletions().decoder()
    assert decoder.feed(chunk({"content": "ha"})) == [TextDelta("ha")]
    assert decoder.feed(chunk({"content": "ha"})) == []
    assert decoder.feed(chunk({"content": "!"})) == [TextDelta("ha!")]
    assert decoder.feed(chunk({"content": "ha"})) == [TextDelta("ha")]
    growing = ChatCompletions().decoder()
    assert growing.feed(chunk({"content": "Oslo is"})) == [TextDelta("Oslo is")]
    assert growing.feed(chunk({"content": "Oslo is the"})) == [TextDelta(" the")]


def test_a_second_stream_in_the_same_reply_is_not_shown():
    one = [chunk({"content": "Oslo is "}), chunk({"content": "it."}), chunk({}, "stop")]
    two = [part.replace(b'"c1"', b'"c2"') for part in one]
    assert decode(*one, *two, DONE)[0] == decode(*one, DONE, *one)[0] == "Oslo is it."


@pytest.mark.parametrize("lives", [2, 3])
def test_a_stream_that_begins_anew_under_the_same_id_is_shown_once(lives):
    one = [chunk({"reasoning": "I know this."}), *texts("Oslo ", "is the capital ", "of Norway.", finish=None)[:-1]]
    shown, reasoning, reply = decode(*[*one, chunk({}, "stop")] * lives, DONE)
    assert (shown, reasoning) == (SENTENCE, "I know this.")
    assert reply.items == (Reasoning("I know this."), Message("assistant", SENTENCE))


@pytest.mark.parametrize(
    "after", [["It is large."], ["Oslo", " is large."], ["Oslo is the capital of Norway.", "Yes."]]
)
def test_other_text_after_an_end_is_kept(after):
    shown, _, reply = decode(chunk({"content": SENTENCE}, "stop"), *texts(*after))
    expected = SENTENCE + "".join(after).removeprefix(SENTENCE)
    assert (shown, reply.items) == (expected, (Message("assistant", expected),))


def test_an_end_in_each_chunk_is_the_end_of_none():
    chunks = [chunk({"content": piece}, "stop") for piece in ("ha", "ha", "ha", " that ", "is ", "funny")]
    assert decode(*chunks, DONE)[0] == "hahaha that is funny"


WORDS = st.lists(st.sampled_from(["Oslo", "is", "the", "capital", "of", "Norway", "🎉", "naïve", "\n"]), max_size=12)
REPLIES = WORDS.map(lambda words: " ".join(["Look here, please:", *words]))


def cut(text, cuts):
    edges = sorted({0, len(text), *(at % len(text) for at in cuts)})
    return [text[start:end] for start, end in pairwise(edges)]


def grow(pieces):
    return ["".join(pieces[: at + 1]) for at in range(len(pieces))]


STYLES = {
    "parts": lambda pieces: pieces,
    "all so far": grow,
    "all so far, twice": lambda pieces: [piece for piece in grow(pieces) for _ in "ab"],
    "the whole at the end": lambda pieces: [*pieces, "".join(pieces)],
}


@given(REPLIES, st.lists(st.integers(0, 99), max_size=8), st.sampled_from([*STYLES]), st.booleans())
def test_a_text_in_pieces_of_any_style_is_the_plain_text(text, cuts, style, in_message):
    pieces = STYLES[style](cut(text, cuts))
    last = {"message": {"content": text}} if in_message else {}
    shown, _, reply = decode(*texts(*pieces, finish=None)[:-1], chunk({}, "stop", **last))
    assert shown == text
    assert reply.items == (Message("assistant", text),)


@given(REPLIES, st.lists(st.integers(0, 99), max_size=8), st.sampled_from([*STYLES]), st.booleans())
def test_the_text_of_a_response_in_pieces_of_any_style_is_the_plain_text(text, cuts, style, has_output):
    pieces = STYLES[style](cut(text, cuts))
    output = [{"type": "message", "content": text}] if has_output else []
    events = [event({"type": "response.output_text.delta", "delta": piece}) for piece in pieces]
    end = event({"type": "response.completed", "response": {"output": output}})
    shown, _, reply = decode(*events, end, dialect=NativeResponses())
    assert shown == text
    assert reply.items == (Message("assistant", text),)


@given(st.lists(st.text("ab \n", min_size=1, max_size=3), min_size=1, max_size=12))
def test_what_is_shown_is_what_is_kept(pieces):
    shown, _, reply = decode(*texts(*pieces))
    assert reply.items == (Message("assistant", shown),)


def test_reasoning_of_a_response_that_ends_while_it_grows_is_shown_once():
    events = [event({"type": "response.reasoning_text.delta", "delta": part}) for part in ("Hm", "Hm.")]
    _, reasoning, reply = decode(*events, event({"type": "response.completed"}), dialect=NativeResponses())
    assert (reasoning, reply.items) == ("Hm.", (Reasoning("Hm."),))


# --- arguments ---


@given(st.lists(st.integers(0, 99), max_size=8), st.sampled_from([*STYLES]), st.booleans(), st.booleans())
def test_arguments_in_pieces_of_any_style_are_the_plain_arguments(cuts, style, has_placeholder, repeats_name):
    pieces = STYLES[style](cut(ARGUMENTS, cuts))
    name = {"name": "trip"} if repeats_name else {}
    deltas = [{"index": 0, "function": {**name, "arguments": piece}} for piece in pieces]
    first = {"index": 0, "id": "k1", "function": {"name": "trip", "arguments": "{}" if has_placeholder else ""}}
    _, _, reply = decode(*(chunk({"tool_calls": [delta]}) for delta in (first, *deltas)), chunk({}, "tool_calls"))
    assert reply.items == (ToolCall("k1", "trip", ARGUMENTS),)


def test_different_objects_in_pieces_are_not_guessed_at():
    deltas = [call(0, "a", "add", '{"n":1}'), call(0, None, None, '{"n":2}')]
    assert calls_of(*deltas) == [("a", "add", '{"n":1}{"n":2}')]


@pytest.mark.parametrize("style", [*STYLES])
def test_arguments_of_a_response_in_pieces_of_any_style_are_the_plain_arguments(style):
    item = {"type": "function_call", "id": "f1", "call_id": "k1", "name": "trip", "arguments": "{}"}
    pieces = STYLES[style](cut(ARGUMENTS, [5, 20]))
    events = [event({"type": "response.function_call_arguments.delta", "delta": piece}) for piece in pieces]
    for output in ([], [item]):
        ends = [event({"type": "response.output_item.done", "item": item})]
        ends += [event({"type": "response.completed", "response": {"output": output}})]
        added = event({"type": "response.output_item.added", "item": item})
        _, _, reply = decode(added, *events, *ends, dialect=NativeResponses())
        assert reply.items == (ToolCall("k1", "trip", ARGUMENTS),)


def test_a_call_of_a_response_without_arguments_stays_one():
    item = {"type": "function_call", "call_id": "k1", "name": "now", "arguments": "{}"}
    ends = event({"type": "response.output_item.done", "item": item}), event({"type": "response.completed"})
    assert decode(*ends, dialect=NativeResponses())[2].items == (ToolCall("k1", "now", "{}"),)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ('{"a":1}{"a":1}', '{"a":1}'),
        ('{"a":1} \n{"a": 1}{"a":1}', '{"a":1}'),
        ('{"a":1,"b":2}{"b":2,"a":1}', '{"a":1,"b":2}'),
        ('{}{"a":1}', '{"a":1}'),
        ('{} {"a":1}{"a":1}', '{"a":1}'),
        ("{}{}", "{}"),
        ('{"a":"}{"}', '{"a":"}{"}'),
        *(
            (text, text)
            for text in (
                '{"a":1}{"a":2}',
                '{"a":1}{"a":true}',
                '{"a":1}{"a":1.0}',
                '{"a":1}{}',
                '{"a":1}{"a"',
                '{"a":1}{"a":1}x',
                '{}{"a":1}{"a":2}',
                "{}{}" * 2 + "}{",
                "[" * 9999 + "}{",
                "",
            )
        ),
    ],
)
def test_the_same_object_several_times_is_one_object_and_different_ones_stay_as_they_are(written, kept):
    assert keep_one_object(written) == kept
    assert read_call({"name": "add", "arguments": written}).arguments == kept


@pytest.mark.unmeasured
def test_many_objects_and_many_pieces_are_read_in_linear_time():
    assert keep_one_object('{"a":1}' * 200_000) == '{"a":1}'
    assert keep_one_object("{} {} " * 100_000 + '{"a":1}') == '{"a":1}'
    piece = {"index": 0, "id": "x", "function": {"name": "add", "arguments": '}"'}}
    event_of_many = chunk({"tool_calls": [{**piece, "id": f"k{at}"} for at in range(20_000)]})
    _, _, reply = decode(event_of_many, chunk({}, "tool_calls"))
    assert reply.items


def test_objects_are_the_same_if_they_mean_the_same():
    assert same_objects('{"a": 1, "b": 2}', '{"b":2,"a":1}')
    assert not same_objects('{"a":1}', '{"a":2}')
    assert not same_objects("", "")


# --- calls ---


def call(index=None, call_id=None, name=None, arguments=None, **fields):
    fields |= {key: value for key, value in (("index", index), ("id", call_id)) if value is not None}
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**fields, "function": function}


def calls_of(*events):
    """Return the calls of a stream whose events hold these deltas, one or several each."""
    chunks = [chunk({"tool_calls": deltas if isinstance(deltas, list) else [deltas]}) for deltas in events]
    return [(item.call_id, item.name, item.arguments) for item in decode(*chunks, chunk({}, "tool_calls"))[2].items]


ADD = ("a", "add", '{"n":1}')
NOW = ("a", "now", "")


@pytest.mark.parametrize(
    "events",
    [
        [call(0, "a", "ad", ""), call(0, None, "d", ""), call(0, None, None, '{"n":1}')],
        [call(0, "a", "a"), call(0, "a", "d"), call(0, "a", "d", '{"n":1}')],
        [call(0, "a", "ad"), call(0, "a", "add"), call(0, "a", "add", '{"n":'), call(0, "a", "add", "1}")],
        [call(0, "a", None, '{"n":'), call(0, None, "add", "1}")],
        [call(0, "a", "add", '{"n":'), call(0, "b", None, "1"), call(0, "c", None, "}")],
        [call(0, "a", "add", ""), call(0, "b", "add", '{"n":'), call(0, "c", "add", "1}")],
        [call(0, "a", "add", '{"n":1}'), call(1, "a", "add", '{"n":1}')],
        [call(0, "a", "add", ""), call(1, "a", None, '{"n":'), call(2, "a", None, "1}")],
        [call(0, "a", "add", ""), call(1, None, None, '{"n":'), call(2, None, None, "1}")],
        [call(0, "a", "add", '{"n":'), call(1, "a", "add", "1}")],
        [call(0, "a", "add", '{"n":1}'), call(1, "a", "add", "")],
        [call("0", "a", "add", '{"n":'), call(0, None, None, "1"), call(0.0, None, None, "}")],
        [[call(0, "a", "add", '{"n":'), call(0, None, None, "1}")]],
        [[call(0, "a", "add", '{"n":'), call(0, "a", "add", "1}")]],
        [{"index": 0, "id": "a", "name": "add", "arguments": {"n": 1}}],
        [{"index": 0, "call_id": "a", "function": {"name": "add", "arguments": '{"n":1}'}}],
    ],
)
def test_one_call_is_one_call_however_it_comes(events):
    assert calls_of(*events) == [ADD]


@pytest.mark.parametrize(
    "events",
    [
        [call(0, "a", "now", ""), call(0, "b", "add", '{"n":2}')],
        [call(0, "a", "now"), call(0, "b", "add", '{"n":'), call(0, None, None, "2}")],
        [call(None, "a", "now", ""), call(None, "b", "add", '{"n":2}')],
        [call(None, "a", "now"), call(None, "b", "add"), call(None, None, None, '{"n":2}')],
        [[call(None, "a", "now"), call(None, "b", "add", '{"n":2}')]],
        [[call(0, "a", "now"), call(0, "b", "add", '{"n":2}')]],
        [call(0, "a", "now", ""), call(0, "b", "add", ""), call(0, "b", None, '{"n":'), call(0, "b", None, "2}")],
        [call(-1, "a", "now", ""), call(7, "b", "add", '{"n":2}')],
        [call([0], "a", "now", ""), call([0], "b", "add", '{"n":2}')],
        [call("first", "a", "now", ""), call("second", "b", "add", '{"n":2}')],
    ],
)
def test_a_call_without_arguments_and_the_next_are_two(events):
    assert calls_of(*events) == [NOW, ("b", "add", '{"n":2}')]


@pytest.mark.parametrize("index", [0, None])
def test_calls_without_arguments_are_counted(index):
    assert calls_of(call(index, "a", "now", ""), call(index, "b", "now", "")) == [NOW, ("b", "now", "")]


@pytest.mark.parametrize("index", [0, None])
def test_calls_without_ids_are_told_apart_by_their_names(index):
    events = call(index, None, "now", ""), call(index, None, "add", '{"n":2}'), call(index, None, "mul", '{"n":3}')
    assert [name for _, name, _ in calls_of(*events)] == ["now", "add", "mul"]
    assert [name for _, name, _ in calls_of([call(index, None, "now"), call(index, None, "now")])] == ["now", "now"]


def test_interleaved_calls_under_one_index_are_told_apart_by_their_ids():
    events = [
        call(0, "a", "add", ""),
        call(0, "b", "add", ""),
        call(0, "a", None, '{"n":'),
        call(0, "b", None, '{"n":'),
    ]
    assert calls_of(*events, call(0, "a", None, "1}"), call(0, "b", None, "2}")) == [ADD, ("b", "add", '{"n":2}')]


@pytest.mark.parametrize(
    "events",
    [
        [call(0, "x", "add", '{"n":1}'), call(1, "x", "add", '{"n":2}')],
        [call(0, "x", "add", '{"n":1}'), call(1, "x", "mul", '{"n":1}')],
        [call(0, "x", "add", '{"n":1}'), call(0, "x", "mul", '{"n":1}')],
        [[call(None, "x", "add", '{"n":1}'), call(None, "x", "add", '{"n":2}')]],
        [call(0, None, "add", '{"n":1}'), call(1, None, "add", '{"n":1}')],
    ],
)
def test_calls_with_the_same_id_stay_two_if_they_differ(events):
    assert len(calls_of(*events)) == 2


def test_quotation_marks_and_braces_in_arguments_are_no_end():
    pieces = ['{"t":"}', "\\", '"', "}{", '"}']
    first = [call(0, f"k{at}", "post", piece) for at, piece in enumerate(pieces)]
    assert calls_of(*first, call(0, "z", "post", "{}")) == [("k0", "post", "".join(pieces)), ("z", "post", "{}")]


def test_a_call_that_is_twice_in_a_body_with_its_id_is_one_call():
    one, other = call(0, "a", "add", '{"n":1}'), call(None, "a", "add", '{"n":2}')
    body = {"choices": [{"message": {"tool_calls": [one, one, other, call(0, "", "now"), call(0, "", "now")]}}]}
    items = ChatCompletions().decode(json.dumps(body).encode()).items
    assert [item.arguments for item in items] == ['{"n":1}', '{"n":2}', "", ""]


def test_an_item_that_is_twice_in_a_response_with_its_id_is_one_item():
    message = {"type": "message", "id": "m1", "content": "Hello"}
    one = {"type": "function_call", "id": "f1", "call_id": "a", "name": "add", "arguments": "{}"}
    output = [message, one, message, one, {**one, "arguments": '{"n":1}'}, {"type": "message", "content": "Hello"}]
    items = NativeResponses().decode(json.dumps({"output": output}).encode()).items
    hello = Message("assistant", "Hello")
    assert items == (hello, ToolCall("a", "add", "{}"), ToolCall("a", "add", '{"n":1}'), hello)


def test_an_index_of_an_item_may_be_text():
    delta = {"type": "response.output_text.delta", "output_index": "0"}
    events = [event({**delta, "delta": piece}) for piece in ("Hel", "lo")]
    shown, _, reply = decode(*events, event({"type": "response.completed"}), dialect=NativeResponses())
    assert (shown, reply.items) == ("Hello", (Message("assistant", "Hello"),))


@pytest.mark.parametrize("field", ["tool_calls", "function_call"])
def test_a_lone_call_need_not_be_in_a_list(field):
    function = {"name": "add", "arguments": '{"n":1}'}
    value = {"id": "a", "function": function} if field == "tool_calls" else function
    expected = (ToolCall("a" if field == "tool_calls" else "", "add", '{"n":1}'),)
    assert decode(chunk({field: value}), chunk({}, "stop"))[2].items == expected
    body = {"choices": [{"message": {field: value}}]}
    assert ChatCompletions().decode(json.dumps(body).encode()).items == expected


@pytest.mark.parametrize(
    ("streamed", "whole", "kept"),
    [
        ([("a", '{"n":1}')], [("a", '{"n":1}')], [("a", '{"n":1}')]),
        ([("a", '{"n"')], [("a", '{"n":1}')], [("a", '{"n":1}')]),
        ([("a", '{"n":1}')], [("a", "")], [("a", '{"n":1}')]),
        ([("a", '{"n":1}'), ("b", "{}")], [("a", '{"n":1}')], [("a", '{"n":1}'), ("b", "{}")]),
        ([("a", '{"n":1}')], [("a", '{"n":1}'), ("b", "{}")], [("a", '{"n":1}'), ("b", "{}")]),
        ([("a", '{"n":1}')], [], [("a", '{"n":1}')]),
    ],
)
def test_a_last_message_with_all_calls_adds_none_twice(streamed, whole, kept):
    deltas = [call(at, call_id, "add", text) for at, (call_id, text) in enumerate(streamed)]
    message = {"content": None, "tool_calls": [call(None, call_id, "add", text) for call_id, text in whole]}
    _, _, reply = decode(chunk({"tool_calls": deltas}), chunk(None, "tool_calls", message=message))
    assert [(item.call_id, item.arguments) for item in reply.items] == kept


# --- characters ---


def half(text):
    return event(b'{"choices":[{"index":0,"delta":{"content":"%b"}}]}' % text)


FACE = "🎉".encode()


@pytest.mark.parametrize(
    "pieces",
    [
        [b"Go \\ud83c", b"\\udf89 now \xc3\xa9"],
        [b"Go " + FACE[:1], FACE[1:] + b" now \xc3\xa9"],
        [b"Go " + FACE[:3], FACE[3:] + b" now \\u00e9"],
        [b"Go " + FACE[:1], FACE[1:2], FACE[2:] + b" now \xc3\xa9"],
        [b"Go " + FACE[:2], b"", FACE[2:] + b" now \xc3\xa9"],
        [b"Go \\ud83c", b"\\udf89 now \xc3", b"\xa9"],
        [b"Go \\ud83c", b"Go \xf0\x9f\x8e\x89 now", b"Go \xf0\x9f\x8e\x89 now \xc3\xa9"],
    ],
)
def test_a_character_in_two_events_is_one(pieces):
    shown, _, reply = decode(*map(half, pieces), chunk({}, "stop"))
    assert shown == "Go 🎉 now é"
    assert reply.items == (Message("assistant", shown),)


def test_other_events_may_come_between_the_halves():
    between = [b": ping\n\n", event({"choices": [], "usage": {"total_tokens": 3}}), chunk({"reasoning": "hm"})]
    assert decode(half(b"\\ud83c"), *between, half(b"\\udf89"), chunk({}, "stop"))[0] == "🎉"


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([b"a\\udf89", b"b"], "a\ufffdb"),
        ([b"a\\ud83c", b"b"], "ab"),
        ([b"a\\ud83cb"], "a\ufffdb"),
        ([b"a\xff\xfeb"], "a\ufffd\ufffdb"),
        ([b"a\xf0\x9f", b"\\udf89"], "a\ufffd\ufffd"),
        ([b"a\\ud83c\\ud83c", b"\\udf89"], "a\ufffd🎉"),
    ],
)
def test_halves_that_do_not_fit_together_never_break_the_text(pieces, text):
    shown, _, _ = decode(*map(half, pieces), chunk({}, "stop"))
    assert shown == text


@pytest.mark.parametrize("depth", [700, 100_000])
def test_an_event_that_is_nested_too_deeply_is_not_json(depth):
    with pytest.raises(StreamCutError, match="not JSON"):
        decode(event(b'{"choices":%b%b}' % (b"[" * depth, b"]" * depth)))


def test_a_character_in_two_pieces_of_reasoning_or_arguments_is_one():
    def delta(fields):
        return event(b'{"choices":[{"index":0,"delta":{%b}}]}' % fields)

    def piece(index, text):
        return delta(b'"tool_calls":[{"index":%d,"function":{"name":"post","arguments":"%b"}}]' % (index, text))

    thinking = [delta(b'"reasoning_content":"%b"' % part) for part in (b"so \\ud83c", b"\\udf89")]
    first = [piece(0, b'{\\"t\\":\\"\\ud83c'), piece(1, b'{\\"t\\":\\"' + FACE[:2])]
    last = [piece(0, b'\\udf89\\"}'), piece(1, FACE[2:] + b'\\"}')]
    _, reasoning, reply = decode(*thinking, *first, *last, chunk({}, "tool_calls"))
    assert reasoning == "so 🎉"
    assert [item.arguments for item in reply.items if isinstance(item, ToolCall)] == ['{"t":"🎉"}'] * 2


@pytest.mark.parametrize("parts", [(b"\\ud83c", b"\\udf89"), (FACE[:2], FACE[2:])])
@pytest.mark.parametrize("kind", ["output_text", "reasoning_text", "function_call_arguments"])
def test_a_character_in_two_events_of_a_response_is_one(parts, kind):
    def delta(text, index):
        return event(b'{"type":"response.%b.delta","output_index":%d,"delta":"%b"}' % (kind.encode(), index, text))

    events = delta(parts[0], 0), delta(parts[0], 1), delta(parts[1], 0), delta(parts[1], 1)
    *_, reply = decode(*events, event({"type": "response.completed"}), dialect=NativeResponses())
    assert json.dumps([str(item) for item in reply.items], ensure_ascii=False).count("🎉") == 2


def test_halves_at_many_places_are_forgotten_and_deep_nesting_is_damage():
    many = b",".join(b'"k%d":"\\ud83c"' % at for at in range(300))
    assert decode(half(b"\\ud83c"), event(b"{%b}" % many), half(b"\\udf89"), chunk({}, "stop"))[0] == "\ufffd"
    with pytest.raises(StreamCutError):
        decode(event(b'{"a":"\\ud83c","b":' + b"[" * 950 + b"]" * 950 + b"}"))
    assert decode(event(b'["\\ud83c"]'), event(b'"\\ud83c"'), chunk({}, "stop"))[0] == ""


@given(st.text("é🎉x", min_size=1, max_size=8), st.lists(st.integers(1, 30), max_size=6))
def test_where_bytes_are_cut_into_events_makes_no_difference(text, cuts):
    data = text.encode()
    edges = [0, *sorted({min(at, len(data)) for at in cuts}), len(data)]
    parts = [data[start:end] for start, end in pairwise(edges)]
    assert decode(half(b"> "), *map(half, parts), chunk({}, "stop"))[0] == "> " + text


# --- what only keeps a connection open ---


QUIET = [
    b"data: ping\n\n",
    b"data: : keepalive\n\n",
    b"data: : OPENROUTER PROCESSING\n\n",
    b"data: [PING]\n\n",
    b"data: [heartbeat]\n\n",
    b"data: keep-alive\n\n",
    b"data: KEEP_ALIVE\n\n",
    b"data:\n\n",
    b"data:   \n\n",
    b"data\n\n",
    b"data: null\n\n",
    b"data: {}\n\n",
    b'data: ""\n\n',
    b'data: {"type":"ping"}\n\n',
    b"event: ping\ndata: 2026-11-30 09:00:00\n\n",
    b"event: heartbeat\ndata: still here\n\n",
    b": ping - 2026-11-30 09:00:00\n\n",
    b"event: keepalive\n\n",
    b"id: 4\nretry: 1000\n\n",
    b"\n",
    b"\xef\xbb\xbf",
]
HELLO = {
    ChatCompletions: [chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop"), DONE],
    NativeResponses: [
        event({"type": "response.output_text.delta", "delta": "Hel"}),
        event({"type": "response.output_text.delta", "delta": "lo"}),
        event({"type": "response.completed", "response": {"output": []}}),
        DONE,
    ],
}


@pytest.mark.parametrize("dialect", [*HELLO])
@pytest.mark.parametrize("quiet", QUIET)
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_events_that_only_keep_the_connection_open_are_skipped(dialect, quiet, newline):
    events = [part.replace(b"\n", newline) for hello in HELLO[dialect] for part in (quiet, hello)]
    assert decode(*events, dialect=dialect())[0] == "Hello"
    stream = b"".join(events)
    assert decode(*(stream[at : at + 1] for at in range(len(stream))), dialect=dialect())[0] == "Hello"


@pytest.mark.parametrize("dialect", [*HELLO])
@pytest.mark.parametrize("first", [b"\xef\xbb\xbf", b"\n\xef\xbb\xbf\n", b"\xef\xbb\xbf\r\n\r\n"])
def test_a_byte_order_mark_before_a_stream_or_a_body_is_skipped(dialect, first):
    assert decode(first, *HELLO[dialect], dialect=dialect())[0] == "Hello"
    body = b'{"output":[{"type":"message","content":"Hi"}],"choices":[{"message":{"content":"Hi"}}]}'
    parts = [(first + body)[at : at + 1] for at in range(len(first + body))]
    assert decode(*parts, dialect=dialect())[2].items == (Message("assistant", "Hi"),)
    assert dialect().decode(b"\xef\xbb\xbf" + body).items == (Message("assistant", "Hi"),)


@pytest.mark.parametrize("dialect", [*HELLO])
def test_bytes_that_only_begin_like_a_byte_order_mark_are_no_reply(dialect):
    for data in (b"\xef", b"\xef\xbb\xbf", b"\xef\xbbdata: x"):
        with pytest.raises(StreamCutError):
            decode(data, dialect=dialect())


@pytest.mark.parametrize("end", [b"data: [DONE] \n\n", b"data:[DONE]\n\n", b"data: [done]\n\n", b"data: [DONE]"])
def test_the_mark_at_the_end_may_be_written_in_other_ways(end):
    assert decode(chunk({"content": "Hello"}), end)[2].items == (Message("assistant", "Hello"),)


@pytest.mark.parametrize("dialect", [*HELLO])
def test_events_without_blank_lines_between_them_are_read(dialect):
    stream = b"".join(part.replace(b"\n\n", b"\n") for part in HELLO[dialect])
    assert decode(stream, dialect=dialect())[2].items == (Message("assistant", "Hello"),)


@pytest.mark.parametrize("dialect", [*HELLO])
@pytest.mark.parametrize(
    "data", [b'{"choices":', b"{", b'{"ping', b"\0", b"...", b"Server Error", b"x" * 200, b"ping failed"]
)
def test_damaged_data_is_not_taken_for_a_keep_alive(dialect, data):
    with pytest.raises(StreamCutError, match="not JSON"):
        decode(b"data: %b\n\n" % data, *HELLO[dialect], dialect=dialect())
    with pytest.raises(ServerError, match="keepalive lost"):
        decode(b"event: error\ndata: keepalive lost\n\n", *HELLO[dialect], dialect=dialect())

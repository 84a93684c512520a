from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop.wire.streams.sse import EventSplitter


def split(*chunks):
    splitter = EventSplitter()
    return [event for chunk in chunks for event in splitter.feed(chunk)] + splitter.close()


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"event: a\ndata: 1\n\ndata: 2\n\n", [(b"a", b"1"), (b"", b"2")]),
        (b"event:a\ndata:1\n\n", [(b"a", b"1")]),
        (b"data: 1\nevent: a\n\n", [(b"a", b"1")]),
        (b"data: one\ndata: two\n\n", [(b"", b"one\ntwo")]),
        (b"event: a\ndata: one\ndata: two\n\n", [(b"a", b"one\ntwo")]),
        (b"event: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", [(b"a", b"1"), (b"", b"2")]),
        (b"event: a\rdata: 1\r\rdata: 2\r\r", [(b"a", b"1"), (b"", b"2")]),
        (b": a comment\n\n: another\ndata: 1\n\n", [(b"", b"1")]),
        (b"id: 7\nretry: 3\ndata: 1\n\n", [(b"", b"1")]),
        (b"event: a name without data\n\n", []),
        (b"data\n\n", [(b"", b"")]),
        (b"\xef\xbb\xbfdata: after a byte order mark\n\n", [(b"", b"after a byte order mark")]),
        (b"\n\n\n\ndata: 1\n\n\n\n\ndata: 2\n\n", [(b"", b"1"), (b"", b"2")]),
        (b"data:  one space is taken\n\n", [(b"", b" one space is taken")]),
        (b"data: the last blank line is missing", [(b"", b"the last blank line is missing")]),
        (b"", []),
    ],
)
def test_a_stream_splits_into_its_events_however_it_is_cut(stream, events):
    assert split(stream) == events
    assert split(*(stream[at : at + 1] for at in range(len(stream)))) == events
    for at in range(len(stream)):
        assert split(stream[:at], b"", stream[at:]) == events


@given(
    st.lists(st.sampled_from([b"event: a", b"data: 1", b"data:2", b": x", b"", b"id: 1"]), max_size=20),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(0, 200)),
)
def test_where_a_stream_is_cut_makes_no_difference(lines, newline, cuts):
    stream = b"".join(line + newline for line in lines)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(edges)]
    assert split(*chunks) == split(stream)


def test_an_event_is_given_as_soon_as_its_blank_line_is_there():
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\n") == []
    assert splitter.feed(b"\n") == [(b"", b"1")]
    assert splitter.feed(b"data: 2\r") == []
    assert splitter.feed(b"\n\r") == [(b"", b"2")]
    assert splitter.feed(b"\n") == []


def test_a_huge_event_in_small_pieces_is_not_copied_for_each_of_them():
    splitter = EventSplitter()
    splitter.feed(b"data: ")
    for _ in range(100_000):  # joining each time would copy 500 GB
        assert splitter.feed(b"x" * 100) == []
    ((_, data),) = splitter.feed(b"\n\n")
    assert len(data) == 10_000_000

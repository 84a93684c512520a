"""Results as text for the model."""

import dataclasses
import json
import tracemalloc
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agentloop.errors import ToolError
from agentloop.items import Image, Text
from agentloop.schema import render, strip_invisible, take_images


class Colour(Enum):
    RED = "red"


class Shade(str, Enum):  # noqa: UP042 - the old way is what users have, and its str() differs
    DARK = "dark"


class Point(BaseModel):
    x: int
    at: datetime


@dataclasses.dataclass
class Pair:
    left: int
    right: set[int]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (Shade.DARK, "dark"),
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (0.1, "0.1"),
        (float("nan"), '"NaN"'),
        ({"a": 1, "t": True, "n": None}, '{"a":1,"t":true,"n":null}'),
        ([1, (2, "é")], '[1,[2,"é"]]'),
        ({3}, "[3]"),
        (Decimal("1.10"), '"1.10"'),
        (date(2026, 11, 22), '"2026-11-22"'),
        (timedelta(hours=1), '"PT1H"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Path("a/b"), '"a/b"'),
        (Colour.RED, '"red"'),
        ([Shade.DARK], '["dark"]'),
        (Point(x=1, at=datetime(2026, 1, 2, tzinfo=UTC)), '{"x":1,"at":"2026-01-02T00:00:00Z"}'),
        (Pair(1, {2}), '{"left":1,"right":[2]}'),
        (b"\xff\x00", "2 bytes in base64: /wA="),
        ({"raw": b"\xff\x00"}, '{"raw":"_wA="}'),
        ({"half": "\ud800"}, '{"half": "\\ud800"}'),
    ],
)
def test_a_result_is_json_that_is_true(value, text):
    assert render(value, 1_000) == text


@pytest.mark.parametrize("value", [object(), {"a": object()}, {"a": object(), "half": "\ud800"}, len, Exception("no")])
def test_what_cannot_be_json_is_told_by_its_type_and_never_by_its_repr(value):
    with pytest.raises(ToolError) as caught:
        render(value, 1_000)
    assert type(value).__qualname__ in caught.value.message
    assert " at 0x" not in caught.value.message


A, B = Image("data:,a"), Image("data:,b")


@pytest.mark.parametrize(
    ("value", "text", "images"),
    [
        (A, "", (A,)),
        ([A, B], "", (A, B)),
        (("left", A, Text("and right"), B, {"n": 1}, 2), 'left\n[image 1]\nand right\n[image 2]\n{"n":1}\n2', (A, B)),
        (Text("alone"), "alone", ()),
        ([1, "two"], '[1,"two"]', ()),
        ([], "[]", ()),
        (b"\xff", "1 bytes in base64: /w==", ()),
    ],
)
def test_images_are_taken_out_of_a_result_and_leave_their_places(value, text, images):
    rest, taken = take_images(value)
    assert render(rest, 1_000) == text
    assert taken == images


VISIBLE = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Mn", "Zl", "Zp"]), max_size=3_000)


@given(VISIBLE.map(strip_invisible), st.integers(200, 1_000))
def test_a_result_is_never_longer_than_allowed_and_keeps_head_and_tail(text, room):
    shown = render(text, room)
    assert len(shown) <= room
    if len(text) <= room:
        assert shown == text
    else:
        head, note, tail = shown.partition("\n[... ")[0], "characters cut here", shown.rpartition(" ...]\n")[2]
        assert note in shown
        assert text.startswith(head)
        assert text.endswith(tail)
        assert f"{len(text) - len(head) - len(tail):,} characters" in shown


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none() | st.booleans()))
def test_json_results_can_be_read_back(value):
    assert json.loads(render(value, 10**6)) == value


def test_of_a_gigabyte_the_first_bytes_are_written_and_its_size_is_told():
    tracemalloc.start()
    text = render(bytes(1_000_000_000), 1_000)
    assert text.startswith("1,000,000,000 bytes, of which the first 1,000,000 follow, in base64: AAAA")
    assert len(text) <= 1_000
    assert tracemalloc.get_traced_memory()[1] < 1_020_000_000
    tracemalloc.stop()

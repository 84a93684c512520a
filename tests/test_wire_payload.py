import json
from math import inf, nan

import pytest
from hypothesis import given

from agentloop.wire.payload import dump, load, mapping, mappings, string
from any_json import any_json


@given(any_json())
def test_what_is_dumped_loads_the_same_here_and_with_the_standard_library(value):
    assert load(dump(value)) == value
    assert json.loads(dump(value)) == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ([nan, inf, -inf], b"[null,null,null]"),
        ({"text": "half \ud83d of a pair"}, '{"text":"half \ufffd of a pair"}'.encode()),
        (["a pair in halves: \ud83d\ude00"], '["a pair in halves: \U0001f600"]'.encode()),
        ({"\ud800": ("\ud800", nan, 10**30)}, '{"\ufffd":["\ufffd",null,1000000000000000000000000000000]}'.encode()),
    ],
)
def test_values_that_are_no_json_are_written_as_what_comes_nearest(value, written):
    assert dump(value) == written


def test_a_value_that_has_nothing_near_it_in_json_is_a_value_error():
    with pytest.raises(ValueError, match="unknown type"):
        dump({"value": object()})


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (rb'"half \ud83d of a pair"', "half \ufffd of a pair"),
        (b'"broken \xf0\x9f utf-8"', "broken \ufffd utf-8"),
        (b'"two\nlines"', "two\nlines"),
    ],
)
def test_text_that_was_cut_inside_a_character_still_loads(data, value):
    assert load(data) == value


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>", b'{"a":', b"{} {}", b"[" * 250 + b"]" * 250, b"[" * 100_000 + b"]" * 100_000],
    ids=["nothing", "html", "cut", "two", "deep", "very deep"],
)
def test_what_is_no_json_is_a_value_error_and_nothing_else(data):
    with pytest.raises(ValueError, match=r"."):
        load(data)


def test_looks_into_unknown_json_find_nothing_where_the_type_is_wrong():
    assert (mapping({"a": 1}), mapping([1]), mapping(None)) == ({"a": 1}, {}, {})
    assert (mappings([{"a": 1}, 2]), mappings({"a": 1}), mappings("no")) == ([{"a": 1}], [], [])
    assert (string("a"), string(1), string(None)) == ("a", "", "")

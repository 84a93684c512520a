"""Reading the text of arguments: what is mended, what is refused, and what is the same call."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop.schema import ArgumentsError, canonical, parse_arguments

ASKED = {"city": "Paris", "days": 3}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "repair"),
    [
        ('{"city": "Paris", "days": 3}}', "removed '}'"),
        ('{"city": "Paris", "days": 3}]};', "removed ']};'"),
        ('```json\n{"city": "Paris", "days": 3}\n```', "removed '```json"),
        ('```\n{"city": "Paris", "days": 3}\n```', "removed '```"),
        ('{"city": "Paris", "days": 3}<|call|>', "removed '<|call|>'"),
        ('<|message|>{"city": "Paris", "days": 3}<|im_end|>', "removed '<|message|><|im_end|>'"),
        ('<tool_call>{"city": "Paris", "days": 3}</tool_call>', "removed '<tool_call></tool_call>'"),
        ('\ufeff{"city": "Paris", "days": 3}\n', "removed '\\ufeff'"),
        ("{'city': 'Paris', 'days': 3}", "Python spelling"),
        ('{"city": "Paris", "days": 3,}', "Python spelling"),
        ('"{\\"city\\": \\"Paris\\", \\"days\\": 3}"', "encoded twice"),
        ('"\\"{\\\\\\"city\\\\\\": \\\\\\"Paris\\\\\\", \\\\\\"days\\\\\\": 3}\\""', "encoded twice"),
    ],
)
def test_badly_dressed_arguments_are_mended_and_the_repair_is_named(text, repair):
    values, repairs = parse_arguments(text)
    assert values == ASKED
    assert repair in "; ".join(repairs)


def test_arguments_that_are_right_need_no_repair():
    assert parse_arguments(' {"city": "Paris", "days": 3}\n') == (ASKED, ())


def test_python_spelling_keeps_what_stands_in_texts():
    values, _ = parse_arguments(
        """{'a': True, 'b': None, "c": "None, it's", 'd': 'say "no", isn\\'t', 'e': 'x\\ny', 'f': [1, ]}"""
    )
    assert values == {"a": True, "b": None, "c": "None, it's", "d": 'say "no", isn\'t', "e": "x\ny", "f": [1]}


def test_raw_line_breaks_in_a_text_are_kept():
    values, repairs = parse_arguments('{"code": "a = 1\n\tb = 2"}')
    assert values == {"code": "a = 1\n\tb = 2"}
    assert repairs == ("escaped raw line breaks in a text",)


@pytest.mark.parametrize("text", ["", "  \n", "null", "``` ```"])
def test_nothing_is_read_as_no_arguments(text):
    values, repairs = parse_arguments(text)
    assert values == {}
    assert len(repairs) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"city": "Par', "cut off"),
        ('{"city": "Paris"', "cut off"),
        ('{"city":', "cut off"),
        ("{'city': 'Par", "not valid JSON"),
        ("[1, 2]", "of type array"),
        ("3", "of type integer"),
        ("1.5", "of type number"),
        ('"Paris"', "not valid JSON"),
        ('{"a": 1} {"b": 2}', "after it came"),
        ('{"a": 1}, "b": 2}', "after it came"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "1" * 5_000 + "}", "not valid JSON"),
        ("Paris, please", "not valid JSON"),
    ],
)
def test_what_is_no_whole_object_is_refused_in_words(text, told):
    with pytest.raises(ArgumentsError) as caught:
        parse_arguments(text)
    assert told in caught.value.text
    assert len(caught.value.text) < 700


@given(st.dictionaries(st.text(), JSON, min_size=1), st.data())
def test_arguments_that_were_cut_off_are_never_completed(values, data):
    text = json.dumps(values)
    cut = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(ArgumentsError):
        parse_arguments(text[:cut])


@given(st.dictionaries(st.text(), JSON))
def test_whole_arguments_are_read_as_they_are_however_often_encoded(values):
    text = json.dumps(values)
    assert parse_arguments(text) == (values, ())
    assert parse_arguments(json.dumps(text))[0] == values
    assert parse_arguments(f"```json\n{text}\n```<|call|>")[0] == values


@given(st.text())
def test_reading_any_text_gives_an_object_or_an_arguments_error(text):
    try:
        values, _ = parse_arguments(text)
    except ArgumentsError:
        return
    assert isinstance(values, dict)


def test_calls_that_mean_the_same_have_one_canonical_text():
    same = ['{"a": 1, "b": [2]}', '{"b":[2],"a":1}', "```json\n{'b': [2], 'a': 1}\n```"]
    assert {canonical(text) for text in same} == {'{"a":1,"b":[2]}'}
    assert canonical("") == canonical("{}") == canonical("null") == "{}"


@given(st.text())
def test_any_text_has_a_canonical_form(text):
    assert canonical(canonical(text)) == canonical(text)


def test_a_text_that_cannot_be_read_is_its_own_canonical_form():
    assert canonical(' {"a": ') == '{"a":'

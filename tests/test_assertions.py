"""What a test can ask about the calls of a run, and what a failure shows."""

from dataclasses import dataclass
from enum import Enum

import pytest

from agentloop import (
    Agent,
    AuthenticationError,
    Limits,
    Message,
    Opaque,
    Reasoning,
    Run,
    ToolCall,
    ToolError,
    ToolResult,
    tool,
)
from agentloop.testing import ScriptedEndpoint, assert_called, assert_not_called, assert_order, call


class Size(Enum):
    SMALL = "small"


@dataclass
class Place:
    street: str
    tags: list[str]


@tool
def find_order(number: int, result: str = "", name: str = "") -> str:
    """Find an order."""
    if number < 0:
        raise ToolError("There is no such order.")
    return f"order {number}\nwith two lines"


@tool
def send_mail(to: str) -> str:
    """Send a mail."""
    return "sent"


def run(*script, **options):
    endpoint = ScriptedEndpoint([*script, "It is done."])
    return Agent("m", endpoint=endpoint, tools=[find_order, send_mail]).run_sync("Where is order 4?", **options)


FOUND = call("find_order", {"number": 4, "result": "short", "name": None}, "1")
SENT = call("send_mail", {"to": "ada@example.org"}, "2")


@pytest.mark.parametrize(
    "arguments",
    [{}, {"number": 4}, {"result": "short"}, {"number": 4.0, "result": "short"}, {"name": None}],
)
def test_a_call_fits_if_it_has_the_arguments_and_maybe_others(arguments):
    assert_called(run(FOUND), "find_order", **arguments)
    with pytest.raises(AssertionError):
        assert_not_called(run(FOUND), "find_order", **arguments)


@pytest.mark.parametrize("arguments", [{"number": 5}, {"number": "4"}, {"other": 4}, {"number": 4, "result": ""}])
def test_a_call_with_other_arguments_does_not_fit(arguments):
    assert_not_called(run(FOUND), "find_order", **arguments)
    with pytest.raises(AssertionError, match="has not called find_order with"):
        assert_called(run(FOUND), "find_order", **arguments)


def test_values_are_compared_as_the_model_writes_them():
    written = '{"size": "small", "place": {"street": "High St", "tags": ["a"]}}'
    ran = Run(run_id="r", items=(ToolCall("1", "ship", written),))
    assert_called(ran, "ship", size=Size.SMALL, place=Place("High St", ["a"]))
    assert_not_called(ran, "ship", place=Place("High St", []))


def test_a_tool_of_a_pack_has_either_of_its_names():
    ran = Run(run_id="r", items=(ToolCall("1", "files_read", "{}"),))
    assert_called(ran, "files.read")
    assert_called(ran, "files_read")
    assert_not_called(ran, "files")


@pytest.mark.parametrize("arguments", ["{", "[1]", "4", "[" * 100_000])
def test_arguments_that_are_no_object_are_a_call_without_any(arguments):
    ran = Run(run_id="r", items=(ToolCall("1", "add", arguments),))
    assert_called(ran, "add")
    assert_not_called(ran, "add", a=1)


def test_a_call_without_arguments_is_a_call():
    assert_called(Run(run_id="r", items=(ToolCall("1", "now", ""),)), "now")


def test_the_run_of_an_error_can_be_asked_too():
    endpoint = ScriptedEndpoint([FOUND, AuthenticationError("no", status=401)])
    with pytest.raises(AuthenticationError) as raised:
        Agent("m", endpoint=endpoint, tools=[find_order]).run_sync("go")
    assert_called(raised.value.run, "find_order", number=4)


def test_calls_before_the_last_question_do_not_count():
    first = run(FOUND)
    second = run(SENT, history=first.items)
    assert_called(second, "send_mail")
    assert_not_called(second, "find_order")


def test_a_call_that_was_not_run_was_made_all_the_same():
    assert_called(run(FOUND, limits=Limits(tool_calls=0)), "find_order")


def test_calls_have_an_order():
    ran = run(FOUND, SENT, call("find_order", {"number": 5}, "3"))
    for names in ((), ("send_mail",), ("find_order", "send_mail"), ("find_order", "find_order")):
        assert_order(ran, *names)
    assert_order(ran, "find_order", "send_mail", "find_order")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("send_mail", "send_mail"), "has not called send_mail after send_mail"),
        (("send_mail", "find_order"), "has not called find_order after send_mail"),
        (("burn",), "has not called burn\n"),
    ],
)
def test_another_order_fails(names, words):
    with pytest.raises(AssertionError, match=words):
        assert_order(run(FOUND, SENT), *names)


def test_a_failure_shows_the_run():
    ran = run(FOUND, call("find_order", {"number": -1}, "2"))
    with pytest.raises(AssertionError) as raised:
        assert_called(ran, "send_mail", to="ada@example.org")
    assert str(raised.value).splitlines() == [
        "the model has not called send_mail with to='ada@example.org'",
        "the run:",
        "  user       Where is order 4?",
        '  call       find_order {"number": 4, "result": "short", "name": null}',
        "  result     order 4",
        "             with two lines",
        '  call       find_order {"number": -1}',
        "  failed     There is no such order.",
        "  assistant  It is done.",
    ]


def test_a_failure_says_which_call_it_did_not_want():
    with pytest.raises(AssertionError, match=r'has called send_mail \{"to": "ada@example.org"\}\nthe run:\n  user '):
        assert_not_called(run(SENT), "send_mail")


def test_a_failure_shows_every_kind_of_item_and_cuts_long_ones():
    items = (
        Message("user", "x" * 10_000),
        Reasoning("I \x1b[31mthink"),
        Opaque({"type": "odd"}),
        ToolResult("1", "ok"),
    )
    with pytest.raises(AssertionError) as raised:
        assert_called(Run(run_id="r", items=items), "add")
    _, _, user, *others = str(raised.value).splitlines()
    assert len(user) < 600
    assert others == ["  reasoning  I \\u001b[31mthink", "  opaque     ", "  result     ok"]

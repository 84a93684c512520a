"""A history that is a part of another one, or several in one, is repaired before it is sent, and that is said."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop import Agent, Message, Notice, Opaque, Profile, Reasoning, ToolCall, ToolResult, tool
from agentloop.loop.history import repair_history
from agentloop.testing import ScriptedEndpoint, call
from ways import check_request

ASKED, SAID, NEXT = Message("user", "How far?"), Message("assistant", "5 km."), Message("user", "And back?")


@tool
def distance(place: str) -> str:
    """Measure a distance."""
    return f"{place}: 5 km"


def made(call_id, place="a"):
    return ToolCall(call_id, "distance", f'{{"place": "{place}"}}')


def found(call_id, text="5 km"):
    return ToolResult(call_id, text)


WHOLE = (ASKED, made("a"), made("b"), found("a"), found("b", "6 km"), SAID)
DEFAULT = Profile()
NOT_RUN = "Not run: the conversation went on without it."


def ask(history, said="And now?", profile=DEFAULT):
    """Return the items of the run, and what its notices say of the history."""
    endpoint = ScriptedEndpoint(["Far."], profile=profile)
    agent = Agent("m", endpoint=endpoint, tools=[distance])
    events = list(agent.stream_sync(said, history=history))
    check_request(endpoint.requests[0])
    texts = [event.text for event in events if isinstance(event, Notice) and event.topic == "repaired"]
    return events[-1].result.items, texts


def outline(items):
    return [f"{item.kind}:{item.call_id}" if isinstance(item, (ToolCall, ToolResult)) else item.kind for item in items]


@pytest.mark.parametrize(
    ("history", "sent", "said"),
    [
        (WHOLE[3:], "message", "results without a call are left out: a, b"),
        (WHOLE[4:], "message", "results without a call are left out: b"),
        (WHOLE[2:], "call:b result:b message", "results without a call are left out: a"),
        (
            WHOLE * 2,
            "message call:a call:b result:a result:b message message call:a_2 call:b_2 result:a_2 result:b_2 message",
            "calls without an id of their own have new ids: a_2, b_2",
        ),
        (
            (*WHOLE, NEXT, made("a")),
            "message call:a call:b result:a result:b message message call:a_2 result:a_2",
            "calls without an id of their own have new ids: a_2",
        ),
        (
            (ASKED, made(""), made("call_1"), made(""), found("call_1"), found(""), found("")),
            "message call:call_2 call:call_1 call:call_3 result:call_2 result:call_1 result:call_3",
            "calls without an id of their own have new ids: call_2, call_3",
        ),
        (
            (*WHOLE, found("b", "7 km")),
            "message call:a call:b result:a result:b message",
            "results that came twice are left out: b",
        ),
        (
            (found("x"), found("x"), ASKED, SAID),
            "message message",
            "results that came twice are left out: x",
        ),
        (
            (ASKED, found("a"), made("a"), SAID),
            "message call:a message result:a",
            "results that stood before their calls are moved: a",
        ),
        (
            (ASKED, made("a"), NEXT, SAID, NEXT, SAID),
            "message call:a result:a message message message message",
            "calls without a result are answered with: not run: a",
        ),
        (
            (found("1"), found("2"), found("3"), found("4"), ASKED),
            "message",
            "results without a call are left out: 1, 2, 3, ...",
        ),
        ((found("k" * 90), ASKED), "message", f"results without a call are left out: {'k' * 40}"),
    ],
)
def test_a_history_is_repaired_and_that_is_said(history, sent, said):
    items, notices = ask(history)
    assert outline(items) == [*sent.split(), "message", "message"]
    assert f"in the history, {said}" in notices


@pytest.mark.parametrize(
    ("history", "sent"),
    [
        ((ASKED, made("a"), NEXT, found("a"), SAID), "message call:a result:a message message"),
        ((ASKED, made("a"), made("b")), "message call:a call:b result:a result:b"),
        ((ASKED, made("a"), Message("system", "Be brief."), found("a")), "message call:a result:a message"),
        ((ASKED, Reasoning("Hm."), made("a"), SAID, found("a")), "message reasoning call:a message result:a"),
        (WHOLE, "message call:a call:b result:a result:b message"),
        ((ASKED, made("b"), made("a"), found("a"), found("b")), "message call:b call:a result:a result:b"),
        ((ASKED, Opaque({"type": "note"})), "message opaque"),
        ((), ""),
    ],
)
def test_nothing_is_said_where_nothing_is_lost(history, sent):
    items, notices = ask(history)
    assert outline(items) == [*sent.split(), "message", "message"]
    assert notices == []


def test_a_whole_history_is_the_same_object():
    assert repair_history(WHOLE, 6).items is WHOLE


def test_results_stay_with_the_arguments_that_they_belong_to():
    first, second = (ASKED, made("a", "one"), found("a", "1")), (NEXT, made("a", "two"), found("a", "2"))
    for history in (first + second, first[:2] + second):
        calls = {item.call_id: item for item in repair_history(history, 0).items if isinstance(item, ToolCall)}
        results = {item.call_id: item for item in repair_history(history, 0).items if isinstance(item, ToolResult)}
        pairs = {calls[call_id].arguments: results[call_id].content for call_id in calls}
        assert pairs['{"place": "two"}'] == "2"
        assert pairs['{"place": "one"}'] == ("1" if len(history) == len(first + second) else NOT_RUN)


def test_two_calls_of_a_turn_with_one_id_get_their_results_in_order():
    history = (ASKED, made("a", "one"), made("a", "two"), found("a", "1"), found("a", "2"), SAID)
    items = repair_history(history, 0).items
    assert [item.content for item in items if isinstance(item, ToolResult)] == ["1", "2"]


def test_a_new_id_is_no_other_calls_id():
    items = repair_history((ASKED, made("a"), found("a"), made("a"), found("a"), made("a_2"), found("a_2")), 0).items
    assert [item.call_id for item in items if isinstance(item, ToolCall)] == ["a", "a_3", "a_2"]


def test_the_result_of_an_open_call_may_come_with_the_question():
    items, notices = ask((ASKED, made("a")), [found("a", "9 km"), NEXT])
    assert outline(items) == ["message", "call:a", "result:a", "message", "message"]
    assert (items[2], notices) == (found("a", "9 km"), [])


def test_the_run_begins_at_the_question():
    endpoint = ScriptedEndpoint(["Far."])
    result = Agent("m", endpoint=endpoint, tools=[distance]).run_sync("And now?", history=WHOLE[3:])
    assert (result.run.start, result.text) == (1, "Far.")
    assert repair_history((ASKED, made("a"), found("a"), found("a")), 3).start == 3


def test_a_history_in_the_input_is_repaired_too():
    items, notices = ask((), [*WHOLE[3:], NEXT])
    assert outline(items) == ["message", "message", "message"]
    assert notices == ["in the history, results without a call are left out: a, b"]


@pytest.mark.parametrize("profile", [DEFAULT, Profile(tool_items="message"), Profile(system="user")])
def test_every_window_of_a_conversation_can_be_sent(profile):
    script = [[call("distance", {"place": "b"}, f"call_{at}") for at in range(3)] for _ in range(2)]
    endpoint = ScriptedEndpoint([*script, "5 km."], profile=profile)
    items = Agent("m", endpoint=endpoint, tools=[distance]).run_sync("How far?").items
    for begin in range(len(items)):
        for end in range(begin + 1, len(items) + 1):
            ask(items[begin:end], profile=profile)


def test_items_in_any_order_can_be_sent():
    for order in permutations((ASKED, made("a"), made("b"), found("a"), found("b"))):
        check_order(order)


@given(st.lists(st.sampled_from([ASKED, SAID, NEXT, *map(made, "ab"), *map(found, "abc")])))
def test_any_items_can_be_sent(items):
    check_order(items)


def check_order(items):
    repaired = repair_history(items, len(items))
    assert repair_history(repaired.items, 0).items is repaired.items
    assert [item for item in repaired.items if isinstance(item, Message)] == [
        item for item in items if isinstance(item, Message)
    ]

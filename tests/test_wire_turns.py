from agentloop.items import Message, Reasoning, ToolCall, ToolResult
from agentloop.wire.formats.turns import gather_calls

ONE, TWO, THREE = (ToolCall(call_id, "add", "{}") for call_id in ("1", "2", "3"))
ASKED, SAID = Message("user", "add"), Message("assistant", "I will")
RESULTS = ToolResult("1", "a"), ToolResult("2", "b")


def test_the_calls_of_a_turn_come_as_one():
    items = [ASKED, ONE, TWO, *RESULTS, THREE]
    assert list(gather_calls(items)) == [ASKED, (ONE, TWO), *RESULTS, (THREE,)]


def test_what_was_said_between_and_after_calls_goes_ahead_of_them():
    assert list(gather_calls([ASKED, ONE, SAID, TWO, SAID, *RESULTS])) == [ASKED, SAID, SAID, (ONE, TWO), *RESULTS]


def test_reasoning_stays_where_it_was():
    thought = Reasoning("", "ciphertext")
    assert list(gather_calls([thought, ONE, thought, TWO])) == [thought, (ONE,), thought, (TWO,)]


def test_a_message_after_a_call_goes_ahead_of_it_and_takes_its_thought_along():
    call, thought, said = ToolCall("c1", "add", "{}"), Reasoning("", "secret"), Message("assistant", "Hi.")
    result = ToolResult("c1", "3")
    assert list(gather_calls([call, thought, said, result])) == [thought, said, (call,), result]


def test_a_thought_stays_ahead_of_the_call_that_it_led_to():
    one, two = ToolCall("c1", "add", "{}"), ToolCall("c2", "add", "{}")
    thought, late, results = (
        Reasoning("", "secret"),
        Reasoning("", "later"),
        [ToolResult("c1", "3"), ToolResult("c2", "4")],
    )
    entries = list(gather_calls([one, thought, two, late, *results]))
    assert entries == [(one,), thought, (two,), *results]

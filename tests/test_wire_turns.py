from agentloop.items import Message, Reasoning, ToolCall, ToolResult
from agentloop.wire.turns import gather_calls

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

"""The loop alone: every state against every outcome, and what must hold in every conversation."""

import json
from collections import Counter
from dataclasses import replace
from itertools import cycle
from typing import Annotated

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator

from agentloop import (
    Approve,
    Effects,
    Image,
    Limits,
    Message,
    Policy,
    Reject,
    Run,
    RunStateError,
    Substitute,
    ToolCall,
    ToolResult,
    tool,
)
from agentloop.items import Reply, Usage
from agentloop.loop.advance import (
    ASK_AFTER_EMPTY_REPLY,
    ASK_FOR_FORMAT,
    ASK_FOR_TOOL_CALL,
    advance,
    conclude,
    pause,
    resume,
)
from agentloop.loop.guard import Rules, decide_nested, judge_nested, note_results
from agentloop.loop.run import (
    AskHuman,
    CallModel,
    Fail,
    Finish,
    HumanDecided,
    Interrupted,
    ModelReplied,
    RunResult,
    RunTools,
    ToolsReturned,
    UserSaid,
)
from agentloop.schema import OutputSchema
from agentloop.tools import Quota, collect_tools


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool
def delete(path: str) -> str:
    """Delete."""
    return path


@tool(repeatable=True)
def poll() -> str:
    """Poll."""
    return "not yet"


TOOLS = collect_tools([add, delete, poll])
NO_POLICY = Policy()
HELLO = UserSaid((Message("user", "hello"),))


def rules(policy=NO_POLICY, **limits):
    return Rules(limits=Limits(**limits), tools=TOOLS, policy=policy)


def replied(*items, stop="complete", tokens=None, seconds=0.0):
    return ModelReplied(Reply(tuple(items), usage=Usage(total_tokens=tokens), stop=stop), seconds)


def text(words):
    return Message("assistant", words)


def calls(count, name="add", start=0):
    return [ToolCall(f"c{start + i}", name, f'{{"a": {start + i}, "b": 1}}') for i in range(count)]


def started(the_rules):
    run, _ = advance(Run(run_id="r"), HELLO, the_rules)
    return run


def play(the_rules, *outcomes):
    run, command = Run(run_id="r"), None
    for outcome in (HELLO, *outcomes):
        run, command = advance(run, outcome, the_rules)
    return run, command


def decided(run, *decisions):
    """The decisions on what waits in the run, in its order."""
    return HumanDecided({request.id: each for request, each in zip(run.approvals, decisions, strict=False)})


def results_of(run):
    return {item.call_id: item for item in run.items if isinstance(item, ToolResult)}


def test_a_question_is_answered_in_one_turn():
    run, command = play(rules(), replied(text("hi"), tokens=5, seconds=0.5))
    assert command == Finish()
    assert (run.stop_reason, run.waiting_for) == ("answered", "user")
    assert (run.tally.turns, run.tally.usage.total_tokens, run.tally.seconds) == (1, 5, 0.5)


def test_calls_are_run_and_their_results_follow_in_call_order():
    two = calls(2)
    run, command = play(rules(), replied(*two))
    assert command == RunTools(tuple(two))
    run, command = advance(run, ToolsReturned((ToolResult("c0", "1"), ToolResult("c1", "2"))), rules())
    assert command == CallModel(tools=True)
    assert run.items[-4:] == (*two, ToolResult("c0", "1"), ToolResult("c1", "2"))


def test_with_room_for_three_of_eight_calls_exactly_three_run_and_the_model_lands():
    the_rules = rules(tool_calls=3)
    run, command = play(the_rules, replied(*calls(8)))
    assert [call.call_id for call in command.calls] == ["c0", "c1", "c2"]
    run, command = advance(run, ToolsReturned(tuple(ToolResult(f"c{i}", "ok") for i in range(3))), the_rules)
    assert command == CallModel(tools=False)
    refused = [result for result in results_of(run).values() if not result.ok]
    assert [result.call_id for result in refused] == ["c3", "c4", "c5", "c6", "c7"]
    assert "tool_calls=3" in refused[0].content
    run, command = advance(run, replied(text("what I have")), the_rules)
    assert (command, run.stop_reason) == (Finish(), "tool_call_limit")
    assert run.stop_note == "the limit on tool calls is reached (tool_calls=3)"


def test_a_limit_that_was_the_default_says_so():
    run, _ = play(rules(), replied(*calls(31)), ToolsReturned(tuple(ToolResult(f"c{i}", "ok") for i in range(30))))
    run, _ = advance(run, replied(text("done")), rules())
    assert run.stop_note == "the limit on tool calls is reached (tool_calls=30, the default)"


def test_the_calls_of_the_last_allowed_turn_still_run():
    the_rules = rules(turns=1)
    run, command = play(the_rules, replied(*calls(1)), ToolsReturned((ToolResult("c0", "1"),)))
    assert command == CallModel(tools=False)
    run, _ = advance(run, replied(text("1")), the_rules)
    assert run.stop_reason == "turn_limit"


@pytest.mark.parametrize(
    ("limit", "reply", "reason"),
    [
        ({"tokens": 10}, replied(*calls(1), tokens=10), "token_limit"),
        ({"seconds": 1.0}, replied(*calls(1), seconds=1.0), "time_limit"),
    ],
)
def test_calls_are_refused_once_tokens_or_time_are_used_up(limit, reply, reason):
    run, command = play(rules(**limit), reply)
    assert command == CallModel(tools=False)
    assert not results_of(run)["c0"].ok
    run, _ = advance(run, replied(text("so far")), rules(**limit))
    assert run.stop_reason == reason


def test_a_tool_with_no_room_of_its_own_is_refused_and_the_run_goes_on():
    run, command = play(rules(per_tool={"delete": 0}), replied(ToolCall("c", "delete", "{}")))
    assert command == CallModel(tools=True)
    assert "may run 0 times" in results_of(run)["c"].content


def test_the_fourth_identical_call_in_a_row_gets_the_earlier_result_and_the_run_lands():
    the_rules = rules(repeats=3)
    run = started(the_rules)
    for turn in range(3):
        run, command = advance(run, replied(ToolCall(f"c{turn}", "add", '{"a":1,  "b":1}')), the_rules)
        assert isinstance(command, RunTools)
        run, _ = advance(run, ToolsReturned((ToolResult(f"c{turn}", f"two, time {turn}"),)), the_rules)
    run, command = advance(run, replied(ToolCall("c3", "add", '{"b":1,"a":1}')), the_rules)
    assert command == CallModel(tools=False)
    assert results_of(run)["c3"].content.endswith("two, time 2")
    run, _ = advance(run, replied(text("two")), the_rules)
    assert run.stop_reason == "repeated_calls"
    assert "repeats=3" in run.stop_note


def test_repeats_within_one_batch_get_the_result_of_the_last_that_ran():
    same = [ToolCall(f"c{i}", "delete", '{"path":"a"}') for i in range(5)]
    the_rules = rules(repeats=2)
    run, command = play(the_rules, replied(*same))
    assert len(command.calls) == 2
    run, _ = advance(run, ToolsReturned((ToolResult("c0", "first"), ToolResult("c1", "second"))), the_rules)
    assert [results_of(run)[f"c{i}"].content.endswith("second") for i in range(5)] == [False, True, True, True, True]


def test_a_tool_that_does_not_exist_is_called_in_vain_only_so_often():
    the_rules = rules(repeats=2)
    run = started(the_rules)
    for turn in range(3):
        run, command = advance(run, replied(ToolCall(f"c{turn}", "nope", "{}")), the_rules)
    assert command == CallModel(tools=False)
    assert run.final_turn_reason == "repeated_calls"


def test_the_same_call_after_another_one_is_no_repeat():
    the_rules = rules(repeats=1)
    run = started(the_rules)
    for turn, arguments in enumerate(['{"path":"a"}', '{"path":"b"}', '{"path":"a"}']):
        run, command = advance(run, replied(ToolCall(f"c{turn}", "delete", arguments)), the_rules)
        assert isinstance(command, RunTools)
        run, _ = advance(run, ToolsReturned((ToolResult(f"c{turn}", "ok"),)), the_rules)


def test_a_repeatable_tool_may_be_called_on_and_on():
    the_rules = rules(repeats=1)
    run = started(the_rules)
    for turn in range(4):
        run, command = advance(run, replied(ToolCall(f"c{turn}", "poll", "{}")), the_rules)
        assert isinstance(command, RunTools)
        run, _ = advance(run, ToolsReturned((ToolResult(f"c{turn}", "ok"),)), the_rules)


def test_an_unknown_tool_is_answered_with_the_near_names():
    run, command = play(rules(), replied(ToolCall("c", "delet", "{}")))
    assert command == CallModel(tools=True)
    assert "There is no tool named 'delet'. Did you mean delete?" in results_of(run)["c"].content


def test_a_dressed_up_name_is_mended_in_the_transcript_and_counted():
    run, command = play(rules(), replied(ToolCall("c", "functions.add", '{"a": 1, "b": 2}')))
    assert command.calls[0].name == "add"
    assert run.items[-1].name == "add"
    assert run.tally.repairs == 1


def test_a_label_is_the_name_of_its_tool_and_of_no_other():
    packed = replace(write, name="files_write", dotted="files.write", pack="files")
    both = replace(rules(Policy(deny=("write",), allow=("files.*",))), tools=collect_tools([write, packed]))
    run, command = play(both, replied(ToolCall("c", "files.write", "{}")))
    assert (command.calls[0].name, run.items[-1].name, run.tally.repairs) == ("files_write", "files_write", 1)


@pytest.mark.parametrize(("stop", "reason"), [("truncated", "truncated"), ("refused", "refused")])
def test_nothing_from_a_cut_off_or_refused_reply_runs(stop, reason):
    run, command = play(rules(), replied(text("I was"), *calls(2), stop=stop))
    assert command == Finish()
    assert run.stop_reason == reason
    assert [result.ok for result in results_of(run).values()] == [False, False]


def test_calls_in_the_final_turn_are_not_run_and_end_the_run_with_the_text_there_is():
    the_rules = rules(turns=1)
    run, _ = play(the_rules, replied(*calls(1)), ToolsReturned((ToolResult("c0", "1"),)))
    run, command = advance(run, replied(text("so far"), *calls(1, start=5)), the_rules)
    assert command == Finish()
    assert run.stop_note.endswith("which were not run")
    assert not results_of(run)["c5"].ok


def test_an_empty_final_turn_ends_the_run_with_a_note():
    the_rules = rules(turns=1)
    run, _ = play(the_rules, replied(*calls(1)), ToolsReturned((ToolResult("c0", "1"),)), replied())
    assert run.stop_note.endswith("the model gave no last answer")


@pytest.mark.parametrize("retries", [0, 1])
def test_what_was_said_before_an_empty_final_turn_is_no_answer(retries):
    the_rules = replace(rules(turns=1, output_retries=retries), output=OutputSchema(int))
    returned = ToolsReturned((ToolResult("c0", "1"),))
    run, command = play(the_rules, replied(text("5"), *calls(1)), returned, *[replied()] * (retries + 1))
    assert (command, run.stop_reason) == (Finish(), "turn_limit")
    assert conclude(Run.from_json(run.to_json()), the_rules)[0] == RunResult(run)


def test_an_empty_reply_is_asked_again_once_then_given_up_and_can_be_resumed():
    run, command = play(rules(), replied(text(" ")))
    assert command == CallModel(tools=True)
    assert run.items[-1] == Message("user", ASK_AFTER_EMPTY_REPLY)
    run, command = advance(run, replied(), rules())
    assert command == Fail()
    run, command = resume(run, rules())
    assert command == CallModel(tools=True)
    assert run.extra_turns == ()


TYPED = replace(rules(), output=OutputSchema(int))


def test_an_answer_that_fits_ends_the_run_with_its_value():
    run, command = play(TYPED, replied(text('{"value": 7}')))
    assert (command, run.stop_reason) == (Finish(), "answered")
    assert conclude(run, TYPED) == (RunResult(run, 7), ())


def test_a_blank_text_after_the_answer_is_not_the_answer():
    run, command = play(TYPED, replied(text("7"), text("\n")))
    result, _ = conclude(run, TYPED)
    assert (command, result.text, result.output) == (Finish(), "7", 7)


def test_an_answer_whose_type_takes_it_but_once_is_no_output():
    taken: set[int] = set()

    def take(value: int) -> int:
        assert value not in taken
        taken.add(value)
        return value

    moody = replace(TYPED, output=OutputSchema(Annotated[int, AfterValidator(take)]))
    run, command = play(moody, replied(text("7")))
    assert (command, conclude(run, moody)) == (Finish(), (RunResult(run), ()))


def test_the_schema_is_asked_for_with_the_tools_unless_they_are_kept_apart():
    assert play(TYPED)[1] == CallModel(tools=True, output=True)
    assert play(replace(TYPED, format_last=True))[1] == CallModel(tools=True)
    assert play(rules())[1] == CallModel(tools=True)


def test_an_answer_that_does_not_fit_is_told_so_and_the_tools_stay_on_offer():
    run, command = play(TYPED, replied(text("seven")))
    assert command == CallModel(tools=True, output=True)
    assert (run.output_failures, run.items[-1].role, "not valid JSON" in run.items[-1].text) == (1, "user", True)
    run, command = advance(run, replied(*calls(1)), TYPED)
    assert isinstance(command, RunTools)


def test_an_answer_that_never_fits_is_given_up_and_can_be_resumed():
    run, command = play(TYPED, *[replied(text("seven"))] * 3)
    assert isinstance(command, Fail)
    assert command.output_error == run.items[-1].text
    run, command = resume(Run.from_json(run.to_json()), TYPED)
    assert (command, run.output_failures) == (CallModel(tools=True, output=True), 0)


def test_kept_apart_an_answer_is_formed_without_tools_and_stays_so_after_json():
    apart = replace(TYPED, format_last=True)
    run, command = play(apart, replied(text("seven")))
    assert command == CallModel(tools=False, output=True)
    assert run.items[-1] == Message("user", ASK_FOR_FORMAT)
    run, command = resume(Run.from_json(run.to_json()), apart)
    assert command == CallModel(tools=False, output=True)
    run, command = advance(run, replied(), apart)
    assert command == CallModel(tools=False, output=True)
    run, command = advance(run, replied(text("7")), apart)
    assert (command, run.stop_reason, conclude(run, apart)[0].output) == (Finish(), "answered", 7)


def test_what_is_called_while_an_answer_is_formed_does_not_run():
    apart = replace(TYPED, format_last=True)
    run, command = play(apart, replied(text("seven")), replied(*calls(1), text("7")))
    assert (command, conclude(run, apart)[0].output) == (Finish(), 7)
    assert results_of(run)["c0"] == ToolResult("c0", "Not run: no tools were on offer any more.", ok=False)


def test_kept_apart_an_answer_of_the_last_turn_that_does_not_fit_is_told_why_and_not_formed():
    apart = replace(rules(tool_calls=0), output=OutputSchema(int), format_last=True)
    run, command = play(apart, replied(*calls(1)), replied(text("seven")))
    assert command == CallModel(tools=False, output=True)
    assert (run.extra_turns, run.output_failures) == ((), 1)
    assert run.items[-1] not in {Message("user", ASK_FOR_FORMAT), text("seven")}


def test_each_question_in_a_run_is_asked_again_and_pressed_and_formed_for_itself():
    fits, owing = replace(rules(output_retries=1), output=OutputSchema(int)), replace(rules(), required="add")
    apart = replace(fits, format_last=True)
    for the_rules, replies in (
        (rules(), [replied(), replied(text("hi"))]),
        (owing, [replied(text("3")), replied(text("3"))]),
        (fits, [replied(text("seven")), replied(text("7"))]),
        (apart, [replied(text("seven")), replied(text("7"))]),
    ):
        run, first = Run(run_id="r"), []
        for commands in (first, second := []):
            for outcome in (HELLO, *replies):
                run, command = advance(run, outcome, the_rules)
                commands.append(command)
        assert first == second
        assert isinstance(command, Finish)


def test_a_call_of_an_earlier_conversation_is_not_the_one_that_is_owed():
    owing = replace(rules(), required="")
    before = (Message("user", "add"), *calls(1, start=90), ToolResult("c90", "91"), text("91"))
    run, _ = advance(Run(run_id="r", items=before), HELLO, owing)
    run, command = advance(run, replied(text("3")), owing)
    assert (command, run.items[-1]) == (CallModel(tools=True), Message("user", ASK_FOR_TOOL_CALL.format("a tool")))


def test_a_call_that_is_owed_is_asked_for_once_and_not_after_any_call():
    owing = replace(rules(), required="add")
    run, command = play(owing, replied(text("3")))
    assert (command, run.items[-1]) == (CallModel(tools=True), Message("user", ASK_FOR_TOOL_CALL.format("add")))
    run, command = advance(run, replied(text("3")), owing)
    assert command == Finish()
    run, command = play(owing, replied(ToolCall("c", "nope", "{}")), replied(text("3")))
    assert command == Finish()


ASKING = Policy(ask=("delete",), deny=("poll",))


def test_a_denied_tool_is_refused():
    run, _ = play(rules(ASKING), replied(ToolCall("c", "poll", "{}")))
    assert "not allowed" in results_of(run)["c"].content


def test_a_call_that_needs_a_yes_holds_up_its_whole_batch():
    asked = ToolCall("d", "delete", '{"path": "a"}')
    run, command = play(rules(ASKING), replied(*calls(1), asked))
    assert isinstance(command, AskHuman)
    assert [request.call for request in command.requests] == [asked]
    run, command = advance(run, decided(run, Approve()), rules(ASKING))
    assert [call.call_id for call in command.calls] == ["c0", "d"]


def test_a_rejected_call_is_answered_with_the_reason_and_gives_its_room_back():
    run, _ = play(rules(ASKING), replied(ToolCall("d", "delete", "{}")))
    assert run.tally.tool_calls == 1
    run, command = advance(run, decided(run, Reject("too late")), rules(ASKING))
    assert command == CallModel(tools=True)
    assert results_of(run)["d"].content == "This call was declined: too late"
    assert (run.tally.tool_calls, run.tally.per_tool) == (0, {"delete": 0})


def test_an_edited_call_runs_with_the_new_arguments_and_the_model_is_told():
    run, _ = play(rules(ASKING), replied(ToolCall("d", "delete", '{"path": "a"}')))
    run, command = advance(run, decided(run, Approve('{"path": "b"}')), rules(ASKING))
    assert command.calls[0].arguments == '{"path": "b"}'
    run, _ = advance(run, ToolsReturned((ToolResult("d", "gone"),)), rules(ASKING))
    assert results_of(run)["d"].content == '(A person changed the arguments to {"path": "b"})\ngone'


def test_a_substituted_result_is_given_in_the_tools_place():
    run, _ = play(rules(ASKING), replied(ToolCall("d", "delete", "{}")))
    run, _ = advance(run, decided(run, Substitute("done by hand")), rules(ASKING))
    assert results_of(run)["d"] == ToolResult("d", "done by hand")
    assert run.waiting_for == "model"


def test_a_paused_run_says_what_it_waits_for_and_goes_on_after_json():
    run, _ = play(rules(ASKING), replied(ToolCall("d", "delete", "{}")))
    paused = Run.from_json(pause(run).to_json())
    assert (paused.stop_reason, "delete" in paused.stop_note) == ("approval", True)
    _, command = resume(paused, rules(ASKING))
    assert isinstance(command, AskHuman)
    run, _ = advance(paused, decided(paused, Approve()), rules(ASKING))
    assert run.stop_reason is None


@pytest.mark.parametrize("others", [{}, {"other": Approve()}, {"d": Approve()}])
def test_decisions_on_what_was_not_asked_raise_and_change_nothing(others):
    run, _ = play(rules(ASKING), replied(ToolCall("d", "delete", "{}")))
    decisions = {**decided(run, Approve()).decisions, **others} if others else {}
    with pytest.raises(RunStateError, match=r"this run has no open request|no decision") as caught:
        advance(run, HumanDecided(decisions), rules(ASKING))
    assert "result.approvals" in caught.value.hint


def test_a_decision_names_the_run_the_call_the_tool_and_the_arguments_that_it_is_for():
    def ask(run_id="r", call_id="d", name="delete", arguments='{"path": "a"}'):
        run, _ = advance(Run(run_id=run_id), HELLO, ask_all)
        run, _ = advance(run, replied(ToolCall(call_id, name, arguments)), ask_all)
        return run.approvals[0].id

    ask_all = rules(Policy(ask=("*",)))
    other = [ask(run_id="s"), ask(call_id="e"), ask(name="add"), ask(arguments='{"path": "b"}')]
    assert len({ask(), *other}) == 5
    assert ask(arguments='{ "path":"a"}') == ask()


def test_what_is_not_decided_yet_waits_on():
    run, _ = play(rules(ASKING), replied(*calls(1), *calls(2, "delete", 1)))
    run, command = advance(run, decided(run, Approve()), rules(ASKING))
    assert isinstance(command, AskHuman)
    assert [request.call.call_id for request in command.requests] == ["c2"]
    _, command = advance(run, decided(run, Reject()), rules(ASKING))
    assert [call.call_id for call in command.calls] == ["c0", "c1"]


@pytest.mark.parametrize(
    "decision", [True, None, "yes", Approve(scope="ever"), Approve({"a": 1}), Reject(1), Substitute(None)]
)
def test_what_is_no_decision_raises(decision):
    run, _ = play(rules(ASKING), replied(ToolCall("d", "delete", "{}")))
    with pytest.raises(RunStateError, match=f"the decision on {run.approvals[0].id}"):
        advance(run, decided(run, decision), rules(ASKING))


@pytest.mark.parametrize("ids", [[], ["c1"], ["c0", "c0"]])
def test_results_for_other_calls_than_due_raise(ids):
    run, _ = play(rules(), replied(*calls(1)))
    with pytest.raises(RunStateError, match="are expected"):
        advance(run, ToolsReturned(tuple(ToolResult(call_id, "") for call_id in ids)), rules())


def test_an_interrupted_batch_keeps_the_results_that_came_and_can_be_resumed():
    run, _ = play(rules(), replied(*calls(2)))
    run, command = advance(run, Interrupted("cancelled", (ToolResult("c0", "1"),), 2.0), rules())
    assert (command, run.stop_reason, run.tally.seconds) == (Finish(), "cancelled", 2.0)
    assert results_of(run)["c0"].content == "1"
    assert "may or may not" in results_of(run)["c1"].content
    run, command = resume(run, rules())
    assert (command, run.stop_reason) == (CallModel(tools=True), None)


def test_interrupted_before_anything_ran_the_calls_are_answered_as_not_run():
    run, _ = play(rules(ASKING), replied(ToolCall("d", "delete", "{}")))
    run, _ = advance(run, Interrupted("time_limit"), rules(ASKING, seconds=3))
    assert results_of(run)["d"].content.startswith("Not run")
    assert run.stop_note == "the limit on time is reached (seconds=3)"
    assert (run.tally.tool_calls, run.tally.per_tool) == (0, {"delete": 0})


def test_a_run_stored_in_the_middle_of_its_tools_runs_them_again_when_resumed():
    run, command = play(rules(), replied(*calls(2)))
    assert resume(Run.from_json(run.to_json()), rules()) == (run, command)


@pytest.mark.parametrize("asked", [False, True])
def test_what_is_denied_by_now_does_not_run_when_a_stored_run_goes_on(asked):
    run, _ = play(rules(ASKING if asked else NO_POLICY), replied(*calls(1), *calls(1, "delete", 1)))
    stricter = rules(Policy(deny=("add",)))
    run, command = advance(run, decided(run, Approve()), stricter) if asked else resume(run, stricter)
    assert [each.name for each in command.calls] == ["delete"]
    assert run.tally.per_tool == {"add": 0, "delete": 1}
    run, _ = advance(run, ToolsReturned((ToolResult("c1", "gone"),)), stricter)
    assert "not allowed here" in results_of(run)["c0"].content


def test_a_run_that_has_ended_can_not_be_resumed():
    run, _ = play(rules(), replied(text("hi")))
    with pytest.raises(RunStateError, match="has ended"):
        resume(run, rules())


OUTCOMES = [
    HELLO,
    replied(text("hi")),
    ToolsReturned((ToolResult("c0", "1"),)),
    HumanDecided({}),
    Interrupted("cancelled"),
]
STATES = {
    "user": Run(run_id="r"),
    "model": play(rules(ASKING))[0],
    "tools": play(rules(ASKING), replied(*calls(1)))[0],
    "human": play(rules(ASKING), replied(ToolCall("d", "delete", "{}")))[0],
}
IN_TURN = {("user", UserSaid), ("model", ModelReplied), ("tools", ToolsReturned), ("human", HumanDecided)}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_every_state_takes_its_own_outcome_and_an_interruption_and_nothing_else(state, outcome):
    run = STATES[state]
    assert run.waiting_for == state
    outcome = decided(run, Approve()) if isinstance(outcome, HumanDecided) else outcome
    if (state, type(outcome)) in IN_TURN or isinstance(outcome, Interrupted):
        advance(run, outcome, rules(ASKING))
        return
    before = run.to_json()
    with pytest.raises(RunStateError, match=type(outcome).__name__):
        advance(run, outcome, rules(ASKING))
    assert run.to_json() == before


@pytest.mark.parametrize("interrupted", [True, False])
def test_what_tools_called_themselves_counts_and_taints(interrupted):
    run, _ = play(rules(), replied(*calls(1)))
    nested = ((ToolCall("c0.1", "delete", "{}"), ToolResult("c0.1", "said", untrusted=True)),)
    results = (ToolResult("c0", "1"),)
    outcome = Interrupted("cancelled", results, nested=nested) if interrupted else ToolsReturned(results, nested=nested)
    run, _ = advance(run, outcome, rules())
    assert (run.tally.per_tool, run.tainted) == ({"add": 1, "delete": 1}, True)


def test_a_run_may_be_resumed_where_a_tool_that_was_asked_about_is_gone():
    run, _ = play(rules(ASKING), replied(*calls(2, "delete")))
    run, command = advance(run, decided(run, Approve()), replace(rules(), tools={}))
    assert isinstance(command, AskHuman)
    run, _ = advance(run, decided(run, Approve()), replace(rules(), tools={}))
    assert all("There is no tool named 'delete'" in result.content for result in results_of(run).values())
    assert run.tally.tool_calls == 0


# --- any conversation ---


@tool(effects=Effects(write=True))
def write(path: str = "x") -> str:
    """Write."""
    return path


@tool(effects=Effects(write=True, own_store=True))
def note(path: str = "x") -> str:
    """Write into its own store."""
    return path


@tool(effects=Effects(network=True, open_world=True, host_argument="url"))
def fetch(url: str = "http://a.example/") -> str:
    """Fetch."""
    return url


@tool(effects=Effects())
def compute() -> str:
    """Compute, with calls of other tools."""
    return ""


SHARED = Quota("shared", 3)
ALL = collect_tools(
    [add, delete, poll, replace(write, quotas=(SHARED,)), replace(note, quotas=(SHARED,)), fetch, compute]
)
NAMES = st.sampled_from(
    ["add", "delete", "poll", "write", "write", "note", "fetch", "fetch", "compute", "functions.add", "nope", "Add "]
)
ARGUMENTS = st.sampled_from(
    ['{"a":1,"b":2}', "{", "", "null", '{"path":"x"}', '{"path":"b/../x"}', '{"url":"http://b.example/"}']
)
DEFAULTS = {"write": {"path": "x"}, "note": {"path": "x"}, "fetch": {"url": "http://a.example/"}}
REPLIES = st.tuples(
    st.lists(st.tuples(NAMES, ARGUMENTS), max_size=5),
    st.sampled_from(["", "text", "7"]),
    st.sampled_from(["complete"] * 6 + ["truncated", "refused"]),
    st.integers(0, 50),
)
LIMITS = st.builds(
    Limits,
    tool_calls=st.integers(0, 12),
    turns=st.integers(1, 6),
    tokens=st.none() | st.integers(1, 400),
    seconds=st.none() | st.floats(0, 9),
    repeats=st.integers(1, 3),
    per_tool=st.dictionaries(st.sampled_from(["add", "delete"]), st.integers(0, 3)),
    output_retries=st.none() | st.integers(0, 2),
)
ANSWERS = st.fixed_dictionaries(
    {
        "output": st.sampled_from([None, OutputSchema(int)]),
        "format_last": st.booleans(),
        "required": st.sampled_from([None, "", "add"]),
    }
)
IMAGES = st.sampled_from([(), (Image.from_bytes(b"\x89PNG", "image/png"),)])


async def nobody(request):
    raise AssertionError(request)


POLICIES = st.builds(
    Policy,
    allow=st.sampled_from([(), ("write",), ("*",)]),
    ask=st.sampled_from([(), ("delete",), ("*",)]),
    deny=st.sampled_from([(), ("poll",), ("add", "write(path=x)")]),
    hosts=st.sampled_from([(), ("a.example",), ("*",)]),
    taint=st.sampled_from([True, True, False]),
    approver=st.sampled_from([None, nobody]),
)
DECISIONS = st.sampled_from(
    [Approve(), Approve(scope="arguments"), Approve(scope="tool"), Reject(), Substitute("x"), Approve('{"path": "y"}')]
)


class Player:
    """Plays a conversation with random replies, the run passing through JSON at every step, and keeps its own books."""

    def __init__(self, data, the_rules):
        self.data, self.rules = data, the_rules
        self.ran, self.cut, self.turn = [], set(), 0
        self.approved, self.granted, self.hosts, self.tainted = set(), [], set(), False

    def play(self):
        run, command = advance(Run(run_id="r"), HELLO, self.rules)
        for _ in range(60):
            assert Run.from_json(run.to_json()) == run
            run = Run.from_json(run.to_json())
            assert run.tainted == self.tainted
            if isinstance(command, (Finish, Fail)):
                return run, command
            run, command = advance(run, self.outcome(run, command), self.rules)
        raise AssertionError("the conversation has no end")

    def outcome(self, run, command):
        if self.data.draw(st.integers(0, 30)) == 0:
            return Interrupted("cancelled")
        match command:
            case CallModel(tools=tools, output=output):
                assert tools == (run.final_turn_reason is None and "output_format" not in run.extra_turns)
                assert output == (self.rules.output is not None and not (tools and self.rules.format_last))
                open_calls = {item.call_id for item in run.items if isinstance(item, ToolCall)} - results_of(run).keys()
                assert not open_calls
                return self.reply()
            case RunTools(calls=due):
                return self.run_tools(run, due)
            case AskHuman(requests=requests):
                asked = self.data.draw(st.sampled_from([slice(None), slice(1), slice(-1, None)]))
                return HumanDecided({request.id: self.decide(request.call) for request in requests[asked]})

    def run_tools(self, run, due):
        was_tainted = self.tainted  # the model has not read the results of this batch
        for call in due:
            self.check(call, tainted=was_tainted)
        results = [ToolResult(c.call_id, "ok", images=self.data.draw(IMAGES), untrusted=c.name == "fetch") for c in due]
        nested = []
        for parent in due:
            for number in range(self.data.draw(st.integers(0, 3)) if parent.name == "compute" else 0):
                run = self.nest(run, f"{parent.call_id}.{number}", nested)
        self.tainted = self.tainted or any(result.untrusted for result in results)
        if self.data.draw(st.integers(0, 20)) == 0:
            return Interrupted("cancelled", tuple(results), 0.5, tuple(nested), run.trust)
        return ToolsReturned(tuple(results), 0.5, nested=tuple(nested), trust=run.trust)

    def nest(self, run, call_id, nested):
        call = ToolCall(call_id, self.data.draw(NAMES), self.data.draw(ARGUMENTS))
        run, pending = judge_nested(run, call, self.rules)
        if pending.plan == "ask":
            assert self.rules.policy.approver is not None
            run, pending = decide_nested(run, pending, self.decide(pending.call), self.rules)
        if pending.plan == "run":
            self.check(pending.call, tainted=self.tainted)
            result = ToolResult(call_id, "ok", untrusted=pending.call.name == "fetch")
            self.tainted = self.tainted or result.untrusted
            nested.append((pending.call, result))
            return note_results(run, [result])
        assert pending.answer is not None
        return run

    def check(self, call, *, tainted):
        """Hold a call that runs against what was promised, in the plainest words there are."""
        self.ran.append(call)
        policy, reading = self.rules.policy, read_loosely(call)
        assert call.name not in policy.deny
        assert not (call.name == "write" and "write(path=x)" in policy.deny and reading.get("path") != "y")
        is_tainted = tainted and policy.taint and call.name == "write"
        allowed = {"write", "*"} & set(policy.allow) if call.name == "write" else "*" in policy.allow
        host = "b.example" if "url" in reading else "a.example"
        needs_yes = (
            bool({call.name, "*"} & set(policy.ask))
            or is_tainted
            or (not allowed and call.name == "write")
            or (not allowed and call.name == "fetch" and not {host, "*"} & ({*policy.hosts} | self.hosts))
        )
        granted = any(
            name == call.name and arguments in (None, meaning_of(call)) and (grant_tainted or not is_tainted)
            for name, arguments, grant_tainted in self.granted
        )
        assert not needs_yes or granted or call.call_id in self.approved

    def decide(self, call):
        decision = self.data.draw(DECISIONS)
        if isinstance(decision, Approve):
            self.approved.add(call.call_id)
            run = replace(call, arguments=decision.arguments or call.arguments)
            if decision.scope != "once":
                self.granted.append(
                    (call.name, meaning_of(run) if decision.scope == "arguments" else None, self.tainted)
                )
            if call.name == "fetch":
                self.hosts.add("b.example" if "url" in read_loosely(run) else "a.example")
        return decision

    def reply(self):
        self.turn += 1
        asked, words, stop, tokens = self.data.draw(REPLIES)
        items = [ToolCall(f"t{self.turn}c{i}", name, arguments) for i, (name, arguments) in enumerate(asked)]
        if stop != "complete":
            self.cut |= {item.call_id for item in items}
        return replied(text(words), *items, stop=stop, tokens=tokens, seconds=0.1)


def read_loosely(call):
    try:
        return json.loads(call.arguments or "{}") or {}
    except ValueError:
        return {}


def meaning_of(call):
    """Return what is the same for two calls whose tool receives the same, however a model writes it."""
    return call.arguments if call.arguments == "{" else read_loosely(call) or DEFAULTS.get(call.name)


class Drawn:
    """What hypothesis would draw, for an example that is to stay."""

    def __init__(self, *values):
        self.values = values
        self.left = cycle(values)

    def __repr__(self):
        return f"Drawn{self.values}"

    def draw(self, strategy):
        return next(self.left)


SAYS, ASKS, RUNS = (1,), (1, slice(None)), (1, (), (), 1)
# A yes to "these arguments" holds for all texts that the tool receives as the same ones.
ONE_MEANING = Drawn(
    *(*SAYS, ([("write", '{"path":"x"}'), ("delete", "")], "", "complete", 0)),
    *(*ASKS, Approve(scope="arguments"), Approve(scope="arguments"), *RUNS),
    *(*SAYS, ([("write", "null"), ("delete", "null")], "", "complete", 0), *RUNS),
    *(*SAYS, ([], "text", "complete", 0)),
)


@given(data=st.data(), limits=LIMITS, policy=POLICIES, answers=ANSWERS)
@example(
    data=ONE_MEANING,
    limits=Limits(tool_calls=9, turns=6),
    policy=Policy(ask=("*",)),
    answers={"output": None, "format_last": False, "required": None},
)
@settings(max_examples=400, deadline=None)
def test_in_any_conversation_the_promises_hold(data, limits, policy, answers):
    the_rules = Rules(limits=limits, tools=ALL, policy=policy, **answers)
    player = Player(data, the_rules)
    run, command = player.play()
    asked = [item for item in run.items if isinstance(item, ToolCall)]
    answered = [item.call_id for item in run.items if isinstance(item, ToolResult)]
    assert sorted(call.call_id for call in asked) == sorted(answered)
    ran = Counter(call.name for call in player.ran)
    assert len(player.ran) <= run.tally.tool_calls <= limits.tool_calls
    assert all(ran[name] <= room for name, room in limits.per_tool.items())
    assert ran["write"] + ran["note"] <= SHARED.calls
    assert not player.cut & {call.call_id for call in player.ran}
    assert player.turn <= limits.turns + (1 if the_rules.output is None else 2)
    assert isinstance(command, Fail) or run.stop_reason is not None
    if isinstance(command, Fail) and command.output_error:
        assert run.output_failures == limits.output_retries
    if the_rules.output is not None and run.stop_reason == "answered":
        assert conclude(run, the_rules)[0].output == 7


def test_a_run_is_json_with_readable_fields():
    run, _ = play(rules(), replied(*calls(1)))
    stored = json.loads(run.to_json())
    assert stored["waiting_for"] == "tools"
    assert stored["pending"][0]["plan"] == "run"
    assert replace(run, run_id="x") != run


@pytest.mark.parametrize("damaged", ["", "{}", '{"run_id": 1}', "[]"])
def test_a_damaged_stored_run_is_named(damaged):
    with pytest.raises(RunStateError, match="not a stored run"):
        Run.from_json(damaged)


def test_a_run_that_was_stored_under_former_names_is_read():
    run, _ = play(rules(), replied(text(" ")))
    stored = json.loads(run.to_json())
    assert stored.pop("extra_turns") == ["empty_reply"]
    renamed = {"landing": stored.pop("final_turn_reason"), "misfits": stored.pop("output_failures")}
    flags = {"nudged": True, "pressed": False, "forming": False, "unfit": stored.pop("output_invalid")}
    assert Run.from_json(json.dumps(stored | renamed | flags)) == run


@pytest.mark.parametrize("stored", ["", "[]", "3", '{"nudged": true'])
def test_what_is_not_a_stored_run_is_refused(stored):
    with pytest.raises(RunStateError, match="not a stored run"):
        Run.from_json(stored)

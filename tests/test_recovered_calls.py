"""What a run does with a call that came as text: it asks before the call writes, runs code or connects.

And what it says where the answer stands within the thinking.
"""

import json
from dataclasses import replace

import pytest

from agentloop import Approve, Effects, EmptyReplyError, Policy, Profile, Reasoning, Run, Tool, tool
from agentloop.tools.effects import UNKNOWN
from loopback import call_body, json_reply, text_body
from ways import both_wires, every_way, serving

SAVED = []
ALLOWED = Policy(allow=("*",))
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def saving(effects, name="save"):
    SAVED.clear()

    def save(text):
        SAVED.append(text)
        return "saved"

    return replace(Tool.from_schema(name, "Save a text.", SCHEMA, save), effects=effects)


def leaked(*texts, name="save"):
    return "\n".join(
        f"<tool_call>{json.dumps({'name': name, 'arguments': {'text': text}})}</tool_call>" for text in texts
    )


@every_way
@pytest.mark.parametrize(
    ("effects", "reason"),
    [
        (Effects(write=True), "it writes"),
        (Effects(execute=True), "it runs programs or code"),
        (Effects(network=True), "it connects to other hosts"),
        (Effects(write=True, execute=True, network=True), "it writes and runs programs or code"),
        (UNKNOWN, "it writes and runs programs or code"),
    ],
)
def test_a_call_that_came_as_text_needs_approval_even_where_a_rule_allows_it(way, effects, reason):
    with way.serving([text_body(leaked("a")), text_body("Saved.")], saving(effects), policy=ALLOWED) as (agent, _):
        paused = way.ask(agent)
        assert paused.stop_reason == "approval"
        [request] = paused.approvals
        assert request.reason == f"{reason}, and the call came as text"
        assert SAVED == []
        done = agent.resume_sync(paused.run, decisions={request.id: Approve()})
    assert (done.text, SAVED) == ("Saved.", ["a"])


@both_wires
@pytest.mark.parametrize("effects", [None, Effects(), Effects(read=True), Effects(write=True, own_store=True)])
def test_a_call_that_came_as_text_runs_if_it_changes_nothing_and_connects_to_nothing(way, effects):
    with way.serving([text_body(leaked("a")), text_body("Saved.")], saving(effects), policy=ALLOWED) as (agent, _):
        assert way.ask(agent).text == "Saved."
    assert SAVED == ["a"]


@every_way
def test_a_server_that_is_known_to_leak_calls_is_believed(way):
    endpoint = {"profile": Profile(leaks_calls=True, route="chat" if way.dialect == "chat" else "responses")}
    script = [text_body(leaked("a")), text_body("Saved.")]
    with way.serving(script, saving(Effects(write=True)), policy=ALLOWED, endpoint=endpoint) as (agent, _):
        assert way.ask(agent).text == "Saved."
    assert SAVED == ["a"]


def test_a_call_that_the_server_read_itself_runs_where_a_rule_allows_it():
    script = [call_body(("save", {"text": "a"})), text_body("Saved.")]
    with serving(script, saving(Effects(write=True)), policy=ALLOWED) as (agent, _):
        assert agent.run_sync("go").text == "Saved."
    assert SAVED == ["a"]


def test_each_call_that_came_as_text_waits_for_its_own_approval_also_in_a_stored_run():
    script = [text_body(leaked("a", "b")), text_body("Saved.")]
    with serving(script, saving(Effects(write=True)), policy=ALLOWED) as (agent, _):
        paused = agent.run_sync("go")
        first, second = paused.approvals
        stored = Run.from_json(paused.run.to_json())
        assert [pending.call.recovered for pending in stored.pending] == [True, True]
        again = agent.resume_sync(stored, decisions={first.id: Approve()})
        assert [request.id for request in again.approvals] == [second.id]
        assert SAVED == []
        agent.resume_sync(again.run, decisions={second.id: Approve()})
    assert sorted(SAVED) == ["a", "b"]


def test_a_tool_that_was_approved_for_the_run_is_not_asked_about_again():
    script = [text_body(leaked("a")), text_body(leaked("b")), text_body("Saved.")]
    with serving(script, saving(Effects(write=True)), policy=ALLOWED) as (agent, _):
        paused = agent.run_sync("go")
        done = agent.resume_sync(paused.run, decisions={paused.approvals[0].id: Approve(scope="tool")})
    assert (done.text, SAVED) == ("Saved.", ["a", "b"])


def test_a_rule_and_taint_are_named_before_the_text():
    @tool(effects=Effects(open_world=True))
    def page() -> str:
        """Return a page."""
        return "a page"

    script = [call_body(("page", {})), text_body(leaked("a"))]
    with serving(script, page, saving(Effects(write=True)), policy=ALLOWED) as (agent, _):
        [request] = agent.run_sync("go").approvals
    assert request.reason == "it writes, and the run has read untrusted text, and the call came as text"
    with serving([text_body(leaked("a"))], saving(Effects(write=True)), policy=Policy(ask=("save",))) as (agent, _):
        [request] = agent.run_sync("go").approvals
    assert request.reason == "the policy asks about save, and the call came as text"
    with serving(
        [text_body(leaked("a")), text_body("No.")], saving(Effects(write=True)), policy=Policy(deny=("save",))
    ) as (
        agent,
        _,
    ):
        assert agent.run_sync("go").approvals == ()


def thinking(text):
    def answer(_):
        message = {"role": "assistant", "content": "", "reasoning_content": text}
        return json_reply({"id": "1", "choices": [{"message": message, "finish_reason": "stop"}]})

    return answer


def test_an_empty_reply_says_that_its_answer_may_stand_in_the_thinking():
    endpoint = {"profile": Profile(route="chat")}
    with serving(thinking("One and one: it is 2."), endpoint=endpoint) as (agent, _):
        with pytest.raises(EmptyReplyError, match="may stand in the model's reasoning") as caught:
            agent.run_sync("go")
        assert Reasoning("One and one: it is 2.") in caught.value.run.items
    with serving(thinking(" "), endpoint=endpoint) as (agent, _):
        with pytest.raises(EmptyReplyError) as caught:
            agent.run_sync("go")
        assert "reasoning" not in str(caught.value)

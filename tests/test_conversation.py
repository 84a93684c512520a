"""Which dialect is spoken, how often an item is encoded, and whose call ids they are."""

import json

import pytest

from agentloop import (
    Agent,
    ContextOverflowError,
    Message,
    ModelSettings,
    Notice,
    Profile,
    RefusedError,
    ToolCall,
    ToolResult,
    tool,
)
from agentloop.items import Reply
from agentloop.testing import ScriptedEndpoint, call
from agentloop.wire.conversation import Conversation, Subject


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def subject(base_url="http://one/v1", **profile):
    return Subject(
        base_url=base_url,
        model="m",
        instructions="Be brief.",
        tools=[add],
        settings=ModelSettings(),
        profile=Profile(**profile),
    )


TURN = (Message("user", "1+2?"), ToolCall("c1", "add", '{"a":1,"b":2}'), ToolResult("c1", "3"))
REFUSED = RefusedError("HTTP 400", status=400)


def body(conversation, items, **options):
    return json.loads(conversation.encode(items, tools=True, stream=False, **options))


def test_system_texts_in_the_conversation_join_the_instructions():
    items = (Message("system", "Answer in French."), *TURN)
    assert body(Conversation(subject()), items)["instructions"] == "Be brief.\n\nAnswer in French."


def test_items_are_encoded_once_and_later_bodies_begin_with_the_same_bytes():
    conversation = Conversation(subject())
    first = conversation.encode(TURN, tools=True, stream=False)
    second = conversation.encode((*TURN, Message("user", "and 3?")), tools=True, stream=False)
    shared = first.rstrip(b"]}")
    assert second.startswith(shared)


@pytest.mark.parametrize("call_id", ["", "c1", "has space", "x" * 65])
def test_missing_reused_and_illegal_call_ids_are_made_unique(call_id):
    conversation = Conversation(subject())
    body(conversation, TURN)
    reply = conversation.accept(Reply((ToolCall(call_id, "add", "{}"), ToolCall("c2", "add", "{}"))))
    ids = [item.call_id for item in reply.items]
    assert ids == ["call_2", "c2"]


def test_a_new_id_avoids_those_the_server_gave():
    conversation = Conversation(subject())
    reply = conversation.accept(Reply(tuple(ToolCall(call_id, "add", "{}") for call_id in ("call_2", "", "call_2"))))
    assert [item.call_id for item in reply.items] == ["call_2", "call_3", "call_4"]


def test_the_answer_goes_back_in_the_dialect_in_which_the_call_came():
    conversation = Conversation(subject("http://two/v1"))
    assert body(conversation, TURN)["input"][1]["type"] == "function_call"
    reply = conversation.accept(Reply((ToolCall("c2", "add", "{}"),), dialect="message"))
    assert reply.dialect == "message"
    assert body(conversation, TURN)["input"][2]["role"] == "tool"
    assert body(Conversation(subject("http://two/v1"), "message"), TURN)["input"][2]["role"] == "tool"


def test_switching_keeps_the_instructions_once():
    conversation = Conversation(subject("http://three/v1"))
    items = (Message("system", "Answer in French."), *TURN)
    body(conversation, items)
    conversation.accept(Reply((), dialect="message"))
    assert body(conversation, items)["instructions"] == "Be brief.\n\nAnswer in French."


def test_a_refusal_of_tool_results_is_tried_once_in_the_other_dialect_and_remembered():
    @tool
    def one() -> int:
        """One."""
        return 1

    bodies = []

    def script(request):
        bodies.append(request)
        if any(item.get("type") == "function_call_output" for item in request["input"]):
            return RefusedError("HTTP 400", status=400)
        return "It is 1." if any(item.get("role") == "tool" for item in request["input"]) else call("one", {}, "c1")

    agent = Agent("picky", endpoint=ScriptedEndpoint(script), tools=[one])
    events = list(agent.stream_sync("one?"))
    assert [event.topic for event in events if isinstance(event, Notice)] == ["learned"]
    assert events[-1].result.text == "It is 1."
    assert len(bodies) == 3
    assert agent.run_sync("one?").text == "It is 1."
    assert len(bodies) == 5


def test_a_refusal_in_every_dialect_is_raised():
    def script(request):
        asked.append("input" if "input" in request else "messages")
        first = len(request.get("input", ())) == 1
        return call("add", {"a": 1, "b": 2}) if first else RefusedError("HTTP 400", status=400)

    asked = []
    agent = Agent("pickier", endpoint=ScriptedEndpoint(script), tools=[add])
    with pytest.raises(RefusedError):
        agent.run_sync("go")
    assert asked == ["input", "input", "input", "messages"]


@pytest.mark.parametrize(
    ("conversation", "items", "error"),
    [
        (Conversation(subject("http://four/v1")), TURN[:1], REFUSED),
        (Conversation(subject("http://four/v1")), TURN, RefusedError("HTTP 401", status=401)),
        (Conversation(subject("http://four/v1")), TURN, ContextOverflowError("too long", status=400)),
        (Conversation(subject("http://four/v1", tool_calling="prompted")), TURN, REFUSED),
    ],
    ids=["no tool results", "another status", "too long", "no other dialect"],
)
def test_other_refusals_are_not_tried_otherwise(conversation, items, error):
    conversation.encode(items, tools=True, stream=False)
    assert conversation.adapt(error) is None


def test_tools_are_encoded_once_for_all_runs_of_an_agent():
    shared = subject("http://five/v1")
    body(Conversation(shared), TURN)
    [kept] = shared.encoded_tools.values()
    body(Conversation(shared), TURN)
    [again] = shared.encoded_tools.values()
    assert again is kept


def test_a_free_choice_drops_the_tool_choice():
    forced = Subject(
        base_url="http://six/v1",
        model="m",
        instructions=None,
        tools=[add],
        settings=ModelSettings(tool_choice="add"),
        profile=Profile(),
    )
    assert "tool_choice" in body(Conversation(forced), TURN)
    assert "tool_choice" not in body(Conversation(forced), TURN, free_choice=True)

"""What the history of a request looks like: its roles, ids, tools and reasoning, so that no server refuses it."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from agentloop import (
    Agent,
    Image,
    Limits,
    Message,
    ModelSettings,
    Profile,
    Reasoning,
    ToolCall,
    ToolResult,
    tool,
)
from agentloop.items import Reply
from agentloop.testing import ScriptedEndpoint, call
from agentloop.wire.conversation import Conversation
from agentloop.wire.model_target import ModelTarget
from loopback import call_body, error_reply, text_body
from ways import PROFILES, both_wires

DOT = Image("data:image/gif;base64,R0lGODdh")
PROMPTED = {"tool_calling": "prompted", "history_needs_tools": True}
USER = Message("user", "How deep is it?")
CALL, RESULT = ToolCall("c1", "measure", '{"place": "lake"}'), ToolResult("c1", "40 m")


@tool
def measure(place: str) -> str:
    """Measure a depth."""
    return f"{place}: 40 m"


def target(*, tools=(measure,), output=None, **profile):
    return ModelTarget(
        base_url="http://wire-history/v1",
        model="m",
        instructions=None,
        tools=list(tools),
        settings=ModelSettings(),
        profile=Profile(**profile),
        output=output,
    )


def write(conversation, *items, tools=True, **options):
    return json.loads(conversation.encode(items, tools=tools, stream=False, **options))


def messages(*items, **profile):
    return write(Conversation(target(route="chat", **profile)), *items)["messages"]


# --- the last turn ---


@both_wires
def test_the_last_turn_begins_with_the_same_bytes_as_the_turn_before(way):
    script = [call_body(("measure", {"place": "pond"})), text_body("40 m.")]
    with way.serving(script, measure, limits=Limits(turns=1)) as (agent, server):
        assert way.ask(agent).text == "40 m."
    first, last = (request.json for request in server.requests)
    assert (first.get("tool_choice"), last["tool_choice"]) == (None, "none")
    assert first["tools"] == last["tools"]


@pytest.mark.parametrize(
    ("profile", "sent"),
    [
        ({}, (1, "none")),
        ({"tool_choice": frozenset({"auto"})}, (0, None)),
        ({"tool_choice": frozenset({"auto"}), "history_needs_tools": True}, (1, None)),
        ({"history_needs_tools": True}, (1, "none")),
        ({"tool_calling": "prompted"}, (0, None)),
    ],
)
@pytest.mark.parametrize("route", ["responses", "chat"])
def test_a_turn_without_tools_is_written_as_the_profile_says(route, profile, sent):
    request = write(Conversation(target(route=route, **profile)), USER, CALL, RESULT, tools=False)
    assert (len(request.get("tools", ())), request.get("tool_choice")) == sent
    assert "measure" not in str(request.get("response_format"))


@pytest.mark.parametrize("needs_tools", [False, True])
def test_a_model_that_is_confused_by_tools_forms_its_answer_without_them(needs_tools):
    output = {"name": "depth", "schema": {"type": "object"}, "strict": False}
    conversation = Conversation(target(output=output, structured_apart=True, history_needs_tools=needs_tools))
    assert ("tools" in write(conversation, USER, tools=False, output=True)) == needs_tools


@both_wires
def test_an_agent_without_tools_goes_on_with_a_history_of_calls_where_the_server_wants_tools_with_it(way):
    refusal = error_reply(400, "The toolConfig field must be defined when using toolUse and toolResult blocks.")

    def answer(request):
        return text_body("40 m.") if request.json.get("tools") else refusal

    with way.serving(answer) as (agent, server):
        history = (USER, CALL, RESULT, Message("assistant", "40 m."))
        assert way.ask(agent, "Say it again.", history=history).text == "40 m."
        assert way.ask(agent, "And again.", history=history).text == "40 m."
    assert [request.json.get("tool_choice") for request in server.requests] == [None, "none", "none"]
    assert "no_tool" in str(server.requests[-1].json["tools"])


@both_wires
def test_a_call_of_the_stand_in_for_tools_does_not_run(way):
    profile = replace(PROFILES[way.dialect], history_needs_tools=True)
    script = [call_body(("no_tool", {})), text_body("40 m.")]
    with way.serving(script, endpoint={"profile": profile}) as (agent, server):
        result = way.ask(agent, "Say it again.", history=(USER, CALL, RESULT))
    assert result.text == "40 m."
    assert "There is no tool named" in str(server.requests[1].json)


@pytest.mark.parametrize(
    ("profile", "items"),
    [({}, (USER, CALL, RESULT)), ({"history_needs_tools": True}, (USER,)), (PROMPTED, (USER, CALL, RESULT))],
)
def test_no_stand_in_for_tools_is_sent_where_none_is_wanted(profile, items):
    request = write(Conversation(target(tools=(), **profile)), *items, tools=True)
    assert "no_tool" not in str(request)


def test_a_call_in_the_text_of_the_last_turn_is_text():
    leaked = '<tool_call>{"name": "measure", "arguments": {"place": "sea"}}</tool_call>'
    endpoint = ScriptedEndpoint([call("measure", {"place": "pond"}), leaked])
    result = Agent("m", endpoint=endpoint, tools=[measure], limits=Limits(turns=1)).run_sync("How deep?")
    assert (result.text, result.stop_reason) == (leaked, "turn_limit")


def test_the_schema_in_the_prompt_of_a_last_turn_speaks_of_no_calls():
    output = {"name": "depth", "schema": {"type": "object"}, "strict": False}
    conversation = Conversation(target(output=output, structured_output="prompt"))
    words = [write(conversation, USER, tools=tools, output=True)["instructions"] for tools in (True, False)]
    assert ["call a tool" in each for each in words] == [True, False]


@both_wires
def test_a_server_that_refuses_the_choice_of_none_gets_no_tools_in_the_last_turn(way):
    def answer(request):
        if request.json.get("tool_choice") == "none":
            return error_reply(400, "tool_choice 'none' is not supported by this model")
        return call_body(("measure", {"place": "sea"})) if "tools" in request.json else text_body("Deep.")

    with way.serving(answer, measure, limits=Limits(tool_calls=1)) as (agent, _):
        assert way.ask(agent).text == "Deep."


def test_a_server_that_ignores_the_choice_of_none_in_two_conversations_gets_no_tools_from_then_on():
    endpoint = ScriptedEndpoint(lambda request: call("measure", {"place": "sea"}) if "tools" in request else "Deep.")
    for question, text in (("How deep?", ""), ("How deep?", ""), ("And the lake?", ""), ("And the pond?", "Deep.")):
        agent = Agent("ignores-none", endpoint=endpoint, tools=[measure], limits=Limits(turns=1))
        assert agent.run_sync(question).text == text


@pytest.mark.parametrize("tools", [(), (measure,)])
def test_a_call_that_no_choice_forbade_teaches_nothing(tools):
    profile = {} if not tools else {"tool_choice": frozenset({"auto"})}
    conversation = Conversation(target(tools=tools, **profile))
    write(conversation, USER, tools=False)
    conversation.accept(Reply((CALL,)))
    assert conversation.take_notices() == []


# --- roles ---

TWO_QUESTIONS = (USER, Message("user", "And the sea?"))
NUDGED = (USER, CALL, RESULT, Message("user", "Your last reply was empty."))
PICTURE = (USER, CALL, replace(RESULT, images=(DOT,)), Message("assistant", "40 m."), USER)
PICTURES = (
    USER,
    CALL,
    replace(CALL, call_id="c2"),
    replace(RESULT, images=(DOT,)),
    ToolResult("c2", "", images=(DOT,)),
)
CUT = (Message("assistant", "40 m."), USER)
CUT_IN_A_TURN = (CALL, RESULT, Message("assistant", "40 m."))
THOUGHT_ONLY = (USER, Reasoning("Hm."), Message("assistant", ""), Message("user", "Your last reply was empty."))


@pytest.mark.parametrize("items", [TWO_QUESTIONS, NUDGED, PICTURE, PICTURES, CUT, CUT_IN_A_TURN, THOUGHT_ONLY])
@pytest.mark.parametrize("in_steps", [False, True])
@pytest.mark.parametrize("profile", [{"route": "chat"}, {}, {"tool_calling": "prompted"}])
def test_roles_alternate_where_the_profile_says_so(items, in_steps, profile):
    conversation = Conversation(target(alternating_roles=True, **profile))
    for end in range(1, len(items)):
        if in_steps and not isinstance(items[end], ToolResult):  # a model is asked when all calls have results
            write(conversation, *items[:end])
    request = write(conversation, *items)
    roles = [role_of(entry) for entry in request.get("messages") or request["input"] if role_of(entry) != "system"]
    assert roles[0] == "user"
    assert not [pair for pair in pairwise(roles) if pair in {("user", "user"), ("tool", "user")}]


def role_of(entry):
    return {"function_call": "assistant", "function_call_output": "tool"}.get(entry.get("type"), entry.get("role"))


def test_roles_stay_as_they_are_where_nothing_is_known():
    assert [message["role"] for message in messages(*NUDGED)] == ["user", "assistant", "tool", "user"]


# --- ids ---

MEANT = ["functions.measure:0", "call|7", "toolu 9", "глубина", "k" * 400, "call_1__thought__" + "QUJD" * 900]


@both_wires
@pytest.mark.parametrize("call_id", MEANT)
def test_an_id_comes_back_as_the_server_wrote_it(way, call_id):
    body = call_body(("measure", {"place": "pond"}))
    body["output"][0]["call_id"] = call_id
    with way.serving([body, text_body("40 m.")], measure) as (agent, server):
        way.ask(agent)
    sent = json.dumps(server.requests[1].json["messages" if way.dialect == "chat" else "input"], ensure_ascii=False)
    assert sent.count(json.dumps(call_id, ensure_ascii=False)) == 2


@pytest.mark.parametrize("call_id", MEANT)
def test_an_id_is_made_legal_for_a_server_that_takes_no_other(call_id):
    items = USER, replace(CALL, call_id=call_id), replace(RESULT, call_id=call_id)
    [made, answered] = [message for message in messages(*items, legal_call_ids=True) if message["role"] != "user"]
    assert made["tool_calls"][0]["id"] == answered["tool_call_id"] == "call_2"


def test_a_legal_id_is_sent_to_every_server():
    made = messages(USER, CALL, RESULT, legal_call_ids=True)[1]
    assert made["tool_calls"][0]["id"] == "c1"


def test_ids_that_clash_keep_the_name_of_their_function():
    conversation = Conversation(target())
    ids = ["functions.measure:0"] * 3 + ["functions.measure:2", "functions.other:9"] + ["functions.measure:0"]
    replies = [conversation.accept(Reply((replace(CALL, call_id=call_id),))) for call_id in ids]
    numbers = [0, 1, 2, 3, 4]
    assert [item.call_id for reply in replies for item in reply.items if "other" not in item.call_id] == [
        f"functions.measure:{number}" for number in numbers
    ]


# --- reasoning_content ---


@pytest.mark.parametrize(("replay", "sent"), [("required", ["Hm.", ""]), ("text", ["Hm.", None]), ("none", [None] * 2)])
def test_a_call_goes_back_with_its_reasoning(replay, sent):
    second = replace(CALL, call_id="c2"), ToolResult("c2", "9 m")
    written = messages(USER, Reasoning("Hm."), CALL, RESULT, *second, reasoning_replay=replay)
    assert [each.get("reasoning_content") for each in written if each.get("tool_calls")] == sent


def test_required_reasoning_goes_back_as_an_item_on_responses():
    request = write(Conversation(target(reasoning_replay="required")), USER, Reasoning("Hm."), CALL, RESULT)
    assert [item["type"] for item in request["input"]][1:3] == ["reasoning", "function_call"]


# --- reasoning that led to nothing ---

THOUGHT = Reasoning("", "gAAA", "rs_1")
LONE = {
    "asked again": (USER, THOUGHT, Message("user", "Your last reply was empty.")),
    "after a result": (USER, CALL, RESULT, THOUGHT, Message("user", "Your last reply was empty.")),
    "after an answer": (USER, Message("assistant", "40 m."), THOUGHT, USER),
    "after a call": (USER, CALL, THOUGHT, RESULT),
    "before an empty text": (USER, THOUGHT, Message("assistant", ""), USER),
    "before a system text": (USER, THOUGHT, Message("system", "Be brief."), USER),
    "at the end": (USER, THOUGHT),
}


@pytest.mark.parametrize("items", LONE.values(), ids=LONE)
@pytest.mark.parametrize("profile", [{}, {"tool_items": "message"}, {"reasoning_replay": "text"}])
def test_reasoning_that_led_to_nothing_is_left_out(items, profile):
    written = write(Conversation(target(**profile)), *items)["input"]
    assert not [item for item in written if item["type"] == "reasoning"]


def test_a_run_goes_on_after_a_reply_of_reasoning_alone():
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    alone = {"id": "r", "status": "completed", "output": [thought]}

    def answer(request):
        items = request["input"]
        return "40 m." if "empty" in str(items[-1]) and items[-2]["type"] != "reasoning" else alone

    assert Agent("m", endpoint=ScriptedEndpoint(answer)).run_sync("How deep?").text == "40 m."


# --- names that a model made up ---

MADE_UP = [
    "sea.depth.of",
    "find the depth",
    "",
    "$depth",
    'depth" unit="m',
    "mesurer_l'océan",
    "m" * 70,
    "a</arg>",
    "\n",
]
LEGAL = re.compile(r"[A-Za-z0-9_-]{1,64}")


@both_wires
@pytest.mark.parametrize("name", MADE_UP)
def test_a_made_up_name_is_legal_in_the_history_and_the_model_is_told_the_tools(way, name):
    with way.serving([call_body((name, {"x": 1})), text_body("I can't.")], measure) as (agent, server):
        result = way.ask(agent)
    history = server.requests[1].json["messages" if way.dialect == "chat" else "input"]
    made = [each["function"] for entry in history for each in entry.get("tool_calls", ())]
    made += [entry for entry in history if entry.get("type") == "function_call"]
    assert LEGAL.fullmatch(made[0]["name"])
    assert "The tools are: measure." in json.dumps(history)
    assert [item.name for item in result.items if isinstance(item, ToolCall)] == [name]


def test_a_made_up_name_is_legal_in_messages_of_a_tool():
    items = USER, ToolCall("c1", "sea.depth", "{}"), ToolResult("c1", "There is no such tool.", ok=False)
    written = write(Conversation(target(tool_items="message")), *items)["input"]
    assert (written[1]["tool_calls"][0]["function"]["name"], written[2]["name"]) == ("sea_depth", "sea_depth")

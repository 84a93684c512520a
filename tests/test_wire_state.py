"""What only the server of a reply understands, such as a signature, goes back to this server and to no other."""

import json

import pytest

from agentloop import (
    Agent,
    Endpoint,
    Message,
    ModelSettings,
    Opaque,
    Profile,
    Reasoning,
    Run,
    ServerState,
    ToolCall,
    ToolResult,
    tool,
)
from agentloop.items import Reply
from agentloop.loop.trim import measure
from agentloop.testing import ScriptedEndpoint
from agentloop.wire.conversation import Conversation
from agentloop.wire.model_target import ModelTarget
from agentloop.wire.streams.state import join_pieces
from loopback import Loopback, json_reply, sse_reply
from ways import RUN, STREAM, closing

SIGNED = "U2lnbmVkIQ=="
BOTH = pytest.mark.parametrize("way", [RUN, STREAM], ids=lambda way: way.name)


@tool
def weigh(thing: str) -> str:
    """Weigh a thing."""
    return f"{thing}: 3 kg"


def chat_call(function=None, **more):
    function = {"name": "weigh", "arguments": '{"thing": "cat"}', **(function or {})}
    return {"id": "c9", "type": "function", "function": function, **more}


CHAT = {
    "Gemini": {"tool_calls": [chat_call(extra_content={"google": {"thought_signature": SIGNED}})]},
    "LiteLLM": {"tool_calls": [chat_call({"provider_specific_fields": {"thought_signature": SIGNED}})]},
    "any field": {"tool_calls": [chat_call(thoughtSignature=SIGNED, vendor={"x": [1, None]}), chat_call(id="c10")]},
    "OpenRouter": {
        "reasoning": "A cat.",
        "reasoning_details": [{"type": "reasoning.encrypted", "data": SIGNED, "id": "rs_1", "index": 0}],
        "tool_calls": [chat_call()],
    },
    "Anthropic": {
        "content": "I weigh it.",
        "thinking_blocks": [{"type": "thinking", "thinking": "A cat.", "signature": SIGNED}],
        "tool_calls": [chat_call()],
    },
    "a message": {"extra_content": {"google": {"thought_signature": SIGNED}}, "tool_calls": [chat_call()]},
}


def on_chat(message):
    """Return a server that sends a message first, and the text "3 kg." from then on."""

    def answer(request):
        said = {"content": "3 kg."} if request.json["messages"][-1]["role"] == "tool" else message
        finish = "tool_calls" if "tool_calls" in said else "stop"
        if not request.json["stream"]:
            choice = {"index": 0, "message": {"role": "assistant", **said}, "finish_reason": finish}
            return json_reply({"id": "x", "choices": [choice]})
        calls = [{"tool_calls": [{"index": at, **each}]} for at, each in enumerate(said.get("tool_calls", ()))]
        deltas = [{"role": "assistant", **said, "tool_calls": []}, *calls]
        choices = [{"index": 0, "delta": delta} for delta in deltas] + [{"index": 0, "finish_reason": finish}]
        return sse_reply([("", {"id": "x", "choices": [choice]}) for choice in choices])

    return answer


def ask(way, answer, profile):
    """Return the second request that an agent sends, and its result."""
    with Loopback.in_thread(answer) as server:
        endpoint = Endpoint(server.base_url, profile=profile)
        with closing(Agent("m", endpoint=endpoint, tools=[weigh])) as agent:
            result = way.ask(agent, "How heavy is the cat?")
        return server.requests[1].json, result


@BOTH
@pytest.mark.parametrize("message", CHAT.values(), ids=CHAT)
def test_a_chat_message_goes_back_with_all_that_its_server_signed(way, message):
    request, result = ask(way, on_chat(message), Profile(route="chat"))
    sent = request["messages"][1]
    fields = {name: value for name, value in message.items() if name not in {"content", "reasoning"}}
    assert {name: sent[name] for name in fields} == fields
    assert Run.from_json(result.run.to_json()) == result.run


def test_other_fields_of_a_chat_message_are_not_sent_back():
    odd = {"annotations": [{"url": "x"}], "audio": None, "reasoning_details": [], "citations": ["y"]}
    request, _ = ask(RUN, on_chat({**odd, "tool_calls": [chat_call(extra_content=None)]}), Profile(route="chat"))
    assert request["messages"][1].keys() == {"role", "content", "tool_calls"}
    assert request["messages"][1]["tool_calls"][0].keys() == {"id", "type", "function"}


def test_a_signed_text_goes_back_with_its_signature():
    details = [{"type": "reasoning.text", "text": "A cat.", "signature": SIGNED}]
    conversation = conversation_with(route="chat")
    said = conversation.decode(
        json.dumps({"choices": [{"message": {"content": "Hi.", "reasoning_details": details}}]}).encode()
    )
    items = conversation.accept(said).items
    assert write(conversation, *items)["messages"][0] == {
        "role": "assistant",
        "content": "Hi.",
        "reasoning_details": details,
    }


RESPONSES = {
    "a call": [{"type": "function_call", "extra_content": {"google": {"thought_signature": SIGNED}}}],
    "a reasoning item": [{"type": "reasoning", "id": "rs_1", "signature": SIGNED, "format": "v1"}],
    "a part": [{"type": "reasoning", "id": "rs_1", "content": [{"type": "reasoning_text", "signature": SIGNED}]}],
    "a summary": [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "A cat.", "sig": SIGNED}]}
    ],
    "ciphertext": [{"type": "reasoning", "id": "rs_1", "encrypted_content": SIGNED, "format": "v1"}],
    "a text": [
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hm."}],
            "thought_signature": SIGNED,
        }
    ],
    "an unknown item": [{"type": "web_search_call", "id": "ws_1", "state": SIGNED}],
}


def on_responses(signed):
    call = {"type": "function_call", "call_id": "c9", "name": "weigh", "arguments": '{"thing": "cat"}'}
    output = [{**call, **signed[0]}] if signed[0]["type"] == "function_call" else [*signed, call]

    def answer(request):
        text = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "3 kg."}]}
        done = any(item["type"] == "function_call_output" for item in request.json["input"])
        response = {"id": "r", "status": "completed", "output": [text] if done else output}
        if not request.json["stream"]:
            return json_reply(response)
        events = [("response.output_item.done", {"output_index": at, "item": item}) for at, item in enumerate(output)]
        bare = [{name: value for name, value in item.items() if value != SIGNED} for item in response["output"]]
        end = ("response.completed", {"response": {**response, "output": bare}})
        return sse_reply([*(() if done else events), end])

    return answer


@BOTH
@pytest.mark.parametrize("signed", RESPONSES.values(), ids=RESPONSES)
def test_an_item_goes_back_with_all_that_its_server_signed(way, signed):
    request, result = ask(way, on_responses(signed), Profile())
    [sent] = [item for item in request["input"] if SIGNED in json.dumps(item)]
    assert {name: sent[name] for name in signed[0] if name != "content" or sent["type"] == "reasoning"} == {
        name: value for name, value in signed[0].items() if name != "content" or sent["type"] == "reasoning"
    }
    assert Run.from_json(result.run.to_json()) == result.run


# --- to the same server and model only ---


def conversation_with(base_url="http://here/v1", model="m", **profile):
    return Conversation(
        ModelTarget(
            base_url=base_url,
            model=model,
            instructions=None,
            tools=[weigh],
            settings=ModelSettings(),
            profile=Profile(**profile),
        )
    )


def write(conversation, *items):
    return json.loads(conversation.encode(items, tools=True, stream=False))


STATE = ServerState({"signature": SIGNED})
ITEMS = (
    Reasoning("A cat.", SIGNED, "rs_1"),
    Reasoning("A tom.", None, "rs_2", STATE),
    Opaque({"type": "web_search_call", "state": SIGNED}),
    Message("assistant", "I weigh it.", state=STATE),
    ToolCall("c9", "weigh", "{}", STATE),
)


def received(conversation):
    """Return the items as a run keeps them, with a result."""
    return (*conversation.accept(Reply(ITEMS)).items, ToolResult("c9", "3 kg"))


@pytest.mark.parametrize(
    ("elsewhere", "signed"),
    [
        ({}, 5),
        ({"base_url": "http://me:secret@here/v1?key=secret"}, 5),
        ({"base_url": "http://there/v1"}, 0),
        ({"model": "other"}, 0),
        ({"state_replay": False}, 2),
        ({"route": "chat"}, 0),
    ],
)
def test_signatures_go_only_to_the_server_and_model_that_made_them(elsewhere, signed):
    items = received(conversation_with(reasoning_replay="text"))
    body = write(conversation_with(**{"reasoning_replay": "text", **elsewhere}), *items)
    sent = body.get("input") or body["messages"]
    assert sum(SIGNED in json.dumps(item) for item in sent) == signed
    assert any("I weigh it." in json.dumps(item) for item in sent)
    assert (
        "A cat." in json.dumps(sent) or elsewhere.get("base_url", "").startswith("http://me") or not elsewhere or signed
    )


def test_where_an_item_came_from_holds_no_key():
    items = received(conversation_with("https://me:secret@here/v1?api_key=secret"))
    assert "secret" not in Run(run_id="r", items=items).to_json()
    assert {item.state.origin for item in items[:-1]} == {"https://here/v1 m /responses"}


def test_a_run_stored_before_there_was_state_is_read():
    stored = json.loads(Run(run_id="r", items=(ToolCall("c9", "weigh", "{}"),)).to_json())
    del stored["items"][0]["state"]
    assert Run.from_json(json.dumps(stored)).items == (ToolCall("c9", "weigh", "{}"),)


def test_reasoning_of_a_profile_without_replay_stays_here():
    items = received(conversation_with(reasoning_replay="none"))
    assert [item["type"] for item in write(conversation_with(reasoning_replay="none"), *items)["input"]] == [
        "web_search_call",
        "message",
        "function_call",
        "function_call_output",
    ]


def test_state_of_a_megabyte_is_not_kept():
    large = {"tool_calls": [chat_call(extra_content="x" * 1_000_001)]}
    _, result = ask(RUN, on_chat(large), Profile(route="chat"))
    assert [item.state for item in result.items if isinstance(item, ToolCall)] == [None]


def test_state_counts_in_the_models_window():
    large = ServerState({"signature": SIGNED * 100})
    assert measure(ToolCall("c9", "weigh", "{}", large)) > measure(ToolCall("c9", "weigh", "{}")) + 200


def test_calls_in_a_wrapper_keep_no_state_of_it():
    wrapped = json.dumps({"tool_uses": [{"recipient_name": "weigh", "parameters": {"thing": "dog"}}]})
    endpoint = ScriptedEndpoint([ToolCall("", "parallel", wrapped), "3 kg."])
    result = Agent("m", endpoint=endpoint, tools=[weigh]).run_sync("How heavy?")
    assert [item.state for item in result.items if isinstance(item, ToolCall)] == [None]


# --- pieces of a stream ---


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        ([], {}),
        ([{"a": 1}], {"a": 1}),
        ([{"a": 1}, {"a": None}, {"b": 2}, {"a": 3}], {"a": 3, "b": 2}),
        ([{"signature": "abc"}, {"signature": "abc"}], {"signature": "abc"}),
        ([{"signature": "abc"}, {"signature": "def"}], {"signature": "abcdef"}),
        ([{"signature": "ab"}, {"signature": "abcd"}, {"signature": "abcdef"}], {"signature": "abcdef"}),
        ([{"x": {"s": "ab"}}, {"x": {"t": [1]}}, {"x": {"s": "cd"}}], {"x": {"s": "abcd", "t": [1]}}),
        ([{"text": "ha"}, {"text": "ha"}, {"text": "!"}], {"text": "haha!"}),
        ([{"text": "on"}, {"text": "ly"}, {"text": "only"}], {"text": "only"}),
        ([{"a": "x"}, {"a": 5}], {"a": 5}),
        ([{"l": [1]}, {"l": [2, "b"]}], {"l": [1, 2, "b"]}),
    ],
)
def test_pieces_are_joined(pieces, whole):
    assert join_pieces(pieces) == whole


def text(words, **more):
    return {"type": "reasoning.text", "text": words, **more}


def ciphertext(item_id):
    return {"type": "reasoning.encrypted", "data": SIGNED + item_id, "id": item_id, "index": 0}


@pytest.mark.parametrize(
    ("details", "whole"),
    [
        (  # OpenRouter
            [[text("A ", index=0)], [text("cat.", index=0)], [text("", index=0, signature=SIGNED)]],
            [text("A cat.", index=0, signature=SIGNED)],
        ),
        (  # MiniMax: each time all that came before
            [[text("A", index=0, id="r1")], [text("A cat", index=0, id="r1")], [text("A cat.", index=0, id="r1")]],
            [text("A cat.", index=0, id="r1")],
        ),
        (  # Anthropic behind LiteLLM: without an index
            [[text("A ")], [text("cat.")], [text("", signature="s1")], [text("A tom.")], [text("", signature="s2")]],
            [text("A cat.", signature="s1"), text("A tom.", signature="s2")],
        ),
        (  # Gemini behind OpenRouter: one for each call
            [[ciphertext("c1")], [ciphertext("c2")], [ciphertext("c2")]],
            [ciphertext("c1"), ciphertext("c2")],
        ),
        (
            [[text("A cat.", index=0)], [{"type": "reasoning.summary", "summary": "Cat", "index": 0}]],
            [text("A cat.", index=0), {"type": "reasoning.summary", "summary": "Cat", "index": 0}],
        ),
    ],
)
def test_details_of_reasoning_are_joined(details, whole):
    assert join_pieces([{"reasoning_details": entries} for entries in details]) == {"reasoning_details": whole}

"""What a user may say to an agent: texts, images, items, messages as OpenAI's APIs have them, and mixtures."""

import base64
from types import MappingProxyType

import pytest
from openai.types.chat import ChatCompletionMessage
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage

from agentloop import Agent, ConfigurationError, Image, Message, Opaque, Reasoning, Text, ToolCall, ToolResult
from agentloop.testing import ScriptedEndpoint

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PICTURE = Image.from_bytes(PNG)
LOOK = Message("user", (Text("look"), PICTURE))
CALL = ToolCall("call_1", "add", '{"a": 1}')
FUNCTION = {"name": "add", "arguments": '{"a": 1}'}


def items_of(said, **options):
    """Return the items of a run before the answer."""
    agent = Agent("m", endpoint=ScriptedEndpoint(lambda _: "hi"))
    return agent.run_sync(said, **options).items[:-1]


ONE = {
    "text": ("look", [Message("user", "look")]),
    "empty text": ("", [Message("user", "")]),
    "image": (PICTURE, [Message("user", (PICTURE,))]),
    "message": (LOOK, [LOOK]),
    "texts and images": (["look", PICTURE], [LOOK]),
    "a Text": ((Text("look"), PICTURE), [LOOK]),
    "parts around an item": (
        ["a", "b", Message("assistant", "c"), "d", PICTURE],
        [Message("user", ("a", "b")), Message("assistant", "c"), Message("user", ("d", PICTURE))],
    ),
    "a generator": ((each for each in ("look", PICTURE)), [LOOK]),
    "a dict": ({"role": "user", "content": "look"}, [Message("user", "look")]),
    "another mapping": (MappingProxyType({"role": "user", "content": "look"}), [Message("user", "look")]),
    "dicts and parts": (
        [{"role": "system", "content": "Be kind."}, "look", PICTURE],
        [Message("system", "Be kind."), LOOK],
    ),
}


@pytest.mark.parametrize(("said", "items"), ONE.values(), ids=ONE)
def test_whatever_is_said_becomes_items(said, items):
    assert list(items_of(said)) == items


def test_a_history_takes_the_same():
    history = [{"role": "user", "content": "I am Ada."}, {"role": "assistant", "content": "Hello, Ada."}]
    expected = (Message("user", "I am Ada."), Message("assistant", "Hello, Ada."), Message("user", "And I?"))
    assert items_of("And I?", history=history) == expected
    assert items_of("And I?", history="Hello.")[0] == Message("user", "Hello.")


def url(address):
    return {"type": "image_url", "image_url": {"url": address}}


DICTS = {
    "developer": ({"role": "developer", "content": "Be kind."}, [Message("system", "Be kind.")]),
    "chat parts": (
        {"role": "user", "content": [{"type": "text", "text": "look"}, url(PICTURE.url)]},
        [LOOK],
    ),
    "responses parts": (
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": PICTURE.url}],
        },
        [LOOK],
    ),
    "texts as parts": ({"role": "user", "content": ["a", "b"]}, [Message("user", ("a", "b"))]),
    "an answer": (
        {
            "role": "assistant",
            "content": [{"type": "output_text", "text": "hi", "annotations": []}],
            "phase": "final_answer",
        },
        [Message("assistant", "hi", phase="final_answer")],
    ),
    "a refusal": (
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        [Message("assistant", "no")],
    ),
    "no content": ({"role": "assistant", "content": None}, [Message("assistant", "")]),
    "chat call": (
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": FUNCTION}],
        },
        [CALL],
    ),
    "thinking, text and call": (
        {
            "role": "assistant",
            "reasoning_content": "Hm.",
            "content": "I add.",
            "tool_calls": [{"id": "call_1", "function": {"name": "add", "arguments": {"a": 1}}}],
        },
        [Reasoning("Hm."), Message("assistant", "I add."), CALL],
    ),
    "call item": ({"type": "function_call", "call_id": "call_1", "id": "fc_1", **FUNCTION}, [CALL]),
    "reasoning item": (
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "x",
        },
        [Reasoning("Hm.", "x", "rs_1")],
    ),
    "another item": (
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        [Opaque({"type": "web_search_call", "id": "ws_1", "status": "completed"})],
    ),
}


@pytest.mark.parametrize(("said", "items"), DICTS.values(), ids=DICTS)
def test_messages_and_items_of_both_routes_are_read(said, items):
    found = items_of([said, {"role": "user", "content": "go on"}])
    assert [item for item in found if not isinstance(item, ToolResult)][: len(items)] == items


@pytest.mark.parametrize(
    "result",
    [
        {"role": "tool", "tool_call_id": "call_1", "content": "3"},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "3"}]},
        {"type": "function_call_output", "call_id": "call_1", "output": "3"},
        {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "3"}]},
    ],
)
def test_results_of_tools_are_read(result):
    call = {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": FUNCTION}]}
    assert items_of(["add", call, result]) == (Message("user", "add"), CALL, ToolResult("call_1", "3"))


def test_models_of_the_openai_sdk_are_read():
    said = ChatCompletionMessage.model_validate({"role": "assistant", "content": "hi"})
    answer = ResponseOutputMessage.model_validate(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "there", "annotations": []}],
        }
    )
    call = ResponseFunctionToolCall(type="function_call", call_id="call_1", name="add", arguments='{"a": 1}')
    result = {"type": "function_call_output", "call_id": "call_1", "output": "3"}
    assert items_of([said, answer, call, result, "go on"]) == (
        Message("assistant", "hi"),
        Message("assistant", "there"),
        CALL,
        ToolResult("call_1", "3"),
        Message("user", "go on"),
    )


WRONG = {
    "a number": (3, "holds a int, which is no item"),
    "bytes": ([b"look"], "holds a bytes"),
    "nothing": (None, "holds a NoneType"),
    "no role": ({"content": "look"}, "neither a role nor a type"),
    "another role": ({"role": "robot", "content": "x"}, "no role 'robot'"),
    "a role that is no text": ({"role": ["user"], "content": "x"}, "no role"),
    "a content that is no text": ({"role": "user", "content": 3}, "its content is a int"),
    "a part of a type that can't be sent": (
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
        "can't send a part of the type 'input_audio'",
    ),
    "a part of a type that is no text": (
        {"role": "user", "content": [{"type": ["text"], "text": "x"}]},
        "can't send a part of the type",
    ),
    "a part that is nothing": ({"role": "user", "content": [7]}, "can't send a part of the type None"),
    "a part without its text": ({"role": "user", "content": [{"type": "text"}]}, "'text' is missing"),
    "a file as an image": ({"role": "user", "content": [url("file:///etc/passwd")]}, "not the address of an image"),
    "an image without an address": ({"role": "user", "content": [url(None)]}, "'url' is missing"),
    "a result without an id": ({"role": "tool", "content": "3"}, "'tool_call_id' is missing"),
    "an id that is a number": ({"role": "tool", "tool_call_id": 7, "content": "3"}, "'tool_call_id' is a int"),
    "a call without a function": ({"role": "assistant", "tool_calls": [{"id": "x"}]}, "has no function"),
    "calls that are no list": ({"role": "assistant", "tool_calls": {"id": "x"}}, "tool_calls are a dict"),
    "a call without a name": ({"type": "function_call", "call_id": "x", "arguments": "{}"}, "'name' is missing"),
}


@pytest.mark.parametrize(("said", "words"), WRONG.values(), ids=WRONG)
def test_what_is_no_item_is_an_error_that_shows_it(said, words):
    with pytest.raises(ConfigurationError, match=words) as raised:
        items_of(said)
    assert str(raised.value).startswith("input holds ")
    with pytest.raises(ConfigurationError, match="history holds "):
        items_of("go", history=said)


def test_a_long_wrong_message_is_shown_in_part():
    with pytest.raises(ConfigurationError) as raised:
        items_of({"role": "robot", "content": "x" * 10_000})
    assert len(raised.value.message) < 300

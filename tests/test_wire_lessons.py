"""What may be learned from a refusal, and for how long: from the server's own words, or what two runs have seen."""

import json
from dataclasses import dataclass, replace
from typing import Annotated

import pytest
from pydantic import Field

from agentloop import (
    ContextOverflowError,
    Message,
    ModelSettings,
    Opaque,
    Profile,
    Reasoning,
    RefusedError,
    ToolCall,
    ToolResult,
    tool,
)
from agentloop.endpoint.profile_store import lessons_path
from agentloop.schema import restrict
from agentloop.wire.formats.chat import ChatCompletions
from agentloop.wire.payload import dump
from agentloop.wire.profile.failures import read_error
from agentloop.wire.profile.lessons import LESSONS
from agentloop.wire.profile.quotes import unquote
from agentloop.wire.profile.refusals import Sent, draw_lessons
from loopback import call_body, error_reply, json_reply, text_body
from ways import PROFILES, both_on_responses, both_wires, each_route, ours, serving

SCHEMA = {
    "type": "object",
    "properties": {
        "format": {"type": "integer", "exclusiveMinimum": 0},
        "day": {"type": "string", "format": "date", "default": "today"},
    },
    "additionalProperties": False,
}
BODY = {"model": "m", "stream": True, "temperature": 0.5, "tools": [{"type": "function", "parameters": SCHEMA}]}
ASKED = Message("user", "Which day is it?")
CALL, RESULT = ToolCall("functions.day:0", "day", "{}"), ToolResult("functions.day:0", "Monday")
TURN = (ASKED, CALL, RESULT)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def lessons(words, *, status=400, body=BODY, items=TURN, code="", **profile):
    error = read_error(status, {}, dump({"error": {"message": words, "code": code}}))
    sent = Sent(body, has_results=any(isinstance(item, ToolResult) for item in items), items=items)
    return list(draw_lessons(error, Profile(**profile), sent))


def fields(words, **options):
    return [lesson.field for lesson in lessons(words, **options)]


def stored():
    path = lessons_path()
    return [entry["field"] for entry in json.loads(path.read_text())["learned"]] if path.exists() else []


# --- what a message is about ---


@pytest.mark.parametrize(
    ("words", "field", "now"),
    [
        ("thinking is on, but reasoning_content is missing in message 3", "reasoning_replay", "required"),
        ("Missing field `reasoning_content` in assistant message", "reasoning_replay", "required"),
        ("The reasoning_content must be sent back", "reasoning_replay", "required"),
        ("Expected last role User or Tool, but got assistant", "alternating_roles", True),
        ("Conversation roles must alternate user/assistant", "alternating_roles", True),
        ("found multiple user roles in a row", "alternating_roles", True),
        ("messages.1.tool_use.id: String should match pattern '^[a-z]+$'", "legal_call_ids", True),
        ("Invalid 'input[1].call_id': string too long, maximum length is 64", "legal_call_ids", True),
        ("messages.1.content: input should be a valid string", "call_content", "empty"),
        ("'content' is a required property", "call_content", "empty"),
        ("null is not a valid content of a message", "call_content", "empty"),
        ('can only concatenate str (not "NoneType") to str', "call_content", "empty"),
        ("the content of message 1 must not be empty", "call_content", "absent"),
    ],
)
def test_a_history_that_is_refused_is_written_in_the_way_that_the_words_ask_for(words, field, now):
    items = (*TURN, Message("user", "And then?"))
    [first, *_] = lessons(words, route="chat", items=items)
    assert (first.field, first.now, first.is_passing, first.is_weak) == (field, now, False, False)


@pytest.mark.parametrize(
    ("words", "items", "profile"),
    [
        ("reasoning_content is missing", TURN, {"reasoning_replay": "required"}),
        ("roles must alternate", TURN, {}),
        ("roles must alternate", (ASKED, Message("assistant", "Monday."), ASKED), {}),
        ("roles must alternate", (ASKED, ASKED), {"alternating_roles": True}),
        ("Invalid call_id: too long", (ASKED, ToolCall("c1", "day", "{}"), ToolResult("c1", "Monday")), {}),
        ("Invalid call_id: too long", TURN, {"legal_call_ids": True}),
        ("content must be a string, not null", (ASKED,), {}),
        ("content must be a string, not null", (ASKED, Message("assistant", "Well:"), CALL, RESULT), {}),
        ("content must not be empty", TURN, {"empty_results": False, "tool_calling": "prompted"}),
        ("content must be a string", (ASKED, Reasoning("Hm."), Message("assistant", "Monday.")), {}),
    ],
)
def test_words_about_what_was_not_sent_change_nothing(words, items, profile):
    assert fields(words, items=items, **{"route": "chat", **profile}) == []


@pytest.mark.parametrize("first", ["user", "assistant"])
def test_roles_that_do_not_alternate_are_those_of_the_user(first):
    items = (Message(first, "Hi."), Reasoning("hm"), Message("user", "Well?"))
    assert fields("roles must alternate", items=items, route="chat") == ["alternating_roles"]


def test_an_empty_result_is_told_in_words_before_the_calls_are_spelled_otherwise():
    empty = (ASKED, CALL, ToolResult(CALL.call_id, ""))
    found = lessons("a text block must be non-empty", items=empty, route="chat")
    assert [(lesson.field, lesson.now) for lesson in found] == [
        ("empty_results", False),
        ("call_content", "absent"),
        ("call_content", "empty"),
    ]


def test_a_history_of_calls_that_needs_tools_gets_them():
    words = "The toolConfig field must be defined when the history holds tools"
    assert fields(words, body={"model": "m"}, route="chat") == ["history_needs_tools"]
    assert fields(words, body={"model": "m"}, route="chat", history_needs_tools=True) == []


def test_reasoning_that_a_server_does_not_take_back_is_left_out():
    items = (ASKED, Reasoning("Let me see."), Message("assistant", "Monday."))
    for words in ("property 'reasoning_content' is unsupported", "input[1]: unknown type 'reasoning'"):
        assert fields(words, items=items) == ["reasoning_replay"]
        assert fields(words, items=(ASKED,)) == []


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("Unknown name \"exclusiveMinimum\" at 'parameters.properties[0]': Cannot find field.", {"exclusiveMinimum"}),
        ("In context=('properties', 'format'), 'additionalProperties' is not permitted.", {"additionalProperties"}),
        ("unsupported keywords: 'format', 'default'", {"format", "default"}),
        ("schema keyword format is not supported", {"format"}),
        ("additionalProperties and exclusiveMinimum are not allowed", {"additionalProperties", "exclusiveMinimum"}),
        ("'additionalProperties' is required to be false: schema not accepted", set()),
        ("this format is not supported", set()),
        ("'minimum' is not supported", set()),
        ("'properties' is not supported", set()),
    ],
)
def test_a_keyword_that_is_refused_by_its_name_is_left_out(words, named):
    changed = [Profile().schema_keywords - each.now for each in lessons(words) if each.field == "schema_keywords"]
    assert changed == ([named] if named else [])


@pytest.mark.parametrize(
    "words",
    [
        "Tool calling is not supported in streaming mode",
        "this backend cannot stream while tools are enabled: not supported",
        "tool messages must not be empty",
        "the tool call 'c1' was not found",
        "tool names must not contain spaces",
        "messages with role 'tool' must follow an assistant message with tool_calls",
    ],
)
def test_words_that_only_mention_tools_do_not_take_them_away(words):
    assert "tool_calling" not in fields(words)


@pytest.mark.parametrize(
    "words",
    [
        "Your API key has expired",
        "The model `tiny` is not available in your region",
        "file-123 is no known file",
        "top_p must be between 0 and 1",
        "The request timed out",
        "this account has no credit",
    ],
)
def test_after_a_tools_result_a_400_about_something_else_is_no_question_of_its_form(words):
    assert fields(words, items=TURN) == []


@pytest.mark.parametrize(
    ("words", "tool_items"),
    [("unknown type 'function_call_output'", "native"), ("role: tool is none of ours", "message")],
)
def test_a_400_that_names_the_form_of_a_result_proves_more_than_one_that_does_not(words, tool_items):
    named, *_ = lessons(words, tool_items=tool_items)
    bare, *_ = lessons("Bad Request", tool_items=tool_items)
    assert (named.field, named.is_weak) == ("tool_items", False)
    assert (bare.field, bare.is_weak) == ("tool_items", True)


def test_a_failed_download_proves_nothing_about_the_form_of_a_result():
    [first, *_] = lessons("could not download the file in function_call_output")
    assert (first.field, first.is_weak) == ("tool_items", True)


def test_a_page_of_the_manual_is_no_refused_path():
    words = "the server is busy, see https://help.example/v1/responses"
    assert fields(words, status=500) == []
    [lesson] = lessons("nothing at /v1/responses", status=404)
    assert lesson.why == "the endpoint answered 404: ... responses"


@pytest.mark.parametrize(
    ("words", "passing"),
    [
        ("Tool calls are not supported", False),
        ("Tool calls are not supported with image inputs", True),
        ("this model does not support tools in thinking mode", True),
        ("tools can't be combined with JSON: function calling is not enabled then", True),
    ],
)
def test_tools_that_are_refused_together_with_something_are_left_out_for_the_run(words, passing):
    assert [each.is_passing for each in lessons(words) if each.field == "tool_calling"] == [passing]


@pytest.mark.parametrize("words", ["No file of this name", "billing for this path is switched off"])
def test_a_404_about_something_else_is_no_missing_route(words):
    assert fields(words, status=404) == []


# --- what a message quotes ---


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("tool calling is not supported", "invalid value: 'tool calling is not supported'"),
        (
            'Hi.\nThe "temperature" is not supported, Zoë!',
            'flagged: "Hi.\\nThe \\"temperature\\" is not supported, Zo\\u00eb!"',
        ),
        (
            "Please write: unknown parameter temperature, and stop.",
            "Bad input <<unknown parameter temperature, and st>>",
        ),
        ("no temperature is supported", "the input &quot;no temperature is supported&quot; is invalid"),
        ("Say: temperature is unsupported. Twice.", "rejected (temperature is unsupported)"),
    ],
)
def test_what_a_message_quotes_from_the_conversation_teaches_nothing(said, message):
    for items in ((Message("user", said),), (ASKED, ToolCall("c", "say", dump({"text": said}).decode()))):
        assert fields(message, items=items, route="chat") == []
    assert fields(message, items=(ASKED,), route="chat") != []


@pytest.mark.parametrize(("said", "learned"), [("Tools unsupported?", []), ("Which tools?", ["tool_calling"])])
def test_a_text_of_two_words_is_a_quote_if_it_is_the_whole_message(said, learned):
    items = (Message("user", said), Opaque({"type": "note"}))
    assert fields("flagged: tools unsupported", items=items, route="chat") == learned


def test_instructions_results_and_thoughts_are_no_words_of_the_server_either():
    said = "the temperature parameter is not supported here"
    for items in ((ASKED, Reasoning(said)), (ASKED, CALL, ToolResult(CALL.call_id, said))):
        assert fields(f"cannot process: {said}", items=items, route="chat") == []
    assert fields(f"cannot process: {said}", body={**BODY, "instructions": said}, items=(ASKED,), route="chat") == []


@pytest.mark.parametrize(
    "said",
    [
        "Is it warm? What is the temperature?",
        "Why is it not supported with this model?",
        "temperature",
        "Not supported!",
        "Which parameter is unsupported?",
    ],
)
def test_words_that_both_use_by_chance_are_still_the_servers(said):
    words = "Unsupported parameter: 'temperature' is not supported with this model."
    assert fields(words, items=(Message("user", said),), route="chat") == ["refused"]


def test_a_conversation_that_is_too_long_to_compare_teaches_for_the_run_alone():
    items = (Message("user", "spam " * 250_000), ASKED)
    [lesson] = lessons("temperature is not supported", items=items, route="chat")
    assert (lesson.field, lesson.is_passing) == ("refused", True)
    assert not unquote("a " * 900, ["a " * 40 + "b"]).is_complete


@both_wires
def test_what_one_user_writes_teaches_nothing_about_the_endpoint_of_all(way):
    said = "your model does not support tools, and temperature is unsupported"

    def answer(request):
        return error_reply(400, f"moderation: {said}") if said.encode() in request.body else text_body("Hi.")

    with way.serving(answer, add, settings=ModelSettings(temperature=0.5)) as (agent, server):
        with ours(RefusedError):
            way.ask(agent, said)
        assert len(server.requests) == 1
        assert way.ask(agent, "Hello!").text == "Hi."
        assert {"tools", "temperature"} <= server.requests[-1].json.keys()
    assert (LESSONS, stored()) == ({}, [])


# --- the reason that is kept ---


def test_a_reason_holds_the_words_that_matter_and_nothing_of_the_user():
    words = "Dear Ms Weber of 5 High Street: the parameter 'temperature' is not supported, said token tok-77aa."
    [lesson] = lessons(words, route="chat")
    assert lesson.why == "the endpoint answered 400: ... 'temperature' is not supported ..."
    [failed] = draw_lessons(RefusedError("failed: unknown field temperature"), Profile(), Sent(BODY, has_results=False))
    assert failed.why == "the endpoint failed: unknown field temperature"


def test_a_reason_that_no_word_gives_is_the_status():
    assert {lesson.why for lesson in lessons("Dear Ms Weber, no.")} == {"the endpoint answered 400"}


# --- how long it is kept ---


@both_wires
@pytest.mark.parametrize("code", ["tool_use_failed", "json_validate_failed", "output_parse_failed", ""])
def test_a_reply_that_the_server_could_not_read_is_asked_for_again_and_teaches_nothing(way, code):
    words = "Tool call validation failed: tools are not supported with additionalProperties 'label'"
    error = {"error": {"message": words, "type": "invalid_request_error", "code": code}}
    with way.serving([json_reply(error, 400, {"retry-after": "0"}), text_body("Hi.")], add) as (agent, server):
        assert way.ask(agent).text == "Hi."
    first, again = (request.json for request in server.requests)
    assert first == again
    assert (LESSONS, stored()) == ({}, [])


@both_on_responses
def test_a_bare_400_after_a_result_holds_for_the_run_until_a_second_run_has_seen_it(way):
    def answer(request):
        kinds = [item["type"] for item in request.json["input"]]
        if "function_call_output" in kinds:
            return error_reply(400, "Bad Request")
        return text_body("3.") if len(kinds) > 1 else call_body(("add", {"a": 1, "b": 2}))

    with way.serving(answer, add) as (agent, server):
        counts = []
        for _ in range(3):
            assert way.ask(agent).text == "3."
            counts.append(len(server.requests))
            assert stored() == (["tool_items"] if len(counts) > 1 else [])
        assert counts == [3, 6, 8]
    [lesson] = LESSONS[server.base_url, "any"]
    assert lesson.times == 2


@both_on_responses
def test_a_success_refutes_what_was_seen_once(way):
    """Once in a while a server is out of order. What it did not mean must not add up."""
    ill = True

    def answer(request):
        items = request.json["input"]
        if ill and any(item["type"] == "function_call_output" for item in items):
            return error_reply(400, "Bad Request")
        return text_body("3.") if len(items) > 1 else call_body(("add", {"a": 1, "b": 2}))

    with way.serving(answer, add) as (agent, server):
        for _ in range(4):
            assert way.ask(agent).text == "3."
            ill = not ill
        assert len(server.requests) == 3 + 2 + 3 + 2
    assert (LESSONS, stored()) == ({}, [])


@dataclass
class Trip:
    city: str


PLAIN, FORMED = text_body("I can't say."), text_body('{"city": "Lille"}')


def forms(server):
    """Return how each request asked for the schema."""
    asked = [request.json for request in server.requests]
    return [
        body.get("text", {}).get("format", {}).get("type") or body.get("response_format", {}).get("type")
        for body in asked
    ]


def test_one_answer_in_words_does_not_prove_that_schemas_are_ignored():
    script = [PLAIN, FORMED, FORMED]
    with serving(script, output=Trip) as (agent, server):
        for question in ("Where to?", "And then?"):
            assert agent.run_sync(question).output == Trip("Lille")
        assert "text" in server.requests[-1].json
    assert (LESSONS, stored()) == ({}, [])


@pytest.mark.parametrize(("second", "learned"), [("And then?", ["structured_output"]), ("Where to?", [])])
def test_answers_in_words_to_different_questions_do(second, learned):
    with serving([PLAIN, FORMED] * 2, output=Trip) as (agent, _):
        for question in ("Where to?", second):
            assert agent.run_sync(question).output == Trip("Lille")
    assert stored() == learned


def test_a_form_that_the_server_refuses_is_not_the_one_that_it_did_not_ignore():
    def answer(request):
        if "response_format" in request.json:
            return error_reply(400, "Unsupported parameter: 'response_format' has moved to 'text.format'")
        return PLAIN if len(request.json["input"]) == 1 else FORMED

    with serving(answer, output=Trip) as (agent, server):
        assert agent.run_sync("Where to?").output == Trip("Lille")
        assert forms(server) == ["json_schema", "json_schema", "json_schema"]
        assert "response_format" in server.requests[1].json
    assert stored() == []


@both_on_responses
def test_a_form_that_was_refuted_is_not_tried_again_in_the_run(way):
    def answer(request):
        if "response_format" in request.json:
            return error_reply(400, "Unsupported parameter: 'response_format'")
        return PLAIN if len(request.json["input"]) < 5 else FORMED

    with way.serving(answer, output=Trip) as (agent, server):
        assert way.ask(agent, "Where to?").output == Trip("Lille")
        assert sum("response_format" in request.json for request in server.requests) == 1


# --- the size of the window ---


HISTORY = [Message(role, f"{at}: {'x' * 200}") for at in range(20) for role in ("user", "assistant")]


def window_server(status, words, most=20):
    """Return a server that refuses more than so many items."""

    def answer(request):
        items = request.json.get("input") or request.json["messages"]
        return error_reply(status, words) if len(items) > most else text_body("Hi.")

    return answer


@both_wires
def test_a_window_is_kept_when_a_shorter_request_has_succeeded(way):
    words = "This model's maximum context length is 600 tokens, said Ms Weber"
    with way.serving(window_server(400, words)) as (agent, server):
        assert way.ask(agent, history=HISTORY).text == "Hi."
    [lesson] = LESSONS[server.base_url, "any"]
    assert (lesson.field, lesson.now) == ("context_tokens", 600)
    assert "600 tokens" in lesson.why
    assert "Weber" not in lesson.why


@each_route
def test_a_window_is_not_kept_when_no_request_has_succeeded(way):
    words = "maximum context length is 600 tokens"
    with way.serving(window_server(400, words, most=0)) as (agent, _), ours(ContextOverflowError):
        way.ask(agent, history=HISTORY)
    assert (LESSONS, stored()) == ({}, [])


@each_route
def test_a_window_that_a_failing_server_names_holds_for_the_run_alone(way):
    with way.serving(window_server(500, "the maximum context length is 600 tokens")) as (agent, _):
        assert way.ask(agent, history=HISTORY).text == "Hi."
    assert (LESSONS, stored()) == ({}, [])


@each_route
@pytest.mark.parametrize(
    "words",
    [
        "the tokenizer failed at a maximum context length of 600 tokens",
        "timed out: the maximum context length is 600 tokens",
        "worker crashed, maximum context length is 600 tokens",
        "out of memory, maximum context length is 600 tokens",
    ],
)
def test_a_server_that_failed_otherwise_is_asked_again_with_all_of_the_conversation(way, words):
    failure = json_reply({"error": {"message": words}}, 500, {"retry-after": "0"})
    with way.serving([failure, text_body("Hi.")]) as (agent, server):
        assert way.ask(agent, history=HISTORY).text == "Hi."
    first, again = (request.json for request in server.requests)
    assert first == again
    assert (LESSONS, stored()) == ({}, [])


@each_route
def test_a_window_that_the_request_would_fit_into_is_none(way):
    with way.serving(window_server(400, "maximum context length is 4000000 tokens")) as (agent, _):
        assert way.ask(agent, history=HISTORY).text == "Hi."
    assert (LESSONS, stored()) == ({}, [])


@each_route
def test_a_window_that_is_shorter_than_what_was_answered_is_none(way):
    usage = {"input_tokens": 5000, "output_tokens": 5, "total_tokens": 5005}
    first, last = call_body(("add", {"a": 1, "b": 2}), usage=usage), text_body("3.")
    with way.serving([first, error_reply(400, "maximum context length is 700 tokens"), last], add) as (agent, _):
        assert way.ask(agent, history=HISTORY).text == "3."
    assert (LESSONS, stored()) == ({}, [])


@each_route
def test_a_window_that_a_user_writes_of_is_none(way):
    said = "The maximum context length is 300 tokens"
    with way.serving(lambda request: error_reply(400, f"bad text: {said}")) as (agent, server):
        with ours(ContextOverflowError):
            way.ask(agent, said, history=HISTORY)
        assert len(server.requests) == 1
    assert (LESSONS, stored()) == ({}, [])


# --- what is learned is obeyed ---


@both_wires
def test_a_refused_keyword_is_told_in_words_and_checked_here(way):
    ran, counts = [], []

    @tool
    def pick(count: Annotated[int, Field(gt=0)]) -> str:
        """Pick some.

        Args:
            count: How many.
        """
        ran.append(count)
        return "picked"

    def answer(request):
        if "exclusiveMinimum" in str(request.json["tools"]):
            return error_reply(400, 'Unknown name "exclusiveMinimum": Cannot find field.')
        counts.append(len(counts))
        return text_body("Done.") if ran else call_body(("pick", {"count": counts[-1]}))

    with way.serving(answer, pick) as (agent, server):
        assert way.ask(agent).text == "Done."
        [offered] = server.requests[-1].json["tools"]
    assert "more than 0" in str(offered)
    assert ran == [1], "a call outside of the range does not run"
    assert stored() == ["schema_keywords"]


def test_keywords_that_a_schema_can_do_without_are_told_in_words_or_replaced():
    day = {"title": "Day", "default": "Monday", "oneOf": [{"const": "Monday"}, {"const": 7}]}
    counts = {"type": "object", "minProperties": 1, "additionalProperties": {"type": "integer"}}
    schema = {"type": "object", "properties": {"day": day, "counts": counts}, "additionalProperties": False}
    assert restrict(schema, Profile().schema_keywords) == schema
    assert restrict(schema, frozenset()) == {
        "type": "object",
        "properties": {
            "day": {"anyOf": [{"enum": ["Monday"]}, {"enum": [7]}], "description": 'Default "Monday"'},
            "counts": {"type": "object", "description": "At least 1 properties"},
        },
        "description": "No other properties",
    }


@each_route
def test_without_additional_properties_nothing_is_strict(way):
    profile = replace(PROFILES[way.dialect], schema_keywords=Profile().schema_keywords - {"additionalProperties"})
    with way.serving([FORMED], add, output=Trip, endpoint={"profile": profile}) as (agent, server):
        assert way.ask(agent).output == Trip("Lille")
    assert b"additionalProperties" not in server.requests[0].body
    assert b'"strict":true' not in server.requests[0].body


@pytest.mark.parametrize(
    ("spelling", "content"),
    [("null", {"content": None}), ("empty", {"content": ""}), ("absent", {})],
)
def test_a_call_without_text_is_spelled_as_the_profile_says(spelling, content):
    _, sent, _ = map(json.loads, ChatCompletions().encode_items(TURN, Profile(call_content=spelling)))
    assert {name: value for name, value in sent.items() if name == "content"} == content
    assert sent["tool_calls"]


@both_wires
def test_an_empty_result_that_is_refused_is_sent_as_a_note_from_then_on(way):
    @tool
    def wipe() -> str:
        """Wipe the table."""
        return ""

    def answer(request):
        items = request.json.get("input") or request.json["messages"]
        if items[-1].get("output", items[-1].get("content")) == "":
            return error_reply(400, "the content of a tool's message must not be empty")
        return call_body(("wipe", {})) if len(items) < 3 else text_body("Done.")

    with way.serving(answer, wipe) as (agent, server):
        for _ in range(2):
            assert way.ask(agent).text == "Done."
        assert len(server.requests) == 5
        assert b"(empty)" in server.requests[-1].body
    assert stored() == ["empty_results"]

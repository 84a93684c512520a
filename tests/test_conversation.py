"""Which dialect is spoken, how often an item is encoded, and whose call ids they are."""

import asyncio
import json
from dataclasses import replace

import pytest

from agentloop import (
    Agent,
    AuthenticationError,
    ConfigurationError,
    ContextOverflowError,
    Endpoint,
    Limits,
    Message,
    ModelSettings,
    NotFoundError,
    Notice,
    Profile,
    Reasoning,
    RefusedError,
    ToolCall,
    ToolResult,
    tool,
)
from agentloop.items import Reply
from agentloop.testing import ScriptedEndpoint, call
from agentloop.wire.conversation import Conversation
from agentloop.wire.model_target import ModelTarget
from agentloop.wire.profile.lessons import LESSONS
from loopback import Loopback, call_body, error_reply, json_reply, text_body
from ways import PROFILES, RUN, STREAM, both_wires, closing, ours, serving


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def target(base_url="http://one/v1", **profile):
    return ModelTarget(
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
    assert body(Conversation(target()), items)["instructions"] == "Be brief.\n\nAnswer in French."


def test_items_are_encoded_once_and_later_bodies_begin_with_the_same_bytes():
    conversation = Conversation(target())
    first = conversation.encode(TURN, tools=True, stream=False)
    second = conversation.encode((*TURN, Message("user", "and 3?")), tools=True, stream=False)
    shared = first.rstrip(b"]}")
    assert second.startswith(shared)


@pytest.mark.parametrize("call_id", ["", "c1", "two\nlines", "x" * 20_000])
def test_missing_reused_and_odd_call_ids_are_made_unique(call_id):
    conversation = Conversation(target())
    body(conversation, TURN)
    reply = conversation.accept(Reply((ToolCall(call_id, "add", "{}"), ToolCall("c2", "add", "{}"))))
    ids = [item.call_id for item in reply.items]
    assert ids == ["call_2", "c2"]


def test_a_new_id_avoids_those_the_server_gave():
    conversation = Conversation(target())
    reply = conversation.accept(Reply(tuple(ToolCall(call_id, "add", "{}") for call_id in ("call_2", "", "call_2"))))
    assert [item.call_id for item in reply.items] == ["call_2", "call_3", "call_4"]


def test_the_answer_goes_back_in_the_dialect_in_which_the_call_came():
    conversation = Conversation(target("http://two/v1"))
    assert body(conversation, TURN)["input"][1]["type"] == "function_call"
    reply = conversation.accept(Reply((ToolCall("c2", "add", "{}"),), dialect="message"))
    assert reply.dialect == "message"
    assert body(conversation, TURN)["input"][2]["role"] == "tool"
    assert body(Conversation(target("http://two/v1"), "message"), TURN)["input"][2]["role"] == "tool"


def test_switching_keeps_the_instructions_once():
    conversation = Conversation(target("http://three/v1"))
    items = (Message("system", "Answer in French."), *TURN)
    body(conversation, items)
    conversation.accept(Reply((), dialect="message"))
    assert body(conversation, items)["instructions"] == "Be brief.\n\nAnswer in French."


def test_a_refusal_of_tool_results_is_tried_once_in_the_other_dialect_and_remembered_the_second_time():
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
    assert len(bodies) == 6, "what one run has seen is no proof"
    assert agent.run_sync("one?").text == "It is 1."
    assert len(bodies) == 8, "what two have seen is"


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
        (Conversation(target("http://four/v1")), TURN[:1], REFUSED),
        (Conversation(target("http://four/v1")), TURN, RefusedError("HTTP 401", status=401)),
        (Conversation(target("http://four/v1")), TURN, ContextOverflowError("too long", status=400)),
        (Conversation(target("http://four/v1", tool_calling="prompted")), TURN, REFUSED),
    ],
    ids=["no tool results", "another status", "too long", "no other dialect"],
)
def test_other_refusals_are_not_tried_otherwise(conversation, items, error):
    conversation.encode(items, tools=True, stream=False)
    assert conversation.adapt(error) is None


def test_tools_are_encoded_once_for_all_runs_of_an_agent():
    shared = target("http://five/v1")
    body(Conversation(shared), TURN)
    [kept] = shared.encoded_tools.values()
    body(Conversation(shared), TURN)
    [again] = shared.encoded_tools.values()
    assert again is kept


def test_a_free_choice_drops_the_tool_choice():
    forced = ModelTarget(
        base_url="http://six/v1",
        model="m",
        instructions=None,
        tools=[add],
        settings=ModelSettings(tool_choice="add"),
        profile=Profile(),
    )
    assert "tool_choice" in body(Conversation(forced), TURN)
    assert "tool_choice" not in body(Conversation(forced), TURN, free_choice=True)


# --- lessons ---


def chat_only(request):
    """A server without /v1/responses."""
    return text_or_call(request) if request.path.endswith("/chat/completions") else error_reply(404, "Not Found")


def text_or_call(request):
    said = request.json["messages"]
    if said[-1]["role"] == "tool":
        return json_reply(completion({"content": f"It is {said[-1]['content']}."}))
    function = {"name": "add", "arguments": '{"a": 1, "b": 2}'}
    return json_reply(
        completion({"content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]})
    )


def completion(message, **choice):
    return {"id": "1", "choices": [{"message": {"role": "assistant", **message}, "finish_reason": "stop", **choice}]}


def test_a_missing_route_is_learned_once_and_the_other_one_used_from_then_on():
    with serving(chat_only, add) as (agent, server):
        assert RUN.ask(agent).text == "It is 3."
        assert [request.path for request in server.requests] == ["/v1/responses"] + ["/v1/chat/completions"] * 2
        assert RUN.ask(agent).text == "It is 3."
        assert len(server.requests) == 5


def test_a_route_that_goes_missing_in_mid_run_costs_no_step():
    def answer(request):
        items = request.json.get("input")
        if items is not None and len(items) == 1:
            return call_body(("add", {"a": 1, "b": 2}))
        return chat_only(request)

    with serving(answer, add) as (agent, server):
        result = RUN.ask(agent)
        assert result.text == "It is 3."
        assert [request.path.rpartition("/v1")[2] for request in server.requests] == [
            "/responses",
            "/responses",
            "/chat/completions",
        ]
        assert [item.kind for item in result.items] == ["message", "call", "result", "message"]
        assert result.tally.tool_calls == 1


def test_when_neither_route_is_there_the_first_ones_error_is_raised_and_nothing_learned():
    with serving(lambda _: error_reply(404, "Not Found")) as (agent, server):
        for _ in range(2):
            with ours(NotFoundError):
                RUN.ask(agent)
        assert [request.path for request in server.requests] == ["/v1/responses", "/v1/chat/completions"] * 2


def test_a_501_is_not_sent_again_but_sent_to_the_other_route():
    def answer(request):
        return chat_only(request) if "messages" in request.json else error_reply(501, "Not Implemented")

    with serving(answer, add) as (agent, server):
        assert RUN.ask(agent).text == "It is 3."
        assert len(server.requests) == 3


def test_several_refusals_in_a_row_each_teach_something():
    settings = ModelSettings(user="me", top_p=0.5, reasoning_effort="low", max_output_tokens=10)

    def answer(request):
        for name in ("user", "top_p", "reasoning"):
            if name in request.json:
                return error_reply(400, f"Unknown parameter: '{name}'.")
        return text_body("Hi.")

    with serving(answer, settings=settings) as (agent, server):
        assert RUN.ask(agent).text == "Hi."
        assert len(server.requests) == 4
        assert server.requests[-1].json.keys() == {"model", "store", "stream", "max_output_tokens", "input"}


def test_a_guess_that_does_not_help_is_taken_back_before_what_is_named_is_done():
    def answer(request):
        if "messages" in request.json:
            return error_reply(400, "nor here")
        if len(request.json["input"]) == 1:
            return call_body(("add", {"a": 1, "b": 2}))
        if "user" in request.json and any(item.get("role") == "tool" for item in request.json["input"]):
            return error_reply(400, "Unknown parameter: 'user'")
        return error_reply(400, "bad") if "user" in request.json else text_body("Hi.")

    with serving(answer, add, settings=ModelSettings(user="me")) as (agent, server):
        assert RUN.ask(agent).text == "Hi."
    assert [item["type"] for item in server.requests[-1].json["input"]] == [
        "message",
        "function_call",
        "function_call_output",
    ]


def test_what_was_found_out_in_another_way_can_be_told():
    conversation = Conversation(target())
    conversation.learn("context_tokens", 4096, "the server said so")
    assert conversation.profile.context_tokens == 4096
    [notice] = conversation.take_notices()
    assert notice == Notice("learned", "the model's context window is 4096 tokens: the server said so")
    assert [lesson.now for lesson in conversation.take_lessons()] == [4096]
    assert (conversation.take_notices(), conversation.take_lessons()) == ([], [])
    assert Conversation(target()).profile.context_tokens == 4096


# --- settings ---


def asked(settings, **profile):
    conversation = Conversation(replace(target(**profile), settings=settings))
    return body(conversation, TURN[:1]), [notice.text for notice in conversation.take_notices()]


def test_settings_that_the_profile_refuses_are_not_sent_and_that_is_said():
    settings = ModelSettings(
        temperature=0,
        user="me",
        parallel_tool_calls=False,
        verbosity="low",
        extra_body={"truncation": "auto", "seed": 1},
    )
    refused = frozenset({"temperature", "user", "parallel_tool_calls", "verbosity", "truncation"})
    request, told = asked(settings, refused=refused)
    assert request.keys() == {"model", "store", "stream", "tools", "instructions", "input", "seed"}
    assert [text.split()[0] for text in told] == [
        "temperature",
        "parallel_tool_calls",
        "user",
        "verbosity",
        "truncation",
    ]
    assert "one after the other" in told[1]


def test_settings_are_sent_where_nothing_speaks_against_it():
    settings = ModelSettings(verbosity="low", service_tier="flex", safety_identifier="x", prompt_cache_key="k")
    request, told = asked(settings)
    assert request["text"] == {"verbosity": "low"}
    assert (request["service_tier"], request["safety_identifier"], request["prompt_cache_key"]) == ("flex", "x", "k")
    assert asked(settings, route="chat")[0]["verbosity"] == "low"
    assert told == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [("logprobs", "leave it out"), ("previous_response_id", "history="), ("max_tool_calls", "Limits(tool_calls=")],
)
def test_asking_for_what_would_change_the_result_is_an_error_before_the_request(name, hint):
    profile = Profile(refused=frozenset({name}))
    endpoint = ScriptedEndpoint([], profile=profile)
    agent = Agent("m", endpoint=endpoint, settings=ModelSettings(extra_body={name: 1}))
    with pytest.raises(ConfigurationError, match=name) as caught:
        agent.run_sync("go")
    assert hint in caught.value.hint
    assert endpoint.requests == []


@pytest.mark.parametrize(
    ("profile", "effort", "sent"),
    [
        ({}, "low", {"reasoning": {"effort": "low"}}),
        ({"route": "chat"}, "low", {"reasoning_effort": "low"}),
        ({"route": "chat", "reasoning": "object"}, "low", {"reasoning": {"effort": "low"}}),
        ({"reasoning": "template"}, "none", {"chat_template_kwargs": {"enable_thinking": False}}),
        ({"route": "chat", "reasoning": "template"}, "high", {"chat_template_kwargs": {"enable_thinking": True}}),
        ({"efforts": frozenset({"low", "high"})}, "minimal", {"reasoning": {"effort": "low"}}),
        ({"efforts": frozenset({"low", "xhigh"})}, "high", {"reasoning": {"effort": "xhigh"}}),
        ({"reasoning": "none"}, "low", {}),
        ({"efforts": frozenset()}, "low", {}),
    ],
)
def test_the_effort_is_sent_in_the_shape_that_the_profile_says(profile, effort, sent):
    request, told = asked(ModelSettings(reasoning_effort=effort), **profile)
    names = {"reasoning", "reasoning_effort", "chat_template_kwargs"}
    assert {name: value for name, value in request.items() if name in names} == sent
    as_asked = "template" in str(profile) or f"'{effort}'" in str(sent)
    assert bool(told) is not as_asked


def test_a_model_without_system_text_gets_it_ahead_of_the_first_question():
    items = (Message("assistant", "Hello."), Message("system", "In French."), *TURN)
    for route, name in (("responses", "input"), ("chat", "messages")):
        request = body(Conversation(target(system="user", route=route)), items)
        assert "instructions" not in request
        said = [(item["role"], item["content"]) for item in request[name] if item.get("content")][:2]
        assert said[0] == ("assistant", "Hello.")
        assert said[1][0] == "user"
        text = said[1][1] if isinstance(said[1][1], str) else "".join(part["text"] for part in said[1][1])
        assert text == "Be brief.\n\nIn French.\n\n1+2?"


def test_without_a_question_the_system_text_is_one():
    request = body(Conversation(target(system="user")), (Message("assistant", "Hello."),))
    assert request["input"][0] == {"type": "message", "role": "user", "content": "Be brief."}


def test_without_system_text_nothing_is_folded():
    plain = replace(target(system="user"), instructions=None)
    assert body(Conversation(plain), TURN)["input"][0]["content"] == "1+2?"


def test_a_choice_that_the_server_does_not_obey_narrows_what_is_on_offer():
    @tool
    def sub(a: int, b: int) -> int:
        """Subtract."""
        return a - b

    def offered(choice, *obeyed):
        whole = replace(
            target(tool_choice=frozenset(obeyed)), tools=[add, sub], settings=ModelSettings(tool_choice=choice)
        )
        request = body(Conversation(whole), TURN[:1])
        return [each["name"] for each in request.get("tools", ())], request.get("tool_choice")

    assert offered("sub", "auto") == (["sub"], None)
    assert offered("sub", "required") == (["sub"], "required")
    assert offered("sub", "named") == (["add", "sub"], {"type": "function", "name": "sub"})
    assert offered("none", "auto") == ([], None)
    assert offered("none", "none") == (["add", "sub"], "none")


# --- call ids ---


def test_ids_are_nine_characters_where_a_template_wants_that():
    conversation = Conversation(target(short_call_ids=True))
    items = (*TURN, ToolCall("abcdefghi", "add", "{}"), ToolResult("abcdefghi", "4"))
    ids = [item["call_id"] for item in body(conversation, items)["input"] if "call_id" in item]
    assert ids == ["000000000", "000000000", "abcdefghi", "abcdefghi"]


@pytest.mark.parametrize("name", ["parallel", "multi_tool_use.parallel"])
def test_calls_in_a_made_up_wrapper_are_taken_out_of_it(name):
    uses = [
        {"recipient_name": "functions.add", "parameters": {"a": 1, "b": 2}},
        {"recipient_name": "functions.add", "parameters": {"a": 3, "b": 4}},
    ]
    endpoint = ScriptedEndpoint([call(name, {"tool_uses": uses}), "Done."])
    result = Agent("m", endpoint=endpoint, tools=[add]).run_sync("go")
    assert [item.content for item in result.items if isinstance(item, ToolResult)] == ["3", "7"]


@pytest.mark.parametrize("arguments", ["{", "{}", '{"tool_uses": []}', "[]"])
def test_a_wrapper_with_nothing_in_it_is_an_unknown_tool(arguments):
    endpoint = ScriptedEndpoint([call("parallel", arguments), "Done."])
    result = Agent("m", endpoint=endpoint, tools=[add]).run_sync("go")
    assert [item.ok for item in result.items if isinstance(item, ToolResult)] == [False]


def test_a_tool_may_be_named_like_the_wrapper():
    @tool
    def parallel(tool_uses: list[str]) -> str:
        """Do."""
        return f"{len(tool_uses)} uses"

    endpoint = ScriptedEndpoint([call("parallel", {"tool_uses": ["x"]}), "Done."])
    result = Agent("m", endpoint=endpoint, tools=[parallel]).run_sync("go")
    assert [item.content for item in result.items if isinstance(item, ToolResult)] == ["1 uses"]


# --- reasoning ---


@pytest.mark.parametrize(
    ("replay", "sent"),
    [("encrypted", ["xyz"]), ("none", []), ("text", ["Hm.", "xyz"])],
)
def test_reasoning_goes_back_as_the_profile_says(replay, sent):
    items = (TURN[0], Reasoning("Hm."), Reasoning("", "xyz", "rs_7"), *TURN[1:])
    request = body(Conversation(target(reasoning_replay=replay)), items)
    thoughts = [item for item in request["input"] if item["type"] == "reasoning"]
    assert [item.get("encrypted_content") or item["content"][0]["text"] for item in thoughts] == sent


@pytest.mark.parametrize("replay", ["text", "encrypted"])
def test_on_chat_the_thought_that_led_to_a_call_goes_back_with_it(replay):
    items = (TURN[0], Reasoning("Hm."), Message("assistant", "Hello."), TURN[0], Reasoning("Aha."), *TURN[1:])
    request = body(Conversation(target(reasoning_replay=replay, route="chat")), items)
    thoughts = [message.get("reasoning_content") for message in request["messages"]]
    assert [thought for thought in thoughts if thought] == (["Aha."] if replay == "text" else [])


@pytest.mark.parametrize(("parallel", "order"), [(False, "1122"), (None, "1212")])
def test_without_parallel_calls_those_of_a_turn_run_one_after_the_other(parallel, order):
    seen = []

    @tool
    async def look(number: int) -> str:
        """Look."""
        seen.append(number)
        await asyncio.sleep(0)
        seen.append(number)
        return "seen"

    endpoint = ScriptedEndpoint(
        [[call("look", {"number": 1}), call("look", {"number": 2})], "Done."],
        profile=Profile(refused=frozenset({"parallel_tool_calls"})),
    )
    agent = Agent("m", endpoint=endpoint, tools=[look], settings=ModelSettings(parallel_tool_calls=parallel))
    assert agent.run_sync("go").text == "Done."
    assert "".join(map(str, seen)) == order
    assert all("parallel_tool_calls" not in request for request in endpoint.requests)


# --- what is learned, and what only seems to be ---


def lessons():
    return [(lesson.field, lesson.now) for known in LESSONS.values() for lesson in known]


def has_result(request):
    items = request.json.get("input") or request.json["messages"]
    return any(item.get("type") == "function_call_output" or item.get("role") == "tool" for item in items)


def sum_of(request):
    return text_body("It is 3.") if has_result(request) else call_body(("add", {"a": 1, "b": 2}))


@pytest.mark.parametrize("way", [RUN, STREAM], ids=lambda way: way.name)
def test_a_server_with_chat_alone_may_refuse_parameters_too(way):
    def answer(request):
        if request.path.endswith("/responses"):
            return error_reply(404, "Not Found", shape="detail string")
        for name in ("stream_options", "user"):
            if name in request.json:
                return error_reply(422, f"body.{name}: Extra inputs are not permitted")
        return sum_of(request)

    with serving(answer, add, settings=ModelSettings(user="me")) as (agent, server):
        assert way.ask(agent).text == "It is 3."
        assert len(server.requests) == 4 + way.streams
    assert ("route", "chat") in lessons()
    assert ("refused", frozenset({"user"})) in lessons()


@pytest.mark.parametrize(("status", "error"), [(401, AuthenticationError), (400, RefusedError)])
def test_what_the_other_route_answers_says_more_than_that_the_first_one_is_missing(status, error):
    def answer(request):
        return error_reply(404, "Not Found") if request.path.endswith("/responses") else error_reply(status, "Not you")

    with serving(answer) as (agent, server):
        with ours(error, match="Not you"):
            RUN.ask(agent)
        assert len(server.requests) == 2
    assert lessons() == []


def test_a_server_that_refuses_everything_is_asked_so_many_times_and_no_more():
    words = (
        "not supported: tool_choice stream_options strict instructions encrypted reasoning temperature top_p user store"
    )
    settings = ModelSettings(
        temperature=1,
        top_p=1,
        user="me",
        tool_choice="required",
        reasoning_effort="low",
        service_tier="a",
        verbosity="low",
    )
    with serving(lambda _: error_reply(400, f"{words} service_tier verbosity"), add, settings=settings) as (
        agent,
        server,
    ):
        with ours(RefusedError):
            RUN.ask(agent)
        assert len(server.requests) == 9
    assert lessons() == []


def test_of_two_lessons_from_the_same_words_only_the_one_that_helped_is_kept():
    def answer(request):
        refused = {"temperature", "user"} & request.json.keys()
        return error_reply(400, "temperature and user are not supported") if refused else text_body("Hi.")

    with serving(answer, settings=ModelSettings(temperature=1, user="me")) as (agent, server):
        for requests in (3, 5, 6):
            assert RUN.ask(agent).text == "Hi."
            assert len(server.requests) == requests
    assert [set(lesson.now - lesson.was) for known in LESSONS.values() for lesson in known] == [
        {"user"},
        {"temperature"},
    ]


def test_the_rungs_of_the_ladder_are_kept_though_the_words_are_the_same():
    def answer(request):
        if request.json.keys() & {"text", "response_format"}:
            return error_reply(400, "structured output is not supported")
        return text_body("[3]")

    with serving(answer, output=list[int]) as (agent, server):
        for requests in (4, 5):
            assert RUN.ask(agent).output == [3]
            assert len(server.requests) == requests


def test_a_schema_that_is_refused_is_told_in_words_in_this_run_and_sent_again_in_the_next():
    def answer(request):
        if "text" in request.json or "response_format" in request.json:
            return error_reply(400, "Invalid schema for response_format 'answer': it is required to be odd.")
        return text_body('{"value": 3}')

    with serving(answer, output=int) as (agent, server):
        for requests in (4, 8):
            assert RUN.ask(agent).output == 3
            assert len(server.requests) == requests
    assert lessons() == []


def test_a_value_that_a_user_got_wrong_is_an_error_and_not_learned():
    words = "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead."

    def answer(request):
        return error_reply(400, words) if request.json.get("temperature") == 3 else text_body("Hi.")

    with serving(answer, settings=ModelSettings(temperature=3)) as (agent, server):
        with ours(RefusedError, match="above maximum"):
            RUN.ask(agent)
        assert len(server.requests) == 1
    assert lessons() == []


@both_wires
def test_where_no_tools_are_sent_nothing_is_said_of_parallel_calls(way):
    def answer(request):
        if "parallel_tool_calls" in request.json and "tools" not in request.json:
            return error_reply(400, "'parallel_tool_calls' is only allowed when 'tools' are specified.")
        return text_body("It is 3.") if "tools" not in request.json else call_body(("add", {"a": 1, "b": 2}))

    profile = replace(PROFILES[way.dialect], tool_choice=frozenset({"auto"}))
    limits, settings = Limits(turns=1), ModelSettings(parallel_tool_calls=False)
    with way.serving(answer, add, settings=settings, limits=limits, endpoint={"profile": profile}) as (agent, server):
        assert way.ask(agent).text == "It is 3."
    assert server.requests[0].json["parallel_tool_calls"] is False
    assert lessons() == []


def test_a_server_that_minds_long_ids_gets_short_ones_from_then_on():
    def answer(request):
        for message in request.json["messages"]:
            for made in message.get("tool_calls", ()):
                if len(made["id"]) != 9 or not made["id"].isalnum():
                    return error_reply(400, f"Tool call id was {made['id']} but must be a-z, with a length of 9.")
        return sum_of(request)

    with serving(answer, add, endpoint={"profile": Profile(route="chat")}) as (agent, server):
        for requests in (3, 5):
            assert RUN.ask(agent).text == "It is 3."
            assert len(server.requests) == requests


def test_a_route_that_moves_back_and_forth_is_learned_anew_each_time():
    missing = ["/responses"]

    def answer(request):
        return error_reply(404, "Not Found") if request.path.endswith(missing[0]) else text_body("Hi.")

    with Loopback.in_thread(answer) as server:
        for missing[0], requests in (
            ("/responses", 2),
            ("/chat/completions", 4),
            ("/responses", 6),
            ("/responses", 7),
        ):
            LESSONS.clear()  # a new process
            with closing(Agent("any", endpoint=Endpoint(server.base_url))) as agent:
                assert RUN.ask(agent).text == "Hi."
            assert len(server.requests) == requests

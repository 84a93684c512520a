"""What models and endpoints do wrong, over a real connection: each run ends well, or raises one of our errors."""

import json
from dataclasses import replace

import pytest

from agentloop import (
    Agent,
    Approve,
    AuthenticationError,
    ConfigurationError,
    ContextOverflowError,
    EmptyReplyError,
    Endpoint,
    EndpointTimeoutError,
    Limits,
    Message,
    ModelSettings,
    NotFoundError,
    Notice,
    Policy,
    RateLimitedError,
    Reasoning,
    ReasoningDelta,
    RefusedError,
    ReplyError,
    Retrying,
    Run,
    RunResult,
    RunStateError,
    ServerError,
    StreamCutError,
    TextDelta,
    ToolCall,
    ToolResult,
    UnreachableError,
    tool,
)
from agentloop.loop.advance import ASK_AFTER_EMPTY_REPLY
from agentloop.wire.profile.providers import PROVIDERS
from loopback import (
    CUT,
    ERROR_SHAPES,
    Gate,
    Reply,
    Request,
    body,
    busy_reply,
    call_body,
    call_item,
    damaged_gzip,
    error_reply,
    events_of,
    guide_call_body,
    html_reply,
    json_reply,
    sse_reply,
    text_body,
    text_item,
    written,
)
from ways import (
    PROFILES,
    Way,
    both_on_responses,
    both_wires,
    closing,
    entries_in,
    every_way,
    every_way_on_responses,
    kinds_in,
    ours,
    results_in,
    serving,
    streaming,
    streaming_chat,
    streaming_responses,
)

RAN: list[tuple[int, int]] = []
ONCE = {"retries": 0}


@tool
def add(a: int, b: int) -> int:
    """Add two integers."""
    RAN.append((a, b))
    return a + b


@tool
def now() -> str:
    """Return the time of day."""
    return "noon"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    RAN.clear()
    for name in ("FIRST_WAIT_SECONDS", "JITTER_SECONDS"):
        monkeypatch.setattr(f"agentloop.endpoint.transport.retry.{name}", 0)


def results_of(run: Run) -> list[ToolResult]:
    return [item for item in run.items if isinstance(item, ToolResult)]


# --- arguments ---

GOOD = '{"a": 1, "b": 2}'


# Seconds after which a request is given up, until the machine is fast enough to get as far as the server stalls.
LONGER_AND_LONGER = (0.3, 3, 30)


@both_wires
@pytest.mark.parametrize(
    "arguments",
    [
        f"```json\n{GOOD}\n```",
        f"{GOOD}}}",
        f"{GOOD}<|call|>",
        f"<|constrain|>{GOOD}",
        "{'a': 1, 'b': 2,}",
        json.dumps(GOOD),
        '{"a": "1", "b": 2.0}',
        {"a": 1, "b": 2},
    ],
    ids=["fenced", "a brace too many", "a token behind", "a token ahead", "python", "encoded twice", "kinds", "a dict"],
)
def test_badly_dressed_arguments_are_mended_and_the_tool_runs(way, arguments):
    call = call_item("add", "") | {"arguments": arguments}
    with way.serving([body(call), text_body("It is 3.")], add) as (agent, server):
        assert way.ask(agent).text == "It is 3."
    assert RAN == [(1, 2)]
    assert results_in(server.requests[1]) == ["3"]


@both_wires
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"a": 1, "b"', "cut off"),
        ('{"a": 1, "b": "tw', "cut off"),
        ('{"a": "one", "b": 2}', "integer"),
        ('{"a": 1}', "b"),
        ('{"a": 1, "b": 2, "c": 3}', "c"),
        ("", "a"),
        (None, "a"),
        ({}, "a"),
        ("null", "a"),
        ("[1, 2]", "array"),
        (5, "integer"),
        ("certainly! adding now", "not valid JSON"),
        ('{"a": NaN, "b": 1e999}', "integer"),
        ('{"a": 1, "b": ' + "9" * 5000 + "}", ""),
        ('{"a":' * 20_000, ""),
        ("[" * 20_000 + "]" * 20_000, ""),
        ('{"a": "\ud800", "b": 2}', "integer"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_arguments_that_do_not_fit_are_told_to_the_model_which_may_try_again(way, arguments, told):
    bad = call_item("add", "") | {"arguments": arguments}
    script = [body(bad), body(bad), call_body(("add", {"a": 1, "b": 2})), text_body("It is 3.")]
    with way.serving(script, add) as (agent, server):
        result = way.ask(agent)
    assert (result.text, RAN) == ("It is 3.", [(1, 2)])
    assert [each.ok for each in results_of(result.run)] == [False, False, True]
    said = results_in(server.requests[1])[-1]
    assert told in said
    assert 20 < len(said) < 2000, "a sentence, not a bare word nor all that came"
    assert Run.from_json(result.run.to_json()) == result.run


@both_wires
@pytest.mark.parametrize("arguments", ["", "{}", "null", None, {}, " "])
def test_no_arguments_are_enough_for_a_tool_without_parameters(way, arguments):
    call = call_item("now", "") | {"arguments": arguments}
    with way.serving([body(call), text_body("It is noon.")], now) as (agent, server):
        way.ask(agent)
    assert results_in(server.requests[1]) == ["noon"]


# --- names ---


@both_wires
@pytest.mark.parametrize(
    "name", ["functions.add", "Add", "add ", "add<|channel|>commentary", 'add" />', "tools/add", "ADD(a, b)"]
)
def test_a_dressed_up_name_is_the_tool_that_is_meant(way, name):
    with way.serving([call_body((name, {"a": 1, "b": 2})), text_body("It is 3.")], add) as (agent, server):
        result = way.ask(agent)
    assert (RAN, result.tally.repairs) == ([(1, 2)], 1)
    *_, (_, called, _, _), _ = entries_in(server.requests[1].json)
    assert called == "add"


@both_wires
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("teleport", "There is no tool named 'teleport'. The tools are: add, now."),
        ("ad", "There is no tool named 'ad'. Did you mean add? The tools are: add, now."),
        ("", "There is no tool named ''. The tools are: add, now."),
        (None, "There is no tool named ''. The tools are: add, now."),
        ("web.search<|x|>", "There is no tool named 'web.search<|x|>'. The tools are: add, now."),
        ("x" * 5000, "The tools are: add, now."),
    ],
    ids=["unknown", "near", "empty", "null", "illegal", "endless"],
)
def test_an_unknown_name_is_told_to_the_model_with_the_names_there_are(way, name, told):
    bad = call_item("", GOOD) | {"name": name}
    script = [body(bad), body(bad), call_body(("add", {"a": 1, "b": 2})), text_body("It is 3.")]
    with way.serving(script, add, now) as (agent, server):
        assert way.ask(agent).text == "It is 3."
    assert told in results_in(server.requests[1])[-1]


# --- call ids ---


def calls_with_ids(*ids: object) -> list[dict[str, object]]:
    """Return calls whose sums are 0, 1, 2, ... and whose ids are these."""
    calls = [call_item("add", {"a": number, "b": 0}) for number in range(len(ids))]
    return [{**call, "id": call_id, "call_id": call_id} for call, call_id in zip(calls, ids, strict=True)]


@both_wires
@pytest.mark.parametrize(
    "ids",
    [("same", "same"), ("", ""), (None, None), (7, 7), ("x" * 80, "a b"), ("call_2", "call_2", "call_2")],
    ids=["one id twice", "empty", "null", "numbers", "illegal", "like ours"],
)
def test_whatever_the_ids_each_call_has_its_own_result(way, ids):
    with way.serving([body(*calls_with_ids(*ids)), text_body("Done.")], add) as (agent, server):
        result = way.ask(agent)
    assert [each.content for each in results_of(result.run)] == [str(number) for number in range(len(ids))]
    calls = [item for item in result.items if isinstance(item, ToolCall)]
    assert [each.call_id for each in results_of(result.run)] == [call.call_id for call in calls]
    assert len({call.call_id for call in calls}) == len(ids)
    assert len(server.requests) == 2


@both_wires
def test_an_id_that_is_missing_altogether_is_made(way):
    [call] = calls_with_ids("gone")
    del call["id"], call["call_id"]
    with way.serving([body(call), text_body("Done.")], add) as (agent, _):
        assert results_of(way.ask(agent).run) == [ToolResult("call_1", "0")]


@both_wires
def test_an_id_of_an_earlier_turn_may_come_again(way):
    turns = [call_body(("add", {"a": number, "b": 0})) for number in range(3)]
    with way.serving([*turns, text_body("Done.")], add) as (agent, _):
        result = way.ask(agent)
    assert [each.content for each in results_of(result.run)] == ["0", "1", "2"]
    assert len({each.call_id for each in results_of(result.run)}) == 3


@both_wires
def test_an_id_of_an_earlier_run_may_come_again(way):
    turns = [call_body(("add", {"a": 1, "b": 0})), text_body("One.")] * 2
    with way.serving(turns, add) as (agent, _):
        first = way.ask(agent)
        second = way.ask(agent, history=first.items)
    assert len({each.call_id for each in results_of(second.run)}) == 2


# --- replies that are not whole ---


@both_wires
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "truncated"),
        ({"status": "incomplete", "incomplete_details": None}, "truncated"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "refused"),
    ],
)
def test_nothing_from_a_reply_that_was_cut_off_runs_and_its_text_is_kept(way, fields, reason):
    reply = body(text_item("Let me see:"), call_item("add", GOOD), call_item("add", '{"a": 3', "call_2"), **fields)
    with way.serving([reply], add) as (agent, server):
        result = way.ask(agent)
    assert (result.stop_reason, result.text, RAN) == (reason, "Let me see:", [])
    assert [each.ok for each in results_of(result.run)] == [False, False]
    assert len(server.requests) == 1


@both_on_responses
def test_a_reply_as_long_as_it_may_be_was_cut_off_whatever_its_status_says(way):
    reply = body(text_item("Let me see:"), call_item("add", GOOD), max_output_tokens=5)
    with way.serving([reply], add) as (agent, _):
        result = way.ask(agent)
    assert (result.stop_reason, result.text, RAN) == ("truncated", "Let me see:", [])


@both_wires
def test_after_a_truncated_reply_the_conversation_can_go_on(way):
    cut_off = call_body(("add", '{"a": 1'), status="incomplete")
    with way.serving([cut_off, text_body("It is 3.")], add) as (agent, _):
        first = way.ask(agent)
        assert way.ask(agent, "try again", history=first.items).text == "It is 3."


@both_wires
def test_a_refusal_is_a_result_with_the_models_words(way):
    refusal = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "I can't help."}]}
    with way.serving([body(refusal)], add) as (agent, _):
        result = way.ask(agent)
    assert (result.stop_reason, result.text) == ("refused", "I can't help.")


@every_way
@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        ({"code": "server_error", "message": "The model crashed."}, ServerError, "The model crashed"),
        ({"code": "rate_limit_exceeded", "message": "Slow down."}, RateLimitedError, "Slow down"),
        ("context_length_exceeded", ContextOverflowError, "context_length"),
    ],
)
def test_a_failure_under_a_status_of_200_is_an_error_and_no_call_in_it_runs(way, failure, kind, words):
    script = [call_body(("add", {"a": 1, "b": 2}), status="failed", error=failure)]
    with way.serving(script, add, endpoint=ONCE) as (agent, _), ours(kind, words):
        way.ask(agent)
    assert RAN == []


@both_on_responses
def test_a_failure_under_a_status_of_200_may_say_nothing(way):
    with way.serving([body(status="failed")], endpoint=ONCE) as (agent, _), ours(ServerError, "gave no reason"):
        way.ask(agent)


@both_wires
def test_a_failure_under_a_status_of_200_is_tried_again_when_that_may_help(way):
    failed = body(status="failed", error={"code": "server_error", "message": "The model crashed."})
    with way.serving([failed, text_body("hi")]) as (agent, _):
        assert way.ask(agent).text == "hi"


# --- empty replies ---

EMPTY = {
    "no items": body(),
    "null": body(output=None),
    "an empty text": text_body(""),
    "blanks": text_body(" \n"),
    "no content": body({"type": "message", "role": "assistant", "content": []}),
    "thoughts only": body({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}),
    "an unknown item": body({"type": "mcp_call", "id": "mcp_1", "name": "add"}),
    "no calls either": body(tool_calls=[]),
}


def in_one_event(reply: dict[str, object]):
    """Return what answers with this reply, streamed as LiteLLM does it where there are such events: in the last one."""

    def answer(request: Request) -> Reply | dict[str, object]:
        if not request.json["stream"] or "messages" in request.json:
            return reply
        return sse_reply([("response.completed", {"type": "response.completed", "response": reply})])

    return answer


@every_way
def test_a_model_that_says_nothing_is_asked_once_more(way):
    with way.serving([body(), text_body("hi")]) as (agent, server):
        assert way.ask(agent).text == "hi"
    assert entries_in(server.requests[1].json)[-1] == ("user", "", "", ASK_AFTER_EMPTY_REPLY)


@both_wires
@pytest.mark.parametrize("reply", EMPTY.values(), ids=EMPTY)
def test_nothing_said_twice_is_an_error_that_can_be_resumed(way, reply):
    empty = in_one_event(reply)
    answers = iter([empty, empty, lambda _: text_body("hi")])

    def script(request: Request):
        return next(answers)(request)

    with way.serving(script) as (agent, server):
        with ours(EmptyReplyError) as caught:
            way.ask(agent)
        assert len(server.requests) == 2
        assert agent.resume_sync(caught.value.run).text == "hi"


# --- replies that are no replies ---


@every_way
def test_a_web_page_with_200_is_named_as_such(way):
    with way.serving([html_reply()], endpoint=ONCE) as (agent, _), ours(ReplyError, "a web page, 'Sign in'"):
        way.ask(agent)


@both_wires
@pytest.mark.parametrize("data", [b"", b"OK", b"null", b"5", b"\xff\xfe\x00"])
def test_a_200_that_says_nothing_is_an_error(way, data):
    kind = StreamCutError if way.streams else ReplyError  # for all that a client can know, a stream begins like this
    with way.serving([Reply((data,))], endpoint=ONCE) as (agent, _), ours(kind):
        way.ask(agent)


@both_wires
@pytest.mark.parametrize("data", [b"[]", b"{}", b'"hi"', b'{"output": [', b'{"status":"ok"}', b"[" * 300])
def test_a_200_with_json_that_is_no_reply_is_an_error(way, data):
    with way.serving([Reply((data,))], endpoint=ONCE) as (agent, _), ours(ReplyError):
        way.ask(agent)


@streaming
def test_a_body_in_place_of_a_stream_is_read_all_the_same(way):
    calls = call_body(("add", {"a": 1, "b": 2}))
    script = [json_reply(written(each, way.dialect)) for each in (calls, text_body("It is 3."))]
    with way.serving(script, add) as (agent, _):
        assert way.ask(agent).text == "It is 3."


# --- errors ---


@both_wires
@pytest.mark.parametrize("shape", ERROR_SHAPES)
def test_the_servers_own_words_are_in_the_error_whatever_their_shape(way, shape):
    script = [error_reply(400, "temperature is too hot", shape=shape)]
    with way.serving(script) as (agent, server), ours(RefusedError, "temperature is too hot") as caught:
        way.ask(agent)
    assert caught.value.status == 400
    assert len(server.requests) == 1


@both_wires
@pytest.mark.parametrize(
    ("status", "text", "kind", "hint"),
    [
        (401, "Invalid token", AuthenticationError, "key"),
        (402, "No credit", RefusedError, "billing"),
        (403, "Forbidden", AuthenticationError, "rights"),
        (404, "No such model", NotFoundError, "model's name"),
        (405, "Method Not Allowed", RefusedError, "route"),
        (413, "Payload Too Large", RefusedError, "images"),
        (422, "extra fields", RefusedError, "its message says why"),
        (400, "This model's maximum context length is 8192 tokens", ContextOverflowError, "shorter history"),
        (400, "max_tokens must be at least 1, got -17032", ContextOverflowError, "shorter history"),
        (400, "feature 'time travel' is not currently supported", RefusedError, "leave it out"),
        (429, "Slow down", RateLimitedError, "wait"),
        (500, "Oops", ServerError, "try again later"),
        (501, "Not Implemented", ServerError, "route"),
        (503, "Loading model", ServerError, "try again later"),
    ],
)
def test_each_status_has_its_error_with_what_to_do(way, status, text, kind, hint):
    with (
        way.serving(lambda _: error_reply(status, text), add, endpoint=ONCE) as (agent, _),
        ours(kind, text[:12]) as caught,
    ):
        way.ask(agent)
    assert caught.value.status == status
    assert hint in caught.value.hint


@both_wires
@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_what_passes_is_waited_for(way, status):
    events = []
    with way.serving([error_reply(status), html_reply(status), text_body("hi")]) as (agent, server):
        assert way.ask(agent, events=events).text == "hi"
    assert len(server.requests) == 3
    assert [event.attempt for event in events if isinstance(event, Retrying)] == ([1, 2] if way.streams else [])


@both_wires
@pytest.mark.parametrize("retry_after", [None, "0", "0.01"])
def test_a_busy_server_is_asked_again_after_the_wait_it_asks_for(way, retry_after):
    events = []
    with way.serving([busy_reply(retry_after), text_body("hi")]) as (agent, server):
        assert way.ask(agent, events=events).text == "hi"
    assert len(server.requests) == 2
    waits = [event.seconds for event in events if isinstance(event, Retrying)]
    assert waits == ([float(retry_after or 0)] if way.streams else [])


@both_wires
def test_a_server_that_stays_busy_is_an_error_that_says_how_often_it_was_asked(way):
    script = [busy_reply()] * 9
    with way.serving(script, endpoint={"retries": 2}) as (agent, server), ours(RateLimitedError, "sent 3 times"):
        way.ask(agent)
    assert len(server.requests) == 3


@both_wires
def test_a_wait_that_is_too_long_is_not_begun(way):
    with way.serving([busy_reply("3600")]) as (agent, server), ours(RateLimitedError, "a wait of 3600 s"):
        way.ask(agent)
    assert len(server.requests) == 1


@every_way
def test_a_failure_after_a_tool_has_run_loses_nothing_and_the_tool_is_not_run_again(way):
    script = [call_body(("add", {"a": 1, "b": 2})), error_reply(500), text_body("It is 3.")]
    with way.serving(script, add, endpoint=ONCE) as (agent, server):
        with ours(ServerError) as caught:
            way.ask(agent)
        run = Run.from_json(caught.value.run.to_json())
        assert results_of(run) == [ToolResult("call_1", "3")]
        assert agent.resume_sync(run).text == "It is 3."
    assert RAN == [(1, 2)]
    assert entries_in(server.requests[1].json) == entries_in(server.requests[2].json)


@both_wires
def test_a_failure_that_passes_after_a_tool_has_run_does_not_run_it_again(way):
    script = [call_body(("add", {"a": 1, "b": 2})), error_reply(500), text_body("It is 3.")]
    with way.serving(script, add) as (agent, _):
        assert way.ask(agent).text == "It is 3."
    assert RAN == [(1, 2)]


# --- connections ---


@every_way
def test_a_server_that_is_not_there_is_unreachable(way):
    agent = Agent("any", endpoint=Endpoint("http://127.0.0.1:1/v1", retries=1))
    with ours(UnreachableError, "127.0.0.1:1"):
        way.ask(agent)


BROKEN = {
    "before a word": Reply(before=(CUT,)),
    "in the head": Reply((CUT,)),
    "in the body": Reply((b'{"output": [', CUT)),
    "damaged gzip": Reply((damaged_gzip(b'{"output": ['),), headers={"content-encoding": "gzip"}),
}


@both_wires
@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN)
def test_a_broken_connection_is_tried_again_and_an_error_when_it_stays_so(way, reply):
    with way.serving([reply, text_body("hi")]) as (agent, _):
        assert way.ask(agent).text == "hi"
    with way.serving([reply], endpoint=ONCE) as (agent, _), ours(UnreachableError):
        way.ask(agent)


@both_wires
@pytest.mark.parametrize("where", ["before", "within"])
def test_a_server_that_stalls_is_given_up(way, where):
    for seconds in LONGER_AND_LONGER:
        gate = Gate()
        reply = Reply(before=(gate,)) if where == "before" else Reply((b'{"output": [', gate))
        with way.serving([reply], endpoint={"timeout_seconds": seconds, "retries": 0}) as (agent, _):
            with ours(EndpointTimeoutError, f"{seconds} s"):
                way.ask(agent)
            if gate.reached.done():
                break
    gate.left.result(60)


# --- streams ---

CUTS = {"cut": [], "hung up": [CUT]}


def hello(way: Way, words: int) -> list[tuple[str, object]]:
    """Return the beginning of a stream that says "hello there", up to and with so many words."""
    events = way.stream_of(text_body("hello there"))
    first = next(at for at, (_, data) in enumerate(events) if "hello" in json.dumps(data))
    return events[: first + words]


def unfinished(way: Way, response: dict[str, object]) -> list[tuple[str, object]]:
    """Return the stream without what says that it is whole."""
    return way.stream_of(response)[: -3 if way.dialect == "chat" else -1]


@streaming
@pytest.mark.parametrize(("cut", "kind"), [("cut", StreamCutError), ("hung up", UnreachableError)])
def test_a_stream_that_ends_before_anything_was_shown_is_asked_for_again(way, cut, kind):
    broken = sse_reply([*hello(way, 0), *CUTS[cut]])
    with way.serving([broken, text_body("hello there")]) as (agent, server):
        assert way.ask(agent).text == "hello there"
    assert len(server.requests) == 2
    with way.serving([broken], endpoint=ONCE) as (agent, _), ours(kind):
        way.ask(agent)


@streaming
@pytest.mark.parametrize(("cut", "kind"), [("cut", StreamCutError), ("hung up", UnreachableError)])
def test_a_stream_that_ends_after_text_was_shown_is_an_error_and_not_asked_for_again(way, cut, kind):
    events = []
    with way.serving([sse_reply([*hello(way, 1), *CUTS[cut]]), text_body("hello there")]) as (agent, server):
        with ours(kind) as caught:
            way.ask(agent, events=events)
        assert [event.text for event in events if isinstance(event, TextDelta)] == ["hello"]
        assert len(server.requests) == 1
        assert agent.resume_sync(caught.value.run).text == "hello there"


@streaming
def test_a_call_in_a_stream_that_was_cut_does_not_run(way):
    whole = call_body(("add", {"a": 1, "b": 2}))
    with way.serving([sse_reply(unfinished(way, whole)), whole, text_body("It is 3.")], add) as (agent, _):
        assert way.ask(agent).text == "It is 3."
    assert RAN == [(1, 2)]


@streaming
def test_text_of_an_earlier_turn_does_not_keep_the_next_from_being_tried_again(way):
    first = body(text_item("Let me add."), call_item("add", GOOD))
    with way.serving([first, error_reply(503), text_body("It is 3.")], add) as (agent, _):
        assert way.ask(agent).text == "It is 3."
    assert RAN == [(1, 2)]


FAILURES = {
    "error": {"code": "server_error", "message": "GPU lost", "param": None},
    "error, nested": {"error": {"code": "server_error", "message": "GPU lost"}},
    "": {"error": {"code": 500, "message": "GPU lost"}},
}


def check_that_it_fails(way: Way, name: str, data: object) -> None:
    """Have a stream fail in this way after text was shown, which is an error, and before it, which is not the end."""
    failure = (name.partition(",")[0], data)
    with way.serving([sse_reply([*hello(way, 1), failure])]) as (agent, server), ours(ServerError, "GPU lost"):
        way.ask(agent)
    assert len(server.requests) == 1
    with way.serving([sse_reply([*hello(way, 0), failure]), text_body("hi")]) as (agent, _):
        assert way.ask(agent).text == "hi"


@streaming
@pytest.mark.parametrize(("name", "data"), FAILURES.items())
def test_a_failure_in_the_middle_of_a_stream_is_an_error_with_the_servers_words(way, name, data):
    check_that_it_fails(way, name, data)


@streaming_responses
def test_a_response_that_fails_in_the_middle_of_its_stream_is_an_error_with_the_servers_words(way):
    failed = {"status": "failed", "error": {"code": "server_error", "message": "GPU lost"}}
    check_that_it_fails(way, "response.failed", {"response": failed})


@streaming
@pytest.mark.parametrize("data", ["{", "gibberish", "[1", "\x00"])
def test_an_event_that_is_no_json_is_like_a_stream_that_was_cut(way, data):
    damaged = ("response.output_text.delta", data)
    with way.serving([sse_reply([*hello(way, 0), damaged]), text_body("hi")]) as (agent, _):
        assert way.ask(agent).text == "hi"
    with way.serving([sse_reply([*hello(way, 1), damaged])]) as (agent, _), ours(StreamCutError, "not JSON"):
        way.ask(agent)


@streaming
def test_a_stream_that_stalls_after_text_is_given_up(way):
    for seconds in LONGER_AND_LONGER:
        gates, events = [Gate() for _ in range(5)], []  # a request that has shown nothing in time is sent again
        replies = [sse_reply([*hello(way, 1), gate]) for gate in gates]
        with way.serving(replies, endpoint={"timeout_seconds": seconds}) as (agent, server):
            with ours(EndpointTimeoutError):
                way.ask(agent, events=events)
            shown = any(isinstance(event, TextDelta) for event in events)
            if shown and len(server.requests) == 1:
                break
    gates[0].left.result(60)
    assert (shown, len(server.requests)) == (True, 1)


def without_names(events):
    return [("", data) for _, data in events]


def last_only(events):
    return events[-1:]


def without_indexes(events):
    gone = {"output_index", "content_index", "sequence_number", "item_id"}
    return [(name, {key: value for key, value in data.items() if key not in gone}) for name, data in events]


def with_done(events):
    return [*events, ("", "[DONE]")]


def with_empty_output(events):
    name, data = events[-1]
    return [*events[:-1], (name, {**data, "response": {**data["response"], "output": []}})]


@streaming_responses
@pytest.mark.parametrize("chunk_bytes", [None, 7])
@pytest.mark.parametrize("bend", [without_names, last_only, without_indexes, with_done, with_empty_output])
def test_a_stream_that_lacks_what_others_have_gives_the_same(way, bend, chunk_bytes):
    calls = call_body(("add", {"a": 1, "b": 2}), ("now", {}))
    replies = [sse_reply(bend(events_of(each)), chunk_bytes=chunk_bytes) for each in (calls, text_body("It is 3."))]
    events = []
    with way.serving(replies, add, now) as (agent, server):
        result = way.ask(agent, events=events)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "It is 3."
    assert (result.text, RAN) == ("It is 3.", [(1, 2)])
    assert results_in(server.requests[1]) == ["3", "noon"]


# The last three events of a chat are the reason for its end, its usage, and the mark at the end.


def without_index(call):
    return {name: value for name, value in call.items() if name != "index"}


def repeated(call):
    return {**call, "id": "call_1", "type": "function", "function": {"name": "add", **call["function"]}}


def blank(call):
    return {"id": "", "type": "", **call, "function": {"name": "", **call["function"]}}


def nulls(call):
    return {"id": None, "type": None, **call, "function": {"name": None, **call["function"]}}


def per_call(change):
    """Return a bend of a stream that changes each piece of a call."""

    def bend(events):
        for _, data in events[:-3]:
            delta = data["choices"][0]["delta"]
            if "tool_calls" in delta:
                delta["tool_calls"] = [change(call) for call in delta["tool_calls"]]
        return events

    return bend


def in_one_chunk(events):
    """Return the stream with the call whole in its first piece."""
    pieces = [data for _, data in events if '"tool_calls": [' in json.dumps(data)]
    functions = [piece["choices"][0]["delta"]["tool_calls"][0]["function"] for piece in pieces]
    for function in functions[:1]:
        function["arguments"] = "".join(each["arguments"] for each in functions)
    return [event for event in events if event[1] not in pieces[1:]]


def in_the_last_piece(events):
    """Return the stream with the usage and the end beside the last delta, and none of their own."""
    *said, (_, end), (_, usage), _ = events
    said[-1][1]["choices"][0]["finish_reason"] = end["choices"][0]["finish_reason"]
    said[-1][1]["usage"] = usage["usage"]
    return said


def stopped(events):
    *_, (_, end), _, _ = events
    end["choices"][0]["finish_reason"] = "stop"
    return events


def never_finished(events):
    *_, (_, end), _, _ = events
    end["choices"][0]["finish_reason"] = None
    return events


def without_done(events):
    return events[:-1]


BENDS = {
    "no index": per_call(without_index),
    "id and name again and again": per_call(repeated),
    "blanks": per_call(blank),
    "nulls": per_call(nulls),
    "neither index nor anything again": per_call(lambda call: nulls(without_index(call))),
    "whole in one chunk": in_one_chunk,
    "all in the last delta": in_the_last_piece,
    "finish_reason stop": stopped,
    "no finish_reason": never_finished,
    "no mark at the end": without_done,
}


@streaming_chat
@pytest.mark.parametrize("chunk_bytes", [None, 7])
@pytest.mark.parametrize("bend", BENDS.values(), ids=BENDS)
def test_a_stream_of_chat_that_is_written_otherwise_gives_the_same(way, bend, chunk_bytes):
    turns = call_body(("add", {"a": 1, "b": 2})), text_body("It is 3.")
    replies = [sse_reply(bend(way.stream_of(each)), chunk_bytes=chunk_bytes) for each in turns]
    events = []
    with way.serving(replies, add) as (agent, server):
        result = way.ask(agent, events=events)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "It is 3."
    assert (result.text, RAN) == ("It is 3.", [(1, 2)])
    assert results_in(server.requests[1]) == ["3"]
    assert result.usage.total_tokens == 30


@streaming_chat
@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_thoughts_of_a_chat_are_shown_and_kept_but_are_no_answer(way, field):
    events = []
    thoughts = [("", {"choices": [{"delta": {"content": None, field: text}}]}) for text in ("Let me", " think.")]
    with way.serving([sse_reply([*thoughts, *way.stream_of(text_body("It is 3."))])]) as (agent, _):
        result = way.ask(agent, events=events)
    assert [event.text for event in events if isinstance(event, ReasoningDelta)] == ["Let me", " think."]
    assert result.text == "It is 3."
    assert result.items[1] == Reasoning("Let me think.")


# --- what an endpoint lacks ---


@both_wires
@pytest.mark.parametrize("shape", ["error object", "message", "encoded twice"])
def test_a_model_without_tool_calling_is_told_of_the_tools_in_words(way, shape):
    turns = iter([call_body(("add", {"a": 1, "b": 2})), text_body("It is 3."), text_body("hi")])

    def script(request: Request):
        if "tools" in request.json:
            return error_reply(400, "feature 'tool calls' is not currently supported", shape=shape)
        return next(turns)

    prompted = replace(way, dialect="prompted")
    with prompted.serving(script, add, endpoint={"profile": PROFILES[way.dialect]}) as (agent, server):
        assert way.ask(agent).text == "It is 3."
        assert RAN == [(1, 2)]
        assert len(server.requests) == 3
        way.ask(agent)
    assert len(server.requests) == 4, "the second run knows"


@every_way_on_responses
@pytest.mark.parametrize("status", [404, 405, 501])
@pytest.mark.parametrize("when", ["at once", "mid-run"])
def test_a_route_that_is_missing_is_left_for_the_other_one_without_losing_a_step(way, status, when):
    turns = iter([call_body(("add", {"a": 1, "b": 2})), text_body("It is 3."), text_body("hi")])
    gone = when == "at once"

    def script(request: Request):
        nonlocal gone
        if request.path.endswith("/responses") and gone:
            return error_reply(status, "Not Found")
        gone = True
        return next(turns)

    with way.serving(script, add) as (agent, server):
        assert way.ask(agent).text == "It is 3."
        assert RAN == [(1, 2)]
        assert len(server.requests) == 3
        assert results_in(server.requests[-1]) == ["3"]
        way.ask(agent)
    assert [request.path for request in server.requests[3:]] == ["/v1/chat/completions"], "the second run knows"


# --- the guide's dialect ---


def speaks(dialect: str, calls_as: str):
    """Return a script for a server that takes results in one dialect only, and calls in the one or the other.

    It calls `add` for the first request of a conversation.
    """
    refused = {"native": ("role", "tool"), "message": ("type", "function_call_output")}[dialect]
    call = {"native": call_body, "message": guide_call_body}[calls_as](("add", {"a": 1, "b": 2}))

    def answer(request: Request) -> Reply | dict[str, object]:
        items = request.json["input"]
        if any(item.get(refused[0]) == refused[1] for item in items):
            return error_reply(400, f"unknown {refused[0]} {refused[1]}", shape="message")
        return text_body("It is 3.") if len(items) > 1 else call

    return answer


@every_way_on_responses
def test_a_call_of_the_guide_is_answered_as_the_guide_shows(way):
    with way.serving(speaks("message", "message"), add) as (agent, server):
        assert way.ask(agent, "1+2?").text == "It is 3."
    assert len(server.requests) == 2
    assert server.requests[1].json["input"] == [
        {"type": "message", "role": "user", "content": "1+2?"},
        {
            "type": "message",
            "role": "assistant",
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "add", "arguments": GOOD}}],
        },
        {"type": "message", "role": "tool", "tool_call_id": "call_1", "content": "3", "name": "add"},
    ]


@both_on_responses
@pytest.mark.parametrize(("takes", "calls_as"), [("message", "native"), ("native", "message")])
def test_a_refused_second_leg_is_tried_in_the_other_dialect_and_that_is_remembered(way, takes, calls_as):
    events = []
    with way.serving(speaks(takes, calls_as), add) as (agent, server):
        assert way.ask(agent, events=events).text == "It is 3."
        assert len(server.requests) == 3
        assert RAN == [(1, 2)]
        assert [event.topic for event in events if isinstance(event, Notice)] == (["learned"] if way.streams else [])
        assert way.ask(agent).text == "It is 3."
        assert len(server.requests) == 5, "the second run knows"
        with closing(Agent("any", endpoint=Endpoint(server.base_url), tools=[add])) as another:
            assert way.ask(another).text == "It is 3."
        assert len(server.requests) == 7, "another agent of the same endpoint and model knows too"
        with closing(Agent("other", endpoint=Endpoint(server.base_url), tools=[add])) as other_model:
            assert way.ask(other_model).text == "It is 3."
        assert len(server.requests) == 10, "another model has to find out for itself"


@both_on_responses
def test_a_400_in_both_dialects_is_the_first_ones_error_and_nothing_is_learned_from_it(way):
    healthy = speaks("native", "native")
    ill = True

    def answer(request):
        items = request.json.get("input", ())
        if ill and len(items) != 1:
            native = any(item["type"] == "function_call_output" for item in items)
            return error_reply(400, "the image is upside down" if native else "unknown role tool")
        return healthy(request)

    with way.serving(answer, add) as (agent, server):
        with ours(RefusedError, "upside down") as caught:
            way.ask(agent)
        assert len(server.requests) == 4
        ill = False
        assert agent.resume_sync(caught.value.run).text == "It is 3."
        assert len(server.requests) == 5
        assert way.ask(agent).text == "It is 3."
    assert len(server.requests) == 7


@both_on_responses
def test_several_calls_of_the_guide_go_back_in_one_message(way):
    script = [guide_call_body(("add", {"a": 1, "b": 2}), ("now", {})), text_body("Done.")]
    with way.serving(script, add, now) as (agent, server):
        way.ask(agent)
    _, calls, *results = server.requests[1].json["input"]
    assert [call["function"]["name"] for call in calls["tool_calls"]] == ["add", "now"]
    assert [result["content"] for result in results] == ["3", "noon"]


@both_on_responses
def test_calls_within_the_message_are_of_the_guides_dialect_too(way):
    within = {"type": "function", "id": "call_1", "function": {"name": "add", "arguments": GOOD}}
    message = {"type": "message", "role": "assistant", "content": [], "tool_calls": [within]}
    with way.serving([body(message), text_body("It is 3.")], add) as (agent, server):
        assert way.ask(agent).text == "It is 3."
    assert kinds_in(server.requests[1]) == ["user", "call", "result"]
    assert server.requests[1].json["input"][-1]["role"] == "tool"


@both_on_responses
def test_a_call_in_two_places_is_one_call(way):
    both = guide_call_body(("add", {"a": 1, "b": 2})) | {"output": [call_item("add", GOOD)]}
    with way.serving([both, text_body("It is 3.")], add) as (agent, _):
        way.ask(agent)
    assert RAN == [(1, 2)]


# --- strict servers ---

FIELDS = {
    "native": {"model", "store", "stream", "input", "instructions", "tools"},
    "chat": {"model", "stream", "stream_options", "messages", "tools"},
}


@every_way
def test_a_strict_stateless_server_finds_nothing_to_refuse(way):
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
    replies = iter([body(thought, text_item("Adding."), call_item("add", GOOD)), text_body("It is 3.")])

    def strict(request: Request):
        unknown = request.json.keys() - FIELDS[way.dialect]
        conversation = request.json.get("input") or request.json["messages"]
        stateful = [item for item in conversation if item.keys() & {"id", "status"}]
        if unknown or stateful:
            return error_reply(400, f"not supported: {unknown or stateful}")
        return next(replies)

    with way.serving(strict, add, instructions="Be brief.") as (agent, _):
        assert way.ask(agent).text == "It is 3."


@both_on_responses
def test_reasoning_is_replayed_only_with_its_ciphertext(way):
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VjcmV0"}
    with way.serving([body(sealed, call_item("add", GOOD)), text_body("It is 3.")], add) as (agent, server):
        way.ask(agent)
    assert kinds_in(server.requests[1]) == ["user", "reasoning", "call", "result"]


# --- keys and fields ---


@every_way
def test_without_a_key_there_is_no_authorization_header(way, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-this-endpoint")
    with way.serving([text_body("hi")]) as (agent, server):
        way.ask(agent)
    assert "authorization" not in server.requests[0].headers


@both_on_responses
@pytest.mark.parametrize("key", ["sk-ovh", None])
def test_the_key_of_a_provider_comes_from_its_variable_or_the_call_is_anonymous(way, monkeypatch, key):
    for name in PROVIDERS["ovh"].keys:
        monkeypatch.delenv(name, raising=False)
    if key:
        monkeypatch.setenv("AI_ENDPOINT_API_KEY", key)
    with way.serving([text_body("hi")]) as (_, server):
        monkeypatch.setitem(PROVIDERS, "ovh", replace(PROVIDERS["ovh"], base_url=server.base_url))
        with closing(Agent("ovh:gpt-oss-20b")) as agent:
            way.ask(agent)
    assert server.requests[0].headers.get("authorization") == (f"Bearer {key}" if key else None)
    assert server.requests[0].json["model"] == "gpt-oss-20b"


@both_wires
def test_extra_fields_of_endpoint_and_settings_are_in_every_body(way):
    script = [call_body(("add", {"a": 1, "b": 2})), text_body("It is 3.")]
    settings = ModelSettings(extra_body={"seed": 7, "user": "me"})
    endpoint = {"extra_body": {"seed": 1, "cache": {"on": True}}}
    with way.serving(script, add, endpoint=endpoint, settings=settings) as (agent, server):
        way.ask(agent)
    for request in server.requests:
        assert {name: request.json[name] for name in ("seed", "user", "cache")} == {
            "seed": 7,
            "user": "me",
            "cache": {"on": True},
        }


# --- models that do not stop ---


def calls_for_ever(arguments=None):
    turns = iter(range(1000))

    def answer(_: Request) -> dict[str, object]:
        return call_body(("add", arguments or {"a": next(turns), "b": 0}))

    return answer


@both_wires
def test_a_model_that_calls_for_ever_is_stopped_with_its_work_kept(way):
    with way.serving(calls_for_ever(), add, limits=Limits(tool_calls=3)) as (agent, server):
        result = way.ask(agent)
    assert (result.stop_reason, len(RAN)) == ("tool_call_limit", 3)
    assert "tool_calls=3" in result.stop_note
    assert server.requests[-1].json["tool_choice"] == "none"


@both_wires
def test_a_model_that_repeats_itself_is_stopped(way):
    with way.serving(calls_for_ever({"a": 1, "b": 2}), add) as (agent, _):
        result = way.ask(agent)
    assert (result.stop_reason, RAN) == ("repeated_calls", [(1, 2)] * 3)


@both_wires
def test_a_huge_result_is_cut_before_it_goes_out(way):
    @tool
    def dump() -> str:
        """Return a lot."""
        return "x" * 3_000_000

    with way.serving([call_body(("dump", {})), text_body("Long.")], dump) as (agent, server):
        way.ask(agent)
    assert len(server.requests[1].body) < 30_000


@both_wires
def test_half_a_character_from_a_model_or_a_tool_goes_out_as_one_that_servers_can_read(way):
    @tool
    def shout(text: str) -> str:
        """Shout."""
        return text + "\udc80!"

    with way.serving([call_body(("shout", '{"text": "\\ud83d"}')), text_body("\ud83d ok")], shout) as (agent, _):
        result = way.ask(agent, "\ud800?")
    assert result.text.endswith(" ok")
    assert Run.from_json(result.run.to_json()).stop_reason == "answered"


# --- the user's own mistakes ---

PAUSES = {"policy": Policy(ask=("add",))}
SAID = "give texts, images, items such as Message"


@every_way
@pytest.mark.parametrize(
    ("said", "history", "message"),
    [
        (None, (), "input holds a NoneType"),
        (5, (), "input holds a int"),
        ("hi", RunResult(Run(run_id="r")), "history holds a RunResult"),
        ("hi", None, "history holds a NoneType"),
    ],
)
def test_what_is_no_conversation_raises_before_any_request(way, said, history, message):
    with way.serving([]) as (agent, server):
        with pytest.raises(ConfigurationError, match=message) as caught:
            way.ask(agent, said, history=history)
        assert SAID in caught.value.hint
    assert server.requests == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Agent(None), "model can't be a NoneType"),
        (lambda: Agent("any", endpoint="http://127.0.0.1:1/v1"), "endpoint can't be a str"),
        (lambda: Agent("ovh:any", instructions=["Be brief."]), "instructions can't be a list"),
        (lambda: Agent("ovh:any", tools=add), "tools can't be a Tool"),
        (lambda: Agent("ovh:any", limits=10), "limits can't be a int"),
        (lambda: Agent("ovh:any", settings={"temperature": 0}), "settings can't be a dict"),
        (lambda: Agent("ovh:any", policy="ask"), "policy can't be a str"),
        (lambda: Policy(ask="delete_*"), "one string in place of a collection of patterns"),
        (lambda: Policy(deny="delete_*"), "one string in place of a collection of patterns"),
        (lambda: Message("developer", "hi"), "the role 'developer'"),
        (lambda: Message("user", [b"hi"]), "neither text nor an image"),
        (lambda: Message("user", "hi", 3), "neither text nor an image"),
        (lambda: Message("user", None), "neither text nor an image"),
    ],
)
def test_a_value_of_the_wrong_kind_raises_at_once_with_what_to_write(make, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        make()
    assert caught.value.hint


def test_what_can_not_be_resumed_raises_with_what_to_give():
    with serving([call_body(("add", {"a": 1, "b": 2}))], add, **PAUSES) as (agent, server):
        paused = agent.run_sync("go")
        asked = paused.approvals[0].id
        with pytest.raises(RunStateError, match="a RunResult can't be resumed"):
            agent.resume_sync(paused, decisions={asked: Approve()})
        with pytest.raises(RunStateError, match=f"the decision on {asked} is a bool") as caught:
            agent.resume_sync(paused.run, decisions={asked: True})
        assert "Approve()" in caught.value.hint
        with (
            closing(Agent("any", endpoint=Endpoint(server.base_url), tools=[now])) as lacking,
            pytest.raises(RunStateError, match="tools that this agent does not have: add"),
        ):
            lacking.resume_sync(paused.run, decisions={asked: Approve()})
    assert len(server.requests) == 1


@both_wires
def test_a_conversation_that_goes_on_without_a_decision_answers_the_open_calls(way):
    script = [call_body(("add", {"a": 1, "b": 2})), text_body("Never mind."), text_body("Never mind.")]
    with way.serving(script, add, **PAUSES) as (agent, server):
        paused = way.ask(agent)
        assert way.ask(agent, "never mind", history=paused.items).text == "Never mind."
        assert way.ask(agent, paused.items).text == "Never mind."
    *_, (*_, answer), (*_, said) = entries_in(server.requests[1].json)
    assert (answer, said) == ("Not run: the conversation went on without it.", "never mind")
    assert RAN == []


@both_wires
def test_a_user_may_answer_an_open_call_in_the_tools_place(way):
    with way.serving([call_body(("add", {"a": 1, "b": 2})), text_body("It is 4.")], add, **PAUSES) as (agent, server):
        paused = way.ask(agent)
        way.ask(agent, [ToolResult("call_1", "4")], history=paused.items)
    assert results_in(server.requests[1]) == ["4"]
    assert kinds_in(server.requests[1]) == ["user", "call", "result"]


@both_on_responses
def test_what_a_server_repeats_of_the_request_is_not_taken_for_the_models(way):
    echo = text_item("go") | {"role": "user"}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "4"}
    with way.serving([body(echo, call_item("add", GOOD), echo, output), text_body("It is 3.")], add) as (agent, server):
        way.ask(agent)
    assert kinds_in(server.requests[1]) == ["user", "call", "result"]

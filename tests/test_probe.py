"""`agentloop probe`: what it finds out about servers that behave in many ways, and what later runs know of it."""

import asyncio
import json
from dataclasses import replace

import pytest
from inline_snapshot import snapshot

from agentloop import AuthenticationError, Endpoint, Profile, UnreachableError
from agentloop.cli import main
from agentloop.endpoint.probe import CAPABILITIES, MOST_REQUESTS, Examination, Finding, draw_lessons
from agentloop.endpoint.probe.examination import Budget
from agentloop.endpoint.profile_store import remember, resolve_profile
from agentloop.endpoint.transport import HttpTransport, Transport
from agentloop.endpoint.transport.limiter import Pace
from agentloop.wire.profile.lessons import Lesson, apply_lessons
from forking import piped
from loopback import (
    CUT,
    Gate,
    Loopback,
    Reply,
    body,
    busy_reply,
    call_body,
    error_reply,
    events_of,
    guide_call_body,
    html_reply,
    json_reply,
    sse_reply,
    text_body,
)
from person import at_terminal
from playing import POPULATION, WEATHER, play, usual

PATIENCE_SECONDS = 60
USUAL = Profile()


@pytest.fixture
def invoke(capfd, monkeypatch):
    """Return a function that carries out a command line here and returns its status, its output and the rest."""
    monkeypatch.delenv("AGENTLOOP_API_KEY", raising=False)

    def invoke(*arguments):
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        return exited.value.code, *capfd.readouterr()

    return invoke


def examine(script, profile=USUAL, *, model="m", **endpoint):
    """Return what a probe finds, the server, and what was shown meanwhile."""
    shown = []

    async def watch(what, sent):
        shown.append((what, sent))

    async def hold(base_url):
        transport = HttpTransport(Endpoint(base_url, **{"retries": 0} | endpoint))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await Examination(transport, model, profile, watch).hold()
        finally:
            await transport.aclose()

    with Loopback.in_thread(script) as server:
        findings = asyncio.run(hold(server.base_url))
    assert tuple(findings) == CAPABILITIES
    assert len(server.requests) <= MOST_REQUESTS
    assert all(finding.evidence for finding in findings.values())
    return findings, server, shown


def works(findings):
    return {name: finding.works for name, finding in findings.items()}


@pytest.fixture(scope="session")
def usually():
    return works(examine(play())[0])


# --- whole servers ---


def test_of_a_server_that_obeys_everything_is_found_that_works(usually):
    assert usually == snapshot(
        {
            "route_responses": True,
            "route_chat": True,
            "stream_responses": True,
            "stream_chat": True,
            "system_instructions": True,
            "system_message": True,
            "tools_native": True,
            "results_native": True,
            "tools_message": False,
            "tools_chat": True,
            "results_chat": None,
            "tools_prompted": True,
            "tool_choice_required": True,
            "tool_choice_named": True,
            "parallel_tool_calls": True,
            "serial_tool_calls": True,
            "strict": True,
            "json_schema_text_format": True,
            "json_schema_response_format": False,
            "json_schema_response_format_chat": True,
            "json_object": None,
            "structured_stream": True,
            "images": True,
            "reasoning": True,
            "previous_response_id": True,
        }
    )


def test_a_probe_is_cheap_and_asks_one_thing_at_a_time():
    findings, server, shown = examine(play())
    assert len(server.requests) == snapshot(19)
    for request in server.requests:
        assert 0 < request.json.get("max_output_tokens", request.json.get("max_tokens")) <= 256
    assert server.connections == 1
    assert [sent for _, sent in shown] == list(range(len(server.requests)))
    assert shown[0][0] == "route_responses"
    assert findings["stream_responses"].evidence == snapshot(
        "10 events: events named response.created to response.completed, no [DONE], with usage"
    )
    assert findings["stream_chat"].evidence == snapshot(
        "7 events: events without a name, [DONE] at the end, with usage"
    )


def test_a_server_without_the_responses_route_is_examined_on_chat():
    findings, server, _ = examine(play(lambda asked, chat: None if chat else error_reply(404, "Not Found")))
    assert works(findings) == snapshot(
        {
            "route_responses": False,
            "route_chat": True,
            "stream_responses": False,
            "stream_chat": True,
            "system_instructions": False,
            "system_message": True,
            "tools_native": False,
            "results_native": False,
            "tools_message": False,
            "tools_chat": True,
            "results_chat": True,
            "tools_prompted": True,
            "tool_choice_required": True,
            "tool_choice_named": True,
            "parallel_tool_calls": True,
            "serial_tool_calls": True,
            "strict": True,
            "json_schema_text_format": False,
            "json_schema_response_format": True,
            "json_schema_response_format_chat": True,
            "json_object": None,
            "structured_stream": True,
            "images": True,
            "reasoning": True,
            "previous_response_id": False,
        }
    )
    assert [request.path for request in server.requests].count("/v1/responses") == 1
    lessons = draw_lessons(findings, Profile(), Profile())
    assert apply_lessons(Profile(), lessons) == replace(Profile(), route="chat", refused=frozenset())


def test_a_server_without_chat_is_asked_there_once():
    findings, server, _ = examine(play(lambda asked, chat: error_reply(405) if chat else None))
    assert [request.path for request in server.requests].count("/v1/chat/completions") == 1
    assert [name for name, finding in findings.items() if finding.works is False] == snapshot(
        [
            "route_chat",
            "stream_chat",
            "tools_message",
            "tools_chat",
            "results_chat",
            "tools_prompted",
            "json_schema_response_format",
            "json_schema_response_format_chat",
        ]
    )


def test_a_server_that_refuses_everything_teaches_nothing():
    findings, server, _ = examine(lambda request: error_reply(400, "no"))
    assert [name for name, finding in findings.items() if finding.works is not None] == [
        "route_responses",
        "route_chat",
    ]
    assert len(server.requests) == 2
    assert draw_lessons(findings, Profile(), Profile()) == []


def test_what_is_asked_for_along_with_something_and_refused_is_left_out_and_asked_for_again():
    def quirk(asked, chat):
        if '"strict": true' in json.dumps(asked.get("tools", "")):
            return error_reply(400, "strict is not supported")
        return error_reply(400, "parallel_tool_calls=false") if "parallel_tool_calls" in asked else None

    findings, server, _ = examine(play(quirk))
    assert len(server.requests) == MOST_REQUESTS
    refused = {name for name, finding in findings.items() if finding.how == "refused"}
    assert refused == {"strict", "serial_tool_calls", "tools_message", "json_schema_response_format"}
    assert findings["tools_native"].works
    assert findings["tool_choice_required"].works
    assert findings["tools_prompted"].evidence == "no answer: not asked, as 20 requests have been made"
    lessons = {lesson.field: lesson.now for lesson in draw_lessons(findings, Profile(), Profile())}
    assert lessons == {"strict_tools": False, "refused": frozenset({"parallel_tool_calls"})}


def test_tools_that_are_refused_in_any_way_leave_it_open_whether_strict_is():
    findings, _, _ = examine(play(lambda asked, chat: error_reply(400, "no tools") if "tools" in asked else None))
    assert (findings["tools_native"].works, findings["strict"].works) == (False, None)
    assert findings["strict"].evidence == "tools_native got no answer"
    assert {lesson.field: lesson.now for lesson in draw_lessons(findings, Profile(), Profile())} == {
        "tool_calling": "prompted"
    }


# --- single capabilities ---


def told(words, **fields):
    return lambda asked, chat: text_body(words, **fields)


def tokens(count):
    return {"input_tokens": count, "output_tokens": 5, "total_tokens": count + 5}


def on(sign, answer):
    """Return a quirk: another answer to requests that hold the sign."""
    return lambda asked, chat: answer(asked, chat) if sign in json.dumps(asked) else None


def always(quirk, **fields):
    """Return a quirk that does the same, with other fields in every reply."""

    def changed(asked, chat):
        answer = (quirk and quirk(asked, chat)) or usual(asked, chat=chat)
        return answer if isinstance(answer, Reply) else answer | fields

    return changed


NAMED = f'"tool_choice": {{"type": "function", "name": "{POPULATION}"'
REQUIRED = '"tool_choice": "required"'
NATIVE = '"strict": true, "type"'
TWO_CALLS = call_body((WEATHER, {"city": "Paris"}), (WEATHER, {"city": "Rome"}))
SILENCE = body()
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xyz"}


def tools_offered(asked):
    return "tools" in asked and "tool_choice" not in asked and "hail" not in json.dumps(asked)


def on_tools(answer):
    """Return a quirk: another answer where tools are on offer and may be called."""
    return lambda asked, chat: answer if tools_offered(asked) else None


QUIRKS = {
    "a named tool is not the one that is called": (
        on(NAMED, lambda *_: call_body((WEATHER, {"city": "Paris"}))),
        {"tool_choice_named": False},
    ),
    "text in place of a named call": (on(NAMED, told("It is sunny.")), {"tool_choice_named": False}),
    "nothing in place of a named call": (on(NAMED, lambda *_: SILENCE), {"tool_choice_named": None}),
    "text in place of a required call": (
        on(REQUIRED, told("Hello!")),
        {"tool_choice_required": False, "serial_tool_calls": None},
    ),
    "two calls though one at a time was asked for": (on(REQUIRED, lambda *_: TWO_CALLS), {"serial_tool_calls": False}),
    "one call for two questions": (
        on_tools(call_body((WEATHER, {"city": "Paris"}))),
        {"parallel_tool_calls": None},
    ),
    "arguments that do not fit": (
        on_tools(call_body((WEATHER, {"town": "Paris"}), (WEATHER, "?"))),
        {"strict": False},
    ),
    "a call as text": (
        on_tools(text_body(f'<tool_call>{{"name": "{WEATHER}"}}')),
        {"tools_native": False, "tools_chat": False, "parallel_tool_calls": None, "strict": None},
    ),
    "tools that do not reach the model": (
        on_tools(text_body("It is sunny.")),
        {"tools_native": False, "tools_chat": False, "parallel_tool_calls": None, "strict": None},
    ),
    "tools that reach a model which does not call": (
        on_tools(text_body("It is sunny.", usage=tokens(90))),
        {"tools_native": None, "tools_chat": None, "parallel_tool_calls": None, "strict": None},
    ),
    "tools without a call, and tokens that nobody counts": (
        always(on_tools(text_body("It is sunny.")), usage=None),
        {"tools_native": None, "tools_chat": None, "parallel_tool_calls": None, "strict": None},
    ),
    "calls as the guide shows them": (
        on_tools(guide_call_body((WEATHER, {"city": "Paris"}), (WEATHER, {"city": "Rome"}))),
        {"tools_native": False},
    ),
    "results that the answer does not know": (
        on("hail", told("It is sunny.")),
        {"results_native": None, "tools_message": None},
    ),
    "a system text that is ignored": (
        on("BANANA", told("It is sunny.")),
        {"system_instructions": False, "system_message": False},
    ),
    "a system text that is read and not obeyed": (on("BANANA", told("It is sunny.", usage=tokens(60))), {}),
    "a schema that is ignored": (
        on("json_schema", told("Hello!")),
        {"json_schema_text_format": False, "json_schema_response_format_chat": False}
        | {"json_object": True, "tools_prompted": None},
    ),
    "no JSON at all": (
        on('"json_', told("Hello!")),
        {"json_schema_text_format": False, "json_schema_response_format_chat": False, "json_object": False}
        | {"structured_stream": None, "tools_prompted": None},
    ),
    "JSON that is cut off": (
        on('"colour"', told('{"colour', status="incomplete", incomplete_details={"reason": "max_output_tokens"})),
        {"json_schema_text_format": None, "json_schema_response_format_chat": None}
        | {"json_schema_response_format": None, "json_object": True},
    ),
    "silence in place of JSON": (
        on('"colour"', lambda *_: SILENCE),
        {"json_schema_text_format": None, "json_schema_response_format_chat": None}
        | {"json_schema_response_format": None, "json_object": True},
    ),
    "an image that is refused": (on("image_url", lambda *_: error_reply(400, "text only")), {"images": False}),
    "an image for which the server breaks down": (
        on("image_url", lambda *_: error_reply(500, "image input is not supported")),
        {"images": False},
    ),
    "an image that is not seen": (on("image_url", told("A cat.")), {"images": None}),
    "no reasoning": (on('"effort"', told("It is sunny.")), {"reasoning": None}),
    "reasoning that is refused": (on('"effort"', lambda *_: error_reply(400)), {"reasoning": False}),
    "reasoning in the text": (on('"effort"', told("<think>Hm.</think>It is sunny.")), {}),
    "reasoning that is secret": (on('"effort"', lambda *_: body(THOUGHT)), {}),
    "reasoning that is only counted": (
        on('"effort"', told("Sunny.", usage=tokens(10) | {"output_tokens_details": {"reasoning_tokens": 9}})),
        {},
    ),
    "a memory that is ignored": (on("previous_response_id", told("Which?")), {"previous_response_id": False}),
    "a memory that is missing": (
        on("previous_response_id", lambda *_: error_reply(404)),
        {"previous_response_id": False},
    ),
    "replies without an id": (always(None, id=None), {"previous_response_id": None}),
    "JSON in place of a stream": (
        lambda asked, chat: json_reply(text_body("It is sunny.")) if asked["stream"] and not chat else None,
        {"stream_responses": False, "structured_stream": False},
    ),
    "a stream that breaks off": (
        lambda asked, chat: (
            sse_reply([*events_of(text_body("It is sunny."))[:3], CUT]) if asked["stream"] and not chat else None
        ),
        {"stream_responses": None, "structured_stream": None},
    ),
    "too many requests": (on('"effort"', lambda *_: busy_reply()), {"reasoning": None}),
    "no credit": (on('"effort"', lambda *_: error_reply(402)), {"reasoning": None}),
    "a breakdown": (on('"effort"', lambda *_: error_reply(500)), {"reasoning": None}),
    "a web page": (on('"effort"', lambda *_: html_reply()), {"reasoning": None}),
    "something that is not implemented": (on('"effort"', lambda *_: error_reply(501)), {"reasoning": False}),
    "chat without streams": (
        lambda asked, chat: error_reply(400, "no streams") if chat and asked["stream"] else None,
        {"stream_chat": False},
    ),
    "chat that breaks down": (
        lambda asked, chat: error_reply(500) if chat else None,
        {"stream_chat": None, "route_chat": None, "tools_chat": None, "tools_prompted": None}
        | {"json_schema_response_format_chat": None},
    ),
}


@pytest.mark.parametrize("case", QUIRKS)
def test_what_a_quirk_shows_in(case, usually):
    quirk, expected = QUIRKS[case]
    found = works(examine(play(quirk))[0])
    assert {name: each for name, each in found.items() if each is not usually[name]} == expected


def test_evidence_is_what_the_server_said_cut_short():
    findings, _, _ = examine(play(on("image_url", told("A cat.\n" * 100))))
    assert findings["images"].evidence.endswith(f'{"A cat. " * 12}A cat....".'.replace('...".', '..."'))
    assert "\n" not in findings["images"].evidence


# --- what it may cost ---


def test_a_budget_is_a_transport_that_carries_no_more_than_it_may():
    async def spend(base_url):
        budget = Budget(HttpTransport(Endpoint(base_url)), 1)
        assert isinstance(budget, Transport)
        assert budget.endpoint.base_url == base_url
        await budget.send("/responses", b'{"stream": false}')
        with pytest.raises(Exception, match="1 requests have been made"):
            await anext(budget.stream("/responses", b"{}"))
        await budget.aclose()

    with Loopback.in_thread([text_body("Hello.")]) as server:
        asyncio.run(spend(server.base_url))
    assert len(server.requests) == 1


def test_a_probe_keeps_the_pace_that_the_profile_asks_for(monkeypatch):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)
        clock[0] += seconds

    clock = [0.0]
    with Loopback.in_thread(play()) as server:
        pace = Pace.of(Endpoint(server.base_url), "m", Profile())
        monkeypatch.setattr(pace.limiter, "clock", lambda: clock[0])
        monkeypatch.setattr(pace.limiter, "sleep", sleep)
        shown = []

        async def watch(what, sent):
            shown.append(what)

        async def hold():
            transport = HttpTransport(Endpoint(server.base_url))
            profile = Profile(anonymous_requests_per_minute=2)
            await Examination(transport, "m", profile, watch).hold()
            await transport.aclose()

        asyncio.run(hold())
    assert len(waits) == (len(server.requests) - 1) // 2
    assert "waiting 61 s before the next request: the limit is 2 requests a minute without a key" in shown


def test_a_request_that_came_too_soon_is_sent_once_more_and_both_are_counted():
    busy = iter([busy_reply("0")])
    findings, server, shown = examine(play(on('"effort"', lambda *_: next(busy, None))), retries=4)
    assert findings["reasoning"].works
    assert [what for what, _ in shown if what.startswith("again in ")]
    assert len(server.requests) == len([what for what, _ in shown if not what.startswith("again in ")]) + 1


@pytest.mark.parametrize(
    "silent",
    [
        busy_reply("3600"),
        Reply(before=(CUT,)),
        sse_reply([*events_of(text_body("Hello."))[:1], CUT]),
    ],
    ids=["busy for an hour", "cut", "cut within"],
)
def test_an_endpoint_that_stops_answering_is_not_asked_on(silent):
    answers = iter([json_reply(text_body("Hello."))])
    findings, server, _ = examine(lambda request: next(answers, silent))
    assert len(server.requests) == 3
    assert findings["route_responses"].works
    assert findings["images"] == Finding(None, "no answer: not asked, as the endpoint has stopped answering")
    assert [name for name, finding in findings.items() if finding.works is not None] == ["route_responses"]


def test_an_endpoint_that_is_silent_about_one_thing_is_asked_on(usually):
    findings, _, _ = examine(play(on("image_url", lambda *_: Reply(before=(CUT,)))))
    assert works(findings) == usually | {"images": None}


@pytest.mark.parametrize("status", [401, 403])
def test_a_probe_ends_at_once_where_it_may_not_ask(status):
    with pytest.raises(AuthenticationError, match="who are you"):
        examine(lambda request: error_reply(status, "who are you"))


def test_a_probe_ends_at_once_where_nobody_answers():
    with pytest.raises(UnreachableError):
        examine(lambda request: Reply(before=(CUT,)))


# --- what later runs know ---


def only_messages(asked, chat):
    if "function_call_output" in json.dumps(asked):
        return error_reply(400, "unknown item")
    return text_body("It is 31 degrees.") if "hail" in json.dumps(asked) else None


TAUGHT = {
    "calls work on chat alone": (
        lambda asked, chat: None if chat else on_tools(text_body("It is sunny."))(asked, chat),
        Profile(),
        {"route": "chat"},
    ),
    "calls work nowhere": (
        on_tools(text_body("It is sunny.")),
        Profile(),
        {"tool_calling": "prompted"},
    ),
    "what was thought to be lacking works": (
        None,
        Profile(tool_calling="prompted", tool_choice=frozenset({"auto"}), images=False, structured_stream=False),
        {"tool_calling": "native", "images": True, "structured_stream": True}
        | {"tool_choice": frozenset({"auto", "required", "named"})},
    ),
    "calls that leak are native calls": (on_tools(text_body(f'{WEATHER} {{"city": "Paris"}}')), Profile(), {}),
    "results as messages are refused": (None, Profile(tool_items="message"), {"tool_items": "native"}),
    "results as items are refused": (
        on("function_call_output", lambda *_: error_reply(400)),
        Profile(),
        {},
    ),
    "results are only taken as messages": (only_messages, Profile(), {"tool_items": "message"}),
    "instructions are ignored": (
        on('"instructions"', told("It is sunny.")),
        Profile(),
        {"system": "message"},
    ),
    "all system text is ignored": (on("BANANA", told("It is sunny.")), Profile(), {"system": "user"}),
    "a way that works stays": (None, Profile(system="message", structured_output="text_format"), {}),
    "a schema is ignored where it was asked for": (
        on('"format"', told("Hello!")),
        Profile(),
        {"structured_output": "prompt"},
    ),
    "on chat a schema is asked for in one way": (
        lambda asked, chat: None if chat else error_reply(404),
        Profile(route="chat"),
        {},
    ),
    "on chat it is ignored": (
        lambda asked, chat: on('"json_schema"', told("Hello!"))(asked, chat) if chat else error_reply(404),
        Profile(route="chat", structured_output="response_format"),
        {"structured_output": "json_object"},
    ),
    "reasoning is refused": (on('"effort"', lambda *_: error_reply(400)), Profile(), {"reasoning": "none"}),
    "a memory is refused": (
        on("previous_response_id", lambda *_: error_reply(400)),
        Profile(),
        {"refused": frozenset({"previous_response_id"})},
    ),
}


@pytest.mark.parametrize("case", TAUGHT)
def test_what_differs_from_the_profile_is_taught(case):
    quirk, profile, expected = TAUGHT[case]
    findings, _, _ = examine(play(quirk), profile)
    lessons = draw_lessons(findings, profile, profile)
    assert {lesson.field: lesson.now for lesson in lessons} == expected
    assert all(lesson.why.startswith("probe: ") for lesson in lessons)
    assert apply_lessons(profile, lessons) == replace(profile, **expected)


# --- the command ---


def test_json_has_a_line_of_evidence_for_each_capability(invoke):
    with Loopback.in_thread(play()) as server:
        status, out, err = invoke("probe", "--base-url", server.base_url, "--model", "m", "--json")
    found = json.loads(out)
    assert status == 0
    assert tuple(found) == CAPABILITIES
    assert all(each.keys() == {"works", "evidence"} for each in found.values())
    assert err.startswith("probe: 0 of 20 requests; route_responses\n")
    assert err.endswith("note: --save would store for later runs: nothing, all of it is known\n")


def test_the_table_has_a_line_for_each_capability(invoke):
    with Loopback.in_thread(play(on("image_url", told("[red]\x1b[2J")))) as server:
        status, out, _ = invoke("probe", "--base-url", server.base_url, "--model", "m")
    assert status == 0
    rows = {line.split()[0]: line.split()[1] for line in out.splitlines()[2:]}
    assert tuple(rows) == CAPABILITIES
    assert (rows["strict"], rows["tools_message"], rows["json_object"]) == ("yes", "no", "?")
    assert '"[red]\\u001b[2J"' in out  # neither markup nor a control character


def test_what_is_saved_is_known_to_later_runs(invoke):
    with Loopback.in_thread(play(on('"format"', told("Hello!")))) as server:
        status, _, err = invoke("probe", "--base-url", server.base_url, "--model", "m", "--save")
        profile = resolve_profile(Endpoint(server.base_url), "m").profile
    assert status == 0
    assert 'structured_output = "prompt"' in err.splitlines()[-1]
    assert profile == Profile(structured_output="prompt")


def test_what_turns_out_to_work_is_no_longer_thought_to_be_lacking(invoke):
    learned = {
        "route": "chat",
        "tool_calling": "prompted",
        "tool_items": "message",
        "system": "user",
        "strict_tools": False,
        "structured_output": "prompt",
        "structured_stream": False,
        "images": False,
        "reasoning": "none",
        "tool_choice": frozenset({"auto"}),
    }
    with Loopback.in_thread(play()) as server:
        lessons = [Lesson(field, getattr(Profile(), field), now, "once it was so") for field, now in learned.items()]
        remember(server.base_url, "m", lessons)
        assert resolve_profile(Endpoint(server.base_url), "m").profile == replace(Profile(), **learned)
        invoke("probe", "--base-url", server.base_url, "--model", "m", "--save")
        known = resolve_profile(Endpoint(server.base_url), "m")
    assert known.profile == replace(Profile(), tool_choice=known.profile.tool_choice)
    assert known.profile.tool_choice >= {"auto", "required", "named"}


def test_what_a_probe_could_not_tell_stays_as_it_was_learned(invoke):
    learned = [
        Lesson("images", was=True, now=False, why="once it was so"),
        Lesson("context_tokens", was=None, now=4096, why="an overflow said so"),
        Lesson("refused", was=frozenset(), now=frozenset({"temperature"}), why="refused once"),
    ]
    answers = iter([json_reply(text_body("Hello."))])
    with Loopback.in_thread(lambda request: next(answers, busy_reply("3600"))) as server:
        remember(server.base_url, "m", learned)
        status, _, err = invoke("probe", "--base-url", server.base_url, "--model", "m", "--save")
        profile = resolve_profile(Endpoint(server.base_url), "m").profile
    assert status == 0
    assert err.endswith("note: nothing was saved: all of it is known\n")
    assert profile == apply_lessons(Profile(), learned)


def test_a_second_probe_has_nothing_new_to_save(invoke):
    with Loopback.in_thread(play(on('"format"', told("Hello!")))) as server:
        invoke("probe", "--base-url", server.base_url, "--model", "m", "--save")
        _, _, err = invoke("probe", "--base-url", server.base_url, "--model", "m")
    assert err.endswith("note: --save would store for later runs: nothing, all of it is known\n")


def test_the_reason_for_a_lesson_begins_with_what_does_not_work():
    findings, _, _ = examine(play(on("previous_response_id", lambda *_: error_reply(400, "stateless"))))
    [lesson] = draw_lessons(findings, Profile(), Profile())
    assert lesson.why == snapshot(
        "probe: previous_response_id: refused: the endpoint answered 400: stateless; serial_tool_calls: accepted, and"
        " one call came"
    )


@pytest.mark.parametrize("path", ["file/learned.json", "folder"])
def test_saving_where_nothing_can_be_written_is_told(path, invoke, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("AGENTLOOP_CACHE", str(tmp_path / path))
    with Loopback.in_thread(play(on('"effort"', lambda *_: error_reply(400)))) as server:
        status, _, err = invoke("probe", "--base-url", server.base_url, "--model", "m", "--save")
    assert status == 0
    assert err.splitlines()[-1].startswith("note: nothing was saved: ")


def test_saving_without_a_file_is_a_mistake_before_anything_is_asked(invoke, monkeypatch):
    monkeypatch.setenv("AGENTLOOP_CACHE", "")
    status, out, err = invoke("probe", "--base-url", "http://127.0.0.1:1/v1", "--model", "m", "--save")
    assert (status, out) == (2, "")
    assert err.startswith("error: there is no file to save to\nhint: ")


def test_a_damaged_configuration_is_named_and_ignored(invoke, monkeypatch, tmp_path):
    monkeypatch.setenv("AGENTLOOP_CONFIG", str(tmp_path / "agentloop.toml"))
    (tmp_path / "agentloop.toml").write_text("[")
    with Loopback.in_thread(lambda request: error_reply(400, "no")) as server:
        status, out, err = invoke("probe", "--base-url", server.base_url, "--model", "m", "--json")
    assert "agentloop.toml is damaged and is ignored" in err
    assert status == 4
    assert json.loads(out)["route_chat"] == {"works": False, "evidence": "refused: the endpoint answered 400: no"}
    assert err.splitlines()[-2] == "error: neither route answered a plain question"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_server_that_is_not_there_is_an_error_of_the_endpoint(options, invoke):
    status, out, err = invoke("probe", "--base-url", "http://127.0.0.1:1/v1", "--model", "m", *options)
    assert status == 4
    assert "error: the connection to http://127.0.0.1:1/v1 failed" in err
    assert bool(out) == bool(options)
    assert not out or json.loads(out)["error"]["type"] == "UnreachableError"


def test_a_model_of_no_known_provider_is_told_with_the_ways_out(invoke):
    status, out, err = invoke("probe", "--model", "nowhere:m")
    assert (status, out) == (2, "")
    assert "ovh:" in err
    assert "--base-url" in err


def test_ctrl_c_ends_a_probe():
    gate = Gate()
    with (
        Loopback.in_thread([sse_reply([gate])]) as server,
        piped(["probe", "--base-url", server.base_url, "--model", "m"]) as process,
    ):
        gate.reached.result(PATIENCE_SECONDS)
        status, out, err = process.interrupt()
    assert (status, out) == (130, "")
    assert err == "probe: 0 of 20 requests; route_responses\nerror: interrupted\n"


def test_on_a_terminal_a_bar_shows_the_progress():
    with Loopback.in_thread(play()) as server:
        command = ["probe", "--base-url", server.base_url, "--model", "m"]
        with at_terminal(command, TERM="xterm-256color", COLUMNS="120") as person:
            person.leaves_with(0)
    assert "/20" in person.shown
    assert "route_responses" in person.shown


@pytest.mark.usefixtures("new_model")
def test_of_the_embedded_model_is_found_what_its_server_leaves_out(invoke):
    pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")
    status, out, _ = invoke("probe", "--model", "local:smollm2", "--json", "--save")
    found = json.loads(out)
    assert status == 0
    assert {name: found[name]["works"] for name in ("json_schema_text_format", "tool_choice_named")} == snapshot(
        {"json_schema_text_format": False, "tool_choice_named": False}
    )
    assert found["previous_response_id"]["works"] is False
    assert "does not support 'previous_response_id'" in found["previous_response_id"]["evidence"]
    assert found["json_schema_response_format"]["works"] is True
    assert found["tools_message"]["works"] is False

"""Lists the questions for an endpoint in order; some depend on earlier findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from agentloop.endpoint.probe.answer import Answer, Finding, unknown
from agentloop.endpoint.probe.judgement import (
    judge_image,
    judge_memory,
    judge_named,
    judge_object,
    judge_prompted,
    judge_reasoning,
    judge_required,
    judge_results,
    judge_route,
    judge_stream,
    judge_structure,
    judge_system,
    judge_tools,
)
from agentloop.endpoint.probe.questions import (
    BEFORE,
    FITTING,
    GREETING,
    PARIS,
    REPLY_TOKENS,
    SUM,
    SYSTEM,
    WEATHER,
    Question,
    Shape,
    named_choice,
    picture,
    results,
    structure,
    tools,
    turn,
)
from agentloop.items import JsonObject, Message
from agentloop.tools import Tool
from agentloop.wire.formats.dialect import ModelRequest
from agentloop.wire.formats.prompted import PromptedChat
from agentloop.wire.profile import ModelSettings, Profile, Route

CAPABILITIES: Final = (
    "route_responses",
    "route_chat",
    "stream_responses",
    "stream_chat",
    "system_instructions",
    "system_message",
    "tools_native",
    "results_native",
    "tools_message",
    "tools_chat",
    "results_chat",
    "tools_prompted",
    "tool_choice_required",
    "tool_choice_named",
    "parallel_tool_calls",
    "serial_tool_calls",
    "strict",
    "json_schema_text_format",
    "json_schema_response_format",
    "json_schema_response_format_chat",
    "json_object",
    "structured_stream",
    "images",
    "reasoning",
    "previous_response_id",
)
"""The names of the capabilities; a probe returns a finding for each."""

_ONLY_ON_RESPONSES = frozenset(
    {
        "stream_responses",
        "system_instructions",
        "tools_native",
        "results_native",
        "tools_message",
        "json_schema_text_format",
        "previous_response_id",
    }
)
_ONLY_ON_CHAT = frozenset({"tools_chat", "results_chat", "tools_prompted", "json_schema_response_format_chat"})
_NOT_ASKED: Mapping[str, str] = {
    "results_chat": "/v1/responses accepts results",
    "json_object": "JSON that follows a schema works, so JSON without one is not needed",
    "structured_stream": "no way of asking for JSON works",
    "previous_response_id": "the reply to refer to came without an id",
}
_SCHEMAS: Mapping[str, Shape] = {
    "json_schema_text_format": "text_format",
    "json_schema_response_format": "response_format",
    "json_object": "json_object",
}
Findings: TypeAlias = Mapping[str, Finding]


def ask_plainly(route: Route) -> Question:
    """Return the question that shows whether the server has the route; other answers are compared with its answer."""
    return Question(
        route=route,
        names=(f"route_{route}",),
        judge=judge_route,
        turns=[turn(route, "user", WEATHER)],
        # `store` is not set to False, because a later request can refer to this reply only if the server keeps it.
        fields={"store": None},
    )


def ask_for_stream(route: Route) -> Question:
    """Return a question whose reply is a stream; on chat the plain question, because it also serves as that."""
    return Question(
        route=route,
        names=(f"stream_{route}",),
        judge=judge_stream,
        turns=[turn(route, "user", WEATHER if route == "chat" else GREETING)],
        fields={"stream_options": {"include_usage": True}} if route == "chat" else {},
        stream=True,
    )


def list_questions(route: Route, plain: Answer, findings: Findings) -> Iterator[Question]:
    """Yield the questions for the main route.

    Args:
        route: The main route.
        plain: The answer to the plain question.
        findings: The findings so far. The caller adds to them while it iterates; they decide on later questions.
    """
    yield ask_for_stream(route)
    yield from _ask_of_system_text(route)
    yield from _ask_of_tools(route)
    yield from _ask_of_schemas(route, findings)
    if route == "responses" and plain.reply.response_id:
        fields = {"previous_response_id": plain.reply.response_id}
        turns = [turn(route, "user", BEFORE)]
        yield Question(route=route, names=("previous_response_id",), judge=judge_memory, turns=turns, fields=fields)
    yield Question(route=route, names=("images",), judge=judge_image, turns=[picture(route)])
    effort = {"reasoning": {"effort": "low"}} if route == "responses" else {"reasoning_effort": "low"}
    turns = [turn(route, "user", SUM)]
    yield Question(route=route, names=("reasoning",), judge=judge_reasoning, turns=turns, fields=effort)


def explain_silence(name: str, findings: Findings) -> Finding:
    """Return the finding for a capability that was not asked about."""
    responses, chat = findings["route_responses"], findings["route_chat"]
    if not responses.works and not chat.works:
        return unknown("not asked: neither route answers")
    for names, route, path in (
        (_ONLY_ON_RESPONSES, responses, "/v1/responses"),
        (_ONLY_ON_CHAT, chat, "/v1/chat/completions"),
    ):
        if name in names and not route.works:
            return Finding(route.works, f"not asked: {path} gave no answer")
    return unknown(f"not asked: {_NOT_ASKED[name]}")


def list_chat_questions() -> Iterator[Question]:
    """Yield the questions for chat if it is not the main route."""
    yield _ask_for_calls("chat", ("tools_chat",), strict=False)
    yield _ask_for_json("chat", "json_schema_response_format_chat", "response_format")


def ask_prompted(model: str, profile: Profile) -> Question:
    """Return the question about the weather with a tool that the prompt describes, in the prompted dialect."""
    dialect = PromptedChat()
    [function] = [each["function"] for each in tools("chat") if each["function"]["name"] == FITTING]
    tool = Tool.from_schema(FITTING, function["description"], function["parameters"], str)  # `str` is never called
    items = [Message("user", PARIS)]
    ask = ModelRequest(
        model=model,
        instructions=None,
        items=items,
        tools=[tool],
        settings=ModelSettings(max_output_tokens=REPLY_TOKENS),
        profile=profile,
        stream=False,
    )
    body = dialect.encode(ask, dialect.encode_items(items, profile), dialect.encode_tools([tool], profile))
    return Question(route="chat", names=("tools_prompted",), judge=judge_prompted, body=body)


def _ask_of_system_text(route: Route) -> Iterator[Question]:
    asked = turn(route, "user", WEATHER)
    if route == "responses":
        fields = {"instructions": SYSTEM}
        yield Question(route=route, names=("system_instructions",), judge=judge_system, turns=[asked], fields=fields)
    turns = [turn(route, "system", SYSTEM), asked]
    yield Question(route=route, names=("system_message",), judge=judge_system, turns=turns)


def _ask_of_tools(route: Route) -> Iterator[Question]:
    native = "tools_native" if route == "responses" else "tools_chat"
    yield _ask_for_calls(route, (native, "parallel_tool_calls", "strict"))
    required: JsonObject = {"tools": tools(route, strict=False), "tool_choice": "required"}
    yield Question(
        route=route,
        names=("tool_choice_required", "serial_tool_calls"),
        judge=judge_required,
        turns=[turn(route, "user", GREETING)],
        fields={**required, "parallel_tool_calls": False},
        without=required,
    )
    yield Question(
        route=route,
        names=("tool_choice_named",),
        judge=judge_named,
        turns=[turn(route, "user", WEATHER)],
        fields={"tools": tools(route, strict=False), "tool_choice": named_choice(route)},
    )
    offered = {"tools": tools(route, strict=False)}
    if route == "chat":
        yield Question(route=route, names=("results_chat",), judge=judge_results, turns=results("chat"), fields=offered)
        return
    yield Question(route=route, names=("results_native",), judge=judge_results, turns=results("native"), fields=offered)
    yield Question(route=route, names=("tools_message",), judge=judge_results, turns=results("message"), fields=offered)


def _ask_for_calls(route: Route, names: tuple[str, ...], *, strict: bool = True) -> Question:
    lax = {"tools": tools(route, strict=False)}
    return Question(
        route=route,
        names=names,
        judge=judge_tools,
        turns=[turn(route, "user", WEATHER)],
        fields={"tools": tools(route)} if strict else lax,
        without=lax if strict else None,
    )


def _ask_of_schemas(route: Route, findings: Findings) -> Iterator[Question]:
    if route == "responses":
        yield _ask_for_json(route, "json_schema_text_format", "text_format")
    yield _ask_for_json(route, "json_schema_response_format", "response_format")
    if not any(name in findings and findings[name].works for name in _SCHEMAS):
        yield _ask_for_json(route, "json_object", "json_object")
    for name, shape in _SCHEMAS.items():
        if name in findings and findings[name].works:
            yield _ask_for_json(route, "structured_stream", shape, stream=True)
            return


def _ask_for_json(route: Route, name: str, shape: Shape, *, stream: bool = False) -> Question:
    words = f"{GREETING} Write it as JSON." if shape == "json_object" else GREETING  # OpenAI requires the word "JSON"
    return Question(
        route=route,
        names=(name,),
        judge=judge_object if shape == "json_object" else judge_structure,
        turns=[turn(route, "user", words)],
        fields=structure(shape, route),
        stream=stream,
    )

"""Draws findings from answers: one function for each kind of question, given the answer and the plain answer.

A judge is called only for a reply, never for an error. Two things prove that a server ignored a part of the request:
the text that the model wrote, and the input tokens, which do not grow if the part never reached the model. If neither
shows it, the finding is unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from agentloop.endpoint.probe.answer import Answer, Finding, no, quote, unknown, yes
from agentloop.endpoint.probe.questions import COLOUR, DEGREES, FITTING, UNFITTING, WORD
from agentloop.items import Reasoning
from agentloop.wire.payload import mapping

_CLEARLY_MORE_TOKENS = 10
_NOTHING = "the model wrote nothing, so this can't be judged"


def judge_route(answer: Answer, _: Answer) -> Sequence[Finding]:
    """Judge a route: any reply proves that it works."""
    return [yes(f"answered: {answer.saying}")]


def judge_stream(answer: Answer, _: Answer) -> Sequence[Finding]:
    """Judge a stream: it has events, and the decoder found its end."""
    shape = answer.shape
    if not shape.chunks:
        return [no("one JSON body came instead of a stream")]
    names = [name for name in shape.events if name]
    marks = (
        f"events named {names[0]} to {names[-1]}" if names else "events without a name",
        "[DONE] at the end" if shape.done else "no [DONE]",
        "with usage" if answer.reply.usage.tokens else "without usage",
    )
    return [yes(f"{shape.chunks} events: {', '.join(marks)}")]


def judge_system(answer: Answer, plain: Answer) -> Sequence[Finding]:
    """Judge a system text, which asks for one unusual word."""
    if WORD in answer.text.lower():
        return [yes(f"obeyed: {answer.saying}")]
    return [_judge_growth(answer, plain, "the text", f"but it was not obeyed: {answer.saying}")]


def judge_tools(answer: Answer, plain: Answer) -> Sequence[Finding]:
    """Judge tools by a question about two cities, so that there may be a call for each."""
    calls = answer.calls
    if not calls:
        return [_judge_lacking_call(answer, plain), unknown("no call came"), unknown("no call came")]
    called = yes(f"called {answer.saying}")
    if answer.reply.dialect == "message":
        called = no(f"calls came, but as tool_calls of a message: {answer.saying}", "otherwise")
    several = f"{len(calls)} calls in one reply"
    alone = "one call came for two questions, which proves nothing"
    return [called, yes(several) if len(calls) > 1 else unknown(alone), _judge_arguments(answer)]


def _judge_lacking_call(answer: Answer, plain: Answer) -> Finding:
    if FITTING in answer.text and "{" in answer.text:
        return no(f"the call came as text: {answer.saying}", "otherwise")
    return _judge_growth(answer, plain, "the tools", f"but no call came: {answer.saying}", unknown)


def _judge_arguments(answer: Answer) -> Finding:
    fit = all(_is_city(_load(call.arguments)) for call in answer.calls)
    if fit:
        return yes("accepted, and the arguments are valid")
    return no(f"accepted, but the arguments are not valid: {answer.saying}")


def _is_city(arguments: Any) -> bool:
    return set(mapping(arguments)) == {"city"} and isinstance(arguments["city"], str)


def judge_required(answer: Answer, _: Answer) -> Sequence[Finding]:
    """Judge `tool_choice: "required"` by a greeting, which needs no tool, and `parallel_tool_calls: false` with it."""
    count = len(answer.calls)
    serial = (unknown("accepted, but no call came"), yes("accepted, and one call came"))
    ignored = no(f"accepted, but {count} calls came at once")
    return [_judge_choice(answer, "some tool"), serial[count] if count < len(serial) else ignored]


def judge_named(answer: Answer, _: Answer) -> Sequence[Finding]:
    """Judge a named tool choice; the named tool does not fit the question."""
    if answer.calls and any(call.name != UNFITTING for call in answer.calls):
        return [no(f"{UNFITTING} had to be called, but the model called {answer.saying}")]
    return [_judge_choice(answer, UNFITTING)]


def _judge_choice(answer: Answer, what: str) -> Finding:
    if answer.calls:
        return yes(f"called {answer.saying}")
    if answer.text:
        return no(f"{what} had to be called, but the model wrote {answer.saying}")
    return unknown(_NOTHING)


def judge_results(answer: Answer, _: Answer) -> Sequence[Finding]:
    """Judge a tool's result, which holds a temperature that is nowhere else."""
    if DEGREES in answer.text:
        return [yes(f"accepted, and the answer uses it: {answer.saying}")]
    return [unknown(f"accepted, but the answer does not show it: {answer.saying}")]


def judge_structure(answer: Answer, _: Answer) -> Sequence[Finding]:
    """Judge a schema: it works if the answer is JSON that follows it."""
    return [_judge_json(answer, lambda value: value == {"colour": COLOUR})]


def judge_object(answer: Answer, _: Answer) -> Sequence[Finding]:
    """Judge JSON without a schema: it works if the answer is a JSON object."""
    return [_judge_json(answer, lambda value: isinstance(value, dict))]


def _judge_json(answer: Answer, fits: Callable[[Any], bool]) -> Finding:
    if not answer.text or (answer.reply.stop == "truncated" and answer.text.startswith("{")):
        return unknown(f"cut off: {answer.saying}" if answer.text else _NOTHING)
    if fits(_load(answer.text)):
        return yes(f"obeyed: {answer.saying}")
    return no(f"accepted and ignored: {answer.saying}")


def judge_image(answer: Answer, _: Answer) -> Sequence[Finding]:
    """Judge an image, which is entirely red."""
    if re.search(rf"\b{COLOUR}\b", answer.text, re.IGNORECASE):
        return [yes(f"seen: {answer.saying}")]
    return [unknown(f"accepted, but the answer does not show that the model saw it: {answer.saying}")]


def judge_reasoning(answer: Answer, _: Answer) -> Sequence[Finding]:
    """Judge reasoning: it works if it is in the reply or in its token counts."""
    thoughts = [item.text for item in answer.reply.items if isinstance(item, Reasoning)]
    if thoughts:
        return [yes(f"reasoning came: {quote(thoughts[0]) if thoughts[0] else 'encrypted'}")]
    if answer.reply.usage.reasoning_tokens:
        return [yes(f"{answer.reply.usage.reasoning_tokens} reasoning tokens were counted")]
    if "<think>" in answer.text:
        return [yes(f"as part of the text: {answer.saying}")]
    return [unknown("accepted, but no reasoning came")]


def judge_memory(answer: Answer, plain: Answer) -> Sequence[Finding]:
    """Judge `previous_response_id` by a question that only a server with the earlier conversation can answer."""
    if all(city in answer.text for city in ("Paris", "Rome")):
        return [yes(f"the earlier conversation is known: {answer.saying}")]
    return [
        _judge_growth(answer, plain, "the earlier conversation", f"but the answer does not show it: {answer.saying}")
    ]


def judge_prompted(answer: Answer, _: Answer) -> Sequence[Finding]:
    """Judge a tool that the prompt describes: it works if the reply was read as a call of it."""
    if any(call.name == FITTING for call in answer.calls):
        return [yes(f"called {answer.saying}")]
    return [unknown(f"no call came: {answer.saying}")]


def _judge_growth(
    answer: Answer, plain: Answer, what: str, but: str, reached: Callable[[str], Finding] = yes
) -> Finding:
    """Judge by the input tokens whether a part of the request reached the model, if its text does not show it.

    Args:
        answer: The answer to the question with that part.
        plain: The answer to the plain question.
        what: The name of the part.
        but: What the answer failed to show.
        reached: Makes the finding if the part reached the model.
    """
    tokens, before = answer.reply.usage.input_tokens, plain.reply.usage.input_tokens
    if tokens is None or before is None:
        return unknown(f"accepted, {but}")
    if tokens - before < _CLEARLY_MORE_TOKENS:
        return no(f"{what} did not reach the model: {tokens} input tokens, and {before} without")
    return reached(f"{what} reached the model ({tokens - before} more input tokens), {but}")


def _load(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None

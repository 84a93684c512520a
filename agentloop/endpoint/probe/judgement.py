"""What an answer proves: one judge for each kind of question, from the answer and the plain one to findings.

A judge is only asked about a reply. That a server ignored what it took is proved by what the model wrote, or by the
input tokens, which do not grow when something never reached the model. What neither shows is not known.
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
_NOTHING = "it wrote nothing to judge by"


def judge_route(answer: Answer, _: Answer) -> Sequence[Finding]:
    """Any reply will do."""
    return [yes(f"answered: {answer.saying}")]


def judge_stream(answer: Answer, _: Answer) -> Sequence[Finding]:
    """A stream has events, and the decoder has found its end."""
    shape = answer.shape
    if not shape.chunks:
        return [no("one JSON body came in place of a stream")]
    names = [name for name in shape.events if name]
    marks = (
        f"events named {names[0]} to {names[-1]}" if names else "events without a name",
        "[DONE] at the end" if shape.done else "no [DONE]",
        "with usage" if answer.reply.usage.tokens else "without usage",
    )
    return [yes(f"{shape.chunks} events: {', '.join(marks)}")]


def judge_system(answer: Answer, plain: Answer) -> Sequence[Finding]:
    """The system text asks for one odd word."""
    if WORD in answer.text.lower():
        return [yes(f"obeyed: {answer.saying}")]
    return [_judge_growth(answer, plain, "the text", f"though not obeyed: {answer.saying}")]


def judge_tools(answer: Answer, plain: Answer) -> Sequence[Finding]:
    """Two cities are asked about, so that a call for each may come."""
    calls = answer.calls
    if not calls:
        return [_judge_lacking_call(answer, plain), unknown("no call came"), unknown("no call came")]
    called = yes(f"called {answer.saying}")
    if answer.reply.dialect == "message":
        called = no(f"calls came, though as tool_calls of a message: {answer.saying}", "otherwise")
    several = f"{len(calls)} calls in one reply"
    alone = "one call came for two questions, which proves nothing"
    return [called, yes(several) if len(calls) > 1 else unknown(alone), _judge_arguments(answer)]


def _judge_lacking_call(answer: Answer, plain: Answer) -> Finding:
    if FITTING in answer.text and "{" in answer.text:
        return no(f"the call came as text: {answer.saying}", "otherwise")
    return _judge_growth(answer, plain, "the tools", f"but no call came: {answer.saying}", unknown)


def _judge_arguments(answer: Answer) -> Finding:
    fit = all(_is_city(_load(call.arguments)) for call in answer.calls)
    return yes("taken, and the arguments fit") if fit else no(f"taken, but the arguments do not fit: {answer.saying}")


def _is_city(arguments: Any) -> bool:
    return set(mapping(arguments)) == {"city"} and isinstance(arguments["city"], str)


def judge_required(answer: Answer, _: Answer) -> Sequence[Finding]:
    """A greeting needs no tool; what comes along is `parallel_tool_calls: false`."""
    count = len(answer.calls)
    serial = (unknown("taken, but no call came"), yes("taken, and one call came"))
    ignored = no(f"taken, but {count} calls came at once")
    return [_judge_choice(answer, "some tool"), serial[count] if count < len(serial) else ignored]


def judge_named(answer: Answer, _: Answer) -> Sequence[Finding]:
    """The tool that is named does not fit the question."""
    if answer.calls and any(call.name != UNFITTING for call in answer.calls):
        return [no(f"{UNFITTING} had to be called, but called was {answer.saying}")]
    return [_judge_choice(answer, UNFITTING)]


def _judge_choice(answer: Answer, what: str) -> Finding:
    if answer.calls:
        return yes(f"called {answer.saying}")
    if answer.text:
        return no(f"{what} had to be called, but the model wrote {answer.saying}")
    return unknown(_NOTHING)


def judge_results(answer: Answer, _: Answer) -> Sequence[Finding]:
    """Only the tool's result knows how warm it is."""
    if DEGREES in answer.text:
        return [yes(f"taken, and the answer knows it: {answer.saying}")]
    return [unknown(f"taken, but the answer does not show it: {answer.saying}")]


def judge_structure(answer: Answer, _: Answer) -> Sequence[Finding]:
    """JSON that fits is obedience; prose is not."""
    return [_judge_json(answer, lambda value: value == {"colour": COLOUR})]


def judge_object(answer: Answer, _: Answer) -> Sequence[Finding]:
    """Any JSON object will do."""
    return [_judge_json(answer, lambda value: isinstance(value, dict))]


def _judge_json(answer: Answer, fits: Callable[[Any], bool]) -> Finding:
    if not answer.text or (answer.reply.stop == "truncated" and answer.text.startswith("{")):
        return unknown(f"cut off: {answer.saying}" if answer.text else _NOTHING)
    if fits(_load(answer.text)):
        return yes(f"obeyed: {answer.saying}")
    return no(f"taken and ignored: {answer.saying}")


def judge_image(answer: Answer, _: Answer) -> Sequence[Finding]:
    """The picture is red all over."""
    if re.search(rf"\b{COLOUR}\b", answer.text, re.IGNORECASE):
        return [yes(f"seen: {answer.saying}")]
    return [unknown(f"taken, but the answer does not show that it was seen: {answer.saying}")]


def judge_reasoning(answer: Answer, _: Answer) -> Sequence[Finding]:
    """Reasoning shows, or is at least counted."""
    thoughts = [item.text for item in answer.reply.items if isinstance(item, Reasoning)]
    if thoughts:
        return [yes(f"reasoning came: {quote(thoughts[0]) if thoughts[0] else 'encrypted'}")]
    if answer.reply.usage.reasoning_tokens:
        return [yes(f"{answer.reply.usage.reasoning_tokens} reasoning tokens were counted")]
    if "<think>" in answer.text:
        return [yes(f"as part of the text: {answer.saying}")]
    return [unknown("taken, but no reasoning came")]


def judge_memory(answer: Answer, plain: Answer) -> Sequence[Finding]:
    """What was said before is known only to a server that kept it."""
    if all(city in answer.text for city in ("Paris", "Rome")):
        return [yes(f"what was said before is known: {answer.saying}")]
    return [
        _judge_growth(answer, plain, "what was said before", f"though the answer does not show it: {answer.saying}")
    ]


def judge_prompted(answer: Answer, _: Answer) -> Sequence[Finding]:
    """The tools were told of in words, and the reply was read as a call where it is one."""
    if any(call.name == FITTING for call in answer.calls):
        return [yes(f"called {answer.saying}")]
    return [unknown(f"no call came: {answer.saying}")]


def _judge_growth(
    answer: Answer, plain: Answer, what: str, but: str, reached: Callable[[str], Finding] = yes
) -> Finding:
    """Judge by the input tokens whether something reached the model that does not show in what it wrote."""
    tokens, before = answer.reply.usage.input_tokens, plain.reply.usage.input_tokens
    if tokens is None or before is None:
        return unknown(f"taken, {but}")
    if tokens - before < _CLEARLY_MORE_TOKENS:
        return no(f"{what} did not reach the model: {tokens} input tokens, and {before} without")
    return reached(f"{what} reached the model ({tokens - before} more input tokens), {but}")


def _load(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None

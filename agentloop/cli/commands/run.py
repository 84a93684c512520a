"""`agentloop run`: make an agent of the options, run it, print what it came to."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TextIO

from agentloop.agent import Agent
from agentloop.cli.agent_options import make_agent
from agentloop.cli.approvals.approver import Approvals
from agentloop.cli.failure import DONE, STOPPED, failure_as_json, report
from agentloop.cli.follow import follow_run
from agentloop.cli.options import RunCommandOptions
from agentloop.cli.screen import Screen
from agentloop.cli.terminal import keep_stdout
from agentloop.errors import AgentloopError, ConfigurationError
from agentloop.events import Event
from agentloop.items import Image, JsonObject, Message, Text
from agentloop.loop.run import RunResult


def run_prompt(order: RunCommandOptions) -> int:
    """Carry out the order and return the exit status."""
    with keep_stdout() as stdout:
        watched = stdout.isatty() and not order.as_json and order.output_schema is None
        screen = Screen(stdout if watched else None)
        try:
            result = _run(order, screen)
        except (AgentloopError, KeyboardInterrupt) as failure:
            screen.end_line()
            if order.as_json:
                _print_json(failure_as_json(failure), stdout)
            return report(failure)
        answered = result.stop_reason == "answered"
        if order.as_json:
            _print_json(_as_json(result), stdout)
        elif order.output_schema is not None and answered:
            _print_json(result.output, stdout)
        elif not watched:
            print(result.text, file=stdout)
        return DONE if answered else STOPPED


def _run(order: RunCommandOptions, screen: Screen) -> RunResult[Any]:
    images = (_find_image(given) for given in order.image or ())
    prompt = Message("user", (Text(_read_prompt(order.prompt)), *images))
    approvals = Approvals(order.yes)
    agent = make_agent(order, approvals, order.output_schema)
    return follow_run(lambda: _stream(agent, prompt), screen, approvals)


async def _stream(agent: Agent[Any], prompt: Message) -> AsyncGenerator[Event, None]:
    async with agent, aclosing(agent.stream(prompt)) as events:
        async for event in events:
            yield event


def _read_prompt(prompt: str) -> str:
    """Return the prompt as text that can be sent, whatever bytes it is made of."""
    raw = sys.stdin.buffer.read() if prompt == "-" else os.fsencode(prompt)
    text = raw.decode(errors="replace").strip()
    if not text:
        raise ConfigurationError(
            "the prompt is empty", hint='give it as agentloop run "...", or - and on standard input'
        )
    return text


def _find_image(given: str) -> Image:
    return Image.from_url(given) if "://" in given or given.startswith("data:") else Image.from_path(given)


def _as_json(result: RunResult[Any]) -> JsonObject:
    run: JsonObject = json.loads(result.run.to_json())
    return {
        "text": result.text,
        "output": result.output if result.stop_reason == "answered" else None,
        "stop_reason": result.stop_reason,
        "stop_note": result.stop_note,
        "tally": run["tally"],
        "usage": run["tally"]["usage"],
        "items": run["items"],
        "run": run,
    }


def _print_json(value: Any, stdout: TextIO) -> None:
    print(json.dumps(value), file=stdout)

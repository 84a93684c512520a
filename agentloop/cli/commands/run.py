"""`agentloop run`: makes an agent from the options, runs it once, and prints the result."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from agentloop.agent import Agent, FilledPrompt
from agentloop.cli.agent_options import make_agent
from agentloop.cli.approvals.approver import Approvals
from agentloop.cli.failure import DONE, STOPPED, failure_as_json, report
from agentloop.cli.follow import follow_run
from agentloop.cli.options import RunCommandOptions
from agentloop.cli.screen import Screen
from agentloop.cli.terminal import keep_stdout, print_json, print_text
from agentloop.errors import AgentloopError, ConfigurationError
from agentloop.events import Event
from agentloop.items import Image, JsonObject, Message, Text
from agentloop.loop.run import RunResult


def run_prompt(options: RunCommandOptions) -> int:
    """Run the agent that the options describe, print its answer, and return the exit status."""
    with keep_stdout() as stdout:
        is_streamed = stdout.isatty() and not options.as_json and options.output_schema is None
        screen = Screen(stdout if is_streamed else None)
        try:
            result = _run(options, screen)
        except (AgentloopError, KeyboardInterrupt) as failure:
            screen.end_line()
            if options.as_json:
                print_json(failure_as_json(failure), stdout)
            return report(failure)
        answered = result.stop_reason == "answered"
        if options.as_json:
            print_json(_as_json(result), stdout)
        elif options.output_schema is not None and answered:
            print_json(result.output, stdout)
        elif not is_streamed:
            print_text(result.text, stdout)
        return DONE if answered else STOPPED


def _run(options: RunCommandOptions, screen: Screen) -> RunResult[Any]:
    prompt = _find_prompt(options)
    images = [_find_image(text) for text in options.image or ()]
    words = [] if options.prompt is None else [Text(_read_prompt(options.prompt))]
    if not words and (prompt is None or not prompt.message):
        raise ConfigurationError(
            "there is no question or task",
            hint='write agentloop run "...", or give - and write it to standard input',
        )
    said = [Message("user", (*words, *images))] if words or images else []
    approvals = Approvals(options.yes)
    agent = make_agent(options, approvals, options.output_schema, prompt)
    return follow_run(lambda: _stream(agent, said), screen, approvals)


def _find_prompt(options: RunCommandOptions) -> FilledPrompt | None:
    """Return the prompt that --prompt names, with the values of --var.

    Raises:
        ConfigurationError: there is no such prompt, or an option does not go with it.
    """
    if options.prompt_name is None:
        if options.var:
            raise ConfigurationError("--var was given without --prompt", hint="add --prompt with the prompt's name")
        return None
    if options.instructions is not None:
        raise ConfigurationError(
            "--instructions and --prompt were both given", hint="give one of them; a prompt holds instructions"
        )
    from agentloop.cli.prompt_files import fill_prompt  # noqa: PLC0415 - most runs have no prompt file

    return fill_prompt(options.prompt_name, options.var or ())


async def _stream(agent: Agent[Any], said: Sequence[Message]) -> AsyncGenerator[Event, None]:
    async with agent, aclosing(agent.stream(said)) as events:
        async for event in events:
            yield event


def _read_prompt(prompt: str) -> str:
    """Return the prompt as text; bytes that are not UTF-8 are replaced.

    Raises:
        ConfigurationError: it is empty.
    """
    raw = sys.stdin.buffer.read() if prompt == "-" else os.fsencode(prompt)
    text = raw.decode(errors="replace").strip()
    if not text:
        raise ConfigurationError(
            "the prompt is empty", hint='write agentloop run "...", or give - and write it to standard input'
        )
    return text


def _find_image(text: str) -> Image:
    return Image.from_url(text) if "://" in text or text.startswith("data:") else Image.from_path(text)


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

"""`agentloop run`: make an agent of the options, run it, print what it came to."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import TextIO, cast

from agentloop.agent import Agent
from agentloop.cli.failure import DONE, STOPPED, failure_as_json, report
from agentloop.cli.screen import Screen
from agentloop.cli.terminal import keep_stdout, say
from agentloop.cli.tool_file import load_tools
from agentloop.errors import AgentloopError, ConfigurationError
from agentloop.events import Event, Finished
from agentloop.items import JsonObject
from agentloop.limits import Limits
from agentloop.portal import PORTAL
from agentloop.run import RunResult
from agentloop.wire.profile import Endpoint
from agentloop.wire.providers import EMBEDDED, HOSTED, PROVIDERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the command line asks for; None is what was not given."""

    prompt: str
    model: str | None = None
    base_url: str | None = None
    tool_files: tuple[str, ...] = ()
    instructions: str | None = None
    max_tool_calls: int | None = None


def run_prompt(order: Order, *, as_json: bool) -> int:
    """Carry out the order and return the exit status."""
    with keep_stdout() as stdout:
        watched = stdout.isatty() and not as_json
        screen = Screen(stdout if watched else None)
        try:
            result = _run(order, screen)
        except (AgentloopError, KeyboardInterrupt) as failure:
            screen.end_line()
            if as_json:
                _print_json(failure_as_json(failure), stdout)
            return report(failure)
        if as_json:
            _print_json(_as_json(result), stdout)
        elif not watched:
            print(result.text, file=stdout)
        return DONE if result.stop_reason == "answered" else STOPPED


def _run(order: Order, screen: Screen) -> RunResult:
    prompt = _read_prompt(order.prompt)
    agent = _make_agent(order)
    event: Event | None = None
    with closing(PORTAL.iterate(lambda: _stream(agent, prompt))) as events:
        try:
            for event in events:
                screen.show(event)
        except KeyboardInterrupt as interrupt:
            events.throw(interrupt)  # between two events, the stream has yet to end and to hand over its run
    return cast("Finished", event).result  # a stream that raises nothing ends with it


async def _stream(agent: Agent, prompt: str) -> AsyncGenerator[Event, None]:
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


def _make_agent(order: Order) -> Agent:
    endpoint = None
    if order.base_url is not None:
        if order.model is None:
            raise ConfigurationError(
                "--base-url came without --model", hint="add --model, the name as that server knows it"
            )
        endpoint = Endpoint(order.base_url, api_key=os.environ.get("AGENTLOOP_API_KEY") or None)
    if order.max_tool_calls is not None and order.max_tool_calls < 0:
        raise ConfigurationError(f"--max-tool-calls {order.max_tool_calls} is below zero", hint="give 0 or more")
    limits = Limits() if order.max_tool_calls is None else Limits(tool_calls=order.max_tool_calls)
    tools = [tool for spec in order.tool_files for tool in load_tools(spec)]
    return Agent(
        order.model or _default_model(),
        endpoint=endpoint,
        instructions=order.instructions,
        tools=tools,
        limits=limits,
    )


def _default_model() -> str:
    keys = PROVIDERS["ovh"].keys
    if any(os.environ.get(key) for key in keys):
        return HOSTED
    say("model", f"{EMBEDDED}, a small one inside this process, as {keys[0]} is not set; --model takes another")
    return EMBEDDED


def _as_json(result: RunResult) -> JsonObject:
    run: JsonObject = json.loads(result.run.to_json())
    return {
        "text": result.text,
        "stop_reason": result.stop_reason,
        "stop_note": result.stop_note,
        "tally": run["tally"],
        "usage": run["tally"]["usage"],
        "items": run["items"],
        "run": run,
    }


def _print_json(value: JsonObject, stdout: TextIO) -> None:
    print(json.dumps(value), file=stdout)

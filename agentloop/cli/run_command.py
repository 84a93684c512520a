"""`agentloop run`: make an agent of the options, run it, print what it came to."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any, TextIO, cast

from agentloop.agent import Agent
from agentloop.cli.failure import DONE, STOPPED, failure_as_json, report
from agentloop.cli.options import Order
from agentloop.cli.screen import Screen
from agentloop.cli.target import make_endpoint, split_model
from agentloop.cli.terminal import keep_stdout, say
from agentloop.cli.tool_file import load_tools
from agentloop.errors import AgentloopError, ConfigurationError
from agentloop.events import Event, Finished
from agentloop.items import Image, JsonObject, Message, Text
from agentloop.limits import Limits
from agentloop.portal import PORTAL
from agentloop.run import RunResult
from agentloop.wire.providers import EMBEDDED, HOSTED, find_provider


def run_prompt(order: Order) -> int:
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


def _run(order: Order, screen: Screen) -> RunResult[Any]:
    images = (_find_image(given) for given in order.image or ())
    prompt = Message("user", (Text(_read_prompt(order.prompt)), *images))
    agent = _make_agent(order)
    event: Event | None = None
    with closing(PORTAL.iterate(lambda: _stream(agent, prompt))) as events:
        try:
            for event in events:
                screen.show(event)
        except KeyboardInterrupt as interrupt:
            events.throw(interrupt)  # between two events, the stream has yet to end and to hand over its run
    return cast("Finished", event).result  # a stream that raises nothing ends with it


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


def _read_schema(path: str) -> JsonObject:
    """Return the JSON schema in a file.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        schema = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"no JSON schema can be read from {path}: {error}", hint="give a file that holds one, as a JSON object"
        ) from None
    if not isinstance(schema, dict):
        raise ConfigurationError(f"{path} holds no JSON schema", hint="a schema is a JSON object")
    return cast("JsonObject", schema)


def _make_agent(order: Order) -> Agent[Any]:
    if order.base_url is not None and order.model is None:
        raise ConfigurationError(
            "--base-url came without --model", hint="add --model, the name as that server knows it"
        )
    if order.max_tool_calls is not None and order.max_tool_calls < 0:
        raise ConfigurationError(f"--max-tool-calls {order.max_tool_calls} is below zero", hint="give 0 or more")
    limits = Limits() if order.max_tool_calls is None else Limits(tool_calls=order.max_tool_calls)
    tools = [tool for spec in order.tools or () for tool in load_tools(spec)]
    model = _default_model() if order.model is None else order.model
    if order.base_url is None:
        split_model(model)
    return Agent(
        model,
        endpoint=None if order.base_url is None else make_endpoint(order.base_url),
        instructions=order.instructions,
        tools=tools,
        output=None if order.output_schema is None else _read_schema(order.output_schema),
        limits=limits,
    )


def _default_model() -> str:
    keys = find_provider(HOSTED)[0].keys
    if any(os.environ.get(key) for key in keys):
        return HOSTED
    say("model", f"{EMBEDDED}, a small one inside this process, as {keys[0]} is not set; --model takes another")
    return EMBEDDED


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

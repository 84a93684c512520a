"""Makes an agent from the options of `run` and `chat`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

from agentloop.agent import Agent, FilledPrompt
from agentloop.cli.approvals.approver import Approvals
from agentloop.cli.options import AgentOptions
from agentloop.cli.sources import find_sources
from agentloop.cli.target import make_endpoint, split_model
from agentloop.cli.terminal import say
from agentloop.errors import ConfigurationError
from agentloop.items import JsonObject
from agentloop.limits import Limits
from agentloop.policy import Policy
from agentloop.wire.profile.providers import EMBEDDED, HOSTED, find_provider


def make_agent(
    options: AgentOptions,
    approvals: Approvals,
    output_schema: str | None = None,
    prompt: FilledPrompt | None = None,
) -> Agent[Any]:
    """Return the agent that the options describe.

    Args:
        options: The options.
        approvals: Decides on the calls that need approval.
        output_schema: The path of a JSON schema that answers must fit, or None.
        prompt: The instructions from a file, or None.

    Raises:
        UserError: an option is invalid, or a file, model, pack or tool does not exist.
        PackError: a pack can't be imported.
    """
    if options.base_url is not None and options.model is None:
        raise ConfigurationError(
            "--base-url was given without --model", hint="add --model with the model's name on that server"
        )
    if options.max_tool_calls is not None and options.max_tool_calls < 0:
        raise ConfigurationError(f"--max-tool-calls {options.max_tool_calls} is below zero", hint="give 0 or more")
    limits = Limits() if options.max_tool_calls is None else Limits(tool_calls=options.max_tool_calls)
    sources = find_sources(options.tools, options.pack)
    model = prompt.model if options.model is None and prompt is not None else options.model
    model = _default_model() if model is None else model
    if options.base_url is None:
        split_model(model)
    agent: Agent[Any] = Agent(
        model,
        endpoint=None if options.base_url is None else make_endpoint(options.base_url),
        instructions=options.instructions,
        tools=sources,
        output=None if output_schema is None else _read_schema(output_schema),
        limits=limits,
        policy=Policy(approver=approvals),
    )
    return agent if prompt is None else agent.replace(prompt=prompt, model=model)


def _default_model() -> str:
    keys = find_provider(HOSTED)[0].keys
    if any(os.environ.get(key) for key in keys):
        return HOSTED
    say(
        "model",
        f"{EMBEDDED}, a small model inside this process, because {keys[0]} is not set; --model chooses another one",
    )
    return EMBEDDED


def _read_schema(path: str) -> JsonObject:
    """Return the JSON schema in a file.

    Raises:
        ConfigurationError: the file can't be read, or it is not a JSON object.
    """
    try:
        schema = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the JSON schema in {path} can't be read: {error}", hint="give a file that holds a JSON object"
        ) from None
    if not isinstance(schema, dict):
        raise ConfigurationError(f"{path} is not a JSON schema", hint="give a file that holds a JSON object")
    return cast("JsonObject", schema)

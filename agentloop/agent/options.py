"""Defines RunOptions: what an agent is made of, and what one run may have otherwise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import NoneType
from typing import Any, TypeAlias, TypedDict, cast

from agentloop.agent.prompt import FilledPrompt
from agentloop.endpoint.transport import Transport
from agentloop.errors import ConfigurationError
from agentloop.limits import Limits
from agentloop.packs import ToolSource
from agentloop.policy import Policy
from agentloop.tools import RunContext, near_names
from agentloop.wire.profile import Endpoint, ModelSettings

Instructions: TypeAlias = str | Callable[[RunContext[Any]], str | Awaitable[str | None] | None] | None
"""The system text, or a function that returns it; it is called once in each run."""


class AgentOptions(TypedDict, total=False):
    """The options of an agent, apart from the type of its answers.

    Attributes:
        model: `provider:name`, or with an endpoint the name as the server knows it.
        endpoint: Where the model is served, if the table of providers does not know it.
        instructions: The system text, or a function that returns it from the RunContext.
        tools: Functions, Tools, registries and packs, in place of the agent's.
        limits: How much the run may do.
        settings: The parameters of the requests.
        policy: Which calls need approval, and what a failing tool does to the run.
        prompt: Instructions from a file, in place of the agent's, with the model and the settings that go with them:
            `Prompt.from_path(...).fill(...)`. The constructor of an agent does not take it.
    """

    model: str
    endpoint: Endpoint | Transport | None
    instructions: Instructions
    tools: Iterable[ToolSource]
    limits: Limits
    settings: ModelSettings
    policy: Policy
    prompt: FilledPrompt


class RunOptions(AgentOptions, total=False):
    """What one run has otherwise than its agent. What is left out is as the agent has it.

    `agent.run("...", **options)` takes them, and `agent.replace(**options)` returns an agent that has them.

    Attributes:
        output: What `result.output` is to be, as for `Agent`.
    """

    output: object


_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "model": ((str,), '"ovh:gpt-oss-20b"'),
    "endpoint": ((Endpoint, Transport, NoneType), 'Endpoint("http://127.0.0.1:8000/v1")'),
    "instructions": ((str, NoneType, cast("type", Callable)), '"Be brief."'),
    "tools": ((Iterable,), "[my_function]"),
    "output": ((object,), "MyModel"),
    "limits": ((Limits,), "Limits(tool_calls=10)"),
    "settings": ((ModelSettings,), "ModelSettings(temperature=0)"),
    "policy": ((Policy,), 'Policy(ask=("delete_*",))'),
    "prompt": ((FilledPrompt,), 'Prompt.from_path("prompts/triage.md").fill({"customer": "Ada"})'),
}


def check_run_options(given: Mapping[str, object]) -> None:
    """Check that each of these is an option of a run, and that its value is of the right kind.

    Raises:
        ConfigurationError: one is not.
    """
    for name, value in given.items():
        if name not in _KINDS:
            near = near_names(name, _KINDS)
            hint = f"did you mean {near[0]}?" if near else f"the options are: {', '.join(_KINDS)}"
            raise ConfigurationError(f"an agent has no option {name!r}", hint=hint)
        kinds, example = _KINDS[name]
        if not isinstance(value, kinds) or (name == "tools" and isinstance(value, str)):
            raise ConfigurationError(
                f"{name} can't be a {type(value).__name__}", hint=f"write it like this: {name}={example}"
            )

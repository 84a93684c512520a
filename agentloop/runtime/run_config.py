"""RunConfig: everything that is fixed for a run. An agent has one; a run with packs gets its own, with their tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentloop.endpoint.transport import RetryPolicy, Transport
from agentloop.errors import ConfigurationError
from agentloop.loop.guard import Rules, check_arguments, is_offered
from agentloop.packs import ToolPack
from agentloop.tools import RunContext, Tool, collect_tools
from agentloop.wire.model_target import ModelTarget
from agentloop.wire.profile import ModelSettings, Profile
from agentloop.wire.profile.lessons import Lesson


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that is fixed for a run.

    Attributes:
        target: The model with its instructions, tools and settings.
        instruct: Returns the instructions of a run, in place of those of the target.
        rules: Limits, tools and policy.
        packs: The packs that are open during the run.
        profile: What the endpoint can do, with everything that was learned before the agent was made.
        transport: Sends requests to the endpoint.
        retry: When a failed request is sent again.
        remember: Stores lessons about the endpoint for later processes; returns what went wrong, or "".
        warnings: Faults in the stored profiles and lessons. The first run reports them.
        take_warnings: Returns the endpoint's warnings since the last call.
    """

    target: ModelTarget
    instruct: Callable[[RunContext[Any]], object] | None
    rules: Rules
    packs: Sequence[ToolPack[Any]]
    profile: Profile
    transport: Transport
    retry: RetryPolicy
    remember: Callable[[Sequence[Lesson]], str]
    warnings: list[str]
    take_warnings: Callable[[], list[str]]


def add_tools(config: RunConfig, tools: Sequence[Tool]) -> RunConfig:
    """Return the config with more tools, for one run.

    Args:
        config: The agent's config.
        tools: The tools of the packs that this run has opened.

    Raises:
        DuplicateToolError: two tools have the same name.
    """
    rules = replace(config.rules, tools=collect_tools([*config.rules.tools.values(), *tools]))
    offered = offer_tools(rules)
    return replace(
        config,
        target=replace(config.target, tools=offered, encoded_tools={}),
        rules=adapt_rules(rules, config.target.settings, config.profile, offered),
    )


def offer_tools(rules: Rules) -> list[Tool]:
    """Return the tools that the model is told about: all but those that the policy denies.

    Raises:
        ConfigurationError: a rule names an argument that its tools don't have.
    """
    check_arguments(rules)
    return [tool for tool in rules.tools.values() if is_offered(tool, rules)]


def adapt_rules(rules: Rules, settings: ModelSettings, profile: Profile, offered: Sequence[Tool]) -> Rules:
    """Return the rules adapted to the settings and to what the endpoint can do."""
    thinks = settings.reasoning_effort not in {None, "none"}
    format_last = (profile.structured_apart and (bool(offered) or thinks)) or (profile.small_model and bool(offered))
    choice = settings.tool_choice
    named = any(tool.name == choice for tool in offered)
    required = choice if named else "" if choice == "required" and offered else None
    return replace(rules, format_last=format_last, required=required)


def check_tool_choice(settings: ModelSettings, rules: Rules) -> None:
    """Check that the tool that must be called is a tool of the agent.

    Raises:
        ConfigurationError: it is not.
    """
    choice = settings.tool_choice
    if choice is not None and choice not in {"auto", "none", "required"} and choice not in rules.tools:
        raise ConfigurationError(
            f"tool_choice {choice!r} is no tool of this agent",
            hint=f"use auto, none, required, or one of: {', '.join(rules.tools) or 'no tools were given'}",
        )

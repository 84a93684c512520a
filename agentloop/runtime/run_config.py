"""RunConfig: what a run goes by. One an agent, and one more for each run whose tools are known only when it begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agentloop.endpoint.transport import RetryPolicy, Transport
from agentloop.loop.guard import Rules, check_arguments, is_offered
from agentloop.tools import Tool, collect_tools
from agentloop.wire.conversation import ModelTarget
from agentloop.wire.profile import ModelSettings, Profile
from agentloop.wire.profile.lessons import Lesson


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What a run goes by.

    Attributes:
        target: The model, its instructions, tools and settings.
        rules: Limits, tools and policy.
        transport: To the endpoint.
        retry: When a failed request is sent again.
        remember: Keeps what was learned about the endpoint for later processes; returns what went wrong with it, or "".
        warnings: What is wrong with the files of what is known; told by the first run.
        take_warnings: Returns what the endpoint has warned of since the last call.
    """

    target: ModelTarget
    rules: Rules
    transport: Transport
    retry: RetryPolicy
    remember: Callable[[Sequence[Lesson]], str]
    warnings: list[str]
    take_warnings: Callable[[], list[str]]


def add_tools(config: RunConfig, tools: Sequence[Tool], profile: Profile) -> RunConfig:
    """Return the config with these tools besides its own, for one run.

    Args:
        config: What all runs go by.
        tools: The tools of the packs that this run has opened.
        profile: What is known about the endpoint.

    Raises:
        DuplicateToolError: two tools bear one name.
    """
    rules = replace(config.rules, tools=collect_tools([*config.rules.tools.values(), *tools]))
    offered = offer_tools(rules)
    return replace(
        config,
        target=replace(config.target, tools=offered, encoded_tools={}),
        rules=adapt_rules(rules, config.target.settings, profile, offered),
    )


def offer_tools(rules: Rules) -> list[Tool]:
    """Return the tools that the model is told of: all but the denied ones.

    Raises:
        ConfigurationError: a rule is about an argument that its tools don't have.
    """
    check_arguments(rules)
    return [tool for tool in rules.tools.values() if is_offered(tool, rules)]


def adapt_rules(rules: Rules, settings: ModelSettings, profile: Profile, offered: Sequence[Tool]) -> Rules:
    """Return the rules for what the model is asked for and what the endpoint can do."""
    thinks = settings.reasoning_effort not in {None, "none"}
    format_last = (profile.structured_apart and (bool(offered) or thinks)) or (profile.small_model and bool(offered))
    choice = settings.tool_choice
    named = any(tool.name == choice for tool in offered)
    required = choice if named else "" if choice == "required" and offered else None
    return replace(rules, format_last=format_last, required=required)

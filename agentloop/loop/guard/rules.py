"""Rules: what does not change during a run, and whether it makes sense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from agentloop.errors import ConfigurationError
from agentloop.limits import Limits
from agentloop.policy import CallPattern, Policy, is_denied, names_of
from agentloop.schema import OutputSchema
from agentloop.tools import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What does not change during a run.

    Attributes:
        limits: How much the run may do.
        tools: The agent's tools by name, denied ones included.
        policy: Which calls need a yes.
        output: What the answer has to be, or None for any text.
        format_last: The answer is not held to `output` while tools are on offer; one more turn brings it into its form.
        required: The tool that must be called before the model may answer, "" for any of them, or None.
    """

    limits: Limits
    tools: Mapping[str, Tool]
    policy: Policy = Policy()
    output: OutputSchema | None = None
    format_last: bool = False
    required: str | None = None


def is_offered(tool: Tool, rules: Rules) -> bool:
    """Tell whether the model is told of a tool."""
    return not is_denied(rules.policy, tool)


def check_arguments(rules: Rules) -> None:
    """Raise an error for a rule about an argument that no tool of its has: it would never hold anything back.

    Raises:
        ConfigurationError: there is such a rule.
    """
    about: dict[tuple[str, CallPattern], list[Tool]] = {}
    for tool in rules.tools.values():
        for pack, policy in (("", rules.policy), (tool.pack, tool.policy)):
            if policy is not None:
                for rule in chain.from_iterable(policy.find_rules(names_of(tool, policy)).values()):
                    about.setdefault((pack, rule), []).append(tool)
    for (_, rule), tools in about.items():
        _check_rule(rule, tools)


def _check_rule(rule: CallPattern, about: Sequence[Tool]) -> None:
    for argument in rule.arguments:
        if not any(_takes(tool, argument.name) for tool in about):
            names = {name: None for tool in about for name in tool.parameters.get("properties", ())}
            raise ConfigurationError(
                f"the rule {rule.text!r} is about {argument.name!r}, and {about[0].label} takes no such argument",
                hint=f"it takes: {', '.join(names) or 'none'}",
            )


def _takes(tool: Tool, name: str) -> bool:
    # A schema that is not closed may be of a tool that takes more than it says.
    closed = tool.parameters.get("additionalProperties") is False
    return not closed or name in tool.parameters.get("properties", ())

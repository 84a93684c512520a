"""Defines Rules, the settings of a run that do not change, and checks its policies' rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NoReturn

from agentloop.errors import ConfigurationError
from agentloop.limits import Limits
from agentloop.policy import CallPattern, Policy, is_denied, names_of
from agentloop.schema import OutputSchema
from agentloop.tools import Tool, near_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings of a run that do not change.

    Attributes:
        limits: How much the run may do.
        tools: The agent's tools by name, with the denied ones.
        policy: Which calls need approval.
        output: The type of the answer, or None for any text.
        format_last: Whether `output` is not required while tools are offered; then an extra turn formats the answer.
        selected: The names or labels of the tools that the run's prompt selects, or None for all.
        required: The tool that must be called before the model may answer, "" for any tool, or None.
    """

    limits: Limits
    tools: Mapping[str, Tool]
    policy: Policy = Policy()
    output: OutputSchema | None = None
    format_last: bool = False
    required: str | None = None
    selected: frozenset[str] | None = None


def is_offered(tool: Tool, rules: Rules) -> bool:
    """Tell whether the model is offered a tool."""
    return is_selected(tool, rules) and not is_denied(rules.policy, tool)


def is_selected(tool: Tool, rules: Rules) -> bool:
    """Tell whether a tool is one of those that the run's prompt selects."""
    return rules.selected is None or not rules.selected.isdisjoint((tool.name, tool.label))


def find_tool(name: str, rules: Rules) -> Tool | None:
    """Return the tool that the model calls by a name, or None if it may not call one of this name."""
    tool = rules.tools.get(name)
    return tool if tool is not None and is_selected(tool, rules) else None


def check_names(rules: Rules) -> list[str]:
    """Check that each rule and each limit is about a tool, and return in words which patterns match none.

    Raises:
        ConfigurationError: a rule or a limit names a tool that does not exist.
    """
    tools, unused = rules.tools.values(), list[str]()
    for where, rule in rules.policy.all_rules:
        if not any(rule.names(names_of(tool, rules.policy)) for tool in tools):
            if not rule.is_pattern:
                _raise_unknown(f"{where}: {rule.text!r}", rule.text.partition("(")[0], tools)
            unused.append(f"{where}: {rule.text!r} matches no tool of this agent")
    unused += _find_unused(tools)
    names = {name for tool in tools for name in names_of(tool, rules.policy)}
    for name in rules.limits.per_tool:
        if name not in names:
            _raise_unknown(f"Limits: per_tool: {name!r}", name, tools)
    for name in sorted(rules.selected or ()):
        if not any(name in {tool.name, tool.label} for tool in tools):
            _raise_unknown(f"the prompt: tools: {name!r}", name, tools)
    return unused


def _find_unused(tools: Iterable[Tool]) -> Iterator[str]:
    """Yield in words which rules that came with a pack match none of its tools."""
    is_used: dict[tuple[str, str, str], bool] = {}
    for tool in tools:
        if (policy := tool.policy) is None:
            continue
        for where, rule in policy.all_rules:
            key = tool.pack, where, rule.text
            is_used[key] = is_used.get(key, False) or rule.names(names_of(tool, policy))
    for (pack, where, text), used in is_used.items():
        if not used and where != "approver":  # which has no effect there
            yield f"{where}: {text!r}, which came with the pack {pack!r}, matches none of its tools"


def _raise_unknown(what: str, name: str, tools: Collection[Tool]) -> NoReturn:
    names = {name: None for tool in tools for name in (tool.label, tool.name)}
    near = near_names(name, names)
    raise ConfigurationError(
        f"{what} is about no tool of this agent",
        hint=f"did you mean {' or '.join(near)}?" if near else f"the tools are: {', '.join(names) or 'none'}",
    )


def check_arguments(rules: Rules) -> None:
    """Raise an error if a rule names an argument that none of its tools has, as it would never apply.

    Raises:
        ConfigurationError: there is such a rule.
    """
    tools_by_rule: dict[tuple[str, CallPattern], list[Tool]] = {}
    for tool in rules.tools.values():
        for pack, policy in (("", rules.policy), (tool.pack, tool.policy)):
            if policy is not None:
                for rule in chain.from_iterable(policy.find_rules(names_of(tool, policy)).values()):
                    tools_by_rule.setdefault((pack, rule), []).append(tool)
    for (_, rule), tools in tools_by_rule.items():
        _check_rule(rule, tools)


def _check_rule(rule: CallPattern, tools: Sequence[Tool]) -> None:
    for argument in rule.arguments:
        if not any(_takes(tool, argument.name) for tool in tools):
            names = {name: None for tool in tools for name in tool.parameters.get("properties", ())}
            raise ConfigurationError(
                f"the rule {rule.text!r} names {argument.name!r}, but {tools[0].label} has no such argument",
                hint=f"it takes: {', '.join(names) or 'none'}",
            )


def _takes(tool: Tool, name: str) -> bool:
    # A tool whose schema is not closed may take more arguments than the schema lists.
    closed = tool.parameters.get("additionalProperties") is False
    return not closed or name in tool.parameters.get("properties", ())

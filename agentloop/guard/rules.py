"""Rules: what does not change during a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentloop.limits import Limits
from agentloop.policy import Policy, is_denied
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
        apart: The answer is not held to `output` while tools are on offer; one more turn brings it into its form.
        required: The tool that must be called before the model may answer, "" for any of them, or None.
    """

    limits: Limits
    tools: Mapping[str, Tool]
    policy: Policy = Policy()
    output: OutputSchema | None = None
    apart: bool = False
    required: str | None = None


def is_offered(tool: Tool, rules: Rules) -> bool:
    """Tell whether the model is told of a tool."""
    return not is_denied(rules.policy, tool)

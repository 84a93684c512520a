"""The pack `calculate`: exact arithmetic and units. It only computes."""

from agentloop_tools.calculate.pack import Calculate

__all__ = ["Calculate"]

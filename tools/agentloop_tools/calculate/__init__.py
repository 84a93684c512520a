"""The pack `calculate`: exact arithmetic and units. It only computes.

- `pack`: the pack and its tools.
- `expression`: reads and evaluates an expression; `functions`: its functions, each with a limit on its cost.
- `units`: converts units of measurement.
"""

from agentloop_tools.calculate.pack import Calculate

__all__ = ["Calculate"]

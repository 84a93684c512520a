"""The pack `python`: runs a model's Python code in a sandbox, with the agent's other tools as functions.

- `pack`: the pack, its configuration and its tool.
- `sandbox`: runs the code in a separate process, and answers its calls of tools.
- `values`: makes JSON and text from the values that pass between the sandbox and the host.
"""

from agentloop_tools.python.pack import Python, PythonConfig

__all__ = ["Python", "PythonConfig"]

"""The pack `python`: a model's code, run in a sandbox of its own process, with the agent's other tools as functions."""

from agentloop_tools.python.pack import Python, PythonConfig

__all__ = ["Python", "PythonConfig"]

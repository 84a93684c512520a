"""Starts the command line for `python -m agentloop`."""

from agentloop.cli import main

main()

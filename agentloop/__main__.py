"""`python -m agentloop`: the command line."""

from agentloop.cli import main

main()

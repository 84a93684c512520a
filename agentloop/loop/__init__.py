"""Decides what a run does next. Pure: no network, clock, thread or log.

- `advance`: the loop. It takes a run and what happened, and returns the run as it is next and what to do.
- `run`: the values that it works on: Run, RunResult, the outcomes and the commands.
- `guard/`: what becomes of each tool call, decided before any of them runs.
- `trim`: a shorter version of a conversation, for a model with a small window.
"""

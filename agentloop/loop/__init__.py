"""Decides what a run does next. Pure: no network, clock, thread or log.

- `advance`: the loop. It takes a run and an outcome, and returns the next state of the run and a command.
- `run`: the values that it works on: Run, RunResult, the outcomes and the commands.
- `prompt_version`: which prompt a run was given.
- `stored_json`: reads and signs the JSON of a stored run.
- `guard/`: decides what happens to each tool call, before any of them runs.
- `history`: repairs a conversation that a user gives.
- `trim`: shortens a conversation for a model with a small context window.
"""

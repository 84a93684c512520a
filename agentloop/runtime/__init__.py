"""Carries out what the loop decides: calls the model, runs the tools, asks people, and reports events.

- `drive`: the driver, which carries out one command after the other.
- `model_caller`: asks the model until it answers.
- `tool_runner`: runs the tool calls of one turn; `invoke`: runs one call; `threads`: threads for sync tools.
- `approval`: gets decisions from people.
- `window`: fits the conversation into the model's context window; `summary`: summarises what is left out.
- `journal`: the interface that every effect goes through; `observe`: writes the log.
- `run_config`: everything that is fixed for a run.
- `portal`: the background event loop for sync code; `streaming`: a run as a stream of events.
"""

"""Reports an error of a command: as text, as JSON, and as the exit status."""

from __future__ import annotations

import json
from typing import Final

from agentloop.cli.terminal import say
from agentloop.errors import AgentloopError, EndpointError
from agentloop.items import JsonObject
from agentloop.loop.run import Run

DONE: Final = 0
MISTAKE: Final = 2
STOPPED: Final = 3
ENDPOINT: Final = 4
INTERRUPTED: Final = 130  # 128 + SIGINT, the convention of shells


def report(failure: AgentloopError | KeyboardInterrupt) -> int:
    """Write the error, its hint and its notes to standard error, and return the exit status."""
    message, hint = _message_and_hint(failure)
    say("error", message)
    if hint:
        say("hint", hint)
    for note in getattr(failure, "__notes__", ()):
        say("note", note)
    match failure:
        case KeyboardInterrupt():
            return INTERRUPTED
        case EndpointError():
            return ENDPOINT
        case _:
            return MISTAKE


def failure_as_json(failure: AgentloopError | KeyboardInterrupt) -> JsonObject:
    """Return the error as JSON, with the run as it was then, or null if no run had begun."""
    message, hint = _message_and_hint(failure)
    run: Run | None = getattr(failure, "run", None)
    return {
        "error": {"type": type(failure).__name__, "message": message, "hint": hint},
        "run": None if run is None else json.loads(run.to_json()),
    }


def _message_and_hint(failure: AgentloopError | KeyboardInterrupt) -> tuple[str, str]:
    if isinstance(failure, KeyboardInterrupt):
        return "interrupted", ""
    return failure.message, failure.hint

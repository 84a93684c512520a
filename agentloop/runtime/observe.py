"""The log: an observer of a run's events that writes them with structlog.

By default nothing is logged. Logging is on if AGENTLOOP_LOG names a level, or if the application has configured
structlog or `logging`. Keys are never logged. Arguments and results are logged only if AGENTLOOP_LOG_CONTENT is set.
So is what quotes them: some notices, and the text of a tool's error, of which otherwise the type and place are logged.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from traceback import extract_tb
from typing import Any

from agentloop.errors import name_type
from agentloop.events import Event, Finished, Notice, Retrying, ToolFinished, ToolStarted, TurnFinished, TurnStarted
from agentloop.showable import show_lines

_QUOTING = frozenset({"not_run", "repaired", "recovered"})
"""The topics of notices that may quote arguments, answers or what a person has said."""

_STDLIB = logging.getLogger("agentloop")
_STDLIB.addHandler(logging.NullHandler())


def open_log(run_id: str) -> Callable[[Event], None] | None:
    """Return an observer that logs a run's events, or None if logging is off."""
    if not _has_reader():
        return None
    log = _logger().bind(run_id=run_id)
    with_content = bool(os.environ.get("AGENTLOOP_LOG_CONTENT"))

    def write(event: Event) -> None:
        entry = _entry(event, with_content=with_content)
        if entry is not None:
            level, message, fields = entry
            log.log(level, message, **fields)

    return write


def _entry(event: Event, *, with_content: bool) -> tuple[int, str, dict[str, Any]] | None:
    match event:
        case TurnStarted(turn=turn):
            return logging.DEBUG, "model_asked", {"turn": turn}
        case TurnFinished(turn=turn, seconds=seconds, usage=usage):
            tokens = {name: count for name, count in asdict(usage).items() if count is not None}
            return logging.INFO, "model_replied", {"turn": turn, "seconds": round(seconds, 3), **tokens}
        case ToolStarted(call=call):
            content = {"arguments": call.arguments} if with_content else {}
            return logging.DEBUG, "tool_started", {"tool": call.name, "call_id": call.call_id, **content}
        case ToolFinished():
            return _tool_entry(event, with_content=with_content)
        case Retrying(reason=reason, seconds=seconds, attempt=attempt):
            return (
                logging.WARNING,
                "retrying",
                {"reason": reason, "wait_seconds": round(seconds, 3), "attempt": attempt},
            )
        case Notice(topic=topic, text=text):
            return logging.WARNING, topic, {"text": text} if with_content or topic not in _QUOTING else {}
        case Finished(result=result):
            fields = {"stop_reason": result.stop_reason, "stop_note": result.stop_note}
            return logging.INFO, "run_finished", {**fields, "seconds": round(result.tally.seconds, 3)}
        case _:
            return None


def _tool_entry(event: ToolFinished, *, with_content: bool) -> tuple[int, str, dict[str, Any]]:
    fields: dict[str, Any] = {
        "tool": event.call.name,
        "call_id": event.call.call_id,
        "ok": event.result.ok,
        "seconds": round(event.seconds, 3),
    }
    if event.repairs:
        fields["repairs"] = event.repairs if with_content else len(event.repairs)
    if event.error is not None:
        fields |= {"exc_info": event.error} if with_content else {"error": _locate(event.error)}
    if with_content:
        fields["result"] = event.result.content
    return (logging.INFO if event.result.ok else logging.WARNING), "tool_finished", fields


def _show_entry(_logger: Any, _method: str, text: Any) -> str:
    """Return an entry as a person sees it; a line after the first has a mark, so that it can't look like an entry."""
    return "\n  | ".join(show_lines(text))


def _locate(error: BaseException) -> str:
    """Return the type of an error and the lines that raised it, without its text."""
    places = (f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in reversed(extract_tb(error.__traceback__)))
    return " < ".join((name_type(error), *places))


def _has_reader() -> bool:
    structlog = sys.modules.get("structlog")
    return bool(
        os.environ.get("AGENTLOOP_LOG")
        or (structlog is not None and structlog.is_configured())
        or _STDLIB.handlers[1:]
        or logging.getLogger().handlers
    )


def _logger() -> Any:
    """Return the application's structlog logger if it configured structlog, else one of our own.

    An unconfigured structlog would print to standard output.
    """
    import structlog  # noqa: PLC0415 - it takes 0.2 s, and a run without a log does not need it

    if structlog.is_configured():
        return structlog.get_logger("agentloop")
    shared: list[Any] = [structlog.stdlib.add_log_level, structlog.processors.format_exc_info]
    named = os.environ.get("AGENTLOOP_LOG")
    if named:
        level = logging.getLevelNamesMapping().get(named.upper(), logging.DEBUG)
        return structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=[
                *shared,
                structlog.processors.TimeStamper("iso"),
                structlog.dev.ConsoleRenderer(colors=False),
                _show_entry,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
        )
    return structlog.wrap_logger(
        _STDLIB,
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )

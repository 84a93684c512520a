"""Calls a tool as a run does, and records its effects."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace

from agentloop.items import JsonObject, ToolCall
from agentloop.limits import Tally
from agentloop.runtime.invoke import invoke
from agentloop.testing.watch import AuditRecorder, EffectName
from agentloop.tools import Effects, Tool, ToolContext

SECONDS = 20.0

_WHOLE = 10**12
_FACTOR = 10
_ENDING_SECONDS = 3.0  # for a thread that is about to end, on a machine that is busy


async def rehearse(tool: Tool, calls: list[JsonObject], watch: AuditRecorder) -> AsyncIterator[str]:
    """Call a tool twice and yield its faults; the first call loads modules, so only the second one's effects count."""
    done: Mapping[EffectName, str] = {}
    threads = set(threading.enumerate())
    for arguments in calls:
        threads = set(threading.enumerate())
        with watch.recording() as effects:
            fault = await _call(tool, arguments)
        done = effects
        if fault:
            yield fault
            return
    for fault in _compare(tool, done):
        yield fault
    if any(_stays(thread) for thread in set(threading.enumerate()) - threads):
        yield f"{tool.label} leaves a thread running: end it before the tool returns"


def _stays(thread: threading.Thread) -> bool:
    """Return whether a thread does not end within a second."""
    thread.join(_ENDING_SECONDS)
    return thread.is_alive()


async def _call(tool: Tool, arguments: JsonObject) -> str:
    """Return the fault of a call, or ""."""
    call = ToolCall("call_check", tool.name, json.dumps(arguments))
    context = ToolContext("run_check", call.call_id, Tally(), None)
    limited = replace(tool, max_output=_WHOLE, timeout=tool.timeout or SECONDS)
    invoked = await invoke(limited, call, context, None, lambda _thread: None)
    text = invoked.result.content
    if not invoked.result.ok:
        return f"{tool.label} fails with its example, or takes too long: {text}"
    if len(text) > _FACTOR * tool.max_output:
        return (
            f"{tool.label} returns {len(text):,} characters, and {tool.max_output:,} are shown: return fewer, in pages"
        )
    return ""


def _compare(tool: Tool, effects: Mapping[EffectName, str]) -> Iterator[str]:
    """Yield a fault for each effect that a tool had and does not declare."""
    declared = tool.effects or Effects()
    if declared.execute:  # a program may have any effect
        return
    for effect, shown in effects.items():
        # A database that is written to is opened first, which looks like reading.
        if not getattr(declared, effect) and not (declared.write and shown.startswith("sqlite3.")):
            yield f"{tool.label} has an effect that it does not declare ({shown}): Effects({effect}=True)"

"""Calls a tool as a run would, and watches what it does."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace

from agentloop.invoke import invoke
from agentloop.items import JsonObject, ToolCall
from agentloop.limits import Tally
from agentloop.testing.watch import Deed, Watch
from agentloop.tools import Effects, Tool, ToolContext

SECONDS = 20.0

_WHOLE = 10**12
_FACTOR = 10
_ENDING_SECONDS = 3.0  # for a thread that is about to end, on a machine that is busy


async def rehearse(tool: Tool, calls: list[JsonObject], watch: Watch) -> AsyncIterator[str]:
    """Call a tool once to have loaded what it needs, then once more, and yield what is wrong."""
    done: Mapping[Deed, str] = {}
    threads = set(threading.enumerate())
    for arguments in calls:
        threads = set(threading.enumerate())
        with watch.noting() as deeds:
            fault = await _call(tool, arguments)
        done = deeds
        if fault:
            yield fault
            return
    for told in _compare(tool, done):
        yield told
    if any(_stays(thread) for thread in set(threading.enumerate()) - threads):
        yield f"{tool.label} leaves a thread running: end it before the tool returns"


def _stays(thread: threading.Thread) -> bool:
    """Tell a thread that goes on from one that is about to end."""
    thread.join(_ENDING_SECONDS)
    return thread.is_alive()


async def _call(tool: Tool, arguments: JsonObject) -> str:
    """Return what is wrong with a call, or ""."""
    seconds = tool.timeout or SECONDS
    call = ToolCall("call_check", tool.name, json.dumps(arguments))
    context = ToolContext("run_check", call.call_id, Tally(), None)
    invoked = await invoke(replace(tool, max_output=_WHOLE), call, context, seconds, lambda _thread: None)
    text = invoked.result.content
    if not invoked.result.ok:
        return f"{tool.label} fails with its example, or takes too long: {text}"
    if len(text) > _FACTOR * tool.max_output:
        return f"{tool.label} makes {len(text):,} characters to show {tool.max_output:,} of them: make fewer, in pages"
    return ""


def _compare(tool: Tool, deeds: Mapping[Deed, str]) -> Iterator[str]:
    """Yield what a tool did and does not declare."""
    declared = tool.effects or Effects()
    if declared.execute:  # a program does what it likes
        return
    for deed, shown in deeds.items():
        # A store that is written to is opened first, which looks like reading.
        if not getattr(declared, deed) and not (declared.write and shown.startswith("sqlite3.")):
            yield f"{tool.label} has an effect that it does not declare ({shown}): Effects({deed}=True)"

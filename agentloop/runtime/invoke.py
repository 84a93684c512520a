"""Runs one tool call: checks the arguments, calls the function, and makes text for the model from its result.

An error becomes a result that tells the model what to do about it. After a timeout, an async tool is cancelled. The
thread of a sync tool can't be stopped, so it is abandoned, and the result says so.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from agentloop.endpoint.media import MAX_IMAGE_BYTES, load_images
from agentloop.errors import ConfigurationError, ToolError
from agentloop.items import ToolCall, ToolResult
from agentloop.runtime.threads import DaemonThreads, Outcome
from agentloop.schema import ArgumentsError, show_invisible, take_images
from agentloop.tools import BoundCall, Tool, ToolContext

THREADS = DaemonThreads(32)

# Matches the folders of an absolute path, which must not be sent to a model; it does not match the slashes of a URL.
_FOLDERS = re.compile(r"(?<![\w:/\\.])(?:[A-Za-z]:)?[/\\](?:[^\s'\"/\\:]+[/\\])+")


@dataclass(frozen=True, slots=True)
class Invoked:
    """The outcome of a call.

    Attributes:
        result: The result that the model will get.
        repairs: What was repaired in the arguments.
        error: What the tool raised, or None.
    """

    result: ToolResult
    repairs: tuple[str, ...] = ()
    error: BaseException | None = None


_UNLIMITED = nullcontext()


def time_limit(seconds: float | None) -> AbstractAsyncContextManager[object]:
    """Return a context manager that limits the time of its block to so many seconds; None is no limit.

    Without a limit it does not use `asyncio.timeout`, which would take 3 µs to do nothing.
    """
    return _UNLIMITED if seconds is None else asyncio.timeout(seconds)


class _TimedOutError(Exception):
    """A tool took too long. `stopped` says whether it could be stopped."""

    def __init__(self, *, stopped: bool) -> None:
        super().__init__()
        self.stopped = stopped


async def invoke(
    tool: Tool,
    call: ToolCall,
    context: ToolContext[Any],
    seconds: float | None,
    on_abandon: Callable[[str], None],
    max_image_bytes: int = MAX_IMAGE_BYTES,
) -> Invoked:
    """Run a call and return its outcome. Only cancellation is raised.

    Args:
        tool: The tool.
        call: The call, with the arguments as the model wrote them.
        context: The context, for tools that have a parameter for it.
        seconds: How long the tool may take, or None for no limit.
        on_abandon: Called with the name of a thread that could not be stopped.
        max_image_bytes: The size of the largest image that a result may hold.
    """
    ends = None if seconds is None else asyncio.get_running_loop().time() + seconds
    try:
        bound = tool.bind(call.arguments, context)
    except ArgumentsError as error:
        return Invoked(_failed(call, error.text))
    try:
        value = await _call(tool, bound, call, seconds, on_abandon)
        return Invoked(await _read_result(tool, call, value, max_image_bytes, ends), bound.repairs)
    except ToolError as error:
        return Invoked(_failed(call, tool.render(error.message)), bound.repairs, error)
    except _TimedOutError as error:
        return Invoked(_failed(call, _describe_timeout(tool, seconds, stopped=error.stopped)), bound.repairs)
    except asyncio.CancelledError as error:
        if _is_task_cancelled():
            raise
        return Invoked(_failed(call, f"{tool.name} cancelled itself."), bound.repairs, error)
    except BaseException as error:  # whatever a tool raises, the model gets it as a result and the run goes on
        if _ends_the_program(error):
            raise
        return Invoked(_failed(call, tool.render(_describe_error(tool, error))), bound.repairs, error)


async def _call(
    tool: Tool, bound: BoundCall, call: ToolCall, seconds: float | None, on_abandon: Callable[[str], None]
) -> Any:
    if tool.is_async:
        return await _call_async(tool, bound, seconds)
    work = partial(tool.function, *bound.args, **bound.kwargs)
    return await _call_in_thread(work, call, seconds, on_abandon)


async def _call_async(tool: Tool, bound: BoundCall, seconds: float | None) -> Any:
    if seconds is None:
        return await tool.function(*bound.args, **bound.kwargs)
    scope = asyncio.timeout(seconds)
    try:
        async with scope:
            return await tool.function(*bound.args, **bound.kwargs)
    except TimeoutError:
        if scope.expired():
            raise _TimedOutError(stopped=True) from None
        raise


async def _read_result(tool: Tool, call: ToolCall, value: Any, max_bytes: int, ends: float | None) -> ToolResult:
    rest, images = take_images(value)
    result = ToolResult(call.call_id, tool.render(rest))
    if not images:
        return result
    try:
        async with asyncio.timeout_at(ends):
            return replace(result, images=await load_images(images, max_bytes))
    except (ConfigurationError, TimeoutError) as error:
        why = _FOLDERS.sub("", error.message) if isinstance(error, ConfigurationError) else "it did not load in time"
        raise ToolError(f"{tool.name} ran, but its image can't be shown: {why}\n{result.content}".rstrip()) from error


async def _call_in_thread(
    work: Callable[[], Any], call: ToolCall, seconds: float | None, on_abandon: Callable[[str], None]
) -> Any:
    name = f"{call.name}-{call.call_id}"
    loop = asyncio.get_running_loop()
    returned: asyncio.Future[Outcome] = loop.create_future()

    def deliver(outcome: Outcome) -> None:
        with suppress(RuntimeError):  # the loop was closed, so nothing waits for the result
            loop.call_soon_threadsafe(_set_outcome, returned, outcome)

    submitted = THREADS.submit(partial(copy_context().run, work), name, deliver)
    try:
        async with time_limit(seconds):
            result, error = await returned
    except (TimeoutError, asyncio.CancelledError) as ended:
        still_running = THREADS.abandon(submitted)
        if still_running:
            on_abandon(f"agentloop-{name}")
        if isinstance(ended, TimeoutError):
            raise _TimedOutError(stopped=not still_running) from None
        raise
    if isinstance(error, Exception | SystemExit):
        raise error
    if error is not None:  # Ctrl-C never raises in this thread, so a KeyboardInterrupt was raised by the tool itself
        raise RuntimeError(f"{type(error).__name__} {error}".rstrip()) from error
    return result


def _set_outcome(returned: asyncio.Future[Outcome], outcome: Outcome) -> None:
    with suppress(asyncio.InvalidStateError):  # the task that waited has been cancelled
        returned.set_result(outcome)


def _ends_the_program(error: BaseException) -> bool:
    """Return whether this is Ctrl-C, or the end of a coroutine that nothing awaits, and not an error of the tool.

    Ctrl-C is raised in the main thread only. On the background loop a KeyboardInterrupt would end that loop, and every
    caller would wait for ever.
    """
    is_main = threading.current_thread() is threading.main_thread()
    return isinstance(error, GeneratorExit) or (isinstance(error, KeyboardInterrupt) and is_main)


def _is_task_cancelled() -> bool:
    """Return whether this task was cancelled, and the tool did not raise CancelledError itself."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _failed(call: ToolCall, text: str) -> ToolResult:
    return ToolResult(call.call_id, show_invisible(text), ok=False)


def _describe_error(tool: Tool, error: BaseException) -> str:
    text = _FOLDERS.sub("", str(error))
    return f"{tool.name} failed: {type(error).__name__}{': ' + text if text else ''}"


def _describe_timeout(tool: Tool, seconds: float | None, *, stopped: bool) -> str:
    end = "and was stopped." if stopped else "and could not be stopped; it may still take effect."
    return f"{tool.name} did not return within {seconds:g} s {end}"

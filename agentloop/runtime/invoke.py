"""Runs one tool call: checks the arguments, calls the function, and makes text for the model from its result.

An error becomes a result that tells the model what to do about it. After a timeout, an async tool is cancelled. The
thread of a sync tool can't be stopped, so it is abandoned, and the result says so. What a function returns is read
where the function ran, in its time: an iterator in a thread, an async iterator or an awaitable in the task.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, cast

from agentloop.endpoint.media import MAX_IMAGE_BYTES, load_images
from agentloop.errors import ConfigurationError, ToolError
from agentloop.items import ToolCall, ToolResult
from agentloop.loop.guard import Rules, find_name
from agentloop.runtime.threads import DaemonThreads, Outcome
from agentloop.schema import ArgumentsError, WrittenResult, collect, is_plain, show_invisible, write_result
from agentloop.tools import BoundCall, Tool, ToolContext, describe_error, find_leaves, is_told
from agentloop.tools.functions import is_async
from agentloop.tools.readings import Arguments, Reading, is_read, note_reading

THREADS = DaemonThreads(32)
# People may take hours, and nobody waits for their threads.
PEOPLE = DaemonThreads(1_000)
READERS = DaemonThreads(4)
_READING_SECONDS = 10

T = TypeVar("T")

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
_NO_THREAD = "begin in time: no thread was free."


def time_limit(seconds: float | None) -> AbstractAsyncContextManager[object]:
    """Return a context manager that limits the time of its block to so many seconds; None is no limit.

    Without a limit it does not use `asyncio.timeout`, which would take 3 µs to do nothing.
    """
    return _UNLIMITED if seconds is None else asyncio.timeout(seconds)


class _TimedOutError(Exception):
    """A tool took too long; the text says how it ended."""


class _Time:
    """The time that a call may take: until the run's time is up, and as long as the tool's own limit from its begin."""

    def __init__(self, tool_seconds: float | None, seconds: float | None) -> None:
        self._tool_seconds = tool_seconds
        self._run_ends = None if seconds is None else _now() + seconds
        self._keeps_running = False
        self.begin()

    @property
    def left(self) -> float | None:
        """The seconds that the run has left; None for no limit."""
        return None if self._run_ends is None else max(0.0, self._run_ends - _now())

    def begin(self) -> None:
        """Start the tool's own time."""
        if self._keeps_running:
            return
        self.seconds = min((each for each in (self._tool_seconds, self.left) if each is not None), default=None)
        self.ends = None if self.seconds is None else _now() + self.seconds

    def keep_running(self) -> None:
        """Count what a thread does from now on as a part of the time that has begun."""
        self._keeps_running = True

    def limit(self) -> AbstractAsyncContextManager[object]:
        """Return a context manager that ends its block with a TimeoutError when this time is up."""
        return _UNLIMITED if self.ends is None else asyncio.timeout_at(self.ends)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _say_nothing(_: str) -> None: ...


async def invoke(
    tool: Tool,
    call: ToolCall,
    context: ToolContext[Any],
    seconds: float | None,
    on_abandon: Callable[[str], None],
    max_image_bytes: int = MAX_IMAGE_BYTES,
    on_wait: Callable[[str], Awaitable[None]] = _say_nothing,
) -> Invoked:
    """Run a call and return its outcome. Only cancellation is raised.

    Args:
        tool: The tool. Its own time limit counts from when it begins, after any wait for a thread.
        call: The call, with the arguments as the model wrote them.
        context: The context, for tools that have a parameter for it.
        seconds: How long the call may take in all, or None for no limit.
        on_abandon: Called with the name of a thread that could not be stopped.
        max_image_bytes: The size of the largest image that a result may hold.
        on_wait: Called with a text if the call has to wait for a thread.
    """
    await read_call(tool, call.arguments)
    try:
        bound = tool.bind(call.arguments, context)
    except ArgumentsError as error:
        return Invoked(_failed(call, error.text))
    time = _Time(tool.timeout, seconds)
    try:
        written = await _call(tool, bound, call, time, on_abandon, on_wait)
        return Invoked(await _load_result(tool, call, written, max_image_bytes, time.ends), bound.repairs)
    except _TimedOutError as error:
        return Invoked(_failed(call, f"{tool.name} did not {error}"), bound.repairs)
    except asyncio.CancelledError as error:
        if _is_task_cancelled():
            raise
        return Invoked(_failed(call, f"{tool.name} cancelled itself."), bound.repairs, error)
    except BaseException as error:  # whatever a tool raises, the model gets it as a result and the run goes on
        if any(map(_ends_the_program, find_leaves(error))):
            raise
        return Invoked(_failed(call, tool.render(_describe_error(tool, error))), bound.repairs, error)


async def read_ahead(calls: Iterable[ToolCall], rules: Rules) -> None:
    """Read the arguments of calls in a thread before they are needed, as far as reading them may take long."""
    for call in calls:
        tool = rules.tools.get(find_name(call.name, rules))
        if tool is not None:
            await read_call(tool, call.arguments)


async def read_call(tool: Tool, text: str) -> None:
    """Read the arguments of a call in a thread, if that may take long and has not been done.

    A thread that takes too long is left behind; what it does is bounded.
    """
    arguments = tool.arguments
    if not arguments.takes_long(text) or is_read(arguments, text):
        return
    try:
        async with asyncio.timeout(_READING_SECONDS):
            outcome = await call_in_thread(partial(_read, arguments, text), READERS, "reader")
    except TimeoutError:
        reason = f"that takes longer than {_READING_SECONDS} s"
        outcome = ArgumentsError(f"The arguments can't be checked: {reason}", reason)
    note_reading(arguments, text, outcome)


def _read(arguments: Arguments, text: str) -> Reading | ArgumentsError:
    try:
        return arguments.read(text)
    except ArgumentsError as error:
        return error


async def _call(
    tool: Tool,
    bound: BoundCall,
    call: ToolCall,
    time: _Time,
    on_abandon: Callable[[str], None],
    on_wait: Callable[[str], Awaitable[None]],
) -> WrittenResult:
    """Call the function, and return what it returned as the model gets it."""
    function = partial(tool.function, *bound.args, **bound.kwargs)
    if tool.is_async:
        value = await _call_async(function, time)
    else:
        value = await _call_in_thread(
            partial(_call_and_write, function, tool.max_output), call, time, on_abandon, on_wait
        )
        if isinstance(value, WrittenResult):
            return value
        value = await _call_async(partial(_return, value), time)
    if is_plain(value):
        return write_result(value, tool.max_output)
    time.keep_running()
    written: WrittenResult = await _call_in_thread(
        partial(write_result, value, tool.max_output), call, time, on_abandon, on_wait
    )
    return written


def _call_and_write(function: Callable[[], Any], max_characters: int, is_unwanted: Callable[[], bool]) -> Any:
    """Return the result as the model gets it, or what can be read on the event loop only."""
    value = function()
    if inspect.isawaitable(value) or _is_async_iterator(value):
        return value
    return write_result(value, max_characters, is_unwanted)


def _is_async_iterator(value: Any) -> bool:
    return isinstance(value, AsyncIterator)


async def _return(value: Any) -> Any:
    return value


async def _finish(value: Any) -> Any:
    """Return the result of an awaitable, and the entries of an async iterator."""
    if inspect.isawaitable(value):
        value = await value
    if _is_async_iterator(value):
        return await collect(cast("AsyncIterator[Any]", value), partial(asyncio.sleep, 0), _check_wanted)
    return value


def _check_wanted() -> None:
    """Raise the cancellation of this task once more if the tool has swallowed it."""
    if _is_task_cancelled():
        raise asyncio.CancelledError


async def _call_async(function: Callable[[], Any], time: _Time) -> Any:
    if time.ends is None:
        return await _finish(await function())
    scope = asyncio.timeout_at(time.ends)
    try:
        async with scope:
            return await _finish(await function())
    except TimeoutError:
        if scope.expired():
            raise _TimedOutError(_describe_timeout(time.seconds, stopped=True)) from None
        raise


async def _load_result(
    tool: Tool, call: ToolCall, written: WrittenResult, max_bytes: int, ends: float | None
) -> ToolResult:
    result = ToolResult(call.call_id, written.text)
    if not written.images:
        return result
    try:
        async with asyncio.timeout_at(ends):
            return replace(result, images=await load_images(written.images, max_bytes))
    except (ConfigurationError, TimeoutError) as error:
        why = _FOLDERS.sub("", error.message) if isinstance(error, ConfigurationError) else "it did not load in time"
        raise ToolError(f"{tool.name} ran, but its image can't be shown: {why}\n{result.content}".rstrip()) from error


async def _call_in_thread(
    work: Callable[[Callable[[], bool]], Any],
    call: ToolCall,
    time: _Time,
    on_abandon: Callable[[str], None],
    on_wait: Callable[[str], Awaitable[None]],
) -> Any:
    """Return the result of work in a thread; the work is given a function that tells whether it was abandoned."""
    name = f"{call.name}-{call.call_id}"
    loop = asyncio.get_running_loop()
    began: asyncio.Future[None] = loop.create_future()
    returned: asyncio.Future[Outcome] = loop.create_future()
    over = threading.Event()

    def begin() -> None:
        loop.call_soon_threadsafe(_begin, time, began)

    def deliver(outcome: Outcome) -> None:
        with suppress(RuntimeError):  # the loop was closed, so nothing waits for the result
            loop.call_soon_threadsafe(_set_result, returned, outcome)

    submitted = THREADS.submit(partial(work, over.is_set), name, deliver, begin)
    try:
        if submitted.waits:
            await on_wait(f"{call.name} waits for a thread: {THREADS.size} sync tools run already")
            async with time_limit(time.left):
                await began
        async with time.limit():
            outcome = await returned
    except (TimeoutError, asyncio.CancelledError) as ended:
        over.set()
        still_running = THREADS.abandon(submitted)
        if still_running:
            on_abandon(f"agentloop-{name}")
        if isinstance(ended, asyncio.CancelledError):
            raise
        text = _describe_timeout(time.seconds, stopped=not still_running) if submitted.begun else _NO_THREAD
        raise _TimedOutError(text) from None
    return _unpack(outcome)


def _unpack(outcome: Outcome) -> Any:
    """Return the result of a call, or raise what it raised."""
    result, error = outcome
    if isinstance(error, Exception | SystemExit):
        raise error
    if error is not None:  # Ctrl-C never raises in this thread, so a KeyboardInterrupt was raised by the tool itself
        raise RuntimeError(describe_error(error)) from error
    return result


async def call_function(function: Callable[..., Any], *args: object) -> Any:
    """Call a function of the user's, in a thread unless it is async, and return what it comes to."""
    said = function(*args) if is_async(function) else await call_in_thread(partial(function, *args))
    return await said if inspect.isawaitable(said) else said


async def call_in_thread(work: Callable[[], Any], threads: DaemonThreads = PEOPLE, name: str = "approver") -> Any:
    """Call a function that may take long, such as one that waits for a person, in a daemon thread; return its result.

    A function that is still running when this is cancelled keeps its thread, and its result is discarded.
    """
    loop = asyncio.get_running_loop()
    returned: asyncio.Future[Outcome] = loop.create_future()

    def deliver(outcome: Outcome) -> None:
        with suppress(RuntimeError):  # as above
            loop.call_soon_threadsafe(_set_result, returned, outcome)

    submitted = threads.submit(work, name, deliver)
    try:
        result, error = await returned
    finally:
        threads.abandon(submitted)
    if error is not None:
        raise error
    return result


def _begin(time: _Time, began: asyncio.Future[None]) -> None:
    time.begin()
    _set_result(began, None)


def _set_result(awaited: asyncio.Future[T], result: T) -> None:
    with suppress(asyncio.InvalidStateError):  # the task that waited has been cancelled
        awaited.set_result(result)


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
    text = describe_error(error)
    return text if is_told(error) else f"{tool.name} failed: {_FOLDERS.sub('', text)}"


def _describe_timeout(seconds: float | None, *, stopped: bool) -> str:
    end = "and was stopped." if stopped else "and could not be stopped; it may still take effect."
    return f"return within {seconds:g} s {end}"

"""Runs code in pydantic-monty and answers its calls of tools. `values` converts arguments and results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from agentloop import ToolError, ToolResult
from agentloop_tools.python.values import cut, make_whole, read_arguments, read_result, show

if TYPE_CHECKING:
    from pydantic_monty import (
        AsyncFunctionSnapshot,
        AsyncFutureSnapshot,
        AsyncMonty,
        AsyncSnapshot,
        ExcType,
        ExternalSettledResult,
        ResourceLimits,
    )

CallTool: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[ToolResult]]

MAX_OUTPUT = 16_000
# For each call of a tool the code is suspended at most three times: to look up the function, to call it, and to wait.
_SUSPENSIONS_PER_CALL = 3
_OTHER_SUSPENSIONS = 500
_WORKERS = 4
# A thread of pydantic-monty still uses the Python interpreter after its last answer, and aborts the process if the
# interpreter ends at that time.
_CLOSING_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of one piece of code.

    Attributes:
        seconds: How long it may compute. The time in which tools run is not counted.
        memory: How many bytes of memory it may use.
        calls: How many calls of tools it may make.
    """

    seconds: float
    memory: int
    calls: int


class Sandbox:
    """Runs code, each time in a new session of a worker process.

    Args:
        bounds: The limits of each piece of code.
        stack: Ends the worker processes, which are started for the first code.
    """

    def __init__(self, bounds: Bounds, stack: AsyncExitStack) -> None:
        self._bounds = bounds
        self._stack = stack
        self._starting = asyncio.Lock()
        self._pool: AsyncMonty | None = None

    async def run(self, code: str, tools: Collection[str], call_tool: CallTool) -> str:
        """Run code, and return what it prints and the value of its last expression.

        Args:
            code: Python code.
            tools: The names of the tools that are functions in the code.
            call_tool: Calls a tool.

        Raises:
            ToolError: the code failed, was stopped or has a syntax error. The text includes what it printed before.
        """
        from pydantic_monty import MontyCrashedError, MontyError, MontyRuntimeError, MontySyntaxError  # noqa: PLC0415 - 50 ms

        pool = await self._start()
        printed = _Printed()
        try:
            async with (
                pool.checkout(limits=self._limits(), os_policy={"sleep": "zero"}) as session,
                _Calls(tools, call_tool, self._bounds.calls).open() as calls,
            ):
                # The functions are only declared here: their calls arrive as snapshots, and are answered in `_Calls`.
                functions = dict.fromkeys(tools, _placeholder)
                snapshot = await session.feed_start(code, external_lookup=functions, print_callback=printed)
                value = await calls.answer(snapshot)
        except MontyCrashedError as error:
            why = "took too long and was stopped" if error.timed_out else "crashed"
            raise ToolError(printed.then(f"the sandbox {why}; run less at once")) from None
        except MontyError as error:
            text = error.display() if isinstance(error, MontySyntaxError | MontyRuntimeError) else str(error)
            raise ToolError(printed.then(text)) from None
        shown = "" if value is None else show(value, MAX_OUTPUT)
        return (
            printed.then(shown, calls.describe_unawaited())
            or "The code ran. It printed nothing and its last line has no value."
        )

    async def _start(self) -> AsyncMonty:
        from pydantic_monty import AsyncMonty  # noqa: PLC0415 - as above

        async with self._starting:
            if self._pool is None:
                pool = AsyncMonty(min_processes=0, max_processes=_WORKERS)
                self._stack.push_async_callback(asyncio.sleep, _CLOSING_SECONDS)  # called after the pool has closed
                self._pool = await self._stack.enter_async_context(pool)
            return self._pool

    def _limits(self) -> ResourceLimits:
        bounds = self._bounds
        return {
            "max_feed_duration_secs": bounds.seconds,
            "max_memory": bounds.memory,
            "max_suspensions": _OTHER_SUSPENSIONS + _SUSPENSIONS_PER_CALL * bounds.calls,
        }


class _Calls:
    """The calls of tools that one piece of code makes. All of them end with the code."""

    def __init__(self, tools: Collection[str], call_tool: CallTool, calls_left: int) -> None:
        self._tools = tools
        self._call_tool = call_tool
        self._calls_left = calls_left
        self._made: dict[int, AsyncFunctionSnapshot] = {}
        self._running: dict[int, asyncio.Task[ExternalSettledResult]] = {}

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[_Calls]:
        try:
            yield self
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def answer(self, snapshot: AsyncSnapshot) -> Any:
        """Resume the code from a snapshot until it has ended, and return its last value."""
        from pydantic_monty import AsyncFunctionSnapshot, AsyncFutureSnapshot, MontyComplete  # noqa: PLC0415 - as above

        while not isinstance(snapshot, MontyComplete):
            match snapshot:
                case AsyncFunctionSnapshot(is_os_function=False) if snapshot.function_name in self._tools:
                    self._made[snapshot.call_id] = snapshot
                    snapshot = await snapshot.resume({"future": ...})
                case AsyncFunctionSnapshot(is_os_function=False):
                    unknown = f"name {str(snapshot.function_name)!r} is not defined"
                    snapshot = await snapshot.resume(_raising("NameError", unknown))
                case AsyncFutureSnapshot():
                    snapshot = await self._answer_calls(snapshot)
                case _:  # a lookup of a name, an import or a file, which the sandbox answers itself with an error
                    snapshot = await snapshot.resume_auto()
        return snapshot.output

    def describe_unawaited(self) -> str:
        """Return a sentence about the calls that the code did not await, or ""."""
        names = sorted({str(made.function_name) for made in self._made.values()})
        return f"These calls had no effect, because they were not awaited: {', '.join(names)}." if names else ""

    async def _answer_calls(self, snapshot: AsyncFutureSnapshot) -> AsyncSnapshot:
        """Start the calls that the code awaits, and resume it with the results of those that end first."""
        for number in snapshot.pending_call_ids:
            if number not in self._running:
                self._running[number] = asyncio.create_task(self._carry_out(self._made[number]))
        await asyncio.wait(self._running.values(), return_when=asyncio.FIRST_COMPLETED)
        ended = [number for number, task in self._running.items() if task.done()]
        for number in ended:
            del self._made[number]
        return await snapshot.resume({number: self._running.pop(number).result() for number in ended})

    async def _carry_out(self, made: AsyncFunctionSnapshot) -> ExternalSettledResult:
        name = str(made.function_name)
        if made.args:
            return _raising("TypeError", f"call {name} with keyword arguments: {name}(parameter=value)")
        if self._calls_left <= 0:
            return _raising("RuntimeError", "this code may make no more calls of tools")
        self._calls_left -= 1
        try:
            arguments = read_arguments(made.kwargs)
        except ValueError as error:
            return _raising("TypeError", f"{name}: {error}")
        try:
            result = await self._call_tool(name, arguments)
        except ToolError as error:
            return _raising("RuntimeError", error.message)
        return {"return_value": read_result(result.content)} if result.ok else _raising("RuntimeError", result.content)


class _Printed:
    """What code prints, up to a limit."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._room = MAX_OUTPUT
        self._left_out = 0

    def __call__(self, _stream: str, text: str) -> None:
        kept = text[: self._room]
        self._room -= len(kept)
        self._left_out += len(text) - len(kept)
        if kept:
            self._parts.append(kept)

    def then(self, *texts: str) -> str:
        """Return what was printed, with these texts below it."""
        printed = "".join(self._parts).removesuffix("\n")
        more = f"[{self._left_out} more characters were printed]" if self._left_out else ""
        return "\n".join(cut(text, MAX_OUTPUT) for text in (printed, more, *texts) if text)


def _raising(kind: ExcType, message: str) -> ExternalSettledResult:
    return {"exc_type": kind, "message": cut(make_whole(message), MAX_OUTPUT)}


def _placeholder() -> None:
    """Stand for a tool when code looks up its name. It is never called itself."""

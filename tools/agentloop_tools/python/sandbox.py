"""Runs code in pydantic-monty and answers its calls of tools. What crosses the border is in `values`."""

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
# Each call of a tool stops the code at most three times: to find the function, to call it, and to wait for it.
_STOPS_PER_CALL = 3
_STOPS_OF_ITS_OWN = 500
_WORKERS = 4
# A thread of pydantic-monty still has a word with the interpreter after it has handed over its last answer, and aborts
# the process where that ends meanwhile.
_LAST_WORD_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Bounds:
    """What code may use.

    Attributes:
        seconds: Of computing; the time in which tools work is not counted.
        memory: Bytes.
        calls: Of tools.
    """

    seconds: float
    memory: int
    calls: int


class Sandbox:
    """Runs code, each time in a fresh session of a worker process.

    Args:
        bounds: What each piece of code may use.
        stack: What ends the worker processes; they are started with the first code.
    """

    def __init__(self, bounds: Bounds, stack: AsyncExitStack) -> None:
        self._bounds = bounds
        self._stack = stack
        self._starting = asyncio.Lock()
        self._pool: AsyncMonty | None = None

    async def run(self, code: str, tools: Collection[str], call_tool: CallTool) -> str:
        """Return what code prints, and the value of its last expression.

        Args:
            code: Python.
            tools: The names that are functions in it.
            call_tool: Called for them.

        Raises:
            ToolError: the code failed, was stopped or can't be read; with what it had printed until then.
        """
        from pydantic_monty import MontyCrashedError, MontyError, MontyRuntimeError, MontySyntaxError  # noqa: PLC0415 - 50 ms

        pool = await self._start()
        printed = _Printed()
        try:
            async with (
                pool.checkout(limits=self._limits(), os_policy={"sleep": "zero"}) as session,
                _Calls(tools, call_tool, self._bounds.calls).open() as calls,
            ):
                # The functions are only named here: the calls come back as snapshots and are answered one by one.
                functions = dict.fromkeys(tools, _never_called)
                snapshot = await session.feed_start(code, external_lookup=functions, print_callback=printed)
                value = await calls.answer(snapshot)
        except MontyCrashedError as error:
            why = "took too long and was stopped" if error.timed_out else "broke down and is gone"
            raise ToolError(printed.then(f"the sandbox {why}; run less at once")) from None
        except MontyError as error:
            told = error.display() if isinstance(error, MontySyntaxError | MontyRuntimeError) else str(error)
            raise ToolError(printed.then(told)) from None
        shown = "" if value is None else show(value, MAX_OUTPUT)
        return (
            printed.then(shown, calls.forgotten()) or "The code ran. It printed nothing and its last line has no value."
        )

    async def _start(self) -> AsyncMonty:
        from pydantic_monty import AsyncMonty  # noqa: PLC0415 - as above

        async with self._starting:
            if self._pool is None:
                pool = AsyncMonty(min_processes=0, max_processes=_WORKERS)
                self._stack.push_async_callback(asyncio.sleep, _LAST_WORD_SECONDS)  # called when the pool has closed
                self._pool = await self._stack.enter_async_context(pool)
            return self._pool

    def _limits(self) -> ResourceLimits:
        bounds = self._bounds
        return {
            "max_feed_duration_secs": bounds.seconds,
            "max_memory": bounds.memory,
            "max_suspensions": _STOPS_OF_ITS_OWN + _STOPS_PER_CALL * bounds.calls,
        }


class _Calls:
    """The calls that one run of code makes; none of them outlives it."""

    def __init__(self, tools: Collection[str], call_tool: CallTool, room: int) -> None:
        self._tools = tools
        self._call_tool = call_tool
        self._room = room
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
        """Go on with the code from where it waits until it has ended, and return its last value."""
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
                    snapshot = await self._settle(snapshot)
                case _:  # a name, an import, or a file, of which there are none
                    snapshot = await snapshot.resume_auto()
        return snapshot.output

    def forgotten(self) -> str:
        """Return a sentence about calls that were not waited for, or ""."""
        names = sorted({str(made.function_name) for made in self._made.values()})
        return f"These calls came to nothing, as they were not awaited: {', '.join(names)}." if names else ""

    async def _settle(self, snapshot: AsyncFutureSnapshot) -> AsyncSnapshot:
        """Start the calls that the code waits for, and answer those that end first."""
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
        if self._room <= 0:
            return _raising("RuntimeError", "one run of code may make no more calls of tools")
        self._room -= 1
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
    """What code prints, as far as there is room for it."""

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
        """Return all that is to be seen: what was printed, and these texts below it."""
        printed = "".join(self._parts).removesuffix("\n")
        more = f"[{self._left_out} more characters were printed]" if self._left_out else ""
        return "\n".join(cut(text, MAX_OUTPUT) for text in (printed, more, *texts) if text)


def _raising(kind: ExcType, message: str) -> ExternalSettledResult:
    return {"exc_type": kind, "message": cut(make_whole(message), MAX_OUTPUT)}


def _never_called() -> None:
    """Stand for a tool where code looks its name up; a call of it never gets here."""

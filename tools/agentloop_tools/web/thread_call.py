"""Calls blocking functions in a daemon thread, with a time limit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def call_in_thread(function: Callable[[], T], seconds: float) -> T:
    """Call a function in a thread, and return its result. After the time limit the thread is left to end by itself.

    Raises:
        TimeoutError: the function takes too long.
    """
    loop = asyncio.get_running_loop()
    returned: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if returned.done():  # the task that waited has been cancelled
            return
        if error is None:
            returned.set_result(result)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - there is a result where there is no error
        else:
            returned.set_exception(error)

    def work() -> None:
        result, failure = None, None
        try:
            result = function()
        except Exception as error:  # noqa: BLE001 - raised again in the task that waits for the call
            failure = error
        with suppress(RuntimeError):  # the event loop has been closed
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name="agentloop-web", daemon=True).start()
    async with asyncio.timeout(seconds):
        return await returned

"""Calls that block, made in a daemon thread and waited for no longer than they may take."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def call_in_thread(function: Callable[[], T], seconds: float) -> T:
    """Return what a function returns; one that takes too long is left to end by itself.

    Raises:
        TimeoutError: it takes too long.
    """
    loop = asyncio.get_running_loop()
    returned: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if returned.done():  # whoever waited has left
            return
        if error is None:
            returned.set_result(result)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - there is a result where there is no error
        else:
            returned.set_exception(error)

    def work() -> None:
        result, failure = None, None
        try:
            result = function()
        except Exception as error:  # noqa: BLE001 - raised again where the call is waited for
            failure = error
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name="agentloop-web", daemon=True).start()
    async with asyncio.timeout(seconds):
        return await returned

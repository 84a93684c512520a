"""Asserts which tools the model has called since the last question. A failure shows the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias, assert_never

from pydantic_core import to_jsonable_python

from agentloop.items import Item, Message, Opaque, Reasoning, ToolCall, ToolResult
from agentloop.loop.run import Run, RunResult
from agentloop.showable import show_lines

Ran: TypeAlias = RunResult[Any] | Run

_LONGEST_TEXT = 500


def assert_called(ran: Ran, name: str, /, **arguments: object) -> None:
    """Assert that the model has called a tool with these arguments, and perhaps with others too.

    Args:
        ran: A result, or a run such as `error.run`.
        name: The name of the tool.
        arguments: Arguments by their names; none means any call of the tool.
    """
    __tracebackhide__ = True
    wanted = to_jsonable_python(arguments)
    if not any(_fits(call, name, wanted) for call in _list_calls(ran)):
        with_arguments = f" with {_show_arguments(wanted)}" if wanted else ""
        raise AssertionError(f"the model has not called {name}{with_arguments}\n{_show_run(ran)}")


def assert_not_called(ran: Ran, name: str, /, **arguments: object) -> None:
    """Assert that the model has not called a tool with these arguments; without arguments, that it has not at all."""
    __tracebackhide__ = True
    wanted = to_jsonable_python(arguments)
    for call in _list_calls(ran):
        if _fits(call, name, wanted):
            raise AssertionError(f"the model has called {name} {call.arguments}\n{_show_run(ran)}")


def assert_order(ran: Ran, /, *names: str) -> None:
    """Assert that the model has called these tools in this order, perhaps with other calls between them."""
    __tracebackhide__ = True
    calls = iter(_list_calls(ran))
    for at, name in enumerate(names):
        if not any(_fits(call, name, {}) for call in calls):
            after = f" after {', '.join(names[:at])}" if at else ""
            raise AssertionError(f"the model has not called {name}{after}\n{_show_run(ran)}")


def _list_items(ran: Ran) -> tuple[Item, ...]:
    run = ran.run if isinstance(ran, RunResult) else ran
    return run.items[run.start :]


def _list_calls(ran: Ran) -> list[ToolCall]:
    return [item for item in _list_items(ran) if isinstance(item, ToolCall)]


def _fits(call: ToolCall, name: str, wanted: dict[str, Any]) -> bool:
    # A model knows the tools of a pack as `files_read`, rules as `files.read`.
    if call.name.replace(".", "_") != name.replace(".", "_"):
        return False
    try:
        given = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        given = None
    return not wanted or (isinstance(given, dict) and wanted.items() <= given.items())


def _show_arguments(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _show_run(ran: Ran) -> str:
    lines = ["the run:"]
    for who, text in _list_lines(ran):
        first, *more = show_lines(text[:_LONGEST_TEXT])
        lines += [f"  {who:<10} {first}", *(f"{'':<13}{line}" for line in more)]
    return "\n".join(lines)


def _list_lines(ran: Ran) -> Iterator[tuple[str, str]]:
    for item in _list_items(ran):
        match item:
            case Message():
                yield item.role, item.text
            case ToolCall():
                yield "call", f"{item.name} {item.arguments}"
            case ToolResult():
                yield "result" if item.ok else "failed", item.content
            case Reasoning() | Opaque():
                yield item.kind, item.text if isinstance(item, Reasoning) else ""
            case _:
                assert_never(item)

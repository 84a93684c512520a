"""`@tool`: from a function to a tool, by its signature and its docstring."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_origin, overload

from agentloop.schema import TypedArguments, parse_docstring, read_signature
from agentloop.tools.definition import MAX_OUTPUT, P, R, Tool, ToolContext, check, describe_origin, is_async
from agentloop.tools.effects import Effects


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    strict: bool = True,
    timeout: float | None = None,
    parallel: bool = True,
    repeatable: bool = False,
    max_output: int = MAX_OUTPUT,
    effects: Effects | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(
    *function: Callable[..., Any],
    name: str | None = None,
    description: str | None = None,
    strict: bool = True,
    timeout: float | None = None,
    parallel: bool = True,
    repeatable: bool = False,
    max_output: int = MAX_OUTPUT,
    effects: Effects | None = None,
) -> Any:
    """Make a function a tool; as `@tool`, or with options as `@tool(...)`.

    Args:
        function: Any callable, sync or async; nothing, where options are given.
        name: What the model calls it; the function's name by default.
        description: What the model is told about it; the docstring by default, without the parts about parameters.
        strict: Whether the schema has to keep to OpenAI's strict subset. Without it, any type goes.
        timeout: Seconds that a call may take, or None.
        parallel: Whether it may run beside other calls of the same turn.
        repeatable: Whether the same call again is no repetition, as when polling.
        max_output: Characters of a result that the model is given; what is over is cut out of the middle.
        effects: What a call does to the world, such as `Effects(write=True)`; policies go by it.

    Raises:
        ToolDefinitionError: the function can't become a tool; every fault is listed with its remedy.
    """

    def define(function: Callable[..., Any]) -> Tool:
        made = _read_function(function, name, description, strict=strict)
        made = replace(made, timeout=timeout, parallel=parallel, repeatable=repeatable)
        return check(replace(made, max_output=max_output, effects=effects))

    return define(*function) if function else define


def _read_function(function: Callable[..., Any], name: str | None, description: str | None, *, strict: bool) -> Tool:
    """Return the tool that a function is by itself, not yet checked."""
    signature = read_signature(function, _is_context)
    docstring = parse_docstring(getattr(function, "__doc__", None) if _has_own_docstring(function) else None)
    return Tool(
        name=getattr(function, "__name__", "") if name is None else name,
        description=docstring.description if description is None else description,
        function=function,
        strict=strict,
        origin=describe_origin(function),
        is_async=is_async(function),
        unbound=signature.unbound,
        _arguments=TypedArguments(signature, docstring.parameters, strict=strict),
        _signature=signature,
    )


def _is_context(annotation: Any) -> bool:
    return annotation is ToolContext or get_origin(annotation) is ToolContext


def _has_own_docstring(function: Any) -> bool:
    """Tell a docstring of the function from one of its class, which says nothing of the call."""
    return inspect.isroutine(function) or isinstance(function, type)

"""Defines `@tool`, which makes a tool from a function's signature and docstring."""

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
    """Make a tool from a function: use it as `@tool`, or with options as `@tool(...)`.

    Args:
        function: Any callable, sync or async; left out if options are given.
        name: The tool's name for the model; the function's name by default.
        description: The tool's description for the model; by default the docstring without its sections on parameters.
        strict: Whether the schema must follow OpenAI's strict subset. If False, any type is allowed.
        timeout: Seconds that a call may take, or None for no limit.
        parallel: Whether a call may run at the same time as other calls of its turn.
        repeatable: Whether the same call may come again without counting as a repeated call, as in polling.
        max_output: How many characters of a result the model gets at most; the middle of a longer result is cut out.
        effects: The effects of a call, such as `Effects(write=True)`; policies use them.

    Raises:
        ToolDefinitionError: the function can't become a tool; the error lists every fault with its remedy.
    """

    def define(function: Callable[..., Any]) -> Tool:
        made = _read_function(function, name, description, strict=strict)
        made = replace(made, timeout=timeout, parallel=parallel, repeatable=repeatable)
        return check(replace(made, max_output=max_output, effects=effects))

    return define(*function) if function else define


def _read_function(function: Callable[..., Any], name: str | None, description: str | None, *, strict: bool) -> Tool:
    """Return the tool for a function without options; it is not checked yet."""
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
    """Tell whether the docstring belongs to the function, not to its class, which does not describe the call."""
    return inspect.isroutine(function) or isinstance(function, type)

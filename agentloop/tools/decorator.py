"""Defines `@tool`, which makes a tool from a function's signature and docstring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MethodType
from typing import Any, TypedDict, Unpack, cast, get_origin, overload

from agentloop.errors import ToolDefinitionError
from agentloop.options import TEXT, find_fault
from agentloop.schema import TypedArguments, parse_docstring, read_signature
from agentloop.tools.definition import BindsTo, Condition, P, R, Tool, ToolContext, check
from agentloop.tools.effects import Effects
from agentloop.tools.functions import describe_origin, find_docstring, is_async
from agentloop.tools.naming import near_names


class ToolOptions(TypedDict, total=False):
    """The options of `@tool`. Each is the attribute of Tool with this name.

    Attributes:
        name: The tool's name for the model; the function's name by default.
        description: The tool's description for the model; by default the docstring without its sections on parameters.
        strict: Whether the schema must follow OpenAI's strict subset. If False, any type is allowed.
        timeout: Seconds that a call may take, or None for no limit.
        parallel: Whether a call may run at the same time as other calls of its turn.
        repeatable: Whether the same call may come again without counting as a repeated call, as in polling.
        max_output: How many characters of a result the model gets at most; the middle of a longer result is cut out.
        effects: The effects of a call, such as `Effects(write=True)`; policies use them.
        when: A function of the RunContext, sync or async, that says before each turn whether the model is offered the
            tool.
    """

    name: str | None
    description: str | None
    strict: bool
    timeout: float | None
    parallel: bool
    repeatable: bool
    max_output: int
    effects: Effects | None
    when: Condition | None


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(**options: Unpack[ToolOptions]) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(*function: Callable[..., Any], **options: Unpack[ToolOptions]) -> Any:
    """Make a tool from a function: use it as `@tool`, or with options as `@tool(...)`.

    Args:
        function: Any callable, sync or async; left out if options are given.
        options: See ToolOptions.

    Raises:
        ToolDefinitionError: there is no such option, or the function can't become a tool; the error lists every fault
            with its remedy.
    """
    fields = _read_options(options)

    def define(function: Callable[..., Any]) -> Tool:
        name, description = options.get("name"), options.get("description")
        made = _read_function(function, name, description, strict=options.get("strict", True))
        return check(replace(made, **fields))

    return define(*function) if function else define


def _read_options(options: ToolOptions) -> dict[str, Any]:
    """Return the options that are fields of a Tool as they are.

    Raises:
        ToolDefinitionError: there is no such option, or the description is not a text.
    """
    known = ToolOptions.__annotations__
    for name in options.keys() - known:
        near = near_names(name, known)
        hint = f"did you mean {near[0]}?" if near else f"the options are: {', '.join(known)}"
        raise ToolDefinitionError(f"a tool has no option {name!r}", hint=hint)
    if fault := find_fault("description", options.get("description"), TEXT.or_none()):
        raise ToolDefinitionError(fault, hint="give a text, or leave it out for the docstring")
    return {name: value for name, value in options.items() if name not in {"name", "description", "strict"}}


def _read_function(function: Any, name: str | None, description: str | None, *, strict: bool) -> Tool:
    """Return the tool for a function without options; it is not checked yet."""
    binds_to: BindsTo = "instance"
    described, unbound = function, False
    if isinstance(function, staticmethod):
        binds_to, function = "nothing", cast("Any", function).__func__
    elif isinstance(function, classmethod):
        binds_to, function, unbound = "class", cast("Any", function).__func__, True
        described = MethodType(function, object)
    signature = read_signature(described, _is_context)
    docstring = parse_docstring(find_docstring(function))
    return Tool(
        name=getattr(function, "__name__", "") if name is None else name,
        description=docstring.description if description is None else description,
        function=function,
        strict=strict,
        origin=describe_origin(function),
        is_async=is_async(function),
        unbound=unbound or signature.unbound,
        binds_to=binds_to,
        _arguments=TypedArguments(signature, {**_read_fields(function), **docstring.parameters}, strict=strict),
        _signature=signature,
    )


def _is_context(annotation: Any) -> bool:
    if type(annotation).__name__ == "TypeAliasType":  # `type Context = ToolContext[...]`
        annotation = annotation.__value__
    return annotation is ToolContext or get_origin(annotation) is ToolContext


def _read_fields(function: Any) -> dict[str, str]:
    """Return the descriptions of the fields of a pydantic model, which its signature does not show."""
    fields: dict[str, Any] = getattr(function, "__pydantic_fields__", {}) if isinstance(function, type) else {}
    return {name: field.description for name, field in fields.items() if field.description}

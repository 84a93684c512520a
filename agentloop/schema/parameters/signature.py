"""Reads a function's signature: its parameters with their types, and the faults that a tool can't have."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import FrameType, MethodType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

_EMPTY = inspect.Parameter.empty
_OWN_PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter that the model fills.

    Attributes:
        name: The name of the parameter; any text is allowed.
        annotation: The type, or Any if there is no annotation.
        default: The default value; used only if `optional` is True.
        optional: Whether the parameter has a default.
        by_position: Whether the parameter is positional-only.
        description: The text in `Annotated[..., "text"]`, or "".
    """

    name: str
    annotation: Any
    default: Any = None
    optional: bool = False
    by_position: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's parameters.

    Attributes:
        parameters: The parameters that the model fills.
        injected: Whether the first parameter is the context, which the model does not see.
        unbound: Whether the function is a method without its instance.
        open: Whether the function takes any other names (`**`).
        faults: Why the function can't be a strict tool, one sentence per fault.
        errors: Why the function can't be a tool at all, one sentence per fault.
    """

    parameters: tuple[Parameter, ...] = ()
    injected: bool = False
    unbound: bool = False
    open: bool = False
    faults: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


def read_signature(function: Callable[..., Any], is_context: Callable[[Any], bool]) -> Signature:
    """Return the signature of a function.

    Args:
        function: Any callable.
        is_context: Tells whether an annotation marks the injected parameter.
    """
    errors: list[str] = []
    faults: list[str] = []
    hints = _read_hints(function, errors)
    found = list(_parameters(function, errors))
    unbound = bool(found) and _is_method(function) and found[0].annotation is _EMPTY
    found = found[unbound:]
    injected = bool(found) and is_context(hints.get(found[0].name))
    parameters: list[Parameter] = []
    is_open = False
    for parameter in found[injected:]:
        annotation = hints.get(parameter.name, _EMPTY)
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            is_open = True
            faults.append(f"parameter `**{parameter.name}` takes any name: name each, or take one `dict[str, ...]`")
            continue
        errors += _find_errors(parameter, is_context=is_context(annotation))
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            continue
        parameters.append(_build(parameter, annotation))
    return Signature(tuple(parameters), injected, unbound, is_open, tuple(faults), tuple(errors))


def describe_error(error: BaseException) -> str:
    """Return the first line of what went wrong while a type was read."""
    text = str(error).partition("\n")[0].rstrip(".")
    known = isinstance(error, NameError | TypeError) or type(error).__module__.startswith("pydantic")
    return text if known and text else f"{type(error).__name__}: {text}".removesuffix(": ")


def _build(parameter: inspect.Parameter, annotation: Any) -> Parameter:
    description = ""
    if get_origin(annotation) is Annotated:
        inner, *notes = get_args(annotation)
        description = next((note for note in notes if isinstance(note, str)), "")
        if all(isinstance(note, str) for note in notes):
            annotation = inner
    optional = parameter.default is not _EMPTY
    return Parameter(
        name=parameter.name,
        annotation=Any if annotation is _EMPTY else annotation,
        default=parameter.default if optional else None,
        optional=optional,
        by_position=parameter.kind is inspect.Parameter.POSITIONAL_ONLY,
        description=description,
    )


def _find_errors(parameter: inspect.Parameter, *, is_context: bool) -> Iterator[str]:
    name = parameter.name
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        yield f"parameter `*{name}` has no names for the model to give: take a `list`"
    if is_context:
        yield f"parameter `{name}` is the ToolContext but not the first: put it first"
    if type(parameter.default).__name__ == "FieldInfo":
        yield f"parameter `{name}` has a Field(...) for its default: write `{name}: Annotated[..., Field(...)] = ...`"


def _parameters(function: Callable[..., Any], errors: list[str]) -> list[inspect.Parameter]:
    try:
        found = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        errors.append("its signature can't be read: wrap it in a function with annotations")
        return []
    # The model must not change an argument that a partial fixes, such as a key or a user's id.
    fixed = set(function.keywords) if isinstance(function, partial) else set[str]()
    return [parameter for parameter in found if parameter.name not in fixed]


def _read_hints(function: Callable[..., Any], errors: list[str]) -> dict[str, Any]:
    target: Any = inspect.unwrap(function)
    while isinstance(target, partial):
        target = inspect.unwrap(target.func)
    if not inspect.isroutine(target):
        owner = target if isinstance(target, type) else type(target)
        target = getattr(owner, "__init__" if owner is target else "__call__")
    try:
        return get_type_hints(target, include_extras=True)
    except NameError:
        return _read_hints_singly(target, errors)


def _read_hints_singly(function: Any, errors: list[str]) -> dict[str, Any]:
    """Return the hints of the parameters, read one by one; a hint may use local names of the calling function.

    The return type is not read, because it is not needed.
    """

    def one() -> None: ...

    names = _calling_locals()
    hints: dict[str, Any] = {}
    for name, annotation in inspect.get_annotations(function).items():
        if name == "return":
            continue
        one.__annotations__ = {name: annotation}
        try:
            hints |= get_type_hints(one, function.__globals__, names, include_extras=True)
        except NameError as error:
            errors.append(f"parameter `{name}` has `{error.name}` in its type, which is not defined: import it first")
            # The fault is recorded already, so any readable type will do.
            hints[name] = str
    return hints


def _calling_locals() -> dict[str, Any]:
    """Return the local names where the tool is made, because an annotation given as text may name a local class."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _OWN_PACKAGE:
        frame = frame.f_back
    return dict(frame.f_locals) if frame is not None else {}


def _is_method(function: Callable[..., Any]) -> bool:
    """Tell whether a function is defined in the body of a class."""
    if isinstance(function, MethodType) or not inspect.isfunction(function):
        return False
    holder = function.__qualname__.rpartition(".")[0]
    return bool(holder) and not holder.endswith("<locals>")

"""Reads a function's signature: its parameters with their types, and the faults that a tool can't have."""

from __future__ import annotations

import inspect
import sys
from collections import ChainMap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from types import FrameType, MethodType
from typing import Annotated, Any, Self, cast, get_args, get_origin, get_type_hints

from agentloop.errors import name_type, read_text

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
        by_position: Whether the parameter is passed by position.
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
    found = _parameters(function, errors)
    unbound = bool(found) and _is_method(function) and found[0].annotation is _EMPTY
    if unbound and _dispatches(function):
        errors.append("it is a singledispatchmethod, whose instance can't be told: call it in a function of its own")
    found = found[unbound:]
    hints = _read_hints(function, found, errors) if found else {}
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
    if parameters and _dispatches(function):
        parameters[0] = replace(parameters[0], by_position=True)
    return Signature(tuple(parameters), injected, unbound, is_open, tuple(faults), tuple(errors))


def _dispatches(function: Any) -> bool:
    """Return whether a function chooses another by the type of its first argument (`functools.singledispatch`)."""
    return hasattr(function, "register") and hasattr(function, "__wrapped__")


def describe_error(error: BaseException) -> str:
    """Return the first line of what went wrong while a type was read."""
    text = read_text(error).partition("\n")[0].rstrip(".")
    known = isinstance(error, NameError | TypeError) or type(error).__module__.startswith("pydantic")
    return text if known and text else f"{name_type(error)}: {text}".removesuffix(": ")


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
    except Exception:  # noqa: BLE001 - a decorator's `__signature__` may be anything
        errors.append("its signature can't be read: wrap it in a function with annotations")
        return []
    # The model must not change an argument that a partial fixes, such as a key or a user's id.
    fixed = {name for each in unwrap_callable(function) if isinstance(each, partial) for name in each.keywords}
    return [parameter for parameter in found if parameter.name not in fixed]


def unwrap_callable(function: Any) -> list[Any]:
    """Return a callable and what its decorators and partials are around, down to where its signature stands."""
    around = [function]
    while isinstance(function, type) or inspect.getattr_static(function, "__signature__", None) is None:
        inner = function.func if isinstance(function, partial) else getattr(function, "__wrapped__", None)
        if inner is None or inner in around:
            break
        function = cast("Any", inner)
        around.append(function)
    return around


def _read_hints(function: Any, parameters: list[inspect.Parameter], errors: list[str]) -> dict[str, Any]:
    """Return the types of the parameters by name. What `inspect.signature` says counts, and it may be text.

    The return type is not read, because it is not needed.
    """
    names = _Names(function)
    hints: dict[str, Any] = {}
    for parameter in parameters:
        name, annotation = parameter.name, parameter.annotation
        if annotation is _EMPTY:
            continue
        try:
            hints[name] = annotation if type(annotation) is type else names.evaluate(annotation)
        except Exception as error:  # noqa: BLE001 - an annotation may be any expression
            errors.append(f"parameter `{name}` {_describe_failure(error)}")
            # The fault is recorded already, so any readable type will do.
            hints[name] = str
    return hints


def _describe_failure(error: Exception) -> str:
    if isinstance(error, NameError) and error.name:
        return f"has `{error.name}` in its type, which is not defined: import it first"
    return f"has a type that can't be read: {describe_error(error)}"


class _Names:
    """The names that the annotations of a callable may use."""

    def __init__(self, function: Any) -> None:
        self._spaces = [space for each in reversed(unwrap_callable(function)) for space in _namespaces(each)] or [{}]
        self._calling: dict[str, Any] | None = None

    def evaluate(self, annotation: Any) -> Any:
        """Return the type that an annotation stands for, which may hold names as text."""
        try:
            found = self._evaluate(annotation)
        except NameError:
            if self._calling is not None:
                raise
            # A text may name a local class of the function that makes the tool.
            self._calling = _calling_locals()
            self._spaces.append(self._calling)
            found = self._evaluate(annotation)
        if found is Self:
            raise TypeError("Self has no class here: name the class")
        return found

    def _evaluate(self, annotation: Any) -> Any:
        def one() -> None: ...

        one.__annotations__ = {"one": annotation}
        return get_type_hints(one, self._spaces[0], ChainMap(*self._spaces), include_extras=True)["one"]


def _namespaces(function: Any) -> Iterator[dict[str, Any]]:
    """Yield the global names where a callable is defined; those of a class are also those of its bases."""
    function = getattr(function, "__func__", function)
    space = getattr(function, "__globals__", None)
    if space is not None:
        yield {each.__name__: each for each in getattr(function, "__type_params__", ())}
        yield space
        return
    kind: type[Any] = function if isinstance(function, type) else type(function)
    for each in kind.__mro__:
        if each.__module__ in sys.modules and each is not object:
            yield vars(sys.modules[each.__module__])


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

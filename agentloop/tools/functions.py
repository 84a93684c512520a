"""Tells about any callable what a tool needs to know: its docstring, where it was defined, and whether it is async."""

from __future__ import annotations

import inspect
import sys
from functools import partial
from pathlib import PurePath
from typing import Any, cast

from agentloop.schema import unwrap_callable

# The docstrings of their classes say nothing about a class that is derived from one of them.
_GENERAL_LIBRARIES = sys.stdlib_module_names | {"pydantic"}
_OF_NOTHING = {inspect.getdoc(partial), inspect.getdoc(type.__call__)}
_CODE = ("__code__", "__defaults__", "__kwdefaults__")


def find_docstring(function: Any) -> str | None:
    """Return the docstring of a callable, or of what it is around, without the margin. It may be inherited."""
    return next((text for each in unwrap_callable(function) if (text := _read_docstring(each))), None)


def _read_docstring(function: Any) -> str | None:
    if isinstance(function, type):
        made_by = vars(function).get("__init__")
        return _read_class(cast("Any", function)) or (_clean(made_by.__doc__) if inspect.isfunction(made_by) else None)
    own = getattr(function, "__dict__", {}).get("__doc__")
    if own or isinstance(function, partial):
        return _clean(own)
    if inspect.isroutine(function):
        return _get(function)
    kind = cast("Any", type(function))
    return _get(kind.__call__) or _read_class(kind)


def _get(function: Any) -> str | None:
    text = inspect.getdoc(function)
    return None if text in _OF_NOTHING else text


def _clean(text: object) -> str | None:
    return inspect.cleandoc(text) if isinstance(text, str) else None


def _read_class(kind: type[Any]) -> str | None:
    """Return the docstring of a class or its bases, unless Python wrote it, as it does for a dataclass."""
    for each in kind.__mro__:
        text = vars(each).get("__doc__")
        general = each.__module__.partition(".")[0] in _GENERAL_LIBRARIES
        if text and not general and not text.startswith(f"{each.__name__}("):
            return _clean(text)
    return None


def _called(function: Any) -> Any:
    """Return the function whose code a call runs first: that of a partial or of a callable object."""
    while isinstance(function, partial):
        function = cast("Any", function.func)
    return function if hasattr(function, "__code__") else type(function).__call__


def is_async(function: Any) -> bool:
    """Tell whether a call of the function must be awaited."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_called(function))


def read_code(function: Any) -> dict[str, Any]:
    """Return the attributes by which `inspect` tells what kind of function it is."""
    called = _called(function)
    return {name: getattr(called, name) for name in _CODE if hasattr(called, name)}


def describe_origin(function: Any) -> str:
    """Return where a function was defined, with the file's name but without its folders."""
    innermost = _innermost(function)
    where = f"{getattr(innermost, '__module__', None) or '?'}.{getattr(innermost, '__qualname__', '?')}"
    code = getattr(innermost, "__code__", None)
    file = getattr(code, "co_filename", None)  # of a mock it is a mock too
    return f"{PurePath(file).name}:{code.co_firstlineno} in {where}" if code and isinstance(file, str) else where


def _innermost(function: Any) -> Any:
    """Return the function that runs in the end, without decorators, partials and callable objects around it."""
    function = inspect.unwrap(function)
    while isinstance(function, partial):
        function = inspect.unwrap(cast("Any", function.func))
    return function if inspect.isroutine(function) or isinstance(function, type) else type(function).__call__

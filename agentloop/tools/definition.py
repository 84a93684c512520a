"""A tool: a function, the schema that tells it to a model, and how a model's call becomes a call of it.

How a function is read is in `decorator`. Whether a call may run, and running it, are no business of this package.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import WRAPPER_ASSIGNMENTS, partial
from pathlib import PurePath
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, cast

from pydantic_core import to_jsonable_python
from typing_extensions import ParamSpec, TypeVar

from agentloop.errors import ToolDefinitionError, ToolError
from agentloop.items import JsonObject, ToolResult
from agentloop.limits import Tally
from agentloop.schema import ArgumentsError, CheckedArguments, Signature, order_arguments, render, strip_invisible
from agentloop.tools.effects import UNKNOWN, Effects

if TYPE_CHECKING:
    from agentloop.policy import Policy

# With defaults, so that `Tool` and `ToolContext` alone are whole types.
P = ParamSpec("P", default=...)
R = TypeVar("R", default=Any)
T = TypeVar("T", default=Any)

MAX_OUTPUT = 20_000
LEAST_OUTPUT = 200
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

CallTool: TypeAlias = Callable[[str, JsonObject], Awaitable[ToolResult]]


@dataclass(frozen=True, slots=True)
class ToolContext(Generic[T]):
    """What a tool may know of the run it is called in; injected as its first parameter, hidden from the model.

    Attributes:
        run_id: The run.
        call_id: This call; unique over the run.
        tally: What the run has done so far.
        value: The user's own object, as given to `run(context=...)`.
        tools: The names of the tools on offer to the model, this one left out.
    """

    run_id: str
    call_id: str
    tally: Tally
    value: T
    tools: tuple[str, ...] = ()
    _call: CallTool | None = field(default=None, repr=False)

    async def call(self, name: str, arguments: JsonObject) -> ToolResult:
        """Call another tool of the run as the model would: under the same limits and the same policy.

        A call that needs a yes is refused where nobody can be asked. What became of it is in the result, whose `ok`
        is False when it failed or was refused.

        Args:
            name: One of `tools`.
            arguments: By parameter name.

        Raises:
            ToolError: the tool was not called by a run.
        """
        if self._call is None:
            raise ToolError(f"{name} can't be called: no agent is running")
        return await self._call(name, arguments)


@dataclass(frozen=True, slots=True)
class BoundCall:
    """Arguments as a function takes them, and in words what had to be mended in the model's text."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    repairs: tuple[str, ...] = ()


class _Arguments(Protocol):
    schema: JsonObject
    faults: tuple[str, ...]

    def read(self, text: str) -> tuple[JsonObject, tuple[str, ...]]:
        """Return the values by parameter name, and what had to be mended."""
        ...


@dataclass(frozen=True, slots=True)
class Quota:
    """A number of calls in a run that several tools share: those with an equal quota.

    Attributes:
        key: Whose calls they are, such as the pack's name.
        calls: How many.
    """

    key: str
    calls: int


@dataclass(frozen=True, eq=False)
class Tool(Generic[P, R]):
    """A function that a model can call. It stays callable as the function it was.

    Attributes:
        name: What the model calls it.
        description: What the model is told about it.
        function: The function itself.
        strict: Whether its schema keeps to the strict subset.
        origin: Where it was defined: `file.py:12 in module.name`.
        is_async: Whether the function is awaited.
        unbound: Whether it is a method that still lacks its instance.
        timeout: Seconds that a call may take, or None.
        parallel: Whether it may run beside other calls of the same turn.
        repeatable: Whether the same call again is no repetition, as when polling.
        max_output: Characters of a result that the model is given.
        effects: What a call does to the world, or None when that was not said.
        dotted: `pack.tool`, for a tool of a pack.
        pack: The pack that it came with, or "".
        quotas: How many calls it may have in a run, each together with all tools that have the same quota.
        policy: What its pack's user has said about it; the stricter of this and the agent's counts.
        former_names: The names that it had where those rules were given, if it was given others since.
        preview: Called with the same arguments before a person is asked; returns what they should see, such as a diff.
    """

    name: str
    description: str
    function: Callable[P, R]
    strict: bool
    origin: str
    is_async: bool
    unbound: bool
    _arguments: _Arguments = field(repr=False)
    _signature: Signature = field(repr=False)
    timeout: float | None = None
    parallel: bool = True
    repeatable: bool = False
    max_output: int = MAX_OUTPUT
    effects: Effects | None = None
    dotted: str = ""
    pack: str = ""
    quotas: tuple[Quota, ...] = ()
    policy: Policy | None = None
    former_names: tuple[str, ...] = ()
    preview: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        copied: dict[str, Any] = {
            name: getattr(self.function, name) for name in WRAPPER_ASSIGNMENTS if hasattr(self.function, name)
        }
        vars(self).update(copied, __wrapped__=self.function, description=strip_invisible(self.description))

    @property
    def parameters(self) -> JsonObject:
        """The JSON schema of the arguments."""
        return self._arguments.schema

    @property
    def label(self) -> str:
        """What policies and logs call it: `pack.tool` for a tool of a pack, else its name."""
        return self.dotted or self.name

    @property
    def presumed_effects(self) -> Effects | None:
        """Its effects; of a pack's tool that does not say, the most dangerous; of a plain function, None."""
        return self.effects or (UNKNOWN if self.pack else None)

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with the signature or the schema; none, once a tool has been made."""
        told = self._signature.errors + (self._signature.faults if self.strict else ())
        return told + self._arguments.faults

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function as it is, without a model in between."""
        return self.function(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Tool[..., R]:
        """Return the tool itself for a class, and for an instance the tool whose calls go to that instance."""
        if instance is None:
            return self
        return replace(self, function=MethodType(self.function, instance), unbound=False)

    def bind(self, arguments: str, context: ToolContext[Any]) -> BoundCall:
        """Return a model's arguments as the function takes them.

        Args:
            arguments: JSON text, as the model wrote it.
            context: For a function that asks for it.

        Raises:
            ArgumentsError: they can't be read or don't fit; its text tells the model why.
        """
        values, repairs = self._arguments.read(arguments)
        args, kwargs = order_arguments(self._signature, values)
        return BoundCall((context, *args) if self._signature.injected else args, kwargs, repairs)

    def read_arguments(self, arguments: str) -> JsonObject:
        """Return what the function would receive, by parameter name and as JSON: mended, and with its defaults.

        Args:
            arguments: JSON text, as the model wrote it.

        Raises:
            ArgumentsError: they can't be read or don't fit.
        """
        values, _ = self._arguments.read(arguments)
        defaults = {each.name: each.default for each in self._signature.parameters if each.optional}
        try:
            plain: JsonObject = to_jsonable_python({**defaults, **values}, serialize_unknown=True)
        except ValueError as error:  # nested too deeply, or bytes that are no text
            raise ArgumentsError(f"The arguments can't be checked: {error}", str(error)) from error
        return plain

    def render(self, value: Any) -> str:
        """Return a result as text for the model, with its middle cut out where it is too long.

        Raises:
            ToolError: the result can't be written as JSON; its text tells the model so.
        """
        return render(value, self.max_output)

    @classmethod
    def from_schema(
        cls,
        name: str,
        description: str,
        parameters: JsonObject,
        function: Callable[..., Any],
        *,
        strict: bool = False,
        timeout: float | None = None,
        parallel: bool = True,
        max_output: int = MAX_OUTPUT,
    ) -> Tool:
        """Return a tool whose arguments are described by a JSON schema instead of by types.

        Args:
            name: What the model calls it.
            description: What the model is told about it.
            parameters: The JSON schema of an object. The function is called with its properties by name.
            function: Any callable.
            strict: Whether to hold the schema to the strict subset.
            timeout: Seconds that a call may take, or None.
            parallel: Whether it may run beside other calls of the same turn.
            max_output: Characters of a result that the model is given.

        Raises:
            ToolDefinitionError: the schema is none, or not strict although it should be.
        """
        made = cls(
            name=name,
            description=description,
            function=function,
            strict=strict,
            origin=describe_origin(function),
            is_async=is_async(function),
            unbound=False,
            _arguments=CheckedArguments(parameters, strict=strict),
            _signature=Signature(),
        )
        return check(replace(made, timeout=timeout, parallel=parallel, max_output=max_output))


def check(made: Tool) -> Tool:
    """Return the tool, or raise one error that lists everything that is wrong with it."""
    faults = list(_find_faults(made))
    if not faults:
        return made
    error = ToolDefinitionError(
        f"{made.name or made.function!r} ({made.origin}) can't be a tool:",
        faults=faults,
        hint="types that can't be strict are taken with @tool(strict=False)" if made.strict and made.faults else "",
    )
    faulty = _FAULTY.get()
    if faulty is None:
        raise error
    faulty[made] = error
    return made


_FAULTY: ContextVar[dict[Tool, ToolDefinitionError] | None] = ContextVar("faulty", default=None)


@contextmanager
def collect_faults() -> Generator[dict[Tool, ToolDefinitionError]]:
    """Let faulty tools be made, and give them with their errors, so that one does not hide the next."""
    faulty: dict[Tool, ToolDefinitionError] = {}
    token = _FAULTY.set(faulty)
    try:
        yield faulty
    finally:
        _FAULTY.reset(token)


def _find_faults(made: Tool) -> Iterator[str]:
    function: Any = made.function
    if not callable(function):
        yield "it can't be called: put @tool below @classmethod or @staticmethod, next to the function"
        return
    if made.strict and getattr(function, "__name__", "") == "<lambda>":
        yield "it is a lambda, which has neither types nor a docstring: write a def"
    elif not _NAME.fullmatch(made.name):
        yield f"{made.name!r} is no name for a tool: give one of 1 to 64 letters, digits, `_` or `-` with name="
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        yield "it is a generator, which has no one result: return a list"
    if made.timeout is not None and not made.timeout > 0:
        yield f"timeout={made.timeout!r} is no time: give seconds above 0, or None"
    if made.max_output < LEAST_OUTPUT:
        yield f"max_output={made.max_output!r} leaves no room for a result: give at least {LEAST_OUTPUT}"
    yield from made.faults


def _innermost(function: Any) -> Any:
    """Return what runs in the end: behind decorators, partials and callable objects."""
    function = inspect.unwrap(function)
    while isinstance(function, partial):
        function = inspect.unwrap(cast("Any", function.func))
    return function if inspect.isroutine(function) or isinstance(function, type) else type(function).__call__


def is_async(function: Any) -> bool:
    """Tell whether a call of the function has to be awaited."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_innermost(function))


def describe_origin(function: Any) -> str:
    """Return where a function was defined, without the folders of the machine."""
    innermost = _innermost(function)
    where = f"{getattr(innermost, '__module__', None) or '?'}.{getattr(innermost, '__qualname__', '?')}"
    code = getattr(innermost, "__code__", None)
    return where if code is None else f"{PurePath(code.co_filename).name}:{code.co_firstlineno} in {where}"

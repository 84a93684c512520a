"""Defines Tool: a function, its schema for the model, and the way from a model's call to a call of the function.

`decorator` reads a function's signature. `policy` and `loop` decide whether a call may run, and `runtime` runs it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import WRAPPER_ASSIGNMENTS
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, cast

from typing_extensions import ParamSpec, TypeVar

from agentloop.errors import ToolDefinitionError, ToolError
from agentloop.items import JsonObject, ToolResult
from agentloop.limits import Tally
from agentloop.options import FLAG, Kind, find_fault, instance_of, number, whole_number
from agentloop.schema import (
    ArgumentsError,
    CheckedArguments,
    Signature,
    order_arguments,
    parse_docstring,
    render,
    strip_invisible,
    write_received,
)
from agentloop.tools.argument_reading import ArgumentReading
from agentloop.tools.effects import UNKNOWN, Effects
from agentloop.tools.functions import describe_origin, is_async, read_code
from agentloop.tools.readings import Arguments, look_at, take
from agentloop.tools.run_context import RunContext

if TYPE_CHECKING:
    from agentloop.policy import Policy

# They have defaults, so that `Tool` and `ToolContext` without parameters are complete types.
P = ParamSpec("P", default=...)
R = TypeVar("R", default=Any)
T = TypeVar("T", default=Any)

MAX_OUTPUT = 20_000
LEAST_OUTPUT = 200
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

BindsTo: TypeAlias = Literal["instance", "class", "nothing"]
Condition: TypeAlias = Callable[[RunContext[Any]], bool | Awaitable[bool]]
CallTool: TypeAlias = Callable[[str, JsonObject], Awaitable[ToolResult]]


@dataclass(frozen=True, slots=True)
class ToolContext(Generic[T]):
    """Information about the run for a tool; it is passed as the first parameter, which the model does not see.

    Attributes:
        run_id: The id of the run.
        call_id: The id of this call, unique within the run.
        tally: What the run has done so far.
        value: The user's own object, as given to `run(context=...)`.
        tools: The names of the other tools that the model is offered.
    """

    run_id: str
    call_id: str
    tally: Tally
    value: T
    tools: tuple[str, ...] = ()
    _call: CallTool | None = field(default=None, repr=False)

    async def call(self, name: str, arguments: JsonObject) -> ToolResult:
        """Call another tool of the run as the model would, under the same limits and the same policy.

        A call that needs approval is refused if nobody can be asked. The result has `ok=False` if the call failed or
        was refused.

        Args:
            name: One of `tools`.
            arguments: The arguments by parameter name.

        Raises:
            ToolError: this tool was not called by a run.
        """
        if self._call is None:
            raise ToolError(f"{name} can't be called: no agent is running")
        return await self._call(name, arguments)


@dataclass(frozen=True, slots=True)
class BoundCall:
    """Arguments as a function takes them, with one description for each repair of the model's text."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Quota:
    """A number of calls per run that several tools share: all tools with an equal quota.

    Attributes:
        key: The owner of the quota, such as the pack's name.
        calls: How many calls the tools may have together.
    """

    key: str
    calls: int


@dataclass(frozen=True, eq=False)
class Tool(Generic[P, R]):
    """A function that a model can call. It can still be called like the plain function.

    Attributes:
        name: The tool's name for the model.
        description: The tool's description for the model.
        function: The function itself.
        strict: Whether the schema follows the strict subset.
        origin: Where the function was defined: `file.py:12 in module.name`.
        is_async: Whether the function is awaited.
        unbound: Whether the function is a method without its instance.
        timeout: Seconds that a call may take, or None for no limit.
        parallel: Whether a call may run at the same time as other calls of its turn.
        repeatable: Whether the same call may come again without counting as a repeated call, as in polling.
        max_output: How many characters of a result the model gets at most.
        effects: The declared effects of a call, or None.
        when: Says before each turn whether the model is offered the tool; None for always.
        dotted: `pack.tool` for a tool of a pack, otherwise "".
        pack: The name of the tool's pack, or "".
        quotas: Limits on the calls of a run; each is shared with all tools that have the same quota.
        policy: The rules that were given with its pack, or None; the stricter of these and the agent's rules applies.
        former_names: The names that the tool had when those rules were given, if it has other names now.
        binds_to: What is passed first if the tool is an attribute of a class: as for a plain method, a classmethod or
            a staticmethod.
        for_person_alone: Whether only a person may approve a call: no pattern and no earlier approval does.
        preview: Called with the same arguments before a person is asked; returns what the person should see, such as a
            diff.
        readings: By parameter name, how the tool reads arguments that can be written in several ways.
    """

    name: str
    description: str
    function: Callable[P, R]
    strict: bool
    origin: str
    is_async: bool
    unbound: bool
    _arguments: Arguments = field(repr=False)
    _signature: Signature = field(repr=False)
    timeout: float | None = None
    parallel: bool = True
    repeatable: bool = False
    max_output: int = MAX_OUTPUT
    effects: Effects | None = None
    when: Condition | None = None
    dotted: str = ""
    pack: str = ""
    quotas: tuple[Quota, ...] = ()
    policy: Policy | None = None
    former_names: tuple[str, ...] = ()
    binds_to: BindsTo = "instance"
    preview: Callable[..., Any] | None = None
    for_person_alone: bool = False
    readings: Mapping[str, ArgumentReading] = field(default_factory=dict[str, ArgumentReading], repr=False)

    def __post_init__(self) -> None:
        copied: dict[str, Any] = {
            name: getattr(self.function, name) for name in WRAPPER_ASSIGNMENTS if hasattr(self.function, name)
        }
        copied = {"__name__": self.name, "__qualname__": self.name, **read_code(self.function), **copied}
        vars(self).update(copied, __wrapped__=self.function, description=strip_invisible(self.description))

    @property
    def parameters(self) -> JsonObject:
        """The JSON schema of the arguments."""
        return self._arguments.schema

    @property
    def arguments(self) -> Arguments:
        """The arguments as they are read."""
        return self._arguments

    @property
    def label(self) -> str:
        """The tool's name in policies and logs: `pack.tool` for a tool of a pack, otherwise its name."""
        return self.dotted or self.name

    @property
    def presumed_effects(self) -> Effects | None:
        """The declared effects; without a declaration, all effects for a pack's tool, None for a plain function."""
        return self.effects or (UNKNOWN if self.pack else None)

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults of the signature and the schema; a tool that was made successfully has none."""
        found = self._signature.errors + (self._signature.faults if self.strict else ())
        return found + self._arguments.faults

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function directly with Python values."""
        return self.function(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Tool[..., R]:
        """Return a tool that is bound as its function would be: to the instance, to the class or to nothing."""
        owner = type(instance) if owner is None else owner
        first = {"instance": instance, "class": owner, "nothing": None}[self.binds_to]
        if first is None:
            return self
        return replace(self, function=MethodType(self.function, first), unbound=False, binds_to="nothing")

    def __set_name__(self, owner: type[Any], name: str) -> None:
        """Take the descriptions of the method that this one overrides, if it has no docstring of its own."""
        texts = (getattr(vars(base).get(name), "__doc__", None) for base in owner.__mro__[1:])
        inherited = None if self.description else next(filter(None, texts), None)
        if inherited is None:
            return
        docstring = parse_docstring(inspect.cleandoc(inherited))
        vars(self).update(description=strip_invisible(docstring.description), __doc__=inherited)
        properties = self.parameters.get("properties", {})
        for parameter, text in docstring.parameters.items():
            schema = properties.get(parameter, {"$ref": ""})
            if not schema.keys() & {"description", "$ref"}:
                properties[parameter] = {"description": text, **schema}

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Let the tool be pickled as its function is: by its name, or as an attribute of the object it is bound to."""
        if isinstance(self.function, MethodType):
            return getattr, (self.function.__self__, self.function.__name__)
        return str(vars(self)["__qualname__"])

    def __copy__(self) -> Tool[P, R]:
        """Return the tool itself, as for a function."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Tool[P, R]:
        """Return the tool itself, as for a function; a bound tool is bound to a copy of its object."""
        function = deepcopy(self.function, memo)
        return self if function is self.function else replace(self, function=function)

    def bind(self, arguments: str, context: ToolContext[Any]) -> BoundCall:
        """Return a model's arguments as the function takes them.

        Args:
            arguments: The JSON text as the model wrote it.
            context: The context, for a function that takes it.

        Raises:
            ArgumentsError: the arguments can't be read or are not valid; the error's text tells the model why.
        """
        values, repairs = take(self._arguments, arguments)
        args, kwargs = order_arguments(self._signature, values)
        return BoundCall((context, *args) if self._signature.injected else args, kwargs, repairs)

    def read_arguments(self, arguments: str) -> JsonObject:
        """Return the arguments that the function would receive, by parameter name, repaired and with its defaults.

        They stand in the order of the parameters, and those of an open signature after them.

        Each field of an object has the name by which the function reads it. A secret is a SecretText.

        Args:
            arguments: The JSON text as the model wrote it.

        Raises:
            ArgumentsError: the arguments can't be read or are not valid.
        """
        values, _ = look_at(self._arguments, arguments)
        given: JsonObject = {
            each.name: values.get(each.name, each.default)
            for each in self._signature.parameters
            if each.optional or each.name in values
        }
        try:
            return write_received({**given, **values})
        except ValueError as error:  # nested too deeply, or bytes that are not UTF-8
            raise ArgumentsError(f"The arguments can't be checked: {error}", str(error)) from error

    def render(self, value: Any) -> str:
        """Return a result as text for the model; the middle of a text that is too long is cut out.

        Raises:
            ToolError: the result can't be written as JSON; the error's text tells the model so.
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
        """Return a tool whose arguments are described by a JSON schema instead of Python types.

        Args:
            name: The tool's name for the model.
            description: The tool's description for the model.
            parameters: The JSON schema of an object. The function is called with its properties as keyword arguments.
            function: Any callable.
            strict: Whether the schema must follow the strict subset.
            timeout: Seconds that a call may take, or None for no limit.
            parallel: Whether a call may run at the same time as other calls of its turn.
            max_output: How many characters of a result the model gets at most.

        Raises:
            ToolDefinitionError: the schema is not valid, or not strict although it must be.
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
    """Return the tool, or raise one error that lists all of its faults."""
    faults = list(_find_faults(made))
    if not faults:
        return made
    error = ToolDefinitionError(
        f"{made.name or made.function!r} ({made.origin}) can't be a tool:",
        faults=faults,
        hint="@tool(strict=False) allows types that can't be strict" if made.strict and made.faults else "",
    )
    faulty = _FAULTY.get()
    if faulty is None:
        raise error
    faulty[made] = error
    return made


_FAULTY: ContextVar[dict[Tool, ToolDefinitionError] | None] = ContextVar("faulty", default=None)


@contextmanager
def collect_faults() -> Generator[dict[Tool, ToolDefinitionError]]:
    """Collect faulty tools with their errors in place of raising at the first one, so that all can be reported."""
    faulty: dict[Tool, ToolDefinitionError] = {}
    token = _FAULTY.set(faulty)
    try:
        yield faulty
    finally:
        _FAULTY.reset(token)


_OPTIONS = {
    "strict": FLAG,
    "timeout": Kind("a number of seconds above 0", number(above=0).fits).or_none(),
    "parallel": FLAG,
    "repeatable": FLAG,
    "max_output": whole_number(LEAST_OUTPUT),
    "effects": instance_of(Effects, "an Effects(...)").or_none(),
    "when": Kind("a function of the RunContext", callable).or_none(),
}


def _find_faults(made: Tool) -> Iterator[str]:
    function: Any = made.function
    if not callable(function):
        yield "it can't be called: put @tool next to the function, below a decorator such as @property"
        return
    if made.strict and getattr(function, "__name__", "") == "<lambda>":
        yield "it is a lambda, which has neither types nor a docstring: write a def"
    elif not isinstance(cast("object", made.name), str) or not _NAME.fullmatch(made.name):
        yield f"{made.name!r} can't be a tool's name: give one of 1 to 64 letters, digits, `_` or `-` with name="
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        yield "it is a generator, which does not return a single result: return a list"
    for option, kind in _OPTIONS.items():
        if fault := find_fault(option, getattr(made, option), kind):
            yield fault
    yield from made.faults

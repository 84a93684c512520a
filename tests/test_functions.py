"""Callables of every kind as tools: their signatures, descriptions and types, and that they stay what they were."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import pickle
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, NamedTuple

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from agentloop import Agent, Effects, Tally, ToolContext, ToolDefinitionError, ToolRegistry, tool
from agentloop.testing import ScriptedEndpoint, call
from agentloop.tools import Tool, collect_tools

CONTEXT = ToolContext("run", "call", Tally(), "mine")
Context = TypeAliasType("Context", ToolContext)


def run(made, arguments):
    bound = made.bind(arguments, CONTEXT)
    return made.function(*bound.args, **bound.kwargs)


def types_of(made):
    return {name: schema.get("type") for name, schema in made.parameters["properties"].items()}


# --- what inspect says counts ---


def relabel(function):
    """Decorate a function with a signature of its own, as decorators that add or hide parameters do."""

    def wrapper(*args, **kwargs):
        return args, kwargs

    wrapper.__signature__ = inspect.Signature(
        [
            inspect.Parameter("shown", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=int),
            inspect.Parameter("written", inspect.Parameter.KEYWORD_ONLY, annotation="str"),
        ]
    )
    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    return wrapper


@relabel
def hidden(secret: float) -> None:
    """Do it."""


@functools.wraps(hidden)
def around_hidden(*args, **kwargs):
    return hidden(*args, **kwargs)


class Order(BaseModel):
    """Order a thing."""

    amount: int
    note: Annotated[str, Field(description="What to write on it.")]


class Place(NamedTuple):
    """A place."""

    row: int
    name: str


class Fresh:
    """Make one."""

    def __new__(cls, size: int, colour: str):
        made = super().__new__(cls)
        made.given = (size, colour)
        return made


class Meta(type):
    def __call__(cls, asked: int):
        return asked * 2


class Doubled(metaclass=Meta):
    """Double."""

    def __init__(self, never: str) -> None: ...


def send(to: str, key: str, count: int) -> tuple[str, str, int]:
    """Send."""
    return to, key, count


@functools.wraps(functools.partial(send, key="secret"))
def around_partial(*args, **kwargs):
    return send(*args, **kwargs, key="secret")


@pytest.mark.parametrize(
    ("function", "types", "arguments", "returned"),
    [
        (
            hidden,
            {"shown": "integer", "written": "string"},
            '{"shown": 1, "written": "a"}',
            ((), {"shown": 1, "written": "a"}),
        ),
        (
            around_hidden,
            {"shown": "integer", "written": "string"},
            '{"shown": 1, "written": "a"}',
            ((), {"shown": 1, "written": "a"}),
        ),
        (Order, {"amount": "integer", "note": "string"}, '{"amount": 2, "note": "n"}', Order(amount=2, note="n")),
        (Place, {"row": "integer", "name": "string"}, '{"row": 1, "name": "a"}', Place(1, "a")),
        (Doubled, {"asked": "integer"}, '{"asked": 4}', 8),
        (
            functools.partial(send, key="secret"),
            {"to": "string", "count": "integer"},
            '{"to": "a", "count": 1}',
            ("a", "secret", 1),
        ),
        (
            functools.partial(send, "b"),
            {"key": "string", "count": "integer"},
            '{"key": "k", "count": 1}',
            ("b", "k", 1),
        ),
        (around_partial, {"to": "string", "count": "integer"}, '{"to": "a", "count": 1}', ("a", "secret", 1)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_signature_that_inspect_tells_is_the_one_that_the_model_fills(function, types, arguments, returned):
    made = tool(name="made")(function)
    assert types_of(made) == types
    assert run(made, arguments) == returned
    assert made.description


def test_a_class_that_makes_its_instances_in_new_is_filled():
    assert run(tool(Fresh), '{"size": 1, "colour": "red"}').given == (1, "red")


def test_the_fields_of_a_model_are_described():
    assert tool(Order).parameters["properties"]["note"]["description"] == "What to write on it."


def test_the_context_may_have_a_named_type():
    @tool
    def whose(context: Context, mark: str) -> str:
        """Tell."""
        return f"{context.value}{mark}"

    assert run(whose, '{"mark": "!"}') == "mine!"


def test_a_signature_that_raises_is_a_fault():
    class Broken:
        __name__ = "broken"

        @property
        def __signature__(self):
            raise ValueError("not today")

        def __call__(self, a: int): ...

    with pytest.raises(ToolDefinitionError, match="its signature can't be read"):
        tool(Broken())


ELSEWHERE = """
from __future__ import annotations
from dataclasses import dataclass
from enum import Enum

class Far(Enum):
    A = "a"

@dataclass
class Base:
    far: Far
"""


def test_names_of_a_base_class_in_another_module_are_found(monkeypatch):
    module = ModuleType("elsewhere")
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    exec(ELSEWHERE, vars(module))  # noqa: S102 - a module of another file

    @dataclass
    class Near(module.Base):
        name: str

    assert types_of(tool(description="Near.")(Near)) == {"far": None, "name": "string"}


# --- annotations that can't be evaluated ---

BAD = {
    "no such attribute": "os.Missing",
    "prose": "'one of three words'",
    "text in a union": "'int' | None",
    "division": "1 / 0",
    "key": "{}['k']",
    "not a type": "(int, str)",
    "no such name": "Elsewhere",
    "Self": "Self",
    "subscript": "int[str]",
}


def define(annotation, returns="None"):
    space = {"__name__": "made_here"}
    source = f"def f(good: int, bad: {annotation}) -> {returns}:\n    'Do.'"
    exec(f"from __future__ import annotations\nimport os\nfrom typing import Self\n{source}", space)  # noqa: S102 - annotations that a linter would refuse
    return space["f"]


@pytest.mark.parametrize("annotation", BAD.values(), ids=list(BAD))
def test_an_annotation_that_cannot_be_evaluated_is_one_fault_of_its_parameter(annotation):
    with pytest.raises(ToolDefinitionError) as caught:
        tool(define(annotation))
    [fault] = caught.value.faults
    assert fault.startswith("parameter `bad` has ")


def test_every_name_that_is_not_defined_is_told():
    with pytest.raises(ToolDefinitionError) as caught:
        tool(define("Elsewhere, worse: Nowhere, fine: int"))
    assert [fault.partition(" has ")[0] for fault in caught.value.faults] == ["parameter `bad`", "parameter `worse`"]


@pytest.mark.parametrize("annotation", BAD.values(), ids=list(BAD))
def test_a_return_annotation_does_not_matter(annotation):
    assert types_of(tool(define("str", returns=annotation))) == {"good": "integer", "bad": "string"}


TOOLS = '''
from __future__ import annotations
import os
from agentloop import tool

@tool
def first(a: os.Nothing) -> str:
    """First."""

@tool
def second(a: int) -> "a list of rows":
    """Second."""

@tool
def third(a: int) -> str: ...
'''


def test_tools_check_reports_every_function_of_a_file(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    from agentloop.cli.commands.tools_check import check_tools  # noqa: PLC0415 - the only test that needs it

    file = tmp_path / "three.py"
    file.write_text(TOOLS)
    assert check_tools(str(file))
    out, err = capfd.readouterr()
    assert '"second"' in out
    assert "parameter `a` has a type that can't be read: AttributeError" in err
    assert "'third'" in err
    assert "has no description" in err
    assert "'second'" not in err


# --- descriptions ---


class Greeter:
    def __call__(self, name: str) -> str:
        """Greet a person.

        Args:
            name: Whom.
        """
        return name


@dataclass
class Scaler:
    factor: int

    def __call__(self, value: int) -> int:
        return value * self.factor


class Base:
    def look(self, where: str) -> str:
        """Look around.

        Args:
            where: Which way.
        """
        return where

    @tool
    def move(self, far: int, kind: Order) -> int:
        """Move on.

        Args:
            far: How far.
            kind: What kind.
        """
        return far


class Derived(Base):
    @tool
    def look(self, where: str) -> str:
        return where * 2

    @tool
    def move(self, far: int, kind: Order) -> int:
        return far + 1


class Plain(Base):
    def look(self, where: str) -> str:
        return where


class Made:
    def __init__(self, a: int) -> None:
        """Make it from a number."""


@pytest.mark.parametrize(
    ("function", "description"),
    [
        (Greeter(), "Greet a person."),
        (functools.partial(Greeter()), "Greet a person."),
        (functools.partial(send, "a"), "Send."),
        (functools.update_wrapper(functools.partial(send, "a"), send), "Send."),
        (around_partial, "Send."),
        (Plain().look, "Look around."),
        (Made, "Make it from a number."),
        (Scaler(2), ""),
        (Scaler, ""),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_the_description_of_any_callable_is_found(function, description):
    made = tool(name="made")(function)
    assert made.description == description


def test_a_method_that_overrides_another_inherits_its_descriptions():
    made = Derived().look
    assert made.description == "Look around."
    assert made.parameters["properties"]["where"]["description"] == "Which way."
    moved = Derived.move
    assert (moved.description, moved.__doc__) == ("Move on.", Base.move.__doc__)
    assert moved.parameters["properties"]["far"]["description"] == "How far."
    assert moved.parameters["properties"]["kind"] == {"$ref": "#/$defs/Order"}
    assert moved(Derived(), 1, None) == 2


SECTIONS = {
    "Google": """Find rows.

    Args:
        key: Which.

    Returns:
        Rows in UTC.

    Raises:
        KeyError: no row.

    Example:
        find("a")

    Never call it twice.
    """,
    "NumPy": """Find rows.

    Parameters
    ----------
    key : str
        Which.

    Never call it twice.

    Returns
    -------
    list
        Rows in UTC.

    Raises
    ------
    KeyError
        no row.

    Examples
    --------
    find("a")
    """,
    "Sphinx": """Find rows.

    :param key: Which.
    :type key: str
    :returns: Rows in UTC.
    :raises KeyError: no row.

    .. note:: Never call it twice.

    >>> find("a")
    """,
}


@pytest.mark.parametrize("style", SECTIONS)
def test_the_description_holds_all_but_the_parameters(style):
    def find(key: str) -> list[str]: ...

    find.__doc__ = SECTIONS[style]
    made = tool(find)
    for words in ("Find rows.", "Rows in UTC.", "KeyError", "no row.", 'find("a")', "Never call it twice."):
        assert words in made.description
    assert "Which" not in made.description
    assert "key" not in made.description
    assert made.parameters["properties"]["key"]["description"] == "Which."


# --- below and above other decorators ---


class Sums:
    start = 10

    @tool(strict=False)
    @staticmethod
    def add(a, b: int = 1):
        """Add."""
        return a + b

    @tool
    @classmethod
    def raised(cls, by: int) -> int:
        """Raise."""
        return cls.start + by


class LargeSums(Sums):
    start = 20


def test_a_tool_may_stand_above_staticmethod_and_classmethod():
    assert list(Sums.add.parameters["properties"]) == ["a", "b"]
    assert Sums.add(1) == Sums().add(1) == 2
    assert (Sums.raised(1), LargeSums.raised(1), LargeSums().raised(1)) == (11, 21, 21)
    assert list(LargeSums.raised.parameters["properties"]) == ["by"]
    tools = collect_tools([Sums.add, LargeSums.raised])
    assert run(tools["raised"], '{"by": 2}') == 22
    assert run(tools["add"], '{"a": 2}') == 3


def test_a_staticmethod_may_be_a_tool_outside_of_a_class():
    assert run(collect_tools([staticmethod(send)])["send"], '{"to": "a", "key": "k", "count": 1}') == ("a", "k", 1)
    registry = ToolRegistry()
    assert registry.tool(staticmethod(send)) in list(registry)


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return ["logged", function(*args, **kwargs)]

    return wrapper


def test_a_decorator_above_a_tool_keeps_what_the_tool_declares():
    @logged
    @tool(name="erase", timeout=3, effects=Effects(write=True))
    def remove(context: ToolContext, file: str) -> str:
        """Remove."""
        return f"{context.value} {file}"

    made = collect_tools([remove])["erase"]
    assert (made.timeout, made.effects, made.description) == (3, Effects(write=True), "Remove.")
    assert run(made, '{"file": "a"}') == ["logged", "mine a"]


# --- it stays what it was ---


@tool
def double(a: int) -> int:
    """Double."""
    return 2 * a


@tool
async def wait(a: int) -> int:
    """Wait."""
    return a


class Waiter:
    async def __call__(self, a: int) -> int:
        """Wait."""
        return a

    @tool
    async def rest(self, a: int) -> int:
        """Rest."""
        return a


def test_an_async_tool_is_a_coroutine_function():
    for made in (wait, tool(name="wait")(Waiter()), tool(name="w")(functools.partial(wait)), Waiter().rest):
        assert inspect.iscoroutinefunction(made)
        assert asyncio.iscoroutinefunction(made)
        assert made.is_async
    assert not inspect.iscoroutinefunction(double)
    assert not inspect.isasyncgenfunction(wait)


async def test_a_sync_wrapper_around_an_async_function_runs_in_a_thread():
    @functools.wraps(wait.function)
    def waits(a):
        return asyncio.run(wait(a))

    made = tool(waits)
    assert not made.is_async
    endpoint = ScriptedEndpoint([call("wait", {"a": 5}), "done"])
    await Agent("m", endpoint=endpoint, tools=[made]).run("go")
    assert endpoint.requests[1]["input"][-1]["output"] == "5"


def test_a_tool_is_pickled_by_its_name():
    assert pickle.loads(pickle.dumps(double)) is double  # noqa: S301 - what the test wrote
    rest = pickle.loads(pickle.dumps(Waiter().rest))  # noqa: S301 - as above
    assert isinstance(rest, Tool)
    assert asyncio.run(rest(3)) == 3

    @tool
    def local(a: int) -> int:
        """Do."""
        return a

    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(local)
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(tool(name="send")(functools.partial(send, "a")))


def test_a_copy_of_a_tool_is_the_tool():
    assert copy.copy(double) is double
    assert copy.deepcopy([double])[0] is double
    waiter = Waiter()
    waiter.mark = [1]
    bound = copy.deepcopy(waiter.rest)
    assert bound.function.__self__ is not waiter
    assert bound.function.__self__.mark == [1]
    assert copy.copy(bound) is bound

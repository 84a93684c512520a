"""Functions and exceptions that Python allows and few people write: dispatched by type, without a readable name."""

import functools

import pytest

from agentloop import Agent, Policy, ToolContext, ToolDefinitionError, ToolFailedError, tool
from agentloop.testing import ScriptedEndpoint, call


@functools.singledispatch
def weigh(parcel: int | str, unit: str = "g") -> str:
    """Weigh a parcel.

    Args:
        parcel: Its number, or its name.
        unit: The unit of the answer.
    """
    return f"number {parcel} in {unit}"


@weigh.register
def _(parcel: str, unit: str = "g") -> str:
    return f"name {parcel} in {unit}"


class Scale:
    @functools.singledispatchmethod
    def weigh(self, parcel: int | str, unit: str = "g") -> str:
        """Weigh a parcel."""
        return f"number {parcel} in {unit}"

    @weigh.register
    def _(self, parcel: str, unit: str = "g") -> str:
        return f"name {parcel} in {unit}"


async def told(function, arguments, **options):
    """Return what the model is told of a call."""
    made = tool(function)
    endpoint = ScriptedEndpoint([call(made.name, arguments), "done"])
    await Agent("m", endpoint=endpoint, tools=[made], **options).run("go")
    return endpoint.requests[1]["input"][-1]["output"]


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ({"parcel": 7, "unit": None}, "number 7 in g"),
        ({"parcel": "red", "unit": "kg"}, "name red in kg"),
        ({"unit": "kg", "parcel": 8}, "number 8 in kg"),
    ],
)
async def test_the_type_of_the_first_argument_chooses_the_function(arguments, answer):
    assert await told(weigh, arguments) == answer


def test_a_method_that_dispatches_is_refused_with_a_way_out():
    with pytest.raises(ToolDefinitionError, match="call it in a function of its own"):
        tool(Scale().weigh)


async def test_a_function_that_dispatches_on_its_context_gets_it_first():
    @functools.singledispatch
    def whose(context: ToolContext[str], mark: str) -> str:
        """Tell."""
        return f"{type(context).__name__}{mark}"

    assert await told(whose, {"mark": "!"}) == "ToolContext!"


class Nameless(type):
    @property
    def __name__(cls):
        raise RuntimeError("it has no name")


class SilentError(Exception, metaclass=Nameless):
    def __str__(self):
        raise RuntimeError("it has no text")


class NamelessError(Exception, metaclass=Nameless):
    pass


@pytest.mark.parametrize(
    ("error", "words"), [(NamelessError("boom"), "NamelessError: boom"), (SilentError("boom"), "SilentError")]
)
async def test_an_exception_whose_class_hides_its_name_is_told_by_the_name_that_python_keeps(error, words):
    def fail() -> str:
        """Fail."""
        raise error

    assert await told(fail, {}) == f"fail failed: {words}"
    with pytest.raises(ToolFailedError, match=words):
        await told(fail, {}, policy=Policy(on_tool_error="raise"))


async def test_an_exception_of_a_class_that_refuses_its_arguments_is_told_in_the_same_way():
    class Crate:
        def __init__(self, size: int) -> None:
            raise SilentError

        @classmethod
        def __get_pydantic_core_schema__(cls, _source, handler):
            from pydantic_core import core_schema  # noqa: PLC0415 - as a class of a user may do it

            return core_schema.no_info_after_validator_function(cls, core_schema.int_schema())

    def store(crate: Crate) -> str:
        """Store a crate."""
        return "stored"

    words = await told(store, {"crate": 3})
    assert words.endswith("it did not run: SilentError")

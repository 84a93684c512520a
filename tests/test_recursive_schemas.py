"""Types that hold one another: their schemas end, and so does what is said about them."""

import json

import pytest
from inline_snapshot import snapshot
from pydantic import BaseModel, Field

from agentloop import Tally, ToolContext, tool
from agentloop.schema import ArgumentsError

CONTEXT = ToolContext("run_1", "call_1", Tally(), None)


class Branch(BaseModel):
    twigs: list["Twig"]


class Twig(BaseModel):
    branches: list["Branch"]


class Question(BaseModel):
    answer: "Answer" = Field(description="What was said to it.")


class Answer(BaseModel):
    question: "Question" = Field(description="What it was said to.")


@tool
def grow(branch: Branch) -> str:
    """Grow."""
    return branch.model_dump_json()


@tool
def ask(question: Question) -> str:
    """Ask."""
    return question.model_dump_json()


def test_two_that_hold_one_another_are_definitions():
    assert grow.strict
    assert grow.parameters["properties"] == {"branch": {"$ref": "#/$defs/Branch"}}
    assert {name: made["properties"] for name, made in grow.parameters["$defs"].items()} == snapshot(
        {
            "Branch": {"twigs": {"items": {"$ref": "#/$defs/Twig"}, "type": "array"}},
            "Twig": {"branches": {"items": {"$ref": "#/$defs/Branch"}, "type": "array"}},
        }
    )
    bound = grow.bind('{"branch": {"twigs": [{"branches": []}]}}', CONTEXT)
    assert grow.function(**bound.kwargs) == '{"twigs":[{"branches":[]}]}'


def test_two_that_hold_and_describe_one_another_stand_in_one_another_once():
    assert ask.strict
    assert ask.parameters["properties"] == {"question": {"$ref": "#/$defs/Question"}}
    assert ask.parameters["$defs"] == snapshot(
        {
            "Question": {
                "properties": {
                    "answer": {
                        "properties": {"question": {"$ref": "#/$defs/Question"}},
                        "required": ["question"],
                        "type": "object",
                        "additionalProperties": False,
                        "description": "What was said to it.",
                    }
                },
                "required": ["answer"],
                "type": "object",
                "additionalProperties": False,
            }
        }
    )


@pytest.mark.parametrize(
    ("function", "shown"),
    [
        (
            grow,
            snapshot(
                {
                    "properties": {
                        "twigs": {
                            "items": {
                                "properties": {"branches": {"items": {"$ref": "#/$defs/Branch"}, "type": "array"}},
                                "required": ["branches"],
                                "type": "object",
                                "additionalProperties": False,
                            },
                            "type": "array",
                        }
                    },
                    "required": ["twigs"],
                    "type": "object",
                    "additionalProperties": False,
                }
            ),
        ),
        (
            ask,
            snapshot(
                {
                    "properties": {
                        "answer": {
                            "properties": {"question": {"$ref": "#/$defs/Question"}},
                            "required": ["question"],
                            "type": "object",
                            "additionalProperties": False,
                            "description": "What was said to it.",
                        }
                    },
                    "required": ["answer"],
                    "type": "object",
                    "additionalProperties": False,
                }
            ),
        ),
    ],
)
def test_what_does_not_fit_is_told_with_a_schema_that_ends(function, shown):
    with pytest.raises(ArgumentsError) as caught:
        function.bind(f'{{"{function.parameters["required"][0]}": 1}}', CONTEXT)
    assert json.loads(caught.value.text.partition(" takes ")[2]) == shown

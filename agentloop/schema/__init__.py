"""Turns Python types into strict JSON schemas, and a model's text back into values.

Tools and conversations are not known here.

- `parameters/`: from a function's signature to a strict schema.
- `arguments/`: from a model's text to the arguments of a function.
- `output`: the type of an agent's answer.
- `result`: a tool's result, as text for the model.
- `json_types`: the types of JSON.
- `invisible_characters`: removes or shows characters that people can't see.
"""

from agentloop.schema.arguments.checked_arguments import CheckedArguments
from agentloop.schema.arguments.parsing import ArgumentsError, canonical, parse_arguments
from agentloop.schema.arguments.typed_arguments import TypedArguments, order_arguments
from agentloop.schema.invisible_characters import show_invisible, strip_invisible
from agentloop.schema.output import OutputSchema
from agentloop.schema.parameters.docstring import Docstring, parse_docstring
from agentloop.schema.parameters.keywords import move_references, restrict
from agentloop.schema.parameters.signature import Signature, read_signature
from agentloop.schema.result import render, take_images

__all__ = [
    "ArgumentsError",
    "CheckedArguments",
    "Docstring",
    "OutputSchema",
    "Signature",
    "TypedArguments",
    "canonical",
    "move_references",
    "order_arguments",
    "parse_arguments",
    "parse_docstring",
    "read_signature",
    "render",
    "restrict",
    "show_invisible",
    "strip_invisible",
    "take_images",
]

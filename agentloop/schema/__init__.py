"""Turns Python types into strict JSON schemas, and a model's text back into values.

This package has no code about tools and conversations.

- `parameters/`: makes a strict schema from a function's signature.
- `arguments/`: reads the arguments of a function from a model's text.
- `output`: the type of an agent's answer.
- `result`: writes a tool's result as text for the model; `plain_values` finds the JSON form of its parts.
- `received_values`: the arguments of a call as rules and people see them.
- `json_types`: the types of JSON.
- `invisible_characters`: removes characters that people can't see, or shows them as escapes.
"""

from agentloop.schema.arguments.checked_arguments import CheckedArguments
from agentloop.schema.arguments.parsing import ArgumentsError, canonical, parse_arguments
from agentloop.schema.arguments.typed_arguments import TypedArguments, order_arguments
from agentloop.schema.invisible_characters import show_invisible, strip_invisible
from agentloop.schema.output import OutputSchema
from agentloop.schema.parameters.docstring import Docstring, parse_docstring
from agentloop.schema.parameters.keywords import DISPENSABLE, list_keywords, move_references, restrict
from agentloop.schema.parameters.signature import Signature, read_signature, unwrap_callable
from agentloop.schema.plain_values import collect, is_plain
from agentloop.schema.received_values import MASK, mask_secrets, write_received
from agentloop.schema.result import WrittenResult, render, take_images, write_result

__all__ = [
    "DISPENSABLE",
    "MASK",
    "ArgumentsError",
    "CheckedArguments",
    "Docstring",
    "OutputSchema",
    "Signature",
    "TypedArguments",
    "WrittenResult",
    "canonical",
    "collect",
    "is_plain",
    "list_keywords",
    "mask_secrets",
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
    "unwrap_callable",
    "write_received",
    "write_result",
]

"""Python types and JSON schemas: from a signature to a strict schema, and from a model's text back to values.

Tools, calls and results of a conversation are not known here; `tools` puts these parts together.
"""

from agentloop.schema.arguments import ArgumentsError, canonical, parse_arguments
from agentloop.schema.checked_arguments import CheckedArguments
from agentloop.schema.docstring import Docstring, parse_docstring
from agentloop.schema.keywords import move_references, restrict
from agentloop.schema.output import OutputSchema
from agentloop.schema.result import render, take_images
from agentloop.schema.signature import Signature, read_signature
from agentloop.schema.typed_arguments import TypedArguments, order_arguments
from agentloop.schema.visible import show_invisible, strip_invisible

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

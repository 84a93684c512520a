"""Reads the descriptions of a function and its parameters from a docstring in Google, NumPy or Sphinx style."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from inspect import cleandoc

# A docstring without any of these has no section on parameters, and needs no parser.
_SECTIONS = re.compile(r"^\s*(?:[A-Z]\w+(?: \w+)?:|-{3,}|:\w+[^:]*:)\s*", re.MULTILINE)
_SPHINX = re.compile(r"^\s*:(?:param|parameter|arg|argument|key|type|return|returns|raises?)\b", re.MULTILINE)
_NUMPY = re.compile(r"^\s*-{3,}\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Docstring:
    """The description of a function, and the descriptions of its parameters by name."""

    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict[str, str])


def parse_docstring(text: str | None) -> Docstring:
    """Return the descriptions in a docstring; if it is malformed, the whole text is the function's description."""
    if not text:
        return Docstring()
    if not _SECTIONS.search(text):
        return Docstring(cleandoc(text))
    # This import takes 40 ms, and programs without such sections don't need it.
    from docstring_parser import DocstringStyle, ParseError, parse  # noqa: PLC0415 - as said above

    style = DocstringStyle.GOOGLE
    if _SPHINX.search(text):
        style = DocstringStyle.REST
    elif _NUMPY.search(text):
        style = DocstringStyle.NUMPYDOC
    try:
        parsed = parse(text, style=style)
    except ParseError:
        return Docstring(cleandoc(text))
    parameters = {entry.arg_name.lstrip("*"): (entry.description or "").strip() for entry in parsed.params}
    return Docstring((parsed.description or "").strip(), {name: text for name, text in parameters.items() if text})

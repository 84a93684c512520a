"""Reads the descriptions of a function and its parameters from a docstring in Google, NumPy or Sphinx style.

docstring_parser reads the descriptions of the parameters. The description of the function is everything else as it
stands in the text: only the sections on parameters are taken out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

# A docstring without any of these has no section on parameters, and needs no parser.
_SECTIONS = re.compile(r"^\s*(?:[A-Z]\w+(?: \w+)?:|-{3,}|:\w+[^:]*:)\s*", re.MULTILINE)
_SPHINX = re.compile(r"^\s*:(?:param|parameter|arg|argument|key|type|return|returns|raises?)\b", re.MULTILINE)
_NUMPY = re.compile(r"^\s*-{3,}\s*$", re.MULTILINE)

# The titles under which docstring_parser finds parameters.
_GOOGLE_TITLE = re.compile(r"(?:Args|Arguments|Params|Parameters):\s*$")
_NUMPY_TITLE = re.compile(r"(?:Other )?(?:Args|Arguments|Params|Parameters)\s*$")
_UNDERLINE = re.compile(r"-{3,}\s*$")
_SPHINX_FIELD = re.compile(r":(?:param|parameter|arg|argument|key|keyword|type)\b[^:]*:")
# An entry of NumPy's: `name`, `name : type` or `one, other : type`. Other text after an empty line is prose.
_NUMPY_ENTRY = re.compile(r"\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*\s*(?::.*)?$")
# Stars of `*args`, marks of a list, and quotes.
_AROUND_NAMES = "*-+•` "


@dataclass(frozen=True, slots=True)
class Docstring:
    """The description of a function, and the descriptions of its parameters by name."""

    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict[str, str])


def parse_docstring(text: str | None) -> Docstring:
    """Return the descriptions in a docstring; if it is malformed, the whole text is the function's description.

    Args:
        text: The docstring as `inspect.cleandoc` returns it. A second cleaning would change how the lines that follow
            the first one are indented.
    """
    if not text:
        return Docstring()
    if not _SECTIONS.search(text):
        return Docstring(text)
    # This import takes 40 ms, and programs without such sections don't need it.
    from docstring_parser import DocstringStyle, ParseError, parse  # noqa: PLC0415 - as said above

    style, remove = DocstringStyle.GOOGLE, _remove_google
    if _SPHINX.search(text):
        style, remove = DocstringStyle.REST, _remove_sphinx
    elif _NUMPY.search(text):
        style, remove = DocstringStyle.NUMPYDOC, _remove_numpy
    try:
        parsed = parse(f"\n{text}", style=style)  # the parser cleans its text, which would change the second line
    except ParseError:
        return Docstring(text)
    parameters = {
        name.strip(_AROUND_NAMES): (entry.description or "").strip()
        for entry in parsed.params
        for name in entry.arg_name.split(",")
    }
    description = re.sub(r"\n{3,}", "\n\n", "\n".join(remove(text.splitlines()))).strip()
    return Docstring(description, {name: text for name, text in parameters.items() if text})


def _remove_google(lines: list[str]) -> Iterator[str]:
    """Yield the lines without the sections on parameters."""
    return _remove_indented(lines, _GOOGLE_TITLE)


def _remove_sphinx(lines: list[str]) -> Iterator[str]:
    """Yield the lines without the fields on parameters."""
    return _remove_indented(lines, _SPHINX_FIELD)


def _remove_indented(lines: list[str], title: re.Pattern[str]) -> Iterator[str]:
    """Yield the lines without the parts that begin with such a line and go on in indented lines."""
    inside = False
    for line in lines:
        if title.match(line):
            inside = True
        elif line.strip() and not line[0].isspace():
            inside = False
        if not inside:
            yield line


def _remove_numpy(lines: list[str]) -> Iterator[str]:
    """Yield the lines without the sections on parameters; such a section ends at the next title, or at prose."""
    inside = False
    before = ""
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if _UNDERLINE.match(after) and line.strip():
            inside = bool(_NUMPY_TITLE.match(line))
        elif inside and not before.strip() and not line[:1].isspace() and line:
            inside = bool(_NUMPY_ENTRY.match(line))
        if not inside:
            yield line
        before = line

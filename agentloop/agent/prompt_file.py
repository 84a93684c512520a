"""Reads the text of a prompt file, and puts values into its templates. Pure.

    +++
    version = "3"
    [variables]
    customer = { type = "string" }
    +++
    You help {{customer}}.
    +++
    The message of the user, if there is one.

The head is TOML, because Python reads it. A template holds names of variables and nothing else, as OpenAI's reusable
prompts do. One regular expression does that. The small template libraries do more than is wanted here: they replace
characters as for HTML, and include other files.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final, TypeAlias, cast

from agentloop.errors import ConfigurationError
from agentloop.items import JsonObject
from agentloop.options import FIELDS, FLAG, TEXT, TEXTS, Kind, find_fault, one_of
from agentloop.tools import near_names

Value: TypeAlias = str | int | float | bool

MOST_BYTES: Final = 1_000_000
MOST_CHARACTERS: Final = 4_000_000
_MOST_HEAD_CHARACTERS: Final = 65_536
_MOST_VARIABLES: Final = 100
_FENCE: Final = "+++"
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*+")
_PLACE: Final = re.compile(rf"\\\{{\{{|\{{\{{[ \t]*+({_IDENTIFIER.pattern})[ \t]*+\}}\}}|\{{\{{")
"""Matches escaped braces, a variable, or braces that are neither."""


def _is_int64(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


_KINDS: Final[Mapping[str, Kind]] = {
    "string": TEXT,
    "integer": Kind("a whole number of at most 64 bits", _is_int64),
    "number": Kind("a number", lambda value: _is_int64(value) or (isinstance(value, float) and abs(value) < inf)),
    "boolean": FLAG,
}
_HEAD: Final[Mapping[str, Kind]] = {
    "name": TEXT,
    "version": TEXT,
    "description": TEXT,
    "model": TEXT,
    "tools": TEXTS,
    "settings": FIELDS,
    "variables": FIELDS,
}
_VARIABLE: Final[Mapping[str, Kind]] = {
    "type": one_of(*_KINDS),
    "description": TEXT,
    "default": Kind("a value", lambda _: True),
    "enum": Kind("a list of values", lambda value: isinstance(value, list) and bool(cast("object", value))),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable of a prompt.

    Attributes:
        type: `string`, `integer`, `number` or `boolean`.
        description: What it is for.
        default: Its value if none is given; None if a value must be given.
        enum: The values that are allowed; empty for all.
    """

    type: str = "string"
    description: str = ""
    default: Value | None = None
    enum: tuple[Value, ...] = ()

    def find_fault(self, name: str, value: object) -> str:
        """Return in words why the variable of this name can't have a value, or ""."""
        if fault := find_fault(name, value, _KINDS[self.type]):
            return fault
        allowed = Kind(f"one of: {', '.join(map(write_value, self.enum))}", lambda each: each in self.enum)
        return find_fault(name, value, allowed) if self.enum else ""

    def parse(self, text: str) -> object:
        """Return the value that a text stands for, as on a command line; the text itself if it is not of the type."""
        if self.type == "string":
            return text
        try:
            value: object = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return value


@dataclass(frozen=True, slots=True)
class PromptParts:
    """The parts of a prompt file: the fields of the head, the variables, and two templates."""

    head: JsonObject
    variables: Mapping[str, Variable]
    instructions: str
    message: str


def read_prompt_text(source: str, text: str) -> PromptParts:
    """Return the parts of a prompt file.

    Args:
        source: Where the text comes from, for errors.
        text: The text.

    Raises:
        ConfigurationError: a part is not as it must be.
    """
    (_, head_text), *parts = _split(source, text)
    try:
        head: JsonObject = tomllib.loads(head_text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{source}: the head is not TOML: {error}", hint='write lines such as version = "3"'
        ) from None
    _check_fields(source, head, _HEAD)
    variables = dict(_read_variables(source, head.pop("variables", {})))
    used = {name for line, part in parts for name in _find_names(source, line, part, variables)}
    if unused := sorted(variables.keys() - used):
        raise ConfigurationError(
            f"{source}: the text does not use the variable {unused[0]!r}",
            hint=f"write {{{{{unused[0]}}}}} where its value goes, or delete it from the head",
        )
    instructions, message = (part.strip() for _, part in (*parts, (0, ""))[:2])
    if not instructions and not message:
        raise ConfigurationError(f"{source}: there is no text below the head", hint="write the instructions there")
    return PromptParts(head, variables, instructions, message)


def write_value(value: Value) -> str:
    """Return a value as it stands in the text."""
    return value if isinstance(value, str) else json.dumps(value)


def fill_template(source: str, template: str, values: Mapping[str, str]) -> str:
    r"""Return a template with its values. They are not read as templates; `\{{` becomes `{{`.

    Raises:
        ConfigurationError: the result is too long.
    """
    places = (match[1] for match in _PLACE.finditer(template) if match[1])
    if len(template) + sum(len(values[name]) for name in places) > MOST_CHARACTERS:
        raise ConfigurationError(
            f"{source}: with these values the text has more than {MOST_CHARACTERS:,} characters",
            hint="give shorter values",
        )
    return _PLACE.sub(lambda match: values[match[1]] if match[1] else "{{", template)


def suggest(name: str, known: Collection[str]) -> str:
    """Return a hint: the known name that is meant, or all of them."""
    near = near_names(name, known)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known) or 'none'}"


def _split(source: str, text: str) -> list[tuple[int, str]]:
    """Return the head and the one or two parts that follow it, each with the number of its first line."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    fences = [at for at, line in enumerate(lines) if line.rstrip() == _FENCE]
    if fences[:1] != [0] or len(fences) < 2:  # noqa: PLR2004 - one above the head and one below
        raise ConfigurationError(
            f"{source}: it has no head", hint=f"begin with a line {_FENCE}, fields in TOML and a second line {_FENCE}"
        )
    if len(fences) > 3:  # noqa: PLR2004 - and one above the user's message
        raise ConfigurationError(
            f"{source}: line {fences[3] + 1} is one {_FENCE} too many",
            hint="a prompt has a head, the instructions and one message of the user",
        )
    parts = [(at + 2, "\n".join(lines[at + 1 : end])) for at, end in zip(fences, (*fences[1:], None), strict=True)]
    if len(parts[0][1]) > _MOST_HEAD_CHARACTERS:
        raise ConfigurationError(
            f"{source}: the head has more than {_MOST_HEAD_CHARACTERS:,} characters", hint="put text below the head"
        )
    return parts


def _check_fields(source: str, fields: Mapping[str, object], kinds: Mapping[str, Kind]) -> None:
    for name, value in fields.items():
        if name not in kinds:
            raise ConfigurationError(f"{source}: there is no field {name!r}", hint=suggest(name, kinds))
        if fault := find_fault(name, value, kinds[name]):
            raise ConfigurationError(f"{source}: {fault}", hint=f"write {kinds[name].words}")


def _read_variables(source: str, given: Mapping[str, object]) -> Iterator[tuple[str, Variable]]:
    if len(given) > _MOST_VARIABLES:
        raise ConfigurationError(f"{source}: there are more than {_MOST_VARIABLES} variables", hint="use fewer")
    for name, fields in given.items():
        if not isinstance(fields, dict) or not _IDENTIFIER.fullmatch(name):
            raise ConfigurationError(
                f"{source}: the variable {name!r} can't be read",
                hint='write name = { type = "string" }, with letters, digits and _ in the name',
            )
        where, about = f"{source}: the variable {name!r}", cast("dict[str, Any]", fields)
        _check_fields(where, about, _VARIABLE)
        about["enum"] = tuple(about.get("enum", ()))
        variable = Variable(**about)
        written = [*variable.enum, *([] if variable.default is None else [variable.default])]
        for value in written:
            kind = _KINDS[variable.type]
            if fault := find_fault(name, value, kind) or variable.find_fault(name, value):
                raise ConfigurationError(f"{source}: {fault}", hint=f"write {kind.words}, or change the type")
        yield name, variable


def _find_names(source: str, line: int, template: str, known: Collection[str]) -> Iterator[str]:
    """Yield the names of the variables in a template, which begins at a line of the file."""
    for match in _PLACE.finditer(template):
        if match[1] in known:
            yield match[1]
        elif match[0] != r"\{{":
            where = f"{source}: line {line + template.count(chr(10), 0, match.start())}"
            if match[1]:
                raise ConfigurationError(
                    f"{where}: the head declares no variable {match[1]!r}", hint=suggest(match[1], known)
                )
            raise ConfigurationError(
                f"{where}: these braces hold no name of a variable: {template[match.start() :][:40]!r}",
                hint=r"write {{name}}, or \{{ for two braces as text",
            )

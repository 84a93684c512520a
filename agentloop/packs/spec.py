r"""Reads the text that names a pack, such as on a command line: which pack, its prefix and its configuration. Pure.

    files                               an installed pack, by its name
    files:root=.,write=true             with a configuration; a comma in a value is written as \,
    web:hosts=["a.example","b.example"] a value that begins like JSON is read as JSON
    files:{"root": "a,b"}               the whole configuration as JSON
    docs=files:root=docs                with another prefix
    ./greetings.py:Greetings:loud=true  from a file; from a module: my.module:Greetings

The fields of the configuration are not checked here; the pack checks them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from agentloop.errors import ConfigurationError

PREFIX: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")

_RENAMED = re.compile(rf"({PREFIX.pattern})=(.*)", re.DOTALL)
_TARGET = re.compile(r"((?:[A-Za-z]:[\\/])?[^:]*)(?::(.*))?", re.DOTALL)
_NAME = re.compile(r"\w[\w-]*")
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_THING = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)(?::(.*))?", re.DOTALL)
_KEY = re.compile(r"\s*([^\W\d]\w*)\s*=")
_TEXT = re.compile(r"((?:[^,\\]|\\,|\\)*)")
_JSON = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class PackSpec:
    """The content of a text that names a pack.

    Attributes:
        kind: The kind of `target`: the name of an installed pack, the path of a file, or a module.
        target: The pack's name, path or module.
        thing: The name of the object in the file or module, or "".
        prefix: The prefix for the tools in place of the pack's name, or "".
        options: The configuration by field name.
    """

    kind: Literal["name", "file", "module"]
    target: str
    thing: str = ""
    prefix: str = ""
    options: Mapping[str, object] = field(default_factory=dict[str, object])


def read_spec(text: str) -> PackSpec:
    """Return the content of a text that names a pack.

    Raises:
        ConfigurationError: the text can't be read; the message has no values, as they may be secrets.
    """
    renamed = _RENAMED.fullmatch(text)
    prefix, text = cast("tuple[str, str]", renamed.groups()) if renamed else ("", text)
    matched = cast("re.Match[str]", _TARGET.fullmatch(text))
    target, rest = matched[1], matched[2] or ""
    is_file = target.endswith(".py")
    named = None if rest.lstrip().startswith("{") else _THING.fullmatch(rest)
    if is_file or (named and _MODULE.fullmatch(target)) or ("." in target and _MODULE.fullmatch(target)):
        thing, rest = (named[1], named[2] or "") if named else ("", rest)
        return PackSpec("file" if is_file else "module", target, thing, prefix, _read_options(target, rest))
    if not _NAME.fullmatch(target):
        raise _fault(target, "it is not the name of a pack, a module, or a file that ends in .py")
    return PackSpec("name", target, "", prefix, _read_options(target, rest))


def _read_options(target: str, text: str) -> dict[str, object]:
    if text.lstrip().startswith("{"):
        whole, end = _read_json(target, text, len(text) - len(text.lstrip()), "its configuration")
        if text[end:].strip():
            raise _fault(target, "there is text after its JSON configuration")
        return cast("dict[str, object]", whole)
    options: dict[str, object] = {}
    for key, value in _pairs(target, text) if text.strip() else ():
        if key in options:
            raise _fault(target, f"{key!r} is given twice")
        options[key] = value
    return options


def _pairs(target: str, text: str) -> Iterator[tuple[str, object]]:
    at = 0
    while True:
        matched = _KEY.match(text, at)
        if matched is None:
            before = text[:at].rstrip(",").rpartition(",")[2].partition("=")[0]
            where = f"the text after {before!r}" if at else "it"
            raise _fault(target, f"{where} is not of the form key=value")
        key, at = matched[1], matched.end()
        value: object
        if text[at : at + 1] in {"{", "[", '"'}:
            value, at = _read_json(target, text, at, f"the value of {key!r}")
        else:
            written = cast("re.Match[str]", _TEXT.match(text, at))
            value, at = written[1].replace("\\,", ","), written.end()
        yield key, value
        if at >= len(text):
            return
        if text[at] != ",":
            raise _fault(target, f"there is text after the JSON value of {key!r}")
        at += 1


def _read_json(target: str, text: str, at: int, what: str) -> tuple[Any, int]:
    try:
        return _JSON.raw_decode(text, at)
    except (ValueError, RecursionError):
        raise _fault(target, f"{what} begins like JSON but is not valid JSON") from None


def _fault(target: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the pack {target!r} can't be read: {why}",
        hint='write NAME, NAME:key=value,key=value or NAME:{"key": "value"}; a comma in a value is written \\,',
    )

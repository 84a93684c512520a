"""Checks the options that a user gives, so that a wrong one is an error at once."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan
from typing import cast

from agentloop.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value.

    Attributes:
        words: The kind in words.
        fits: Tells whether a value is of this kind.
    """

    words: str
    fits: Callable[[object], bool]

    def or_none(self) -> Kind:
        """Return the kind that allows None too."""
        return Kind(f"{self.words}, or None", lambda value: value is None or self.fits(value))


def number(least: float | None = None, *, above: float | None = None, most: float | None = None) -> Kind:
    """Return the kind of a number in these bounds."""
    bounds = {"of at least": least, "above": above, "of at most": most}
    words = " and ".join(f"{name} {bound:g}" for name, bound in bounds.items() if bound is not None)
    return Kind(f"a number {words}".rstrip(), lambda value: _is_in_bounds(value, least, above, most))


def whole_number(least: int) -> Kind:
    """Return the kind of a whole number of at least so much."""
    return Kind(
        f"a whole number of at least {least}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least,
    )


def one_of(*values: str) -> Kind:
    """Return the kind of one of these texts."""
    return Kind(f"one of: {', '.join(values)}", lambda value: isinstance(value, str) and value in values)


FLAG = Kind("True or False", lambda value: isinstance(value, bool))
TEXT = Kind("a text", lambda value: isinstance(value, str))
TEXTS = Kind(
    "a tuple of texts", lambda value: isinstance(value, tuple | list) and _are_texts(*cast("tuple[object]", value))
)
FIELDS = Kind(
    "a mapping with texts as keys",
    lambda value: isinstance(value, Mapping) and _are_texts(*_keys(cast("object", value))),
)
HEADERS = Kind("a mapping of texts", lambda value: FIELDS.fits(value) and _are_texts(*_values(value)))
FUNCTION = Kind("a function", callable)


def instance_of(kind: type, words: str) -> Kind:
    """Return the kind of the instances of a class."""
    return Kind(words, lambda value: isinstance(value, kind))


def find_fault(name: str, value: object, kind: Kind) -> str:
    """Return in words why an option does not have the value that it needs; "" if it has."""
    return "" if kind.fits(value) else f"{name}={_show(value)} is not {kind.words}"


def check_options(owner: str, options: object, kinds: Mapping[str, Kind]) -> None:
    """Check the attributes of an object.

    Args:
        owner: The name of the object, for the error.
        options: The object.
        kinds: The kinds of its attributes, by name.

    Raises:
        ConfigurationError: the first that is wrong.
    """
    for name, kind in kinds.items():
        fault = find_fault(name, getattr(options, name), kind)
        if fault:
            raise ConfigurationError(f"{owner}: {fault}", hint=f"give {name} {kind.words}, or leave it out")


def _show(value: object) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:  # Python writes no number of more than 4300 digits
        return "..."


def _are_texts(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)


def _keys(mapping: object) -> tuple[object, ...]:
    return tuple(cast("Mapping[object, object]", mapping))


def _values(mapping: object) -> tuple[object, ...]:
    return tuple(cast("Mapping[object, object]", mapping).values())


def _is_in_bounds(value: object, least: float | None, above: float | None, most: float | None) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or isnan(value):
        return False
    return (least is None or value >= least) and (above is None or value > above) and (most is None or value <= most)

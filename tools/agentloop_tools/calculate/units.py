"""Converts units of measurement with pint. Of pint's syntax only products of names and small powers are allowed."""

from __future__ import annotations

import re
from decimal import Decimal, DecimalException
from functools import cache
from tokenize import TokenError
from typing import Any

from agentloop import ConfigurationError, describe_install
from agentloop_tools.calculate.functions import CalculationError

_LONGEST = 60
_UNIT = re.compile(r"(?:[A-Za-zµμΩ°Å%_]+[23²³]?|[*/ ()·1]|(?:\*\*|\^)[ (]?-?\d{1,2})+")


def convert_units(value: Decimal, from_unit: str, to_unit: str) -> tuple[Decimal, str]:
    """Return an amount in another unit, and that unit's name. The offsets of temperatures are applied.

    Raises:
        CalculationError: a unit is unknown, or the units are of different kinds.
    """
    registry, pint_error, syntax_error = _load_registry()
    try:
        source, target = (registry.parse_units(_check(unit)) for unit in (from_unit, to_unit))
        quantity: Any = registry.Quantity(value, source).to(target)
        return Decimal(quantity.magnitude), str(target)
    except DecimalException:
        raise CalculationError("that amount is too large, or the unit divides by zero") from None
    except pint_error as error:
        if isinstance(error, syntax_error):
            raise CalculationError(_unreadable(from_unit, to_unit)) from None
        raise CalculationError(f"{from_unit!r} can't become {to_unit!r}: {error}") from None
    except (ValueError, TypeError, SyntaxError, AssertionError, TokenError):
        raise CalculationError(_unreadable(from_unit, to_unit)) from None


def _unreadable(from_unit: str, to_unit: str) -> str:
    return f"{from_unit!r} or {to_unit!r} can't be read as a unit"


def _check(unit: str) -> str:
    if len(unit) > _LONGEST or "__" in unit or not _UNIT.fullmatch(unit):
        raise CalculationError(
            f"{unit[:_LONGEST]!r} is not a unit: write names with * / and ** of at most two digits, such as kg*m/s**2"
        )
    return unit


@cache
def _load_registry() -> tuple[Any, type[Exception], type[Exception]]:
    """Return pint's unit registry, its base class of errors, and its error for a text that is not a unit.

    It takes 0.5 s, at the first conversion.
    """
    try:
        import pint  # noqa: PLC0415 - an extra, and it takes 0.4 s
    except ImportError:
        raise ConfigurationError(
            "units need pint, which is not installed", hint=describe_install("calculate")
        ) from None
    make: Any = pint.UnitRegistry  # its type hints allow no other type than float
    registry = make(non_int_type=Decimal)
    return registry, pint.PintError, pint.DefinitionSyntaxError

"""Reads an arithmetic expression and evaluates it while reading. Numbers are its only values, so it can't do harm."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from decimal import Inexact, getcontext
from difflib import get_close_matches
from fractions import Fraction

from agentloop_tools.calculate.functions import (
    CONSTANTS,
    FUNCTIONS,
    MOST_DIGITS,
    CalculationError,
    bounded,
    power,
)

_LONGEST = 1_000
_DEEPEST = 50
_SAME = Fraction(1, 10**40)

_TOKEN = re.compile(
    r"(?P<number>(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z]\w*)|(?P<sign>\*\*|//|==|!=|<=|>=|[-+*/%^(),<>=])|(?P<other>\S)",
    re.ASCII,
)
_TYPOGRAPHY = str.maketrans(
    {"\u00d7": "*", "·": "*", "÷": "/", "\u2212": "-", "≤": "<=", "≥": ">=", "≠": "!=", "π": " pi "}
)


def _divide(left: Fraction, right: Fraction) -> Fraction:
    return left / _divisor(right)


def _divide_whole(left: Fraction, right: Fraction) -> Fraction:
    return Fraction(left // _divisor(right))


def _remainder(left: Fraction, right: Fraction) -> Fraction:
    return left - right * math.floor(left / _divisor(right))


def _divisor(value: Fraction) -> Fraction:
    if not value:
        raise CalculationError("that divides by zero")
    return value


_UNARY = 30
# The binding power of each operator to the left and to the right, as in a Pratt parser.
_OPERATORS: dict[str, tuple[int, int, Callable[[Fraction, Fraction], Fraction]]] = {
    "+": (10, 11, operator.add),
    "-": (10, 11, operator.sub),
    "*": (20, 21, operator.mul),
    "/": (20, 21, _divide),
    "//": (20, 21, _divide_whole),
    "%": (20, 21, _remainder),
    "**": (41, _UNARY, power),
    "^": (41, _UNARY, power),
}
_COMPARISONS: dict[str, Callable[[Fraction, Fraction], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
}


def evaluate(text: str) -> Fraction | bool:
    """Return the value of an expression: a number, or a boolean for a comparison.

    Raises:
        CalculationError: it is invalid, has no value, or would take too long.
    """
    if len(text) > _LONGEST:
        raise CalculationError(f"the expression is longer than {_LONGEST:,} characters")
    return _Reader(text.translate(_TYPOGRAPHY)).read()


def evaluate_number(text: str) -> Fraction:
    """Return the value of an expression that must be a number.

    Raises:
        CalculationError: as for `evaluate`, or it is a comparison.
    """
    value = evaluate(text)
    if isinstance(value, bool):
        raise CalculationError("a comparison is not a number")
    return value


class _Reader:
    """A Pratt parser, which goes over the tokens of an expression once, from the left."""

    def __init__(self, text: str) -> None:
        self._tokens = [(str(match.lastgroup), match[str(match.lastgroup)]) for match in _TOKEN.finditer(text)]
        self._tokens.append(("end", ""))
        self._next = 0
        self._depth = 0

    def read(self) -> Fraction | bool:
        left = self._sum(0)
        compare = _COMPARISONS.get(self._tokens[self._next][1])
        if compare is None:
            self._expect("")
            return left
        self._next += 1
        right = self._sum(0)
        self._expect("")
        # Rounded numbers are equal if all digits that are certain are equal.
        rounded = getcontext().flags[Inexact]
        near = rounded and abs(left - right) <= _SAME * max(abs(left), abs(right))
        return compare(left, left if near else right)

    def _sum(self, strength: int) -> Fraction:
        """Read an operand and all following operators that bind more strongly than the operator to the left."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise CalculationError(f"the expression is nested more than {_DEEPEST} deep")
        value = self._operand()
        while True:
            sign = self._tokens[self._next][1]
            if sign == "%" and not self._starts_operand(self._next + 1):
                self._next += 1
                value /= 100
                continue
            left, right, apply = _OPERATORS.get(sign, (-1, -1, power))
            if left < strength:
                self._depth -= 1
                return value
            self._next += 1
            value = bounded(apply(value, self._sum(right)))

    def _operand(self) -> Fraction:
        kind, text = self._tokens[self._next]
        self._next += 1
        if kind == "number":
            return _read_number(text)
        if kind == "name":
            return self._named(text)
        if text == "(":
            value = self._sum(0)
            self._expect(")")
            return value
        if text in {"+", "-"}:
            value = self._sum(_UNARY)
            return -value if text == "-" else value
        raise CalculationError(f"a number was expected, not {text!r}" if text else "the expression ends too early")

    def _named(self, name: str) -> Fraction:
        if self._tokens[self._next][1] != "(":
            if name not in CONSTANTS:
                raise _unknown(name, [*CONSTANTS, *FUNCTIONS])
            return CONSTANTS[name]()
        if name not in FUNCTIONS:
            raise _unknown(name, list(FUNCTIONS))
        function, least, most = FUNCTIONS[name]
        values = self._arguments()
        if not least <= len(values) <= most:
            wanted = least if least == most else f"{least} to {most}"
            raise CalculationError(f"{name} takes {wanted} numbers in parentheses, not {len(values)}")
        return bounded(function(*values))

    def _arguments(self) -> list[Fraction]:
        self._expect("(")
        values = list[Fraction]()
        while self._tokens[self._next][1] != ")":
            if values:
                self._expect(",")
            values.append(self._sum(0))
        self._expect(")")
        return values

    def _starts_operand(self, index: int) -> bool:
        kind, text = self._tokens[index]
        return kind in {"number", "name"} or text == "("

    def _expect(self, wanted: str) -> None:
        kind, text = self._tokens[self._next]
        if text != wanted or (kind == "end") != (wanted == ""):
            found = repr(text) if text else "the end"
            hint = "; write large numbers without separators" if text == "," else ""
            raise CalculationError(f"{repr(wanted) if wanted else 'an operator'} was expected, not {found}{hint}")
        self._next += 1


def _read_number(text: str) -> Fraction:
    digits, _, exponent = text.replace("_", "").lower().partition("e")
    if len(digits) > MOST_DIGITS or len(exponent) > len(str(MOST_DIGITS)) + 1 or abs(int(exponent or 0)) > MOST_DIGITS:
        raise CalculationError(f"a number may have {MOST_DIGITS:,} digits")
    return bounded(Fraction(digits + (f"e{exponent}" if exponent else "")))


def _unknown(name: str, known: list[str]) -> CalculationError:
    near = get_close_matches(name.lower(), known, 1)
    return CalculationError(f"{name!r} is not known here" + (f"; did you mean {near[0]}?" if near else ""))

"""The functions of the calculator, over exact fractions, each with a limit on its cost.

Irrational results are computed in decimals of the current context. Its `Inexact` flag then says that they were rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, DecimalException, localcontext
from fractions import Fraction
from statistics import median

PRECISION = 60
MOST_DIGITS = 2_000
_MOST_BITS = MOST_DIGITS * 10 // 3
_LARGEST_ANGLE = 10**20
_NOTHING = Decimal("1e-50")

PI = Fraction("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803")


class CalculationError(Exception):
    """An expression can't be evaluated. The text is for the model."""


def bounded(value: Fraction) -> Fraction:
    """Return the number, or raise an error if it has too many digits."""
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MOST_BITS:
        raise CalculationError(f"an intermediate result has more than {MOST_DIGITS:,} digits")
    return value


def to_decimal(value: Fraction) -> Decimal:
    """Return the number as a decimal, rounded to the context's precision."""
    return Decimal(value.numerator) / Decimal(value.denominator)


def power(base: Fraction, exponent: Fraction) -> Fraction:
    """Return a power, which is exact for whole exponents."""
    if base == 0 and exponent < 0:
        raise CalculationError("0 can't be raised to a negative power: that divides by zero")
    if exponent.denominator == 1:
        size = max(base.numerator.bit_length(), base.denominator.bit_length())
        times = exponent.numerator
        if (size - 1) * abs(times) > _MOST_BITS:
            raise CalculationError(f"the power would have more than {MOST_DIGITS:,} digits")
        if size == 1 and times:  # for the bases 0, 1 and -1, only the parity of the exponent matters
            times = 2 - times % 2
        return base**times
    if base < 0:
        raise CalculationError("a negative number has no real power with a fractional exponent")
    return _in_decimals(Decimal.__pow__, base, exponent)


def _in_decimals(function: Callable[..., Decimal], *values: Fraction) -> Fraction:
    try:
        result = function(*map(to_decimal, values))
        if abs(result.adjusted()) > MOST_DIGITS:
            raise CalculationError(f"the result has more than {MOST_DIGITS:,} digits")
        return Fraction(result)
    except DecimalException as error:
        raise CalculationError(f"that has no real result ({type(error).__name__})") from None


def _logarithm(value: Fraction, base: Fraction) -> Fraction:
    if value <= 0 or base <= 0 or base == 1:
        raise CalculationError("a logarithm needs a positive number and a positive base other than 1")
    with localcontext():
        whole = round(_in_decimals(_divide_logarithms, value, base))
        # The logarithm of 1000 is exactly 3, but the quotient of two rounded logarithms may differ from it.
        if power(base, Fraction(whole)) == value:
            return Fraction(whole)
    return _in_decimals(_divide_logarithms, value, base)


def _divide_logarithms(value: Decimal, base: Decimal) -> Decimal:
    return value.ln() / base.ln()


def _natural_logarithm(value: Fraction) -> Fraction:
    if value <= 0:
        raise CalculationError("a logarithm needs a positive number")
    return _in_decimals(Decimal.ln, value)


def _square_root(value: Fraction) -> Fraction:
    if value < 0:
        raise CalculationError("a negative number has no real square root")
    top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if top * top == value.numerator and bottom * bottom == value.denominator:
        return Fraction(top, bottom)
    return _in_decimals(Decimal.sqrt, value)


def _sine(angle: Decimal) -> Decimal:
    """Return the sine by its series, which is summed until a further term changes nothing."""
    term = total = angle
    index, before = 1, Decimal(0)
    while total != before:
        before = total
        index += 2
        term *= -angle * angle / (index * (index - 1))
        total += term
    return total


def _turn(angle: Fraction) -> tuple[Fraction, Fraction]:
    """Return the sine and the cosine of an angle."""
    if abs(angle) > _LARGEST_ANGLE:
        raise CalculationError("an angle may be at most 10**20")
    within = angle - 2 * PI * round(angle / (2 * PI))
    pair = _sine(to_decimal(within)), _sine(to_decimal(PI / 2 - within))
    # At such an angle, a number this small is only the rounding error of pi.
    sine, cosine = (Fraction(0 if abs(each) < _NOTHING and abs(angle) > 1 else each) for each in pair)
    return sine, cosine


def _tangent(angle: Fraction) -> Fraction:
    sine, cosine = _turn(angle)
    if not cosine:
        raise CalculationError("there the tangent has no value")
    return sine / cosine


def _pi() -> Fraction:
    return Fraction(to_decimal(PI))  # the rounding sets the Inexact flag


def _arc_tangent(value: Fraction) -> Fraction:
    """Return the arc tangent. It starts with the float's value, and each iteration doubles the correct digits."""
    if abs(value) > 1:
        return _pi() / (2 if value > 0 else -2) - _arc_tangent(1 / value)
    angle = Decimal(math.atan(value))
    for _ in range(3):
        sine, cosine = _sine(angle), _sine(to_decimal(PI / 2) - angle)
        angle -= (sine - to_decimal(value) * cosine) * cosine
    return Fraction(angle)


def _arc_sine(value: Fraction) -> Fraction:
    if abs(value) > 1:
        raise CalculationError("asin and acos take numbers from -1 to 1")
    return _pi() / 2 * value if abs(value) == 1 else _arc_tangent(value / _square_root(1 - value * value))


def _count(value: Fraction, largest: int) -> int:
    if value.denominator != 1 or not 0 <= value <= largest:
        raise CalculationError(f"this takes a whole number from 0 to {largest:,}")
    return value.numerator


def _whole(value: Fraction) -> int:
    if value.denominator != 1:
        raise CalculationError("this takes whole numbers")
    return value.numerator


def _round(value: Fraction, digits: Fraction = Fraction(0)) -> Fraction:
    """Round half away from zero, as people do. Python rounds half to even."""
    scale = Fraction(10) ** (_count(abs(digits), MOST_DIGITS) * (1 if digits >= 0 else -1))
    whole = math.floor(abs(value) * scale + Fraction(1, 2)) / scale
    return whole if value >= 0 else -whole


def _total(values: tuple[Fraction, ...]) -> Fraction:
    return sum(values, Fraction(0))


CONSTANTS: dict[str, Callable[[], Fraction]] = {
    "pi": _pi,
    "e": lambda: _in_decimals(Decimal.exp, Fraction(1)),
}

_OF_ONE: dict[str, Callable[[Fraction], Fraction]] = {
    "abs": abs,
    "floor": lambda x: Fraction(math.floor(x)),
    "ceil": lambda x: Fraction(math.ceil(x)),
    "trunc": lambda x: Fraction(math.trunc(x)),
    "sqrt": _square_root,
    "exp": lambda x: _in_decimals(Decimal.exp, x),
    "ln": _natural_logarithm,
    "log2": lambda x: _logarithm(x, Fraction(2)),
    "log10": lambda x: _logarithm(x, Fraction(10)),
    "sin": lambda x: _turn(x)[0],
    "cos": lambda x: _turn(x)[1],
    "tan": _tangent,
    "asin": _arc_sine,
    "acos": lambda x: _pi() / 2 - _arc_sine(x),
    "atan": _arc_tangent,
    "radians": lambda x: x * _pi() / 180,
    "degrees": lambda x: x * 180 / _pi(),
    "factorial": lambda x: Fraction(math.factorial(_count(x, 800))),
}
_OF_TWO: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "pow": power,
    "log": _logarithm,
    "comb": lambda n, k: Fraction(math.comb(_count(n, 5_000), _count(k, 5_000))),
    "perm": lambda n, k: Fraction(math.perm(_count(n, 800), _count(k, 800))),
}
_OF_MANY: dict[str, Callable[[tuple[Fraction, ...]], Fraction]] = {
    "min": min,
    "max": max,
    "sum": _total,
    "mean": lambda xs: _total(xs) / len(xs),
    "median": median,
    "gcd": lambda xs: Fraction(math.gcd(*map(_whole, xs))),
    "lcm": lambda xs: Fraction(math.lcm(*map(_whole, xs))),
}


def _spread(function: Callable[[tuple[Fraction, ...]], Fraction]) -> Callable[..., Fraction]:
    return lambda *values: function(values)


# Each function with the least and the greatest number of its arguments.
FUNCTIONS: dict[str, tuple[Callable[..., Fraction], int, int]] = (
    {"round": (_round, 1, 2)}
    | {name: (function, 1, 1) for name, function in _OF_ONE.items()}
    | {name: (function, 2, 2) for name, function in _OF_TWO.items()}
    | {name: (_spread(function), 1, 100) for name, function in _OF_MANY.items()}
)

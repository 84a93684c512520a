"""Calculate: the pack and its tools. Also writes numbers for a model."""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, localcontext
from fractions import Fraction

from agentloop import Effects, ToolError, ToolPack, tool
from agentloop_tools.calculate.expression import evaluate, evaluate_number
from agentloop_tools.calculate.functions import PRECISION, CalculationError, to_decimal
from agentloop_tools.calculate.units import convert_units

_SHOWN = 30  # digits; half of those that are computed, so that all that are shown are correct
_LONGEST_EXACT = 60


class Calculate(ToolPack):
    """Exact arithmetic and the conversion of units."""

    name = "calculate"
    version = "1.0"
    imports = ("pint",)
    extra = "calculate"

    @tool(effects=Effects(), timeout=10)
    def calculate(self, expression: str) -> str:
        """Work out an arithmetic expression exactly; 0.1 + 0.2 is 0.3. A result that had to be rounded begins with ≈.

        Operators: + - * / // ** (or ^) and comparisons. % after a number is a hundredth (15% * 80), between two
        numbers the remainder (7 % 3). Functions: abs, round(x, digits), floor, ceil, trunc, min, max, sum, mean,
        median, sqrt, exp, ln, log2, log10, log(x, base), sin, cos, tan, asin, acos, atan (radians), radians, degrees,
        factorial, comb, perm, gcd, lcm. Constants: pi, e.

        Args:
            expression: Such as `(19.99 * 3) * (1 + 20%)`; without thousands separators.
        """
        with localcontext(Context(prec=PRECISION)) as context:
            try:
                value = evaluate(expression)
                exact = not context.flags[Inexact]
                if isinstance(value, bool):
                    return ("" if exact else "≈ ") + str(value).lower()
                return write_number(value, exact=exact)
            except CalculationError as error:
                raise ToolError(str(error)) from None

    @tool(effects=Effects(), timeout=10)
    def convert(self, amount: str, from_unit: str, to_unit: str) -> str:
        """Convert an amount from one unit of measurement to another. Currencies are not known.

        Args:
            amount: A number or an expression, such as `98.6`.
            from_unit: Such as `degF`, `km/h`, `kg*m/s^2`.
            to_unit: A unit of the same kind.
        """
        with localcontext(Context(prec=PRECISION)):
            try:
                result, unit = convert_units(to_decimal(evaluate_number(amount)), from_unit, to_unit)
                return f"{write_decimal(result, _SHOWN - 10)} {unit}".rstrip()
            except CalculationError as error:
                raise ToolError(str(error)) from None


def write_number(value: Fraction, *, exact: bool) -> str:
    """Return a number as text. If it is not exact, or its decimals do not end, it is rounded and marked with ≈."""
    if exact and value.denominator == 1:
        return str(value.numerator)
    with localcontext(Context(prec=_LONGEST_EXACT)) as context:
        written = to_decimal(value)
        if exact and not context.flags[Inexact]:
            return write_decimal(written, _LONGEST_EXACT)
    return f"≈ {write_decimal(written, _SHOWN)}"


def write_decimal(value: Decimal, digits: int) -> str:
    """Return a number rounded to so many digits, without trailing zeros, and with an exponent if it is needed."""
    rounded = value.normalize(Context(prec=digits))
    return f"{rounded:f}" if -digits <= rounded.adjusted() <= digits else f"{rounded:E}"

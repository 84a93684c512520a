"""The pack calculate: exact results, units, and expressions that would cost too much or reach for more than numbers."""

import sys
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop import Agent, ConfigurationError, Effects, ToolError, describe_install
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.calculate import Calculate
from agentloop_tools.calculate.units import _load_registry

pytestmark = pytest.mark.unmeasured

PACK = Calculate()


def calculate(expression):
    return PACK.calculate(expression)


def refusal(expression):
    with pytest.raises(ToolError) as caught:
        calculate(expression)
    return caught.value.message


def test_a_model_calculates_and_converts():
    _load_registry()  # a busy machine may take longer for it than a call may
    endpoint = ScriptedEndpoint(
        [
            [
                call("calculate_calculate", {"expression": "0.1 + 0.2"}),
                call("calculate_convert", {"amount": 98.6, "from_unit": "degF", "to_unit": "degC"}),
                call("calculate_calculate", {"expression": "1/0"}),
            ],
            "done",
        ]
    )
    Agent("m", endpoint=endpoint, tools=[PACK]).run_sync("what is it?")
    outputs = [item["output"] for item in endpoint.requests[-1]["input"] if "output" in item]
    assert outputs == ["0.3", "37 degree_Celsius", "that divides by zero"]


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("0.1 + 0.2", "0.3"),
        ("1/3*3", "1"),
        ("1/3", "≈ 0.333333333333333333333333333333"),
        ("2 + 3 * 4 - 6 / 2", "11"),
        ("(2 + 3) * 4", "20"),
        ("-2**2", "-4"),
        ("2**3**2", "512"),
        ("2^-1", "0.5"),
        ("+5 - -5", "10"),
        ("7 // 2", "3"),
        ("-7 // 2", "-4"),
        ("7 % 3", "1"),
        ("-7 % 3", "2"),
        ("7.5 % (2)", "1.5"),
        ("15% * 80", "12"),
        ("200 * (1 + 10%)", "220"),
        ("50%", "0.5"),
        ("3 \u00d7 4 ÷ 2 \u2212 1", "5"),
        ("1_000 * 2", "2000"),
        (".5 + 1.5e3", "1500.5"),
        ("0**0", "1"),
        ("0**4", "0"),
        ("0**5", "0"),
        ("1**99999999999999999999", "1"),
        ("(-1)**99999999999999999999", "-1"),
        ("abs(-5) + floor(2.7) + ceil(2.1) + trunc(-2.9)", "8"),
        ("round(2.5) + round(-2.345, 2) + round(12345, -2)", "12300.65"),
        ("min(3, 1, 2) + max(3, 1, 2) + sum(1, 2) + mean(1, 2) + median(1, 5, 2)", "10.5"),
        ("sqrt(16/9) * 3 + sqrt(0)", "4"),
        ("sqrt(2)", "≈ 1.41421356237309504880168872421"),
        ("8**(1/3)", "≈ 2"),
        ("pow(2, 10)", "1024"),
        ("exp(1) - e", "≈ 0"),
        ("ln(e)", "≈ 1"),
        ("log10(1000) + log2(0.25) + log(81, 3)", "5"),
        ("log10(2)", "≈ 0.301029995663981195213738894724"),
        ("sin(π/6) + cos(pi/3)", "≈ 1"),
        ("sin(pi)", "≈ 0"),
        ("sin(1e-40)", "≈ 1E-40"),
        ("tan(pi/4)", "≈ 1"),
        ("atan(1) * 4", "≈ 3.14159265358979323846264338328"),
        ("atan(-1000)", "≈ -1.569796327128229752564797882"),
        ("asin(1) + acos(0.5)", "≈ 2.61799387799149436538553615273"),
        ("asin(0.5) * 6", "≈ 3.14159265358979323846264338328"),
        ("degrees(radians(90))", "≈ 90"),
        ("factorial(20)", "2432902008176640000"),
        ("comb(10, 3) + perm(5, 2) + gcd(12, 18) + lcm(4, 6)", "158"),
        ("1.01 * 1.01 == 1.0201", "true"),
        ("1 = 2", "false"),
        ("1 ≠ 2", "true"),
        ("3 >= 3", "true"),
        ("sqrt(2)**2 == 2", "≈ true"),
        ("sqrt(2)**2 < 2", "≈ false"),
        ("1 + 1e-50 == 1", "false"),
        ("10**1999/7", "≈ 1.42857142857142857142857142857E+1998"),
        ("1e-70", "1E-70"),
    ],
)
def test_results_are_exact_or_marked(expression, result):
    assert calculate(expression) == result


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("9**9**9", "more than 2,000 digits"),
        ("9**99999", "more than 2,000 digits"),
        ("0.5**99999", "more than 2,000 digits"),
        ("(10**1500) * (10**1500)", "more than 2,000 digits"),
        ("1e1999 * 10 * 10 * 10 * 1e100", "more than 2,000 digits"),
        ("1e999999999", "2,000 digits"),
        ("1e-999999999", "2,000 digits"),
        ("1e" + "9" * 500, "2,000 digits"),
        ("1e1999 ** 1.5", "more than 2,000 digits"),
        ("exp(99999999999)", "no real result"),
        ("exp(-99999999999)", "2,000 digits"),
        ("factorial(801)", "from 0 to 800"),
        ("factorial(factorial(factorial(9)))", "from 0 to 800"),
        ("factorial(-1)", "from 0 to 800"),
        ("factorial(1.5)", "whole number"),
        ("comb(1e9, 5)", "from 0 to 5,000"),
        ("perm(1000, 1000)", "from 0 to 800"),
        ("gcd(1.5, 2)", "whole numbers"),
        ("round(1, 99999999)", "from 0 to 2,000"),
        ("sin(1e30)", "10**20"),
        ("1+" * 600 + "1", "longer than 1,000"),
        ("(" * 60 + "1" + ")" * 60, "nested more than 50"),
        ("-" * 60 + "1", "nested more than 50"),
        ("2**" * 60 + "2", "nested more than 50"),
        ("'a' * 10**9", "a number was expected"),
        ('"a" * 10**9', "a number was expected"),
        ("[1] * 10**9", "a number was expected"),
        ("().__class__.__bases__", "a number was expected"),
        ("__import__('os')", "a number was expected"),
        ("pi.__class__", "an operator was expected"),
        ("(1).real", "an operator was expected"),
        ("lambda: 1", "'lambda' is not known"),
        ("open('x')", "'open' is not known"),
        ("[x for x in (1,)]", "a number was expected"),
        ("1 if 1 else 2", "an operator was expected"),
        ("x := 1", "'x' is not known"),
        ("1; 2", "an operator was expected"),
        ("1\n2", "an operator was expected"),
        ("nan", "'nan' is not known"),
        ("inf", "'inf' is not known"),
        ("-Infinity", "'Infinity' is not known"),
        ("1/0", "divides by zero"),
        ("5 % 0", "divides by zero"),
        ("5 // 0", "divides by zero"),
        ("0**-1", "divides by zero"),
        ("sqrt(-1)", "no real square root"),
        ("(-8)**(1/3)", "no real power"),
        ("ln(0)", "positive"),
        ("log(-1, 2)", "positive"),
        ("log(2, 1)", "other than 1"),
        ("tan(pi/2)", "no value"),
        ("asin(2)", "from -1 to 1"),
        ("1,000", "write large numbers without separators"),
        ("1 < 2 < 3", "an operator was expected, not '<'"),
        ("(1 < 2)", "')' was expected, not '<'"),
        ("(1", "')' was expected, not the end"),
        ("1)", "an operator was expected, not ')'"),
        ("1 +", "the expression ends too early"),
        ("", "the expression ends too early"),
        ("max()", "takes 1 to 100 numbers"),
        ("sqrt(1, 2)", "takes 1 numbers in parentheses, not 2"),
        ("max(1 2)", "',' was expected"),
        ("sqroot(4)", "did you mean sqrt?"),
        ("sqrt", "'sqrt' is not known here; did you mean sqrt?"),
        ("$5", "a number was expected, not '$'"),
    ],
)
def test_what_has_no_value_or_would_cost_too_much_is_refused(expression, words):
    assert words in refusal(expression)


NUMBERS = st.fractions(min_value=-(10**9), max_value=10**9).map(lambda value: Fraction(round(value * 1000), 1000))


@given(NUMBERS, NUMBERS, st.sampled_from("+-*"))
def test_decimals_are_exact(left, right, sign):
    expected = {"+": left + right, "-": left - right, "*": left * right}[sign]
    written = [f"({Decimal(value.numerator) / Decimal(value.denominator):f})" for value in (left, right)]
    assert Fraction(calculate(sign.join(written))) == expected


@given(st.text("0123456789.eE+-*/%^(), <>=!abpiqrst_'\"[]{}", max_size=60))
def test_any_text_at_all_ends_in_a_result_or_a_refusal(text):
    try:
        result = calculate(text)
    except ToolError as error:
        result = error.message
    assert 0 < len(result) < 3_000


@pytest.mark.parametrize(
    ("amount", "from_unit", "to_unit", "result"),
    [
        ("98.6", "degF", "degC", "37 degree_Celsius"),
        ("0", "kelvin", "degC", "-273.15 degree_Celsius"),
        ("10", "delta_degC", "delta_degF", "18 delta_degree_Fahrenheit"),
        ("1", "°C", "°F", "33.8 degree_Fahrenheit"),
        ("1", "mile", "km", "1.609344 kilometer"),
        ("1/4", "inch", "cm", "0.635 centimeter"),
        ("100", "km/h", "m/s", "27.777777777777777778 meter / second"),
        ("1", "kg*m/s^2", "N", "1 newton"),
        ("1", "m²", "cm**2", "10000 centimeter ** 2"),
        ("1", "GiB", "MB", "1073.741824 megabyte"),
        ("1e1999", "m", "nm", "1E+2008 nanometer"),
    ],
)
def test_units_are_converted(amount, from_unit, to_unit, result):
    assert PACK.convert(amount, from_unit, to_unit) == result


@pytest.mark.parametrize(
    ("amount", "from_unit", "to_unit", "words"),
    [
        ("1", "foo", "m", "not defined"),
        ("1", "degC", "m", "Cannot convert"),
        ("1", "USD", "EUR", "not defined"),
        ("1", "", "m", "is not a unit"),
        ("1", "5 m", "m", "is not a unit"),
        ("1", "m**9999999999", "m", "is not a unit"),
        ("1", "9**9**9", "m", "is not a unit"),
        ("1", "1e999*m", "m", "is not a unit"),
        ("1", "m" * 5000, "m", "is not a unit"),
        ("1", "__import__('os').system('x')", "m", "is not a unit"),
        ("1", "m.__class__", "m", "is not a unit"),
        ("1", "m__class__", "m", "is not a unit"),
        ("1", "m**99**99**99", "m", "too large"),
        ("1", "(((((((m", "m", "can't be read as a unit"),
        ("1", "/", "m", "can't be read as a unit"),
        ("1 < 2", "m", "km", "a comparison is not a number"),
        ("nan", "m", "km", "'nan' is not known"),
    ],
)
def test_units_that_are_none_are_refused(amount, from_unit, to_unit, words):
    with pytest.raises(ToolError) as caught:
        PACK.convert(amount, from_unit, to_unit)
    assert words in caught.value.message


@given(st.text("mskgdeCF*/^()123 °µ-", max_size=60))
def test_any_unit_at_all_ends_in_a_result_or_a_refusal(unit):
    try:
        result = PACK.convert("1", unit, "m")
    except ToolError as error:
        result = error.message
    assert len(result) < 1_000


def test_without_pint_the_way_to_it_is_named(monkeypatch):
    _load_registry.cache_clear()
    monkeypatch.setitem(sys.modules, "pint", None)
    with pytest.raises(ConfigurationError) as caught:
        PACK.convert("1", "m", "km")
    assert caught.value.hint == describe_install("calculate")


def test_the_tools_only_compute():
    assert {tool.name: tool.effects for tool in PACK.tools()} == {"calculate": Effects(), "convert": Effects()}

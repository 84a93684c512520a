"""The pack time: a clock that can be given, zones, durations, and the hours that clocks skip or show twice."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop import Agent, ConfigurationError, Effects, ToolError, describe_install
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.time import Time, TimeConfig, _zone_names

pytestmark = pytest.mark.unmeasured

BERLIN = Time(TimeConfig(zone="Europe/Berlin"), clock=lambda: datetime(2026, 11, 22, 12, 0, 0, 123, tzinfo=UTC))


def refusal(function, *arguments):
    with pytest.raises(ToolError) as caught:
        function(*arguments)
    return caught.value.message


def test_a_model_asks_for_the_time_and_reckons_with_it():
    endpoint = ScriptedEndpoint(
        [[call("time_now"), call("time_add", {"time": "2026-11-22", "duration": "2 weeks"})], "Sunday"]
    )
    Agent("m", endpoint=endpoint, tools=[BERLIN]).run_sync("which day is it in two weeks?")
    outputs = [item["output"] for item in endpoint.requests[-1]["input"] if "output" in item]
    assert outputs == ["2026-11-22T13:00:00+01:00 Europe/Berlin, Sunday", "2026-12-06, Sunday"]


def test_the_clock_of_the_machine_is_the_default():
    before = datetime.now(UTC).replace(microsecond=0)
    told = datetime.fromisoformat(Time().now().partition(",")[0])
    assert before <= told <= datetime.now(UTC)
    assert told.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("zone", "result"),
    [
        ("", "2026-11-22T13:00:00+01:00 Europe/Berlin, Sunday"),
        ("Asia/Kolkata", "2026-11-22T17:30:00+05:30 Asia/Kolkata, Sunday"),
        ("Pacific/Kiritimati", "2026-11-23T02:00:00+14:00 Pacific/Kiritimati, Monday"),
        ("UTC", "2026-11-22T12:00:00+00:00, Sunday"),
        ("z", "2026-11-22T12:00:00+00:00, Sunday"),
        ("+02:00", "2026-11-22T14:00:00+02:00, Sunday"),
        ("UTC-5", "2026-11-22T07:00:00-05:00, Sunday"),
    ],
)
def test_the_time_is_told_in_a_zone(zone, result):
    assert BERLIN.now(zone) == result


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("berlin", "did you mean Europe/Berlin?"),
        ("New York", "did you mean America/New_York?"),
        ("Europe/Berln", "did you mean Europe/Berlin"),
        ("/etc/passwd", "write it as Europe/Berlin, UTC or +02:00"),
        ("../../../etc/passwd", "write it as"),
        ("Europe/../../../../etc/passwd", "write it as"),
        ("Europe", "is not a time zone"),
        ("+99:00", "is not a time zone"),
        ("a\0b", "is not a time zone"),
        ("x" * 100_000, "is not a time zone"),
    ],
)
def test_a_zone_that_is_none_is_refused_and_no_file_is_looked_for(zone, words):
    message = refusal(BERLIN.now, zone)
    assert words in message
    assert len(message) < 300
    with pytest.raises(ConfigurationError):
        Time(TimeConfig(zone=zone))


@pytest.mark.parametrize("zone", ["/etc/passwd", "../etc/passwd", "a/../b", "a\0b", "a b", "x.y"])
def test_what_can_not_be_a_zone_is_not_looked_for(zone, monkeypatch):
    looked_for = []
    monkeypatch.setattr("agentloop_tools.time.ZoneInfo", looked_for.append)
    refusal(Time().now, zone)
    assert looked_for == []


def find_no_zone(name):
    raise ZoneInfoNotFoundError(name)


def test_a_machine_without_zones_says_how_to_get_them(monkeypatch):
    monkeypatch.setattr("agentloop_tools.time._zone_names", frozenset)
    monkeypatch.setattr("agentloop_tools.time.ZoneInfo", find_no_zone)
    assert describe_install("time") in refusal(Time().now, "Europe/Berlin")
    assert Time().now("+01:00").endswith("day")
    assert _zone_names() >= {"Europe/Berlin"}


GAP = "02:30 does not exist on 2026-03-29 in Europe/Berlin, where clocks go forward; 03:30 was taken."
FOLD = (
    "02:30 comes twice on 2026-10-25 in Europe/Berlin, where clocks go back; the first was taken (+02:00), "
    "the second is +01:00."
)


@pytest.mark.parametrize(
    ("time", "to_zone", "from_zone", "result"),
    [
        ("2026-06-01T12:00", "America/New_York", "", ["2026-06-01T06:00:00-04:00 America/New_York, Monday"]),
        ("2026-06-01T12:00Z", "Asia/Tokyo", "", ["2026-06-01T21:00:00+09:00 Asia/Tokyo, Monday"]),
        ("2026-03-29T02:30", "UTC", "", ["2026-03-29T01:30:00+00:00, Sunday", GAP]),
        ("2026-10-25T02:30", "UTC", "Europe/Berlin", ["2026-10-25T00:30:00+00:00, Sunday", FOLD]),
        ("2026-10-25T02:30+01:00", "Europe/Berlin", "", ["2026-10-25T02:30:00+01:00 Europe/Berlin, Sunday"]),
        ("2026-10-25", "UTC", "", ["2026-10-24T22:00:00+00:00, Saturday"]),
    ],
)
def test_times_are_converted_and_odd_hours_explained(time, to_zone, from_zone, result):
    assert BERLIN.convert(time, to_zone, from_zone).splitlines() == result


@pytest.mark.parametrize(
    ("time", "duration", "result"),
    [
        ("2026-11-22", "P1D", ["2026-11-23, Monday"]),
        ("2026-11-22", "-2 weeks", ["2026-11-08, Sunday"]),
        ("2026-01-31", "P1M", ["2026-02-28, Saturday", "2026-02 has no day 31; its last day was taken."]),
        ("2024-02-29", "1 year", ["2025-02-28, Friday", "2025-02 has no day 29; its last day was taken."]),
        ("2026-11-22", "-P1Y11M", ["2024-12-22, Sunday"]),
        ("2026-11-22", "3 days and 2 hours", ["2026-11-25T02:00:00+01:00 Europe/Berlin, Wednesday"]),
        ("2026-03-28T12:00", "P1D", ["2026-03-29T12:00:00+02:00 Europe/Berlin, Sunday"]),
        ("2026-03-28T12:00", "PT24H", ["2026-03-29T13:00:00+02:00 Europe/Berlin, Sunday"]),
        ("2026-03-28T02:30", "P1D", ["2026-03-29T03:30:00+02:00 Europe/Berlin, Sunday", GAP]),
        ("2026-10-24T02:30", "1 day", ["2026-10-25T02:30:00+02:00 Europe/Berlin, Sunday", FOLD]),
        ("2026-10-25T02:30", "PT1H", ["2026-10-25T02:30:00+01:00 Europe/Berlin, Sunday", FOLD]),
        ("2026-11-22T10:00Z", "-PT90M", ["2026-11-22T08:30:00+00:00, Sunday"]),
    ],
)
def test_durations_move_the_calendar_or_the_clock(time, duration, result):
    assert BERLIN.add(time, duration).splitlines() == result


@pytest.mark.parametrize(
    ("start", "end", "result"),
    [
        ("2026-01-31", "2026-03-01", ["29 days", "in the calendar: 1 month, 1 day"]),
        ("2026-03-01", "2026-01-31", ["-29 days", "in the calendar: 1 month, 1 day"]),
        ("2020-02-29", "2026-11-22", ["2458 days", "in the calendar: 6 years, 8 months, 24 days"]),
        ("2026-11-22", "2026-11-23", ["1 day"]),
        ("2026-11-22", "2026-11-22", ["0 days"]),
        ("2026-03-28T12:00", "2026-03-29T12:00", ["23 hours", "82800 seconds in all"]),
        ("2026-11-22", "2026-11-23T10:01", ["1 day 10 hours 1 minute", "122460 seconds in all"]),
        ("2026-11-22T10:00", "2026-11-22T10:00:01.5", ["1.5 seconds", "1.5 seconds in all"]),
        ("2026-11-22T10:00", "2026-11-22T10:00", ["no time", "0 seconds in all"]),
        ("2026-11-23T00:00Z", "2026-11-22T10:00-05:00", ["minus 9 hours", "-32400 seconds in all"]),
        ("2026-10-25T02:30", "2026-10-25T03:30", ["2 hours", "7200 seconds in all", FOLD]),
    ],
)
def test_differences_are_told_in_words(start, end, result):
    assert BERLIN.difference(start, end).splitlines() == result


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (BERLIN.convert, ("tomorrow", "UTC"), "is not in ISO 8601"),
        (BERLIN.convert, ("2026-13-01", "UTC"), "is not in ISO 8601"),
        (BERLIN.convert, ("9" * 100_000, "UTC"), "is not in ISO 8601"),
        (BERLIN.convert, ("9999-12-31T23:59", "Asia/Tokyo", "UTC"), "outside of the years 1 to 9999"),
        (BERLIN.convert, ("0001-01-01T00:00", "UTC"), "outside of the years 1 to 9999"),
        (BERLIN.convert, ("2026-01-01", "Mars"), "is not a time zone"),
        (BERLIN.add, ("2026-01-01", "P999999999Y"), "outside of the years 1 to 9999"),
        (BERLIN.add, ("2026-01-01", "-P999999999M"), "outside of the years 1 to 9999"),
        (BERLIN.add, ("2026-01-01", "P999999999D"), "outside of the years 1 to 9999"),
        (BERLIN.add, ("9999-12-31T23:59Z", "PT999999999H"), "outside of the years 1 to 9999"),
        (BERLIN.add, ("2026-01-01", "P"), "is not a duration"),
        (BERLIN.add, ("2026-01-01", "PT"), "is not a duration"),
        (BERLIN.add, ("2026-01-01", ""), "is not a duration"),
        (BERLIN.add, ("2026-01-01", "1.5 days"), "is not a duration"),
        (BERLIN.add, ("2026-01-01", "9" * 100_000 + " days"), "is not a duration"),
        (BERLIN.add, ("2026-01-01", "1 day, " * 50_000 + "x"), "is not a duration"),
    ],
)
def test_what_is_no_time_is_refused(function, arguments, words):
    message = refusal(function, *arguments)
    assert words in message
    assert len(message) < 300


MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
ZONES = st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC", "-03:30"])


@given(MOMENTS, ZONES, ZONES)
def test_converting_changes_no_moment(moment, one, other):
    there = BERLIN.convert(moment.isoformat(), one).split(", ")[0].split(" ")[0]
    back = BERLIN.convert(there, other).split(", ")[0].split(" ")[0]
    assert datetime.fromisoformat(back) == moment


@given(MOMENTS, st.integers(-100_000, 100_000))
def test_hours_are_time_that_passes(moment, hours):
    told = BERLIN.add(moment.astimezone(ZoneInfo("Europe/Berlin")).isoformat(), f"{hours} hours").split(",")[0]
    assert datetime.fromisoformat(told.split(" ")[0]) == moment + timedelta(hours=hours)


@given(st.text("0123456789-+:TZPYMWDHS ", max_size=30), st.text("0123456789-PTYMWDHS days", max_size=30))
def test_any_text_at_all_ends_in_a_result_or_a_refusal(time, duration):
    try:
        result = BERLIN.add(time, duration)
    except ToolError as error:
        result = error.message
    assert 0 < len(result) < 500


def test_the_tools_only_compute():
    assert {tool.effects for tool in BERLIN.tools()} == {Effects()}

"""The pack `time`: the clock, and dates with time zones. It only computes. Tests can pass their own clock."""

from __future__ import annotations

import os
import re
from calendar import day_name, monthrange
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, timedelta, timezone, tzinfo
from difflib import get_close_matches
from functools import cache
from zoneinfo import TZPATH, ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import Field

from agentloop import ConfigurationError, Effects, PackConfig, ToolError, ToolPack, describe_install, tool

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d\d))?")
_ZONE = re.compile(r"[A-Za-z][\w+-]*(?:/[A-Za-z][\w+-]*){0,2}", re.ASCII)
_ISO_DURATION = re.compile(
    r"([+-]?)P(?:(\d{1,9})Y)?(?:(\d{1,9})M)?(?:(\d{1,9})W)?(?:(\d{1,9})D)?"
    r"(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?"
)
_WORDS = re.compile(r"([+-]?\d{1,9})\s*(year|month|week|day|hour|minute|second)s?\b[\s,]*(?:and\s+)?")
_LONGEST = 80
_UNITS = ("year", "month", "week", "day", "hour", "minute", "second")


class TimeConfig(PackConfig):
    """The configuration of the time pack."""

    zone: str = Field("UTC", description="the default time zone, such as Europe/Berlin")


class Time(ToolPack[TimeConfig]):
    """The clock, and dates with time zones.

    Args:
        config: The default time zone.
        clock: Returns the current time with a time zone. For tests.
    """

    name = "time"
    version = "1.0"
    imports = () if any(map(os.path.isdir, TZPATH)) else ("tzdata",)  # Python does, where the system has no zones
    extra = "time"

    def __init__(self, config: TimeConfig | None = None, *, clock: Callable[[], datetime] | None = None) -> None:
        super().__init__(config)
        self._clock = clock or _read_clock
        try:
            _find_zone(self.config.zone)
        except ToolError as error:
            raise ConfigurationError(f"the pack 'time' can't be configured so: {error.message}") from None

    @tool(effects=Effects(), timeout=5, repeatable=True)
    def now(self, zone: str = "") -> str:
        """Return the current date and time, with its weekday.

        Args:
            zone: Such as `Europe/Berlin`, `UTC` or `+02:00`; the default zone if left out.
        """
        return _describe(self._clock().astimezone(self._zone(zone)).replace(microsecond=0))

    @tool(effects=Effects(), timeout=5)
    def convert(self, time: str, to_zone: str, from_zone: str = "") -> str:
        """Say what a time in one zone is in another.

        Args:
            time: In ISO 8601, such as `2026-03-29T02:30`.
            to_zone: Such as `America/New_York`.
            from_zone: The zone of `time`, where that has no offset of its own; the default zone if left out.
        """
        moment = self._read(time, from_zone)
        zone = self._zone(to_zone)
        with _in_range():
            return "\n".join((_describe(moment.value.astimezone(zone)), *moment.notes))

    @tool(effects=Effects(), timeout=5)
    def add(self, time: str, duration: str, zone: str = "") -> str:
        """Add a duration to a date or a time; days and more move the calendar, hours and less are time that passes.

        Args:
            time: In ISO 8601, such as `2026-03-28` or `2026-03-28T10:00`.
            duration: Such as `P1M2DT3H`, `3 days`, or with a minus to go back, `-2 weeks`.
            zone: The zone of `time`; the default zone if left out.
        """
        moment = self._read(time, zone)
        years, months, weeks, days, *clock = _read_duration(duration)
        notes = list(moment.notes)
        with _in_range():
            day = _move_months(moment.value, 12 * years + months)
            if day.day != moment.value.day:
                notes.append(f"{day:%Y-%m} has no day {moment.value.day}; its last day was taken.")
            day += timedelta(weeks=weeks, days=days)
            if moment.is_date and not any(clock):
                return "\n".join((_describe_date(day.date()), *notes))
            day, settled = _settle(day) if years or months or weeks or days else (day, ())
            passed = timedelta(hours=clock[0], minutes=clock[1], seconds=clock[2])
            value = (day.astimezone(UTC) + passed).astimezone(day.tzinfo)
            return "\n".join((_describe(value), *notes, *settled))

    @tool(effects=Effects(), timeout=5)
    def difference(self, start: str, end: str, zone: str = "") -> str:
        """Say how long it is from one date or time to another.

        Args:
            start: In ISO 8601.
            end: In ISO 8601; before `start` gives a negative difference.
            zone: The zone of times that have no offset; the default zone if left out.
        """
        first, last = self._read(start, zone), self._read(end, zone)
        if first.is_date and last.is_date:
            days = (last.value.date() - first.value.date()).days
            return "\n".join((f"{days} {_plural('day', days)}", *_in_calendar(first.value.date(), last.value.date())))
        seconds = (last.value.astimezone(UTC) - first.value.astimezone(UTC)).total_seconds()
        return "\n".join((_spell(seconds), f"{seconds:.15g} seconds in all", *first.notes, *last.notes))

    def _zone(self, name: str) -> tzinfo:
        return _find_zone(name or self.config.zone)

    def _read(self, text: str, zone: str) -> _Moment:
        """Return the time in a text. It is in the zone, unless the text has its own offset."""
        try:
            value = datetime.fromisoformat(text[:_LONGEST].strip())
        except ValueError:
            raise ToolError(
                f"{text[:_LONGEST]!r} is not in ISO 8601, such as 2026-03-29, 2026-03-29T14:30 or 2026-03-29T14:30Z"
            ) from None
        is_date = len(text.strip()) <= len("2026-03-29") and "T" not in text.upper()
        if value.tzinfo is not None:
            return _Moment(value, is_date=is_date)
        with _in_range():
            settled, notes = _settle(value.replace(tzinfo=self._zone(zone)))
        return _Moment(settled, notes, is_date=is_date)


@dataclass(frozen=True, slots=True)
class _Moment:
    """A time, notes on what was assumed about it, and whether only a date was given."""

    value: datetime
    notes: tuple[str, ...] = ()
    is_date: bool = False


def _read_clock() -> datetime:
    return datetime.now(UTC)


@contextmanager
def _in_range() -> Generator[None]:
    try:
        yield
    except (OverflowError, ValueError):
        raise ToolError("that is outside of the years 1 to 9999") from None


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


def _find_zone(name: str) -> tzinfo:
    """Return a zone of the IANA database, or a fixed offset. A text that can't be a zone's name is not looked up."""
    name = name[:_LONGEST]
    if offset := _OFFSET.fullmatch(name):
        sign, hours, minutes = offset.groups(default="0")
        passed = timedelta(hours=int(hours), minutes=int(minutes))
        if passed < timedelta(hours=24):
            return timezone(-passed if sign == "-" else passed)
    if name.upper() in {"Z", "UTC", "GMT"}:
        return UTC
    if _ZONE.fullmatch(name):
        with suppress(ZoneInfoNotFoundError, OSError, ValueError):
            return ZoneInfo(name)
    names = _zone_names()
    if not names:
        raise ToolError(f"this machine has no time zones; its owner can add them: {describe_install('time')}")
    cities = [each for each in sorted(names) if each.lower().endswith(name.lower().replace(" ", "_"))] if name else []
    near = (cities or get_close_matches(name, names))[:3]
    hint = f"did you mean {' or '.join(near)}?" if near else "write it as Europe/Berlin, UTC or +02:00"
    raise ToolError(f"{name!r} is not a time zone; {hint}")


def _settle(value: datetime) -> tuple[datetime, tuple[str, ...]]:
    """Return a time as the clocks of its zone show it, and a note if they skip it or show it twice."""
    zone = value.tzinfo
    real = value.astimezone(UTC).astimezone(zone)
    name = getattr(zone, "key", str(zone))
    if real.replace(tzinfo=None) != value.replace(tzinfo=None):
        note = f"{value:%H:%M} does not exist on {value:%Y-%m-%d} in {name}, where clocks go forward"
        return real, (f"{note}; {real:%H:%M} was taken.",)
    second = value.replace(fold=1)
    if not value.fold and second.utcoffset() != value.utcoffset():
        note = f"{value:%H:%M} comes twice on {value:%Y-%m-%d} in {name}, where clocks go back"
        return real, (f"{note}; the first was taken ({_offset(value)}), the second is {_offset(second)}.",)
    return real, ()


def _move_months(value: datetime, months: int) -> datetime:
    """Return the same day and time of another month, or its last day if the month is shorter."""
    year, month = divmod(value.year * 12 + value.month - 1 + months, 12)
    last = monthrange(year, month + 1)[1] if 1 <= year <= MAXYEAR else 1
    return value.replace(year=year, month=month + 1, day=min(value.day, last), fold=0)


def _read_duration(text: str) -> list[int]:
    """Return a duration as years, months, weeks, days, hours, minutes and seconds."""
    text = text[:_LONGEST].strip()
    if (found := _ISO_DURATION.fullmatch(text.upper())) and any(found.groups()[1:]):
        sign = -1 if found[1] == "-" else 1
        return [sign * int(amount or 0) for amount in found.groups()[1:]]
    amounts: dict[str, int] = dict.fromkeys(_UNITS, 0)
    rest = text.lower()
    while found := _WORDS.match(rest):
        amounts[found[2]] += int(found[1])
        rest = rest[found.end() :]
    if rest or not text:
        raise ToolError(f"{text!r} is not a duration; write P1M2DT3H or 3 days 2 hours, in whole numbers")
    return list(amounts.values())


def _describe(value: datetime) -> str:
    zone = getattr(value.tzinfo, "key", "")
    return f"{value.isoformat()}{f' {zone}' if zone else ''}, {_weekday(value)}"


def _describe_date(value: date) -> str:
    return f"{value.isoformat()}, {_weekday(value)}"


def _weekday(value: date) -> str:
    return day_name[value.weekday()]


def _offset(value: datetime) -> str:
    return value.isoformat()[-6:]


def _plural(unit: str, amount: float) -> str:
    return unit if abs(amount) == 1 else f"{unit}s"


def _spell(seconds: float) -> str:
    """Return a number of seconds as days, hours, minutes and seconds."""
    rest = abs(seconds)
    parts = list[str]()
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        amount, rest = (rest // length, rest % length) if length > 1 else (rest, 0)
        if amount:
            parts.append(f"{amount:g} {_plural(unit, amount)}")
    return ("minus " if seconds < 0 else "") + (" ".join(parts) or "no time")


def _in_calendar(start: date, end: date) -> Iterator[str]:
    """Yield the difference of two dates in years, months and days, if it is a month or more."""
    first, last = sorted((start, end))
    months = (last.year - first.year) * 12 + last.month - first.month - (last.day < first.day)
    if months:
        midnight = datetime(first.year, first.month, first.day, tzinfo=UTC)
        days = (last - _move_months(midnight, months).date()).days
        amounts = (("year", months // 12), ("month", months % 12), ("day", days))
        yield "in the calendar: " + ", ".join(f"{amount} {_plural(unit, amount)}" for unit, amount in amounts if amount)

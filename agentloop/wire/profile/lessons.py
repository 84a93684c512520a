"""What refusals taught about endpoints, for the life of the process: lessons, and the profile they make.

A lesson holds for one base URL and model. How one is drawn from a refusal is known by `adapt`; that lessons outlive
the process is the business of whoever can write a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from agentloop.errors import ConfigurationError
from agentloop.wire.profile import Profile

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Lesson:
    """A field of a profile that turned out otherwise.

    Attributes:
        field: The field's name.
        was: What the profile said. A lesson about something else than what the profile says now does not apply, so
            that whoever sets the field by hand is heard.
        now: What the server taught.
        why: In words, with what the server said.
        is_guess: Nothing in the refusal named the field; it is kept only if the next request succeeds.
        is_passing: It is about something of this run, such as a schema or a picture, and holds for this run alone.
    """

    field: str
    was: Any
    now: Any
    why: str
    is_guess: bool = False
    is_passing: bool = False

    def apply(self, profile: Profile) -> Profile:
        """Return the profile as the lesson has it."""
        value = getattr(profile, self.field)
        if isinstance(value, frozenset):
            # Of a set, a lesson changes only the members that it is about.
            return replace(profile, **{self.field: (value - (self.was - self.now)) | (self.now - self.was)})
        return replace(profile, **{self.field: self.now}) if value == self.was else profile

    def describe(self) -> str:
        """Say what was learned, and from what."""
        now, was = _show(self.now, self.was), _show(self.was, self.now)
        words = _WORDS.get(self.field, "{field} is {now} from now on, not {was}")
        return f"{words.format(field=self.field, now=now, was=was)}: {self.why}"


_WORDS: Mapping[str, str] = {
    "context_tokens": "the model's window is {now} tokens",
    "refused": "the endpoint refuses {now}, which is not sent from now on",
    "route": "/v1/{was} is not served here, /v1/{now} is used from now on",
    "strict_tools": "the endpoint refuses strict tools, which are enforced here alone from now on",
    "tool_calling": "the model has no tool calling, and is told of the tools in words from now on",
    "tool_choice": "the endpoint refuses the tool choice {was}, which is enforced here from now on",
    "tool_items": "the server refused tool results written as {was} items, and gets {now} items from now on",
}


def _show(value: Any, other: Any) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted(map(str, cast("frozenset[object]", value - other))))
    return "chat/completions" if value == "chat" else str(value)


LESSONS: dict[tuple[str, str], tuple[Lesson, ...]] = {}
"""What was learned in this process or read from the file, by base URL and model."""


def apply_lessons(profile: Profile, lessons: Iterable[Lesson]) -> Profile:
    """Return the profile as the lessons have it, one after the other."""
    for lesson in lessons:
        profile = lesson.apply(profile)
    return profile


def add_lessons(known: Iterable[Lesson], new: Iterable[Lesson]) -> tuple[Lesson, ...]:
    """Return the lessons with the new ones: of two that say the same, the first; of two opposite ones, the last."""
    kept: dict[tuple[str, object, object], Lesson] = {}
    for lesson in (*known, *new):
        kept.pop((lesson.field, lesson.now, lesson.was), None)
        kept.setdefault((lesson.field, lesson.was, lesson.now), lesson)
    return tuple(kept.values())


def read_fields(given: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return fields of a profile as Python has them, from JSON or TOML, and in words what is wrong with the others."""
    from pydantic import ValidationError  # noqa: PLC0415 - 0.1 s that a process without such a file need not pay

    known, faults = {field.name for field in fields(Profile)}, list[str]()
    read: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            faults.append(f"a profile has no field {name!r}")
            continue
        try:
            read[name] = getattr(_adapter().validate_python({name: value}), name)
        except ConfigurationError as error:
            faults.append(error.message)
        except ValidationError as error:
            faults.append(f"{name} can't be {value!r}: {error.errors()[0]['msg']}")
    return read, tuple(faults)


def write_field(name: str, value: Any) -> Any:
    """Return the value of a profile's field as JSON has it."""
    written: Mapping[str, Any] = _adapter().dump_python(replace(Profile(), **{name: value}), mode="json")
    return sorted(written[name]) if isinstance(value, frozenset) else written[name]


@cache
def _adapter() -> TypeAdapter[Profile]:
    from pydantic import TypeAdapter  # noqa: PLC0415 - as above

    return TypeAdapter(Profile)

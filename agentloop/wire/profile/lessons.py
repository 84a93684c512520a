"""Keeps lessons about endpoints for the life of the process, and applies them to profiles.

A lesson holds for one base URL and model. `refusals` draws lessons from refused requests. Saving lessons to a file is
done outside `wire/`, which does no input or output.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from dataclasses import field as make_field
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from agentloop.errors import ConfigurationError
from agentloop.wire.profile import Profile

if TYPE_CHECKING:
    from pydantic import TypeAdapter

ENOUGH = 2
"""In so many requests something must be seen that may have another reason, before later runs obey it."""

Change: TypeAlias = tuple[str, Any, Any]


@dataclass(frozen=True, slots=True)
class Lesson:
    """A new value for one field of a profile, learned from a server's refusal.

    Attributes:
        field: The field's name.
        was: The value in the profile when the lesson was learned. The lesson applies only while the profile has this
            value, so a value that the user sets is not overridden.
        now: The new value.
        why: The reason, with the server's message.
        is_guess: The refusal did not name the field. The lesson is taken back if the next request fails too.
        is_passing: The refusal was about something in this run, such as a schema or an image. The lesson holds for
            this run only.
        is_weak: Something else may have been the reason. The lesson holds for this run only, unless the same is seen
            in another request.
        times: How often it was learned.
    """

    field: str
    was: Any
    now: Any
    why: str
    is_guess: bool = False
    is_passing: bool = False
    is_weak: bool = False
    times: int = make_field(default=1, compare=False)

    @property
    def change(self) -> Change:
        """What the lesson changes."""
        return self.field, self.was, self.now

    def apply(self, profile: Profile) -> Profile:
        """Return the profile with the lesson applied."""
        value = getattr(profile, self.field)
        if isinstance(value, frozenset):
            # In a set, a lesson adds and removes only the members that it is about.
            return replace(profile, **{self.field: (value - (self.was - self.now)) | (self.now - self.was)})
        return replace(profile, **{self.field: self.now}) if value == self.was else profile

    def describe(self) -> str:
        """Return a sentence that says what was learned and why."""
        now, was = _show(self.now, self.was), _show(self.was, self.now)
        words = _WORDS.get(self.field, "{field} is {now} from now on, not {was}")
        until = " (in this run)" if self.is_passing or self.is_weak else ""
        return f"{words.format(field=self.field, now=now, was=was)}{until}: {self.why}"


_WORDS: Mapping[str, str] = {
    "context_tokens": "the model's context window is {now} tokens",
    "refused": "the endpoint refuses {now}, which is not sent from now on",
    "route": "/v1/{was} is not served here, /v1/{now} is used from now on",
    "strict_tools": "the endpoint refuses strict tools, arguments are checked locally only from now on",
    "tool_calling": "the model has no tool calling, the tools are described in its system text from now on",
    "tool_choice": "the endpoint refuses the tool choice {was}, which is enforced locally from now on",
    "tool_items": "the server refused tool results written as {was} items, {now} items are sent from now on",
}


def _show(value: Any, other: Any) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted(map(str, cast("frozenset[object]", value - other))))
    return "chat/completions" if value == "chat" else str(value)


LESSONS: dict[tuple[str, str], tuple[Lesson, ...]] = {}
"""The lessons that were learned in this process or read from the file, by base URL and model."""

SUSPICIONS: dict[tuple[str, str], dict[Change, frozenset[Hashable]]] = {}
"""What was seen only once, by base URL and model: in which request each change helped. Nothing obeys it yet."""


def suspect(key: tuple[str, str], lesson: Lesson, request: Hashable) -> Lesson | None:
    """Note that a weak lesson has helped in a request; return the lesson if it has helped in another one before.

    Args:
        key: The base URL and the model's name.
        lesson: The lesson.
        request: Something that is equal for two requests if they prove no more than one of them.
    """
    suspicions = SUSPICIONS.setdefault(key, {})
    seen = suspicions.get(lesson.change, frozenset()) | {request}
    if len(seen) < ENOUGH:
        suspicions[lesson.change] = seen
        return None
    suspicions.pop(lesson.change, None)
    return replace(lesson, is_weak=False, times=len(seen))


def clear_suspicions(key: tuple[str, str], profile: Profile, fields: Collection[str]) -> None:
    """Drop the suspicions against these fields of a profile, because a request has succeeded with them as they are."""
    suspicions = SUSPICIONS.get(key, {})
    for change in [each for each in suspicions if each[0] in fields and each[1] == getattr(profile, each[0])]:
        del suspicions[change]


def apply_lessons(profile: Profile, lessons: Iterable[Lesson]) -> Profile:
    """Return the profile with the lessons applied in order."""
    for lesson in lessons:
        profile = lesson.apply(profile)
    return profile


def add_lessons(known: Iterable[Lesson], new: Iterable[Lesson]) -> tuple[Lesson, ...]:
    """Return the known lessons followed by the new ones.

    Of two equal changes the first is kept. A change that undoes an earlier one replaces it.
    """
    kept: dict[Change, Lesson] = {}
    for lesson in (*known, *new):
        kept.pop((lesson.field, lesson.now, lesson.was), None)
        kept.setdefault(lesson.change, lesson)
    return tuple(kept.values())


def read_fields(given: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the fields of a profile as Python values, and a sentence for each field that is not valid.

    Args:
        given: The fields as values that JSON or TOML can hold.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - takes 0.1 s, which a process without such a file saves

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
    """Return the value of a profile's field as a value that JSON can hold."""
    written: Mapping[str, Any] = _adapter().dump_python(replace(Profile(), **{name: value}), mode="json")
    return sorted(written[name]) if isinstance(value, frozenset) else written[name]


@cache
def _adapter() -> TypeAdapter[Profile]:
    from pydantic import TypeAdapter  # noqa: PLC0415 - as above

    return TypeAdapter(Profile)

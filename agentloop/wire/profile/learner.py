"""Defines ProfileLearner, which keeps what one run learns about its endpoint from the endpoint's answers.

A refusal gives a lesson, which is tried in the next request. When a request succeeds, the lessons that were tried are
kept: for the rest of the run, and for all other runs with the same base URL and model. What may have another reason is
kept for other runs only if a second run has learned it too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from agentloop.errors import EndpointError
from agentloop.events import Notice
from agentloop.wire.profile import Profile
from agentloop.wire.profile.lessons import (
    LESSONS,
    SUSPICIONS,
    Change,
    Lesson,
    add_lessons,
    apply_lessons,
    clear_suspicions,
    suspect,
)
from agentloop.wire.profile.quotes import Heard
from agentloop.wire.profile.refusals import Sent, draw_lessons, hear

_MOST_TRIES = 8


class _Trial(NamedTuple):
    """A lesson on trial, and the words that taught it."""

    lesson: Lesson
    words: str


class ProfileLearner:
    """Keeps the profile of one run, and changes it by the lessons from refusals.

    Args:
        key: The base URL and the model's name, by which lessons are kept.
        base: The profile without lessons.
        describe: Returns the request that was sent last, as it is written for a profile.

    Attributes:
        profile: The profile with all lessons, kept or on trial. It is another object whenever it has changed.
    """

    def __init__(self, key: tuple[str, str], base: Profile, describe: Callable[[Profile], Sent]) -> None:
        self._key = key
        self._base = base
        self._describe = describe
        self._known = LESSONS.get(key, ())
        self._trying: list[_Trial] = []
        self._tried: list[tuple[str, object]] = []
        self._disproved: set[Change] = set()
        self._heard: tuple[EndpointError, Heard] | None = None
        self._run = object()  # what one run sees again proves no more than the first time
        self._fresh: list[Lesson] = []
        self._notices: list[Notice] = []
        self.profile = apply_lessons(base, self._known)

    @property
    def is_suspicious(self) -> bool:
        """Whether something was seen once that a success could refute."""
        return bool(SUSPICIONS.get(self._key))

    def hear(self, error: EndpointError) -> Heard:
        """Return the server's own words in an error about the last request, without what they quote from it."""
        if self._heard is None or self._heard[0] is not error:
            self._heard = error, hear(error, self._describe(self.profile))
        return self._heard[1]

    def adapt(self, error: EndpointError) -> Lesson | None:
        """Return what the next try does differently after a refusal, or None if there is nothing left to try.

        A guess that did not help is taken back first, and nothing is tried twice. If a refusal of a guessed route names
        something else, the route exists and the guess stays.
        """
        lesson = self._draw(error)
        guess = next((at for at, trial in enumerate(self._trying) if trial.lesson.is_guess), None)
        names_more = lesson is not None and not lesson.is_guess
        if guess is not None and not (names_more and self._trying[guess].lesson.field == "route"):
            del self._trying[guess:]
            self._apply()
            lesson = self._draw(error)
        if lesson is None or len(self._tried) == _MOST_TRIES:
            self._trying, self._tried, lesson = [], [], None
        else:
            self._tried.append(_trial(lesson))
            self._try(lesson, self.hear(error).words)
        self._apply()
        return lesson

    def may_adapt(self, error: EndpointError) -> bool:
        """Return whether a failure teaches something, so that sending the same request again would be a waste."""
        lessons = draw_lessons(error, self.profile, self._describe(self.profile), self.hear(error))
        return any(lesson.field == "route" or not lesson.is_guess for lesson in lessons)

    def try_out(self, lesson: Lesson) -> None:
        """Put a lesson on trial that was found in another way than by `adapt`. A newer one of its field replaces it."""
        self._trying = [trial for trial in self._trying if trial.lesson.field != lesson.field]
        if lesson.now != getattr(self.profile, lesson.field):
            self._trying.append(_Trial(lesson, lesson.why))
        self._apply()

    def confirm(self) -> None:
        """Keep the lessons on trial, because a request has succeeded with them."""
        if self._trying:
            self._keep((trial.lesson for trial in self._trying), self._run)
        self._trying, self._tried, self._heard = [], [], None

    def learn(self, field: str, now: Any, why: str, request: Hashable = None) -> None:
        """Keep a lesson that was found in another way than by a refusal.

        Args:
            field: The field of the profile.
            now: Its new value.
            why: The reason.
            request: Something that is equal for two requests if they prove no more than one of them. None if one
                request proves the lesson.
        """
        lesson = Lesson(field, getattr(self.profile, field), now, why, is_weak=request is not None)
        if lesson.change not in self._disproved:
            self._keep([lesson], request)
            self._apply()

    def trust(self, fields: Collection[str]) -> None:
        """Drop suspicions against these fields, because a request has succeeded with them as they are."""
        clear_suspicions(self._key, self.profile, fields)

    def follow(self, tool_items: Literal["native", "message"]) -> None:
        """Write tool items as the server's replies do, unless a refusal has taught otherwise."""
        if not any(lesson.field == "tool_items" for lesson in self._known):
            self._base = replace(self._base, tool_items=tool_items)
            self._apply()

    def take_lessons(self) -> list[Lesson]:
        """Return the lessons since the last call that later processes may use too."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def take_notices(self) -> list[Notice]:
        """Return the notices since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def _draw(self, error: EndpointError) -> Lesson | None:
        lessons = draw_lessons(error, self.profile, self._describe(self.profile), self.hear(error))
        return next((lesson for lesson in lessons if _trial(lesson) not in self._tried), None)

    def _try(self, lesson: Lesson, words: str) -> None:
        weak = [known for known in self._known if known.is_weak and _trial(known) == (lesson.field, lesson.was)]
        if weak:  # the server refuses what too little has led to
            self._known = tuple(known for known in self._known if known not in weak)
            self._disproved.update(known.change for known in weak)
        else:
            self._trying = [*(_doubt(trial, lesson, words) for trial in self._trying), _Trial(lesson, words)]

    def _keep(self, lessons: Iterable[Lesson], request: Hashable) -> None:
        found = [(suspect(self._key, lesson, request) or lesson) if lesson.is_weak else lesson for lesson in lessons]
        lasting = [lesson for lesson in found if not (lesson.is_passing or lesson.is_weak)]
        if lasting:
            LESSONS[self._key] = add_lessons(LESSONS.get(self._key, ()), lasting)
        self._known = add_lessons(self._known, found)
        self._fresh += lasting
        self._notices += [Notice("learned", lesson.describe()) for lesson in found]

    def _apply(self) -> None:
        profile = apply_lessons(self._base, (*self._known, *(trial.lesson for trial in self._trying)))
        if profile != self.profile:
            self.profile = profile


def _trial(lesson: Lesson) -> tuple[str, object]:
    return lesson.field, lesson.now


def _doubt(trial: _Trial, lesson: Lesson, words: str) -> _Trial:
    """Return a lesson on trial, for this run only if the same message then gave another lesson.

    In that case the first lesson did not help, or did not help alone.
    """
    is_step_on = trial.lesson.field == lesson.field and not isinstance(trial.lesson.now, frozenset)
    if is_step_on or trial.words != words:
        return trial
    return trial._replace(lesson=replace(trial.lesson, is_passing=True))

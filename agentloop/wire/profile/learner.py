"""Defines ProfileLearner, which keeps what one run learns about its endpoint from the endpoint's answers.

A refusal gives a lesson, which is tried in the next request. When a request succeeds, the lessons that were tried are
kept: for the rest of the run, and for all other runs with the same base URL and model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from agentloop.errors import EndpointError
from agentloop.events import Notice
from agentloop.wire.profile import Profile
from agentloop.wire.profile.lessons import LESSONS, Lesson, add_lessons, apply_lessons
from agentloop.wire.profile.refusals import Sent, draw_lessons

_MOST_TRIES = 8


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
        self._trying: list[Lesson] = []
        self._tried: list[tuple[str, object]] = []
        self._fresh: list[Lesson] = []
        self._notices: list[Notice] = []
        self.profile = apply_lessons(base, self._known)

    def adapt(self, error: EndpointError) -> Lesson | None:
        """Return what the next try does differently after a refusal, or None if there is nothing left to try.

        A guess that did not help is taken back first, and nothing is tried twice. If a refusal of a guessed route names
        something else, the route exists and the guess stays.
        """
        lesson = self._draw(error)
        guess = next((at for at, trial in enumerate(self._trying) if trial.is_guess), None)
        names_more = lesson is not None and not lesson.is_guess
        if guess is not None and not (names_more and self._trying[guess].field == "route"):
            del self._trying[guess:]
            self._apply()
            lesson = self._draw(error)
        if lesson is None or len(self._tried) == _MOST_TRIES:
            self._trying, self._tried, lesson = [], [], None
        else:
            self._tried.append(_trial(lesson))
            self._trying = [*(_doubt(trial, lesson) for trial in self._trying), lesson]
        self._apply()
        return lesson

    def may_adapt(self, error: EndpointError) -> bool:
        """Return whether a failure teaches something, so that sending the same request again would be a waste."""
        lessons = draw_lessons(error, self.profile, self._describe(self.profile))
        return any(lesson.field == "route" or not lesson.is_guess for lesson in lessons)

    def confirm(self) -> None:
        """Keep the lessons on trial, because a request has succeeded with them."""
        self._keep(self._trying)
        self._trying, self._tried = [], []

    def learn(self, field: str, now: Any, why: str) -> None:
        """Keep a lesson that was found in another way than by a refusal."""
        self._keep([Lesson(field, getattr(self.profile, field), now, why)])
        self._apply()

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
        lessons = draw_lessons(error, self.profile, self._describe(self.profile))
        return next((lesson for lesson in lessons if _trial(lesson) not in self._tried), None)

    def _keep(self, lessons: Sequence[Lesson]) -> None:
        lasting = [lesson for lesson in lessons if not lesson.is_passing]
        if lasting:
            LESSONS[self._key] = add_lessons(LESSONS.get(self._key, ()), lasting)
        self._known = add_lessons(self._known, lessons)
        self._fresh += lasting
        self._notices += [Notice("learned", lesson.describe()) for lesson in lessons]

    def _apply(self) -> None:
        profile = apply_lessons(self._base, (*self._known, *self._trying))
        if profile != self.profile:
            self.profile = profile


def _trial(lesson: Lesson) -> tuple[str, object]:
    return lesson.field, lesson.now


def _doubt(trial: Lesson, lesson: Lesson) -> Lesson:
    """Return a lesson on trial, for this run only if the same message then gave another lesson.

    In that case the first lesson did not help, or did not help alone.
    """
    is_step_on = trial.field == lesson.field and not isinstance(trial.now, frozenset)
    return trial if is_step_on or trial.why != lesson.why else replace(trial, is_passing=True)

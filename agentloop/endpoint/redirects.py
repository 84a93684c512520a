"""Has redirects judged: the fetcher asks before it follows one, and who runs a call sets who answers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

JudgeRedirect: TypeAlias = Callable[[str, str], str]
"""Given the first URL of a request and the target of a redirect, returns why it is not followed, or ""."""

_JUDGE: ContextVar[JudgeRedirect | None] = ContextVar("judge_redirect", default=None)


@contextmanager
def judging_redirects(judge: JudgeRedirect) -> Generator[None]:
    """Let a function judge the redirects of all requests that are made in the block. Without one, all are followed."""
    token = _JUDGE.set(judge)
    try:
        yield
    finally:
        _JUDGE.reset(token)


def find_objection(first: str, target: str) -> str:
    """Return why a redirect is not followed, or "".

    Args:
        first: The URL of the request.
        target: The URL that it is redirected to.
    """
    judge = _JUDGE.get()
    return "" if judge is None else judge(first, target)

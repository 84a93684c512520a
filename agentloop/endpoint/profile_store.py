"""Reads profiles from the user's agentloop.toml, and reads and writes the file of lessons.

Nothing here makes a run fail: a damaged file is ignored with a warning, and is not changed.

    # agentloop.toml, in the user's configuration folder, or in the working directory if the user trusts it
    [profile."ovh:Qwen3*"]
    tool_calling = "prompted"

    [profile."http://127.0.0.1:8000/v1"]
    context_tokens = 16384
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2s
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from agentloop.endpoint.config_file import find_configs, read_config
from agentloop.endpoint.shared_file import hold_file, replace_file
from agentloop.endpoint.trusted_files import read_small_file
from agentloop.wire.payload import mapping, mappings, string
from agentloop.wire.profile import Endpoint, Profile
from agentloop.wire.profile.lessons import (
    LESSONS,
    SUSPICIONS,
    Change,
    Lesson,
    add_lessons,
    apply_lessons,
    read_fields,
    write_field,
)
from agentloop.wire.profile.providers import PROVIDERS
from agentloop.wire.profile.rules import NEVER_DROPPED

VERSION = 1
LIFETIME = timedelta(days=30)
"""Older lessons are ignored, because servers are updated. A lesson that still holds is learned again."""

# What no lesson may say, though a file may that somebody else has written: it would stop all runs.
_NEVER_LEARNED = frozenset({"requests_per_minute", "anonymous_requests_per_minute", "body_bytes", "image_models"})
_SMALLEST_WINDOW = 256
_LONGEST_REASON = 400
_MOST_TIMES = 1_000_000
_CLOCK_SKEW = timedelta(days=1)

_HELD: dict[tuple[Path | None, str, str], tuple[tuple[int, ...] | None, frozenset[Change]]] = {}
"""By file, place and model: the state in which the file was read last, and what it held."""

_WRITING = Lock()  # several runs may add lessons to the file at the same time


@dataclass(frozen=True, slots=True)
class StoredLesson:
    """A lesson in the file.

    Attributes:
        place: The base URL, or `local:` for a server that agentloop starts, whose base URL is different each time.
        model: The model's name.
        lesson: The lesson.
        learned: When it was learned last.
    """

    place: str
    model: str
    lesson: Lesson
    learned: datetime


@dataclass(frozen=True, slots=True)
class ResolvedProfile:
    """The profile of one model on one server, from all sources.

    Attributes:
        place: The server, as in `StoredLesson`.
        base: The profile before any lesson.
        profile: The profile with the lessons applied.
        sources: The source of each field that differs from the default, in words.
        warnings: One sentence for each fault in the files.
    """

    place: str
    base: Profile
    profile: Profile
    sources: Mapping[str, str]
    warnings: tuple[str, ...]


def find_place(endpoint: Endpoint, provider: str = "") -> str:
    """Return the key under which lessons about an endpoint are kept: its base URL, or `local:`.

    A user name and a password are left out, and a query, which may hold a key, is only told apart from others.
    """
    started = provider in PROVIDERS and PROVIDERS[provider].starter
    return f"{provider}:" if started else _name_place(endpoint.base_url)


def _name_place(base_url: str) -> str:
    url = urlsplit(base_url)
    if not url.query and not url.username and not url.password:
        return base_url.rstrip("/")
    query = f"query-{blake2s(url.query.encode(), digest_size=4).hexdigest()}" if url.query else ""
    return urlunsplit((url.scheme, url.netloc.rpartition("@")[2], url.path.rstrip("/"), query, ""))


def resolve_profile(endpoint: Endpoint, model: str, provider: str = "") -> ResolvedProfile:
    """Return the profile of a model: the endpoint's profile, changed by agentloop.toml, then by the lessons.

    Args:
        endpoint: The endpoint, with its profile from the table or from code.
        model: The model's name on the server.
        provider: The row of the table that the endpoint comes from, or "".
    """
    place = find_place(endpoint, provider)
    profile, warnings = endpoint.profile, list[str]()
    origin = f"table of providers ({provider})" if provider else "code"
    sources = dict.fromkeys(_differences(Profile(), profile), origin)
    names = [place, endpoint.base_url.rstrip("/"), f"{place} {model}", *([f"{provider}:{model}"] if provider else [])]
    for file in find_configs():
        fields = read_config(file, names, warnings)
        profile = replace(profile, **fields)
        sources |= dict.fromkeys(fields, str(file.path))
    base = profile
    known, trouble = read_lessons()
    warnings += trouble
    for each in known:
        if (each.place, each.model) == (place, model):
            sources |= dict.fromkeys(
                _differences(profile, each.lesson.apply(profile)),
                f"learned on {each.learned:%Y-%m-%d}{_count(each.lesson.times)}: {each.lesson.why}",
            )
            profile = each.lesson.apply(profile)
    recall(place, model)
    # Lessons of this process are added, because the file lacks them if it is switched off or can't be written.
    return ResolvedProfile(place, base, apply_lessons(base, LESSONS.get((place, model), ())), sources, tuple(warnings))


def recall(place: str, model: str) -> None:
    """Take over what the file says about a model if it has changed; what is forgotten there is forgotten here too.

    Every run calls this when it begins, because another process may have changed the file.
    """
    path = lessons_path()
    state, held = _HELD.get((path, place, model), (None, frozenset()))
    if path is None or state == _find_state(path):
        return
    state = _find_state(path)
    known, trouble = read_lessons()
    if trouble:
        return
    stored = [each.lesson for each in known if (each.place, each.model) == (place, model)]
    changes = frozenset(lesson.change for lesson in stored)
    here = [lesson for lesson in LESSONS.pop((place, model), ()) if lesson.change not in held - changes]
    if here or stored:
        LESSONS[place, model] = add_lessons(here, stored)
    _HELD[path, place, model] = state, changes


def _find_state(path: Path) -> tuple[int, ...]:
    """Return something that changes when the file does."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino


def lessons_path() -> Path | None:
    """Return the path of the file of lessons, or None if AGENTLOOP_CACHE is set to an empty text."""
    named = os.environ.get("AGENTLOOP_CACHE")
    if named is not None:
        return Path(named) if named else None
    return _default_lessons_path(*map(os.environ.get, ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")))


@lru_cache(maxsize=8)
def _default_lessons_path(*_environment: str | None) -> Path:
    """Return the path in this environment. Working it out takes 0.1 ms, and every run needs it."""
    import platformdirs  # noqa: PLC0415 - takes 0.04 s, on the first run only

    return platformdirs.user_cache_path("agentloop") / "learned.json"


def read_lessons() -> tuple[list[StoredLesson], list[str]]:
    """Return the lessons in the file that are not older than LIFETIME, and a sentence for a fault in the file."""
    path = lessons_path()
    if path is None:
        return [], []
    try:
        content = json.loads(read_small_file(path))
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except (OSError, ValueError, RecursionError) as error:
        return [], [f"{path} is damaged and is ignored ({error}); agentloop profile forget --all replaces it"]
    if mapping(content).get("version") != VERSION:
        return [], [
            f"{path} is from another version of agentloop and is ignored; agentloop profile forget --all replaces it"
        ]
    since = datetime.now(UTC) - LIFETIME
    read = [known for entry in mappings(content.get("learned")) if (known := _read_known(entry)) is not None]
    return [known for known in read if known.learned > since], []


def remember(place: str, model: str, lessons: Sequence[Lesson]) -> str:
    """Add lessons to the file; return a sentence about what went wrong, or ""."""
    if (urlsplit(place).hostname or "").endswith(".invalid"):
        return ""  # not a real server; tests use such names
    path = lessons_path()
    if path is None:
        return ""
    try:
        with _WRITING, hold_file(path):
            known, trouble = read_lessons()
            if trouble:
                return trouble[0]
            mine = [each for each in known if (each.place, each.model) == (place, model)]
            others = [each for each in known if each not in mine]
            mine = list(_merge(place, model, mine, lessons))
            replace_file(path, _write([*others, *mine]))
            _HELD[path, place, model] = None, frozenset(each.lesson.change for each in mine)
    except OSError as error:
        return f"the lessons about the endpoint can't be saved in {path}: {error.strerror}"
    return ""


def _merge(place: str, model: str, known: Sequence[StoredLesson], lessons: Sequence[Lesson]) -> Iterator[StoredLesson]:
    """Yield the known lessons about a model and the new ones; of a lesson that was known, how often it was learned."""
    now = datetime.now(UTC)
    before = {each.lesson.change: each for each in known}
    again = {lesson.change: lesson.times for lesson in lessons}
    for lesson in add_lessons([each.lesson for each in known], lessons):
        old = before.get(lesson.change)
        if old is None:
            yield StoredLesson(place, model, lesson, now)
        elif lesson.change in again:
            yield replace(old, learned=now, lesson=replace(lesson, times=lesson.times + again[lesson.change]))
        else:
            yield old


def forget(place: str | None = None, model: str | None = None) -> int:
    """Remove lessons from the file and from this process, and return the number that was in the file.

    Args:
        place: The server; None for any.
        model: The model; None for any.

    Raises:
        OSError: the file can't be written.
    """
    for known_here in (LESSONS, SUSPICIONS):
        for key in [key for key in known_here if place in {None, key[0]} and model in {None, key[1]}]:
            del known_here[key]
    path = lessons_path()
    if path is None or not path.exists():
        return 0
    try:
        with _WRITING, hold_file(path):
            known, _ = read_lessons()
            kept = [each for each in known if place not in {None, each.place} or model not in {None, each.model}]
            replace_file(path, _write(kept))
    except OSError as error:
        raise OSError(f"the lessons can't be removed from {path}: {error.strerror}") from error
    return len(known) - len(kept)


def _read_known(entry: Mapping[str, Any]) -> StoredLesson | None:
    """Return an entry of the file, or None if this version of agentloop can't read it."""
    name = string(entry.get("field"))
    if name in _NEVER_LEARNED:
        return None
    was, faults = read_fields({name: entry.get("was")})
    now, more = read_fields({name: entry.get("now")})
    try:
        learned = datetime.fromisoformat(string(entry.get("learned"))).astimezone(UTC)
        place = string(entry.get("base_url"))
        place = _name_place(place) if "@" in place else place  # older versions stored passwords with it
    except (ValueError, OverflowError):
        return None
    if faults or more or learned > datetime.now(UTC) + _CLOCK_SKEW:
        return None
    times = entry.get("times")
    times = min(max(times, 1), _MOST_TIMES) if type(times) is int else 1
    lesson = Lesson(name, was[name], now[name], string(entry.get("why"))[:_LONGEST_REASON], times=times)
    return StoredLesson(place, string(entry.get("model")), lesson, learned) if _is_harmless(lesson) else None


def _is_harmless(lesson: Lesson) -> bool:
    """Return whether requests can still be sent with a lesson."""
    if lesson.field == "context_tokens":
        return lesson.now is not None and lesson.now >= _SMALLEST_WINDOW
    return lesson.field != "refused" or NEVER_DROPPED.isdisjoint(lesson.now)


def _write(known: Iterable[StoredLesson]) -> str:
    entries = [
        {
            "base_url": each.place,
            "model": each.model,
            "field": each.lesson.field,
            "was": write_field(each.lesson.field, each.lesson.was),
            "now": write_field(each.lesson.field, each.lesson.now),
            "why": each.lesson.why,
            "times": each.lesson.times,
            "learned": each.learned.isoformat(timespec="seconds"),
        }
        for each in known
    ]
    return json.dumps({"version": VERSION, "learned": entries}, indent=1)


def _count(times: int) -> str:
    return f", {times} times" if times > 1 else ""


def _differences(one: Profile, other: Profile) -> list[str]:
    return [name for name in Profile.__slots__ if getattr(one, name) != getattr(other, name)]

"""What is known about an endpoint beyond the built-in table: the user's agentloop.toml, and the file of lessons.

Nothing here fails a run: a damaged file is named, ignored, and left as it is.

    # agentloop.toml, in the working directory or the user's configuration folder
    [profile."ovh:Qwen3*"]
    tool_calling = "prompted"

    [profile."http://127.0.0.1:8000/v1"]
    context_tokens = 16384
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from agentloop.endpoint.shared_file import hold_file, replace_file
from agentloop.items import JsonObject
from agentloop.wire.payload import mapping, mappings, string
from agentloop.wire.profile import Endpoint, Profile
from agentloop.wire.profile.lessons import LESSONS, Lesson, add_lessons, apply_lessons, read_fields, write_field
from agentloop.wire.profile.providers import PROVIDERS

VERSION = 1
LIFETIME = timedelta(days=30)
"""Servers are updated: what was learned longer ago is forgotten, and learned again if it still holds."""

_WRITING = Lock()  # runs that learn at once: each adds to what the file holds


@dataclass(frozen=True, slots=True)
class StoredLesson:
    """A lesson in the file.

    Attributes:
        place: The base URL, or `local:` for a server that is started by agentloop and has another one each time.
        model: The model's name.
        lesson: What was learned.
        learned: When.
    """

    place: str
    model: str
    lesson: Lesson
    learned: datetime


@dataclass(frozen=True, slots=True)
class ResolvedProfile:
    """All that is known about one model at one place.

    Attributes:
        place: As in `StoredLesson`.
        base: The profile before any lesson.
        profile: The profile with the lessons.
        sources: Where each field that is not the default comes from.
        warnings: What is wrong with the files.
    """

    place: str
    base: Profile
    profile: Profile
    sources: Mapping[str, str]
    warnings: tuple[str, ...]


def find_place(endpoint: Endpoint, provider: str = "") -> str:
    """Return what lessons about an endpoint are kept by."""
    started = provider in PROVIDERS and PROVIDERS[provider].starter
    return f"{provider}:" if started else endpoint.base_url.rstrip("/")


def resolve_profile(endpoint: Endpoint, model: str, provider: str = "") -> ResolvedProfile:
    """Return what is known about a model: the endpoint's profile, then agentloop.toml, then what was learned.

    Args:
        endpoint: With its profile from the table or from code.
        model: The model's name as the server knows it.
        provider: The row of the table that the endpoint comes from, or "".
    """
    place = find_place(endpoint, provider)
    profile, warnings = endpoint.profile, list[str]()
    origin = f"table of providers ({provider})" if provider else "code"
    sources = dict.fromkeys(_differences(Profile(), profile), origin)
    names = [place, f"{place} {model}", *([f"{provider}:{model}"] if provider else [])]
    for path in config_paths():
        fields = _read_config(path, names, warnings)
        profile = replace(profile, **fields)
        sources |= dict.fromkeys(fields, str(path))
    base = profile
    known, trouble = read_lessons()
    warnings += trouble
    for each in known:
        if (each.place, each.model) == (place, model):
            LESSONS[place, model] = add_lessons(LESSONS.get((place, model), ()), [each.lesson])
            sources |= dict.fromkeys(
                _differences(profile, each.lesson.apply(profile)),
                f"learned on {each.learned:%Y-%m-%d}: {each.lesson.why}",
            )
            profile = each.lesson.apply(profile)
    # What this process has learned is not in the file where that is switched off or can't be written.
    return ResolvedProfile(place, base, apply_lessons(base, LESSONS.get((place, model), ())), sources, tuple(warnings))


def config_paths() -> list[Path]:
    """Return the configuration files that are read, whether they exist or not; a later one counts more."""
    named = os.environ.get("AGENTLOOP_CONFIG")
    if named is not None:
        return [Path(named)] if named else []
    import platformdirs  # noqa: PLC0415 - 0.04 s, due on the first run only

    paths = [platformdirs.user_config_path("agentloop") / "agentloop.toml"]
    with suppress(FileNotFoundError):  # the working directory may be gone
        paths.append(Path.cwd() / "agentloop.toml")
    return paths


def lessons_path() -> Path | None:
    """Return the file of lessons, or None when AGENTLOOP_CACHE is set to nothing."""
    named = os.environ.get("AGENTLOOP_CACHE")
    if named is not None:
        return Path(named) if named else None
    import platformdirs  # noqa: PLC0415 - as above

    return platformdirs.user_cache_path("agentloop") / "learned.json"


def read_lessons() -> tuple[list[StoredLesson], list[str]]:
    """Return the lessons in the file that are not too old, and what is wrong with it."""
    path = lessons_path()
    if path is None:
        return [], []
    try:
        content = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except (OSError, ValueError, RecursionError) as error:
        return [], [f"{path} is damaged and is ignored ({error}); agentloop profile forget --all makes it anew"]
    if mapping(content).get("version") != VERSION:
        return [], [
            f"{path} is of another version of agentloop and is ignored; agentloop profile forget --all makes it anew"
        ]
    since = datetime.now(UTC) - LIFETIME
    read = [known for entry in mappings(content.get("learned")) if (known := _read_known(entry)) is not None]
    return [known for known in read if known.learned > since], []


def remember(place: str, model: str, lessons: Sequence[Lesson]) -> str:
    """Add lessons to the file; return what went wrong, or ""."""
    if (urlsplit(place).hostname or "").endswith(".invalid"):
        return ""  # no server: a test's
    path = lessons_path()
    if path is None:
        return ""
    try:
        with _WRITING, hold_file(path):
            known, trouble = read_lessons()
            if trouble:
                return trouble[0]
            now = datetime.now(UTC)
            mine = {id(each.lesson): each for each in known if (each.place, each.model) == (place, model)}
            others = [each for each in known if id(each.lesson) not in mine]
            kept = add_lessons([each.lesson for each in mine.values()], lessons)
            fresh = (mine.get(id(lesson)) or StoredLesson(place, model, lesson, now) for lesson in kept)
            replace_file(path, _write([*others, *fresh]))
    except OSError as error:
        return f"what was learned about the endpoint can't be kept in {path}: {error.strerror}"
    return ""


def forget(place: str | None = None, model: str | None = None) -> int:
    """Take lessons out of the file, None meaning any; return how many there were.

    Raises:
        OSError: the file can't be written.
    """
    for key in [key for key in LESSONS if place in {None, key[0]} and model in {None, key[1]}]:
        del LESSONS[key]
    path = lessons_path()
    if path is None or not path.exists():
        return 0
    try:
        with _WRITING, hold_file(path):
            known, _ = read_lessons()
            kept = [each for each in known if place not in {None, each.place} or model not in {None, each.model}]
            replace_file(path, _write(kept))
    except OSError as error:
        raise OSError(f"what was learned can't be taken out of {path}: {error.strerror}") from error
    return len(known) - len(kept)


def _read_config(path: Path, names: Iterable[str], warnings: list[str]) -> JsonObject:
    """Return the fields that a file gives to whatever bears one of the names."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        warnings.append(f"{path} is damaged and is ignored: {error}")
        return {}
    fields: JsonObject = {}
    profiles = mapping(content.pop("profile", {}))
    strays = [*content, *(f"profile.{name}" for name, given in profiles.items() if not isinstance(given, dict))]
    warnings += [f'{path}: {name} is ignored: only tables such as [profile."ovh:Qwen3*"] are read' for name in strays]
    for pattern, given in profiles.items():
        if pattern.rstrip("/") in names or any(fnmatchcase(name, pattern) for name in names):
            read, faults = read_fields(mapping(given))
            fields |= read
            warnings += [f'{path}: [profile."{pattern}"]: {fault}; it is ignored' for fault in faults]
    return fields


def _read_known(entry: Mapping[str, Any]) -> StoredLesson | None:
    """Return an entry of the file, or None for one that another version of agentloop wrote."""
    name = string(entry.get("field"))
    was, faults = read_fields({name: entry.get("was")})
    now, more = read_fields({name: entry.get("now")})
    try:
        learned = datetime.fromisoformat(string(entry.get("learned"))).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    if faults or more:
        return None
    lesson = Lesson(name, was[name], now[name], string(entry.get("why")))
    return StoredLesson(string(entry.get("base_url")), string(entry.get("model")), lesson, learned)


def _write(known: Iterable[StoredLesson]) -> str:
    entries = [
        {
            "base_url": each.place,
            "model": each.model,
            "field": each.lesson.field,
            "was": write_field(each.lesson.field, each.lesson.was),
            "now": write_field(each.lesson.field, each.lesson.now),
            "why": each.lesson.why,
            "learned": each.learned.isoformat(timespec="seconds"),
        }
        for each in known
    ]
    return json.dumps({"version": VERSION, "learned": entries}, indent=1)


def _differences(one: Profile, other: Profile) -> list[str]:
    return [name for name in Profile.__slots__ if getattr(one, name) != getattr(other, name)]

"""`agentloop profile show` and `forget`: show what is known about an endpoint, and delete what was learned."""

from __future__ import annotations

import json
from typing import TextIO, cast

from agentloop.cli.failure import DONE, failure_as_json, report
from agentloop.cli.target import NamedModel, find_target, make_endpoint
from agentloop.cli.terminal import keep_stdout, print_json, print_table, say
from agentloop.endpoint.config_file import describe_state, find_configs
from agentloop.endpoint.profile_store import (
    StoredLesson,
    find_place,
    forget,
    lessons_path,
    read_lessons,
    resolve_profile,
)
from agentloop.errors import ConfigurationError, UserError
from agentloop.items import JsonObject
from agentloop.wire.profile import Profile
from agentloop.wire.profile.lessons import write_field


def show_profile(model: str | None, base_url: str | None, *, as_json: bool) -> int:
    """Print what is known about a model, or all that was learned if none is given; return the exit status."""
    with keep_stdout() as stdout:
        try:
            if model is None:
                place = None if base_url is None else find_place(make_endpoint(base_url))
                _show_learned(place, stdout, as_json=as_json)
            else:
                _show_known(find_target(model, base_url), stdout, as_json=as_json)
        except UserError as error:
            if as_json:
                print_json(failure_as_json(error), stdout)
            return report(error)
        return DONE


def forget_profile(model: str | None, base_url: str | None, *, everything: bool) -> int:
    """Delete what was learned about a model, a server or all servers; return the exit status."""
    try:
        if everything == (model is not None or base_url is not None):
            raise ConfigurationError(
                "it is not clear what to forget", hint="give --model, --base-url or both, or give --all alone"
            )
        place, name = None, None
        if model is not None:
            target = find_target(model, base_url)
            place, name = find_place(target.endpoint, target.provider), target.model
        elif base_url is not None:
            place = find_place(make_endpoint(base_url))
        trouble = read_lessons()[1]
        if trouble and not everything:
            raise ConfigurationError(trouble[0], hint="give --all to delete everything in it")
        count = forget(place, name)
    except OSError as error:
        return report(ConfigurationError(str(error), hint="check the file's permissions"))
    except UserError as error:
        return report(error)
    say("note", f"forgot {count} lesson{'' if count == 1 else 's'}")
    return DONE


def _show_known(target: NamedModel, stdout: TextIO, *, as_json: bool) -> None:
    known = resolve_profile(target.endpoint, target.model, target.provider)
    for warning in known.warnings:
        say("note", warning)
    values = {name: write_field(name, getattr(known.profile, name)) for name in known.sources}
    if as_json:
        fields = {name: {"value": values[name], "source": source} for name, source in known.sources.items()}
        print_json({"place": known.place, "model": target.model, "profile": fields}, stdout, indent=2)
        return
    say("note", f"{target.model} at {known.place}; fields that are not listed have their defaults")
    rows = [[name, _describe(name, value), known.sources[name]] for name, value in values.items()]
    print_table(("field", "value", "source"), rows, stdout)


def _describe(name: str, value: object) -> str:
    """Return a value as JSON, or for a set its differences from the default set."""
    default_value: object = getattr(Profile(), name)
    if not isinstance(default_value, frozenset):
        return json.dumps(value)
    default, now = cast("frozenset[str]", default_value), frozenset(cast("list[str]", value))
    marks = [f"+{each}" for each in sorted(now - default)] + [f"-{each}" for each in sorted(default - now)]
    return " ".join(marks)


def _show_learned(place: str | None, stdout: TextIO, *, as_json: bool) -> None:
    learned, warnings = read_lessons()
    for warning in warnings:
        say("note", warning)
    entries = [_write(each) for each in learned if place in {None, each.place}]
    if as_json:
        configs = [
            {"path": str(file.path), "exists": file.path.exists(), "counts": not describe_state(file)}
            for file in find_configs()
        ]
        files = {"learned": None if lessons_path() is None else str(lessons_path()), "config": configs}
        print_json({"files": files, "learned": entries}, stdout, indent=2)
        return
    say("note", f"what was learned is stored in {lessons_path() or 'no file: AGENTLOOP_CACHE is empty'}")
    for file in find_configs():
        state = describe_state(file)
        say("note", f"your own settings are read from {file.path}{state and f' ({state})'}")
    titles = ("place", "model", "field", "now", "learned", "times", "why")
    shown = [{**entry, "now": json.dumps(entry["now"])} for entry in entries]
    print_table(titles, [[str(entry[title]) for title in titles] for entry in shown], stdout)


def _write(known: StoredLesson) -> JsonObject:
    lesson = known.lesson
    return {
        "place": known.place,
        "model": known.model,
        "field": lesson.field,
        "now": write_field(lesson.field, lesson.now),
        "learned": known.learned.isoformat(timespec="minutes"),
        "times": lesson.times,
        "why": lesson.why,
    }

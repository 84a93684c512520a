"""`agentloop probe`: finds out what an endpoint supports, shows the progress, and stores the results with --save."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agentloop.cli.failure import DONE, ENDPOINT, failure_as_json, report
from agentloop.cli.target import NamedModel, find_target
from agentloop.cli.terminal import keep_stdout, print_json, print_table, say
from agentloop.endpoint.probe import MOST_REQUESTS, Examination, Finding, OnProgress, draw_lessons
from agentloop.endpoint.profile_store import ResolvedProfile, lessons_path, remember, resolve_profile
from agentloop.endpoint.transport import HttpTransport
from agentloop.errors import AgentloopError, ConfigurationError
from agentloop.runtime.portal import PORTAL
from agentloop.showable import show_line
from agentloop.wire.profile.lessons import write_field

REQUEST_SECONDS: Final = 60.0
_MARKS: Mapping[bool | None, str] = {True: "yes", False: "no", None: "?"}


def probe_endpoint(model: str, base_url: str | None, *, as_json: bool, save: bool) -> int:
    """Print what the endpoint supports, store it if `save` is set, and return the exit status."""
    with keep_stdout() as stdout:
        try:
            if save and lessons_path() is None:
                raise ConfigurationError("there is no file to save to", hint="AGENTLOOP_CACHE is empty: unset it")
            target = find_target(model, base_url, start=True)
            known = resolve_profile(target.endpoint, target.model, target.provider)
            for warning in known.warnings:
                say("note", warning)
            with _progress() as watch:
                findings = PORTAL.call(lambda: _examine(target, known, watch))
        except (AgentloopError, KeyboardInterrupt) as failure:
            if as_json:
                print_json(failure_as_json(failure), stdout)
            return report(failure)
        _print_findings(findings, stdout, as_json=as_json)
        if not (findings["route_responses"].works or findings["route_chat"].works):
            say("error", "neither route answered a plain question")
            say("hint", "see the server's own messages in the evidence above; check --model and --base-url")
            return ENDPOINT
        _store(findings, known, target.model, save=save)
        return DONE


async def _examine(target: NamedModel, known: ResolvedProfile, watch: OnProgress) -> dict[str, Finding]:
    seconds = min(REQUEST_SECONDS, target.endpoint.timeout_seconds)
    transport = HttpTransport(replace(target.endpoint, timeout_seconds=seconds))
    try:
        return await Examination(transport, target.model, known.profile, watch).hold()
    finally:
        await transport.aclose()


@contextmanager
def _progress() -> Generator[OnProgress]:
    """Yield a function that shows the progress: a bar on a terminal, else a line for each step."""
    console = Console(stderr=True)

    async def write(what: str, sent: int) -> None:
        say("probe", f"{sent} of {MOST_REQUESTS} requests; {what}")

    if not console.is_terminal:
        yield write
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        task = progress.add_task("", total=MOST_REQUESTS)

        async def show(what: str, sent: int) -> None:
            progress.update(task, completed=sent, description=show_line(what))

        yield show


def _print_findings(findings: Mapping[str, Finding], stdout: TextIO, *, as_json: bool) -> None:
    if as_json:
        found = {name: {"works": each.works, "evidence": each.evidence} for name, each in findings.items()}
        print_json(found, stdout, indent=2)
        return
    rows = [[name, _MARKS[each.works], each.evidence] for name, each in findings.items()]
    print_table(("capability", "works", "evidence"), rows, stdout)


def _store(findings: Mapping[str, Finding], known: ResolvedProfile, model: str, *, save: bool) -> None:
    """Store the findings that differ from the known profile, or say what would be stored."""
    lessons = draw_lessons(findings, known.profile, known.base)
    changes = ", ".join(f"{each.field} = {json.dumps(write_field(each.field, each.now))}" for each in lessons)
    if not save:
        say("note", f"--save would store for later runs: {changes or 'nothing, all of it is known'}")
    elif trouble := remember(known.place, model, lessons):
        say("note", f"nothing was saved: {trouble}")
    else:
        say("note", f"saved in {lessons_path()}: {changes}" if lessons else "nothing was saved: all of it is known")

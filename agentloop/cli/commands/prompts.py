"""`agentloop prompts list`, `show` and `check`: the prompts in the folder `prompts`, here and of the user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TextIO

from agentloop.agent import Prompt
from agentloop.agent.prompt_file import Variable, write_value
from agentloop.cli.failure import DONE, MISTAKE, failure_as_json, report
from agentloop.cli.prompt_files import PromptFile, find_prompt_files, list_prompt_files
from agentloop.cli.terminal import keep_stdout, print_json, print_table, print_text, say
from agentloop.errors import ConfigurationError
from agentloop.items import JsonObject


def list_prompts(*, as_json: bool) -> int:
    """Print the prompts that can be read, and return the exit status."""
    with keep_stdout() as stdout:
        rows = list(_read_all(list_prompt_files()))
        if as_json:
            print_json([_describe(file, prompt) for file, prompt in rows], stdout, indent=2)
            return DONE
        titles = ("name", "version", "variables", "description", "file")
        cells = [
            [file.name, prompt.version or "none", ", ".join(prompt.variables), prompt.description, str(file.path)]
            for file, prompt in rows
        ]
        if cells:
            print_table(titles, cells, stdout)
        for file, prompt in rows:
            if not file.counts(prompt):
                say("note", f"{file.path} is for no run until you run `agentloop trust`")
        return DONE


def show_prompt(name: str, *, as_json: bool) -> int:
    """Print a prompt with everything that it sets, and return the exit status."""
    with keep_stdout() as stdout:
        try:
            file = find_prompt_files(name)[0]
            prompt = Prompt.from_path(file.path)
        except ConfigurationError as error:
            if as_json:
                print_json(failure_as_json(error), stdout)
            return report(error)
        if as_json:
            print_json(_describe(file, prompt), stdout, indent=2)
        else:
            _print(file, prompt, stdout)
        return DONE


def check_prompts(name: str | None) -> int:
    """Report the faults of one prompt or of all, and return the exit status."""
    try:
        files = list_prompt_files() if name is None else find_prompt_files(name)
    except ConfigurationError as error:
        return report(error)
    good = list(_read_all(files))
    say("note", f"{len(good)} of {len(files)} {'prompt has' if len(files) == 1 else 'prompts have'} no fault")
    return DONE if len(good) == len(files) else MISTAKE


def _read_all(files: list[PromptFile]) -> Iterator[tuple[PromptFile, Prompt]]:
    """Yield the prompts that can be read, and report the faults of the others."""
    for file in files:
        try:
            yield file, Prompt.from_path(file.path)
        except ConfigurationError as error:
            report(error)


def _describe(file: PromptFile, prompt: Prompt) -> JsonObject:
    return {
        "name": prompt.name,
        "version": prompt.version,
        "description": prompt.description,
        "path": str(file.path),
        "counts": file.counts(prompt),
        "model": prompt.model,
        "settings": dict(prompt.settings),
        "tools": None if prompt.tools is None else sorted(prompt.tools),
        "variables": {name: asdict(variable) for name, variable in prompt.variables.items()},
        "instructions": prompt.instructions,
        "message": prompt.message,
        "digest": prompt.digest,
    }


def _print(file: PromptFile, prompt: Prompt, stdout: TextIO) -> None:
    settings = ", ".join(f"{name}={value}" for name, value in prompt.settings.items())
    tools = "all that the run has" if prompt.tools is None else ", ".join(sorted(prompt.tools)) or "none"
    fields = {
        "file": str(file.path),
        "for runs": "yes" if file.counts(prompt) else "no, until you run `agentloop trust`",
        "version": prompt.version or "none",
        "description": prompt.description or "none",
        "model": prompt.model or "that of the run",
        "settings": settings or "those of the run",
        "tools": tools,
        **{f"variable {name}": _describe_variable(variable) for name, variable in prompt.variables.items()},
    }
    print_table(("field", "value"), [[name, value] for name, value in fields.items()], stdout)
    for title, template in (("instructions", prompt.instructions), ("message of the user", prompt.message)):
        if template:
            print(f"\n{title}:", file=stdout)
            print_text(template, stdout)


def _describe_variable(variable: Variable) -> str:
    default = "required" if variable.default is None else f"default {write_value(variable.default)!r}"
    words = [variable.type, default, variable.description]
    if variable.enum:
        words.insert(1, f"one of {', '.join(map(write_value, variable.enum))}")
    return "; ".join(filter(None, words))

"""Finds prompts by their names, in the folder `prompts` of the working directory and in that of the user.

The working directory may be a repository that somebody else wrote. So a run is given a prompt from there only after
`agentloop trust`. It can be listed, shown and checked before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, cast

from agentloop.agent import FilledPrompt, Prompt
from agentloop.agent.prompt_file import Value, suggest
from agentloop.cli.terminal import say
from agentloop.endpoint.trusted_files import is_trusted, resolve_path
from agentloop.errors import ConfigurationError

FOLDER: Final = "prompts"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MOST_FILES: Final = 1000


@dataclass(frozen=True, slots=True)
class PromptFile:
    """A file that may hold a prompt.

    Attributes:
        path: The path.
        is_own: Whether it is in the user's own folder.
    """

    path: Path
    is_own: bool = False

    @property
    def name(self) -> str:
        """The name that a command line gives."""
        return self.path.stem

    def counts(self, prompt: Prompt) -> bool:
        """Return whether a run may be given the prompt that was read from this file."""
        return self.is_own or is_trusted(self.path, prompt.digest)


def list_prompt_files() -> list[PromptFile]:
    """Return the files in both folders. If two have the same name, the one in the working directory is the first."""
    import platformdirs  # noqa: PLC0415 - takes 0.04 s, which few commands need

    own = platformdirs.user_config_path("agentloop") / FOLDER
    files = [PromptFile(path, is_own=True) for path in list_paths(own)]
    with suppress(FileNotFoundError):  # the working directory may be gone
        here = Path.cwd() / FOLDER
        if resolve_path(here) != resolve_path(own):
            files = [*(PromptFile(path) for path in list_paths(here)), *files]
    return files


def list_paths(folder: Path) -> list[Path]:
    """Return the paths of the prompts in a folder."""
    paths = islice(folder.glob("*.md"), _MOST_FILES)
    return sorted(path for path in paths if _NAME.fullmatch(path.stem) and path.stem.lower() != "readme")


def find_prompt_files(name: str) -> list[PromptFile]:
    """Return the files of a prompt: one, or two if both folders have one of this name.

    Raises:
        ConfigurationError: there is none.
    """
    files = list_prompt_files()
    found = [file for file in files if file.name == name]
    if not found:
        raise ConfigurationError(
            f"there is no prompt {name!r} in the folder {FOLDER}", hint=suggest(name, [file.name for file in files])
        )
    return found


def fill_prompt(name: str, assignments: Iterable[str]) -> FilledPrompt:
    """Return the prompt of this name with the values that a command line gives as `NAME=VALUE`.

    Raises:
        ConfigurationError: there is no such prompt, nobody trusts it, it is damaged, or a value is wrong.
    """
    prompt = _find_prompt(name)
    values = dict[str, object]()
    for variable, text in _split_assignments(assignments):
        known = prompt.variables.get(variable)
        values[variable] = text if known is None else known.parse(text)
    return prompt.fill(cast("dict[str, Value]", values))  # which checks the types


def _find_prompt(name: str) -> Prompt:
    ignored = list[Path]()
    for file in find_prompt_files(name):
        prompt = Prompt.from_path(file.path)
        if file.counts(prompt):
            for path in ignored:
                say("note", f"{path} is ignored, as somebody else may have written it; {file.path} is used")
            return prompt
        ignored.append(file.path)
    raise ConfigurationError(
        f"{ignored[0]} is ignored, as somebody else may have written it",
        hint=f"read it (`agentloop prompts show {name}`), and `agentloop trust` lets it count until it changes",
    )


def _split_assignments(assignments: Iterable[str]) -> Iterator[tuple[str, str]]:
    given = set[str]()
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name in given:
            why = "was given twice" if equals else "has no value"
            raise ConfigurationError(f"--var {name!r} {why}", hint="write --var NAME=VALUE, once for each variable")
        given.add(name)
        yield name, text

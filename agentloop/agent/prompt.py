"""Defines Prompt: instructions in a file, with variables, which a run can be given."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any, Final

from agentloop.agent.prompt_file import (
    MOST_BYTES,
    Value,
    Variable,
    fill_template,
    read_prompt_text,
    suggest,
    write_value,
)
from agentloop.endpoint.trusted_files import read_small_file
from agentloop.errors import ConfigurationError, RunStateError
from agentloop.items import Message
from agentloop.loop.prompt_version import PromptVersion
from agentloop.loop.run import Outcome, Run, UserSaid
from agentloop.options import FIELDS, find_fault
from agentloop.wire.profile import ModelSettings

# A file may change how a model answers. What names a person, costs more or goes to the server unread is for code.
_SETTINGS: Final = (
    "temperature",
    "top_p",
    "max_output_tokens",
    "reasoning_effort",
    "tool_choice",
    "parallel_tool_calls",
    "verbosity",
)
_MOST_NAME_CHARACTERS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledPrompt:
    """A prompt with the values of its variables: `agent.run(..., prompt=...)` takes it.

    Attributes:
        version: Which prompt it is; `result.run.prompt` has it too.
        instructions: The system text.
        message: The message of the user that goes before the input, or "".
        model: The model, or None for the agent's.
        settings: The settings that differ from the agent's.
        tools: The names of those tools of the agent that the model is offered, or None for all.
    """

    version: PromptVersion
    instructions: str
    message: str
    model: str | None
    settings: Mapping[str, Any]
    tools: frozenset[str] | None

    def without(self, options: Collection[str]) -> FilledPrompt:
        """Return the prompt without what it says about these options."""
        return replace(
            self,
            model=None if "model" in options else self.model,
            settings={} if "settings" in options else self.settings,
            tools=None if "tools" in options else self.tools,
        )

    def adapt(self, agent: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a run that is given this prompt and other options, which outweigh the prompt's.

        Raises:
            ConfigurationError: instructions are given too.
        """
        if "instructions" in given:
            raise ConfigurationError(
                "instructions and a prompt were both given", hint="give one of them; a prompt holds instructions"
            )
        own: ModelSettings | None = given.get("settings")
        settings = {name: value for name, value in self.settings.items() if getattr(own, name, None) is None}
        model = {} if self.model is None else {"model": self.model}
        return {
            **agent,
            **model,
            **given,
            "instructions": self.instructions or None,
            "settings": replace(own or agent["settings"], **settings),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Instructions in a file, with variables; read it with `from_path`.

        triage = Prompt.from_path("prompts/triage.md")
        result = agent.run_sync("My parcel is late.", prompt=triage.fill({"customer": "Ada"}))

    Attributes:
        name: The name of the file without its ending.
        version: The version that the author wrote, or "".
        description: What it is for.
        variables: The variables, by their names.
        instructions: The template of the system text.
        message: The template of the user's message, or "".
        model: The model, or None for the agent's.
        settings: The settings that differ from the agent's.
        tools: The names of those tools of the agent that the model is offered, or None for all.
        digest: The SHA-256 of the file.
    """

    name: str
    version: str
    description: str
    variables: Mapping[str, Variable]
    instructions: str
    message: str
    model: str | None
    settings: Mapping[str, Any]
    tools: frozenset[str] | None
    digest: str

    @classmethod
    def from_path(cls, path: str | PathLike[str]) -> Prompt:
        """Return the prompt in a file.

        Raises:
            ConfigurationError: the file can't be read, or a part of it is not as it must be; says which, and where.
        """
        try:
            data = read_small_file(Path(path), MOST_BYTES)
            text = data.decode()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise ConfigurationError(f"the prompt {path} can't be read: {why}", hint="give a text file") from None
        source = str(path)
        parts = read_prompt_text(source, text)
        head, name = parts.head, Path(path).stem
        if head.setdefault("name", name) != name:
            raise ConfigurationError(
                f"{source}: its name is {head['name']!r}", hint=f"write {name!r}, as the file has it, or leave it out"
            )
        version = head.get("version", "")
        if max(len(name), len(version)) > _MOST_NAME_CHARACTERS:
            raise ConfigurationError(f"{source}: the name or the version is too long", hint="shorten it")
        return cls(
            name=name,
            version=version,
            description=head.get("description", ""),
            variables=parts.variables,
            instructions=parts.instructions,
            message=parts.message,
            model=head.get("model"),
            settings=_read_settings(source, head.get("settings", {})),
            tools=frozenset(head["tools"]) if "tools" in head else None,
            digest=sha256(data).hexdigest(),
        )

    def fill(self, values: Mapping[str, Value] | None = None) -> FilledPrompt:
        """Return the prompt with the values of its variables. They are put in as text, and never read as a template.

        Args:
            values: The values by the names of the variables; what is left out has its default.

        Raises:
            ConfigurationError: there is no such variable, a value is missing, or it is not of the variable's type.
        """
        where = f"the prompt {self.name!r}"
        if fault := find_fault("values", values, FIELDS.or_none()):
            raise ConfigurationError(f"{where}: {fault}", hint='write fill({"name": "value"})')
        given = dict(values or {})
        for name, value in given.items():
            if name not in self.variables:
                raise ConfigurationError(f"{where} has no variable {name!r}", hint=suggest(name, self.variables))
            if fault := self.variables[name].find_fault(name, value):
                raise ConfigurationError(f"{where}: {fault}", hint=self.variables[name].description)
        defaults = {name: each.default for name, each in self.variables.items() if each.default is not None}
        if missing := [name for name in self.variables if name not in {*defaults, *given}]:
            raise ConfigurationError(
                f"{where} needs a value for {', '.join(missing)}",
                hint=self.variables[missing[0]].description or f"its variables are: {', '.join(self.variables)}",
            )
        texts = {name: write_value(value) for name, value in {**defaults, **given}.items()}
        return FilledPrompt(
            version=PromptVersion(self.name, self.version, self.digest),
            instructions=fill_template(where, self.instructions, texts),
            message=fill_template(where, self.message, texts),
            model=self.model,
            settings=self.settings,
            tools=self.tools,
        )


def begin_prompted(prompt: FilledPrompt | None, run: Run, outcome: Outcome | None) -> tuple[Run, Outcome | None]:
    """Return a run that begins or goes on, and its outcome, with what a prompt adds to them.

    Raises:
        ConfigurationError: nothing is said to the model.
        RunStateError: the run was begun with a prompt, and goes on without one.
    """
    if prompt is not None:
        run = replace(run, prompt=prompt.version)
        if isinstance(outcome, UserSaid) and prompt.message:
            outcome = UserSaid((Message("user", prompt.message), *outcome.items))
    elif run.prompt is not None:
        raise RunStateError(
            f"the run has the prompt {run.prompt.name!r}, version {run.prompt.version!r}, and the agent has none",
            hint='give the prompt again: agent.resume(run, prompt=prompt.fill({"customer": "Ada"}))',
        )
    if isinstance(outcome, UserSaid) and not (outcome.items or run.items):
        raise ConfigurationError(
            "there is nothing to send to the model", hint="give an input, or a prompt with a message of the user"
        )
    return run, outcome


def _read_settings(source: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings after a check of their names and values."""
    for name in given:
        if name not in _SETTINGS:
            raise ConfigurationError(f"{source}: a prompt can't set {name!r}", hint=suggest(name, _SETTINGS))
    try:
        ModelSettings(**given)
    except ConfigurationError as error:
        error.message = f"{source}: {error.message}"
        raise
    return given

"""`agentloop trust`: lets the agentloop.toml and the prompts of a folder count."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agentloop.agent import Prompt
from agentloop.cli.failure import DONE, report
from agentloop.cli.prompt_files import FOLDER, list_paths
from agentloop.cli.terminal import say
from agentloop.endpoint.config_file import trust_config
from agentloop.endpoint.trusted_files import trust_files
from agentloop.errors import ConfigurationError, UserError


def trust_folder(folder: Path) -> int:
    """Trust the configuration file and the prompts of a folder as they are now, and return the exit status."""
    folder = folder.absolute()
    paths = list_paths(folder / FOLDER)
    try:
        if not paths or (folder / "agentloop.toml").exists():
            path, tables = trust_config(folder)
            say("note", f"{path} counts from now on, until it changes: {tables}")
        prompts = {path: Prompt.from_path(path) for path in paths}
        _trust({path: prompt.digest for path, prompt in prompts.items()})
    except UserError as error:
        return report(error)
    for path, prompt in prompts.items():
        say("note", f"{path} counts from now on, until it changes: {_describe(prompt)}")
    return DONE


def _trust(digests: Mapping[Path, str]) -> None:
    try:
        trust_files(digests)
    except OSError as error:
        raise ConfigurationError(f"the prompts can't be trusted: {error}", hint="check the permissions") from None


def _describe(prompt: Prompt) -> str:
    model = f"model {prompt.model}" if prompt.model else ""
    settings = ", ".join(f"{name}={value}" for name, value in prompt.settings.items())
    return "; ".join(filter(None, (f"version {prompt.version or 'none'}", model, settings)))

"""`agentloop trust`: lets the agentloop.toml of a folder count."""

from __future__ import annotations

from pathlib import Path

from agentloop.cli.failure import DONE, report
from agentloop.cli.terminal import say
from agentloop.endpoint.config_file import trust_config
from agentloop.errors import UserError


def trust_folder(folder: Path) -> int:
    """Trust the configuration file of a folder as it is now, and return the exit status."""
    try:
        path, tables = trust_config(folder.absolute())
    except UserError as error:
        return report(error)
    say("note", f"{path} counts from now on, until it changes: {tables}")
    return DONE

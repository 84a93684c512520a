"""Files: the pack and its configuration."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import Field, field_validator

from agentloop import ArgumentReading, Effects, PackConfig, Tool, ToolPack, bound_tools
from agentloop_tools.files.reading import Reading
from agentloop_tools.files.root import Root
from agentloop_tools.files.writing import Writing

# Names of files and folders, in upper or lower case: internals of repositories, environments, and keys.
DENIED = (
    ".git", ".hg", ".svn", ".env", ".env.*", ".envrc", ".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker",
    ".netrc", "_netrc", ".pgpass", ".git-credentials", ".npmrc", ".pypirc", ".htpasswd",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx",
)  # fmt: skip


class FilesConfig(PackConfig):
    """The configuration of the files pack."""

    root: Path = Field(Path(), description="the root folder; no file outside of it is opened")
    write: bool = Field(default=False, description="whether there are tools that change files")
    max_bytes: int = Field(10_000_000, gt=0, description="the size of the largest file that is read or written")
    deny: tuple[str, ...] = Field(
        DENIED, description="names of files and folders that can't be opened, as wildcards separated by colons"
    )
    ignore: bool = Field(default=True, description="whether list, glob and grep leave out files that git ignores")

    trusted: bool | None = Field(
        default=None,
        description="whether the files hold no untrusted text; by default, those do not that a run has written after "
        "it had read untrusted text",
    )

    @field_validator("deny", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, value.split(":"))) if isinstance(value, str) else value

    @field_validator("deny")
    @classmethod
    def _check_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any("/" in name for name in value):
            raise ValueError("write names without slashes; each part of a path is compared with them")
        return value


class Files(ToolPack[FilesConfig]):
    """Reads, searches and, with `write=True`, changes the files below one folder.

    Neither links nor a race can make it open a path outside of the folder. Devices, FIFOs and sockets are refused. A
    hard link is read like any other file. A write replaces it with a new file, and leaves the other names unchanged.
    """

    name = "files"
    version = "1.0"
    imports = ("pathspec", "re2")
    extra = "files"

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Iterable[Tool]]:
        """Yield the tools of one run. They share the open root folder, and remember which files the run has read."""
        config = self.config
        root = Root(config.root, config.deny)
        try:
            yield _bind(root, config)
        finally:
            root.close()


def _bind(root: Root, config: FilesConfig) -> list[Tool]:
    previews: dict[str, Callable[..., str]] = {}
    reading = (Writing if config.write else Reading)(
        root, config.max_bytes, ignore=config.ignore, trusted=config.trusted
    )
    if isinstance(reading, Writing):
        previews = {"write": reading.preview_write, "edit": reading.preview_edit}
    readings = {"path": ArgumentReading(reading.read_path, lambda pattern: pattern.removeprefix("./"))}
    return [
        replace(
            each,
            effects=_trust(each, trusted=config.trusted),
            preview=previews.get(each.name),
            readings=readings if "path" in each.parameters["properties"] else {},
        )
        for each in bound_tools(reading)
    ]


def _trust(tool: Tool, *, trusted: bool | None) -> Effects | None:
    """Return the effects of a tool: what it shows of the files is untrusted if they are."""
    shows = tool.effects is not None and tool.effects.read_only
    return replace(tool.effects, open_world=True) if tool.effects and shows and trusted is False else tool.effects

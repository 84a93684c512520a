"""Loads the tools that a command line names with --tools and --pack."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager

from agentloop.cli.terminal import say
from agentloop.cli.tool_file import load_tools
from agentloop.packs import ToolSource, open_packs, part_packs
from agentloop.packs.discovery import load_pack
from agentloop.tools import Tool, collect_tools


def find_sources(files: Iterable[str] | None, packs: Iterable[str] | None) -> list[ToolSource]:
    """Return the tools of the files, and the packs.

    Raises:
        UserError: a file, pack or tool does not exist, or a configuration is invalid.
        PackError: a pack can't be imported.
    """
    sources: list[ToolSource] = [tool for spec in files or () for tool in load_tools(spec)]
    return [*sources, *(load_pack(spec) for spec in packs or ())]


@asynccontextmanager
async def open_tools(sources: Sequence[ToolSource]) -> AsyncGenerator[list[Tool]]:
    """Open the packs among the sources and yield all tools, with the names that they have in a run.

    Raises:
        DuplicateToolError: two tools or packs have the same name.
        PackError: a pack can't be opened.
    """

    async def write_note(text: str) -> None:
        say("note", text)

    own, packs = part_packs(sources)
    async with open_packs(packs, write_note) as opened:
        yield list(collect_tools([*own, *opened]).values())

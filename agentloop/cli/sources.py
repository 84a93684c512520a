"""The tools that a command line names, by --tools and --pack."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager

from agentloop.cli.terminal import say
from agentloop.cli.tool_file import load_tools
from agentloop.packs import ToolSource, open_packs, part_packs
from agentloop.packs.discovery import load_pack
from agentloop.tools import Tool, collect_tools


def find_sources(files: Iterable[str] | None, packs: Iterable[str] | None) -> list[ToolSource]:
    """Return the tools of these files, and these packs.

    Raises:
        UserError: there is no such file, pack or tool, or a configuration does not fit.
        PackError: a pack can't be imported.
    """
    sources: list[ToolSource] = [tool for spec in files or () for tool in load_tools(spec)]
    return [*sources, *(load_pack(spec) for spec in packs or ())]


@asynccontextmanager
async def open_tools(sources: Sequence[ToolSource]) -> AsyncGenerator[list[Tool]]:
    """Open the packs among the sources and yield all tools, named as a run has them.

    Raises:
        DuplicateToolError: two tools or packs bear one name.
        PackError: a pack can't be opened.
    """

    async def tell(text: str) -> None:
        say("note", text)

    own, packs = part_packs(sources)
    async with open_packs(packs, tell) as opened:
        yield list(collect_tools([*own, *opened]).values())

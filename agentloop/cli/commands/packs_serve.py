"""`agentloop packs serve --mcp`: serves packs to an MCP client that starts this program."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agentloop.cli.failure import DONE, report
from agentloop.cli.sources import find_sources, open_tools
from agentloop.errors import AgentloopError, ConfigurationError
from agentloop.installation import describe_install
from agentloop.policy import approve_matching


def serve_packs(specs: Sequence[str], *, yes: Sequence[str] = ()) -> int:
    """Serve the packs on standard input and output until the input ends, and return the exit status.

    Args:
        specs: The packs, as `load_pack` takes them.
        yes: Patterns of the calls that are approved. Other calls that need approval are refused, as nobody can be
            asked.
    """
    try:
        asyncio.run(_serve(specs, yes))
    except (AgentloopError, KeyboardInterrupt) as failure:
        return report(failure)
    return DONE


async def _serve(specs: Sequence[str], yes: Sequence[str]) -> None:
    try:
        from agentloop.ext.mcp.serving import serve_on_stdio  # noqa: PLC0415 - an extra, and it takes almost a second
    except ImportError:
        raise ConfigurationError(
            "serving MCP needs the extra `mcp`, which is not installed", hint=describe_install("mcp")
        ) from None
    async with open_tools(find_sources((), specs)) as tools:
        await serve_on_stdio(tools, approve_matching(*yes))

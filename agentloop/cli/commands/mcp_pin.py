"""`agentloop mcp pin`: shows how an MCP server has changed its tools, and accepts them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentloop.cli.approvals.dialog import mark_lines, open_terminal
from agentloop.cli.failure import DONE, STOPPED, report
from agentloop.cli.terminal import say
from agentloop.errors import AgentloopError, ConfigurationError
from agentloop.packs import ToolPack
from agentloop.packs.discovery import load_pack
from agentloop.runtime.portal import PORTAL
from agentloop.showable import show_json

if TYPE_CHECKING:
    from agentloop.ext.mcp.changes import Review

_QUESTION = "accept these tools? [y]es, [n]o: "


def pin_tools(spec: str, *, fingerprint: str | None) -> int:
    """Show what has changed and accept it if the person says yes; return the exit status.

    Args:
        spec: The server, as `--pack` takes it.
        fingerprint: Accept the tools without a question if they have this fingerprint; None to ask.
    """
    try:
        pack = load_pack(spec)
        review = PORTAL.call(lambda: _review(pack))
        if not review.changes:
            say("note", f"nothing has changed; the fingerprint of all tools is {review.fingerprint}")
        elif not _is_accepted(review, fingerprint):
            say("note", "nothing was accepted")
            return STOPPED
        else:
            review.accept()
            names = ", ".join(map(show_json, review.changes))
            say("note", f"accepted: {names}; the fingerprint of all tools is {review.fingerprint}")
    except (AgentloopError, KeyboardInterrupt) as failure:
        return report(failure)
    return DONE


async def _review(pack: ToolPack[Any]) -> Review:
    from agentloop.ext.mcp import McpServer  # noqa: PLC0415 - only this command needs it

    if not isinstance(pack, McpServer):
        raise ConfigurationError(
            f"{pack.name!r} is not an MCP server", hint="write it as for --pack: mcp:name=files,command=my-server"
        )
    return await pack.review()


def _is_accepted(review: Review, fingerprint: str | None) -> bool:
    if fingerprint is not None:
        if fingerprint != review.fingerprint:
            raise ConfigurationError(
                f"the tools have the fingerprint {review.fingerprint}", hint="review them at a terminal, without it"
            )
        return True
    lines = list[str]()
    for name, change in review.changes.items():
        lines += [f"{show_json(name)}:", *mark_lines(change.describe())]
    with open_terminal() as dialog:
        if dialog is None:
            raise ConfigurationError(
                f"there is no terminal to show {len(review.changes)} changed tools",
                hint="run this command at a terminal, or give --fingerprint after a review",
            )
        return dialog.confirm(lines, _QUESTION)

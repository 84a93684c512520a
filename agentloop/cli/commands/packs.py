"""`agentloop packs`: lists and checks the installed packs, and shows the tools of one pack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO, cast

from agentloop.cli.failure import DONE, MISTAKE, failure_as_json, report
from agentloop.cli.terminal import keep_stdout, print_json, print_table, say
from agentloop.errors import AgentloopError
from agentloop.items import JsonObject
from agentloop.packs import ToolPack
from agentloop.packs.discovery import InstalledPack, list_packs, load_pack
from agentloop.showable import show_json
from agentloop.tools import Effects, Tool

if TYPE_CHECKING:
    from agentloop.packs.config import PackConfig


def list_installed(*, check: bool, as_json: bool) -> int:
    """Print the installed packs, with `check` also why a pack can't be imported; return the exit status."""
    with keep_stdout() as stdout:
        rows = [_describe_installed(pack, check=check) for pack in list_packs()]
        if as_json:
            print_json(rows, stdout, indent=2)
        elif rows:
            titles = list(rows[0])
            print_table(titles, [[_show_cell(row[title]) for title in titles] for row in rows], stdout)
        for name, count in Counter(str(row["name"]) for row in rows).items():
            if count > 1:
                say("note", f"{count} distributions have a pack {name!r}: name it by its module instead")
        return MISTAKE if any(row.get("failure") for row in rows) else DONE


def show_pack(spec: str, *, as_json: bool) -> int:
    """Print the tools of a pack, their effects and schemas, and its configuration; return the exit status."""
    with keep_stdout() as stdout:
        try:
            pack = load_pack(spec)
            tools = _open(pack)
        except (AgentloopError, KeyboardInterrupt) as failure:
            if as_json:
                print_json(failure_as_json(failure), stdout)
            return report(failure)
        fields = list(_describe_fields(pack))
        if as_json:
            shown = {
                "name": pack.prefix or pack.name,
                "version": pack.version,
                "configuration": fields,
                "tools": [_describe_tool(tool) for tool in tools],
            }
            print_json(shown, stdout, indent=2)
        else:
            _print_pack(pack, tools, fields, stdout)
        return DONE


def describe_effects(effects: Effects | None) -> str:
    """Return a tool's effects in a few words."""
    if effects is None:
        return "not declared"
    where = effects.host_argument or ", ".join(effects.hosts)
    words = [
        "reads" * effects.read,
        ("writes its own store" if effects.own_store else "writes") * effects.write,
        "runs code" * effects.execute,
        f"network{f' ({where})' if where else ''}" * effects.network,
        "destructive" * effects.destructive,
        "untrusted results" * effects.open_world,
    ]
    return ", ".join(filter(None, words)) or "computes"


def _describe_installed(pack: InstalledPack, *, check: bool) -> JsonObject:
    row: JsonObject = {"name": pack.name, "version": pack.version, "distribution": pack.distribution}
    if check:
        from agentloop.packs.import_check import try_pack  # noqa: PLC0415 - a plain list starts no process

        row["failure"] = try_pack(pack)
    return row


def _show_cell(cell: object) -> str:
    return str(cell) or "none"


def _open(pack: ToolPack[Any]) -> list[Tool]:
    from agentloop.cli.sources import open_tools  # noqa: PLC0415 - a plain list opens no pack
    from agentloop.runtime.portal import PORTAL  # noqa: PLC0415 - as above

    async def list_tools() -> list[Tool]:
        async with open_tools([pack]) as tools:
            return tools

    return PORTAL.call(list_tools)


def _describe_fields(pack: ToolPack[Any]) -> Iterator[JsonObject]:
    from agentloop.packs.config import write_value  # noqa: PLC0415 - a plain list needs no pydantic

    kind = cast("type[PackConfig]", type(pack.config))
    for name, field in kind.model_fields.items():
        yield {
            "name": name,
            "type": str(getattr(field.annotation, "__name__", field.annotation)),
            "required": field.is_required(),
            "value": write_value(getattr(pack.config, name)),
            "description": field.description or "",
        }


def _describe_tool(tool: Tool) -> JsonObject:
    effects = tool.presumed_effects
    return {
        "name": tool.name,
        "label": tool.label,
        "description": tool.description,
        "effects": None if effects is None else asdict(effects),
        "effects_declared": tool.effects is not None,
        "parameters": tool.parameters,
        "strict": tool.strict,
        "timeout": tool.timeout,
        "max_output": tool.max_output,
    }


def _print_pack(pack: ToolPack[Any], tools: list[Tool], fields: list[JsonObject], stdout: TextIO) -> None:
    if fields:
        titles = ("name", "value", "description")
        print_table(titles, [[row[title] for title in titles] for row in fields], stdout)
        print(file=stdout)
    print_table(("tool", "effects", "description"), [_cells(tool) for tool in tools], stdout)
    for tool in tools:
        print(f"\n{tool.name} takes {show_json(tool.parameters, indent=2)}", file=stdout)
    if not tools:
        say("note", f"the pack {pack.name!r} offers no tools")


def _cells(tool: Tool) -> tuple[str, str, str]:
    effects = describe_effects(tool.presumed_effects) + ("" if tool.effects else " (not declared)")
    return tool.label, effects, tool.description.partition("\n")[0]

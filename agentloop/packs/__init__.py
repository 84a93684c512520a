"""Tool packs: tools with a name, a configuration and a life. How they are found is in `discovery`."""

from agentloop.packs.opening import ToolSource, open_packs, part_packs
from agentloop.packs.pack import ToolPack, bound_tools

__all__ = ["ToolPack", "ToolSource", "bound_tools", "open_packs", "part_packs"]

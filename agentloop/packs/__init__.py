"""Defines tool packs: tools with a name, a configuration and a lifetime.

- `pack`: ToolPack and its views; `config`: PackConfig.
- `spec`: reads the text that names a pack; `discovery`: finds packs; `published`: what a package may publish as a pack.
- `opening`: opens the packs of a run; `modules`: imports a user's file.
- `import_check`: imports an installed pack in a separate process, to see whether it works.
"""

from agentloop.packs.opening import ToolSource, open_packs, part_packs
from agentloop.packs.pack import ToolPack, bound_tools

__all__ = ["ToolPack", "ToolSource", "bound_tools", "open_packs", "part_packs"]

"""Describes how another process can load and create a pack."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass, field
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from agentloop.errors import ConfigurationError
from agentloop.packs import ToolPack


@dataclass(frozen=True, slots=True, kw_only=True)
class PackSource:
    """How to create a pack: by its spec, or by its class and its configuration.

    Attributes:
        spec: The spec, as on a command line, or "".
        module: The module of its class, or "" if the class is loaded from the file.
        file: The file of its class.
        kind: The qualified name of the class.
        options: The values of its configuration.
    """

    spec: str = ""
    module: str = ""
    file: str = ""
    kind: str = ""
    options: dict[str, object] = field(default_factory=dict[str, object], repr=False)

    @property
    def name(self) -> str:
        """The name of the pack in messages, without its configuration, which may hold secrets."""
        return repr(self.kind or self.spec.partition(":")[0])

    def load(self) -> ToolPack[Any]:
        """Import the pack's class and return a new pack."""
        from agentloop.packs.discovery import load_pack  # noqa: PLC0415 - only the other process needs it
        from agentloop.packs.modules import import_file  # noqa: PLC0415 - as above

        if self.spec:
            return load_pack(self.spec)
        module = import_module(self.module) if self.module else import_file(Path(self.file))
        kind: type[ToolPack[Any]] = attrgetter(self.kind)(module)
        return kind.from_options(self.options)


def find_source(pack: ToolPack[Any]) -> PackSource:
    """Return how another process can create a pack of the same class and configuration.

    Raises:
        ConfigurationError: the pack is a view or a registry, or its class is defined in a function.
    """
    kind = type(pack)
    if "<locals>" in kind.__qualname__ or kind.__module__.startswith(ToolPack.__module__.rpartition(".")[0] + "."):
        raise ConfigurationError(
            f"the pack {pack.name!r} can't be created in another process",
            hint="check the pack itself, not a view of it, with its class at the top level of a module; or name it: "
            'check_pack("my_module:registry")',
        )
    # A module outside a package may be a test or a script, which has another name in another process.
    module = kind.__module__ if sys.modules[kind.__module__].__package__ else ""
    return PackSource(module=module, file=inspect.getfile(kind), kind=kind.__qualname__, options=dict(pack.config))
